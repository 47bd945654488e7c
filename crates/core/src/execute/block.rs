//! The block: all that a run gets from the host, in one piece of memory that one copy fills.
//!
//! It holds the header (seed and step), the scalars, and the data leaves that are not resident. The host writes what it
//! has into a ring of pinned buffers; a buffer is used again only when its copy is done. Leaves that are on the GPU
//! already come last and are copied there, so that the host's part is short.

use ocelli_cuda::{Device, DeviceBuffer, Event, PinnedBuffer, Stream};

use super::Gpu;
use crate::error::{Error, Result};
use crate::plan::memory::ALIGNMENT;
use crate::tensor::Data;
use crate::types::TensorType;
use crate::work::Work;

/// Bytes of the header: seed (8), step (4), unused (4).
const HEADER: usize = 16;

pub(super) struct Block {
    memory: DeviceBuffer,
    /// What comes from the host, in bytes from the beginning.
    host: usize,
    ring: Vec<Slot>,
    next: usize,
    /// The offset of each data leaf in the block; `None` for resident ones.
    data: Vec<Option<usize>>,
}

struct Slot {
    memory: PinnedBuffer,
    copied: Event,
}

impl Block {
    /// A block for this work, with so many pinned buffers in its ring.
    pub(super) fn new(device: &Device, work: &Work, ring: usize) -> Result<Block> {
        let mut end = (HEADER + 4 * work.scalars.len()).next_multiple_of(ALIGNMENT);
        let mut data = vec![None; work.data.len()];
        let mut place = |on_device: bool| {
            for ((ty, source), offset) in work.data.iter().zip(&mut data) {
                if matches!(source, Data::Device { .. }) == on_device
                    && !matches!(source, Data::Device { resident: true, .. })
                {
                    *offset = Some(end);
                    end = (end + ty.bytes()).next_multiple_of(ALIGNMENT);
                }
            }
            end
        };
        let (host, end) = (place(false), place(true));
        let slot = |_| Ok(Slot { memory: device.alloc_pinned(host)?, copied: device.stream().record()? });
        Ok(Block {
            memory: device.alloc(end)?,
            host,
            ring: (0..ring.max(1)).map(slot).collect::<Result<_>>()?,
            next: 0,
            data,
        })
    }

    /// The memory on the GPU.
    pub(super) fn memory(&self) -> &DeviceBuffer {
        &self.memory
    }

    /// Where a data leaf that is not resident lies in the block.
    pub(super) fn offset(&self, index: usize) -> Result<usize> {
        let missing = || Error::Plan { pass: "bind", what: format!("data leaf {index} is not in the block") };
        self.data.get(index).copied().flatten().ok_or_else(missing)
    }

    /// The pinned memory of a block with a ring of one, as long as no copy of it is under way.
    pub(super) fn staging(&mut self) -> &mut [u8] {
        self.ring[0].memory.as_mut_slice()
    }

    /// Sends the pinned memory of a block with a ring of one to the GPU.
    pub(super) fn upload(&self, stream: &Stream) -> Result<()> {
        self.upload_part(stream, 0, self.host)
    }

    /// Sends a part of it.
    pub(super) fn upload_part(&self, stream: &Stream, offset: usize, bytes: usize) -> Result<()> {
        Ok(stream.copy_to_device(&self.memory, offset, &self.ring[0].memory, offset, bytes)?)
    }

    /// Where the header lies.
    pub(super) fn header(&self) -> u64 {
        self.memory.ptr()
    }

    /// Where a scalar lies: in which memory, and at which offset.
    pub(super) fn scalar_source(&self, slot: u32) -> (&DeviceBuffer, usize) {
        (&self.memory, HEADER + 4 * slot as usize)
    }

    /// Where a data leaf lies: in the block, or, resident, where its tensor does.
    pub(super) fn source<'a>(
        &'a self,
        index: u32,
        residents: &'a [Option<DeviceBuffer>],
    ) -> Result<(&'a DeviceBuffer, usize)> {
        let missing = || Error::Plan { pass: "bind", what: format!("data leaf {index} is not bound") };
        match self.data.get(index as usize).ok_or_else(missing)? {
            Some(offset) => Ok((&self.memory, *offset)),
            None => Ok((residents.get(index as usize).and_then(Option::as_ref).ok_or_else(missing)?, 0)),
        }
    }

    /// Sends a run's numbers to the GPU, without waiting for them to arrive.
    pub(super) fn fill(&mut self, gpu: &Gpu, work: &Work) -> Result<()> {
        let stream = gpu.cuda().stream();
        let index = self.next;
        self.next = (self.next + 1) % self.ring.len();
        let slot = &mut self.ring[index];
        slot.copied.synchronize()?;
        let bytes = slot.memory.as_mut_slice();
        bytes[..8].copy_from_slice(&work.seed.to_ne_bytes());
        bytes[8..12].copy_from_slice(&work.step.to_ne_bytes());
        for (i, scalar) in work.scalars.iter().enumerate() {
            bytes[HEADER + 4 * i..HEADER + 4 * i + 4].copy_from_slice(&scalar.to_ne_bytes());
        }
        let mut used = HEADER + 4 * work.scalars.len();
        for ((ty, source), offset) in work.data.iter().zip(&self.data) {
            if let (Data::Host(values), Some(offset)) = (source, offset) {
                if values.len() != ty.bytes() {
                    return Err(wrong_size(*ty));
                }
                match bytes.get_mut(*offset..offset + ty.bytes()) {
                    Some(target) => {
                        target.copy_from_slice(values);
                        used = used.max(offset + ty.bytes());
                    }
                    // It was on the GPU when the plan was bound, and is not now.
                    None => stream.upload(&self.memory, *offset, values)?,
                }
            }
        }
        stream.copy_to_device(&self.memory, 0, &slot.memory, 0, used)?;
        slot.copied.record_on(stream)?;
        for ((ty, source), offset) in work.data.iter().zip(&self.data) {
            if let (Data::Device { buffer, .. }, Some(offset)) = (source, offset) {
                let from = gpu.device_buffer(buffer)?;
                stream.copy_device(&self.memory, *offset, &from, 0, ty.bytes())?;
            }
        }
        Ok(())
    }
}

fn wrong_size(ty: TensorType) -> Error {
    Error::Plan { pass: "execute", what: format!("the values of a {ty} leaf have another size") }
}
