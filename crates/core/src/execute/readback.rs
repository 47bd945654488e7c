//! Numbers on their way from the GPU to the host.

use std::sync::{Arc, Mutex, PoisonError};

use ocelli_cuda::{Device, DeviceBuffer, Event, PinnedBuffer};

use crate::error::Result;

/// Places in pinned memory for one number each, used again and again.
#[derive(Default)]
pub(crate) struct Readbacks(Mutex<Vec<Slot>>);

struct Slot {
    memory: PinnedBuffer,
    event: Event,
}

/// One `f32` that was on its way when this was made.
pub(crate) struct Readback {
    slot: Option<Slot>,
    home: Arc<Readbacks>,
}

impl Readbacks {
    /// Starts to bring four bytes to the host.
    pub(crate) fn start(
        self: &Arc<Readbacks>,
        device: &Device,
        from: &DeviceBuffer,
        offset: usize,
    ) -> Result<Readback> {
        let stream = device.stream();
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let slot = match free {
            Some(slot) => slot,
            None => Slot { memory: device.alloc_pinned(4)?, event: stream.record()? },
        };
        stream.copy_to_pinned(&slot.memory, 0, from, offset, 4)?;
        slot.event.record_on(stream)?;
        Ok(Readback { slot: Some(slot), home: Arc::clone(self) })
    }
}

impl Readback {
    /// Waits until the number has arrived, and for nothing that was launched later.
    pub(crate) fn wait(&self) -> Result<[u8; 4]> {
        let Some(slot) = &self.slot else { return Ok([0; 4]) };
        slot.event.synchronize()?;
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&slot.memory.as_slice()[..4]);
        Ok(bytes)
    }
}

impl Drop for Readback {
    /// The next user's copy is ordered after this one by the stream, so nothing needs to be waited for.
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.home.0.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        }
    }
}
