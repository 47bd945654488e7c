//! Memory for decoded images until they are augmented.

use std::sync::Arc;

use ocelli_cuda::{DeviceBuffer, Event, PinnedBuffer};

use super::cache::Pixels;
use super::shared::Shared;
use crate::Result;
use crate::augment::kernel::Workspace;

/// Bytes of decoded images that are augmented at once; a single image may be larger.
pub(super) const ROUND: usize = 1 << 30;

/// Device memory that images are decoded into. There are two, so that the engines fill one while the other is read.
#[derive(Default)]
pub(super) struct Slab {
    pixels: Option<DeviceBuffer>,
    /// When this passes, nothing reads the slab any more, nor what is lent to it.
    read: Option<Event>,
    lent: Vec<Lent>,
    workspace: Workspace,
}

/// What is given back when a slab has been read.
pub(super) enum Lent {
    Pinned(PinnedBuffer),
    Piece(DeviceBuffer),
    Cached(#[allow(dead_code, reason = "it is kept alive")] Arc<Pixels>),
}

impl Slab {
    /// Waits on the host until nothing reads the slab, gives back what was lent to it, and makes it at least so large.
    /// The engines write whenever they are called, whatever the stream waits for: hence the host waits.
    pub(super) fn begin(&mut self, bytes: usize, shared: &Shared) -> Result<DeviceBuffer> {
        self.finish(shared)?;
        match &self.pixels {
            Some(pixels) if pixels.len() >= bytes => Ok(pixels.clone()),
            _ => {
                // The old one first, so that its memory can be used again.
                if self.pixels.take().is_some() {
                    shared.device.release_unused_memory()?;
                }
                // Some more, so that it need not grow with every batch that is a little larger.
                let room = (bytes + bytes / 8).min(bytes.max(ROUND)).next_multiple_of(1 << 20);
                let pixels = shared.device.alloc(room)?;
                // What is allocated is idle in the order of the device's stream, which the engines do not heed.
                shared.device.stream().record()?.synchronize()?;
                Ok(self.pixels.insert(pixels).clone())
            }
        }
    }

    /// Keeps something until the slab has been read.
    pub(super) fn lend(&mut self, lent: Lent) {
        self.lent.push(lent);
    }

    /// What the augmentation of the slab's images works in.
    pub(super) fn workspace(&mut self) -> &mut Workspace {
        &mut self.workspace
    }

    /// Notes that what reads the slab has been submitted.
    pub(super) fn end(&mut self, read: Event) {
        self.read = Some(read);
    }

    /// Waits until nothing reads the slab.
    pub(super) fn finish(&mut self, shared: &Shared) -> Result<()> {
        if let Some(read) = self.read.take() {
            read.synchronize()?;
        }
        for lent in self.lent.drain(..) {
            match lent {
                Lent::Pinned(memory) => shared.pinned.give_back(memory),
                Lent::Piece(memory) => shared.device_pieces.give_back(memory),
                Lent::Cached(_) => {}
            }
        }
        Ok(())
    }
}
