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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::path::PathBuf;

    use ocelli_cuda::Device;

    use super::*;
    use crate::loader::LoaderConfig;
    use crate::sampler::Sampler;
    use crate::{Encoded, Result};

    struct One;

    impl Encoded for One {
        fn len(&self) -> usize {
            1
        }

        fn label(&self, _: usize) -> i32 {
            0
        }

        fn bytes(&self, _: usize) -> Result<Cow<'_, [u8]>> {
            Ok(Cow::Borrowed(&[]))
        }

        fn name(&self, _: usize) -> PathBuf {
            PathBuf::from("one")
        }
    }

    /// The engines write when they are called, whatever their stream waits for.
    #[test]
    #[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
    fn memory_is_handed_out_when_nothing_reads_it_any_more() {
        let device = Device::new(0).unwrap();
        let shared =
            Shared::new(&device, Arc::new(One), Sampler::sequential(1), LoaderConfig::default()).unwrap();
        let mut slab = Slab::default();
        let memory = slab.begin(1 << 28, &shared).unwrap();
        // Work that takes the GPU some milliseconds.
        for _ in 0..100 {
            shared.stream.fill_bytes(&memory, 0, memory.len(), 1).unwrap();
        }
        let last = shared.stream.record().unwrap();
        assert!(!last.is_done().unwrap(), "the GPU is not kept busy");
        slab.end(shared.stream.record().unwrap());
        slab.begin(1 << 20, &shared).unwrap();
        assert!(last.is_done().unwrap(), "memory was handed out while it was read");
    }
}
