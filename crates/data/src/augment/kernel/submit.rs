//! What [`Augmenter::submit`](super::Augmenter::submit) is given: memory that knows how large it is.

use bytemuck::cast_slice;
use ocelli_cuda::{Device, DeviceBuffer, PinnedBuffer, Stream};

use super::{Descriptor, Layout};
use crate::augment::area::Size;
use crate::augment::drawn::Drawn;
use crate::{Error, Result};

/// A decoded image in device memory, without gaps.
#[derive(Clone, Copy, Debug)]
pub struct DecodedImage<'a> {
    /// The memory.
    pub memory: &'a DeviceBuffer,
    /// Where the image begins, bytes.
    pub offset: usize,
    /// Columns and rows.
    pub size: Size,
    /// Its planes.
    pub layout: Layout,
}

/// What becomes of a decoded image.
#[derive(Clone, Copy, Debug)]
pub struct AugmentedImage<'a> {
    /// The image.
    pub image: DecodedImage<'a>,
    /// What was drawn for it.
    pub drawn: &'a Drawn,
    /// Its place in the batch.
    pub place: u32,
}

/// Memory that launches work in, one at a time: it must not be used again before the stream has passed the launch before.
#[derive(Debug, Default)]
pub struct Workspace {
    host: Option<PinnedBuffer>,
    descriptors: Option<DeviceBuffer>,
    scratch: Option<DeviceBuffer>,
}

impl AugmentedImage<'_> {
    /// What the kernel is told of it, if the image lies within its memory.
    pub(super) fn descriptor(&self) -> Result<Descriptor> {
        let DecodedImage { memory, offset, size, layout } = self.image;
        let bytes = layout.bytes(size);
        if offset.checked_add(bytes).is_none_or(|end| end > memory.len()) {
            let what =
                format!("an image of {bytes} bytes at {offset} does not lie in memory of {}", memory.len());
            return Err(Error::Setting { what });
        }
        Descriptor::new(self.drawn, &layout.source(memory.ptr() + offset as u64, size), self.place)
    }
}

impl Workspace {
    /// Copies descriptors, and sees to so many bytes of scratch memory; yields the addresses of both.
    pub(super) fn upload(
        &mut self,
        descriptors: &[Descriptor],
        scratch: usize,
        device: &Device,
        stream: &Stream,
    ) -> Result<(u64, u64)> {
        let bytes: &[u8] = cast_slice(descriptors);
        let to = at_least(&mut self.descriptors, bytes.len(), device, stream)?.clone();
        let scratch = at_least(&mut self.scratch, scratch, device, stream)?.ptr();
        let host = match self.host.take().filter(|host| host.len() >= bytes.len()) {
            Some(host) => host,
            None => device.alloc_pinned(bytes.len().next_power_of_two())?,
        };
        let host = self.host.insert(host);
        if let Some(target) = host.as_mut_slice().get_mut(..bytes.len()) {
            target.copy_from_slice(bytes);
        }
        stream.copy_to_device(&to, 0, host, 0, bytes.len())?;
        Ok((to.ptr(), scratch))
    }
}

/// Memory of at least so many bytes, idle in the order of the stream.
fn at_least<'a>(
    memory: &'a mut Option<DeviceBuffer>,
    bytes: usize,
    device: &Device,
    stream: &Stream,
) -> Result<&'a DeviceBuffer> {
    let kept = match memory.take().filter(|memory| memory.len() >= bytes) {
        Some(kept) => kept,
        None => {
            // What is allocated is idle in the order of the compute stream.
            let new = device.alloc(bytes.next_multiple_of(1 << 20))?;
            stream.wait(&device.stream().record()?)?;
            new
        }
    };
    Ok(memory.insert(kept))
}
