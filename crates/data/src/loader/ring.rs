//! The memory of batches, which goes round.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ocelli_cuda::{Device, DeviceBuffer, Event, Stream};

use crate::Result;

/// Memory for so many batches. Whoever takes one gets it as a [`DeviceBuffer`] like any other; when the last clone of it is
/// dropped, the memory is here again, marked with what the compute stream had been given by then.
#[derive(Clone)]
pub(super) struct Ring(Arc<Inner>);

struct Inner {
    device: Device,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    free: Vec<Place>,
    stopped: bool,
}

/// Memory for a batch, and the work that still reads it.
#[derive(Debug)]
struct Place {
    memory: DeviceBuffer,
    read: Option<Event>,
}

impl fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ring").field("free", &self.state().free.len()).finish_non_exhaustive()
    }
}

impl Ring {
    pub(super) fn new(device: &Device, places: usize) -> Result<Ring> {
        let place = |_| Ok(Place { memory: device.alloc(0)?, read: None });
        let free = (0..places.max(1)).map(place).collect::<Result<_>>()?;
        let state = Mutex::new(State { free, stopped: false });
        Ok(Ring(Arc::new(Inner { device: device.clone(), state, changed: Condvar::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory of at least so many bytes, which `writer` may write; waits until there is some, and is none once the ring
    /// has stopped.
    pub(super) fn take(&self, bytes: usize, writer: &Stream) -> Result<Option<DeviceBuffer>> {
        let mut state = self.state();
        let place = loop {
            if state.stopped {
                return Ok(None);
            }
            match state.free.pop() {
                Some(place) => break place,
                None => state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(state);
        let (memory, read) = if place.memory.len() < bytes {
            // What is allocated is idle in the order of the compute stream.
            drop(place);
            let memory = self.0.device.alloc(bytes)?;
            (memory, Some(self.0.device.stream().record()?))
        } else {
            (place.memory, place.read)
        };
        if let Some(event) = &read {
            writer.wait(event)?;
        }
        let ring = self.clone();
        Ok(Some(memory.lend(bytes, move |memory| ring.give_back(memory))?))
    }

    fn give_back(&self, memory: DeviceBuffer) {
        // Without an event there is only the end of everything to wait for.
        let read = match self.0.device.stream().record() {
            Ok(event) => Some(event),
            Err(_) => {
                let _ = self.0.device.synchronize();
                None
            }
        };
        let mut state = self.state();
        // Places that were let go of to be made larger come back as others; the newest is taken next.
        state.free.push(Place { memory, read });
        drop(state);
        self.0.changed.notify_all();
    }

    /// Lets nobody wait any more.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    #[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
    fn memory_comes_round_and_waits_for_its_reader() {
        let device = Device::new(0).unwrap();
        let writer = device.new_stream().unwrap();
        let ring = Ring::new(&device, 2).unwrap();
        let first = ring.take(1000, &writer).unwrap().unwrap();
        let second = ring.take(1000, &writer).unwrap().unwrap();
        let address = first.ptr();
        assert_eq!(first.len(), 1000);
        let clone = first.clone();
        let waiting = thread::spawn({
            let (ring, writer) = (ring.clone(), writer.clone());
            move || ring.take(500, &writer).unwrap().unwrap().ptr()
        });
        drop(first);
        thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished(), "a clone is still held");
        drop(clone);
        assert_eq!(waiting.join().unwrap(), address);
        // A larger one takes the place of a smaller one.
        drop(second);
        let large = ring.take(1 << 20, &writer).unwrap().unwrap();
        assert_eq!(large.len(), 1 << 20);
        let _other = ring.take(10, &writer).unwrap().unwrap();
        let waiting = thread::spawn({
            let ring = ring.clone();
            move || ring.take(10, &writer).unwrap().is_none()
        });
        ring.stop();
        assert!(waiting.join().unwrap());
    }
}
