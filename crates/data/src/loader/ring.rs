//! The memory of batches, which goes round.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ocelli_cuda::{Device, DeviceBuffer, Event, Stream};

use crate::Result;

/// Memory for so many batches. Whoever takes one gets it as a [`DeviceBuffer`] like any other; when the last clone of it is
/// dropped, the memory is here again, marked with what the consumer's stream had been given by then.
#[derive(Clone)]
pub(super) struct Ring(Arc<Inner>);

struct Inner {
    /// Whose memory it is, and who writes it.
    device: Device,
    /// Who reads it.
    consumer: Stream,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    free: Vec<Place>,
    stopped: bool,
}

/// Memory for a batch, and the work that may still read it.
#[derive(Debug)]
struct Place {
    memory: DeviceBuffer,
    read: Read,
}

#[derive(Debug)]
enum Read {
    Never,
    /// It is over when this passes.
    Until(Event),
    /// It was given back while a graph was captured, which no event can be recorded beside.
    Unmarked,
}

impl fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ring").field("free", &self.state().free.len()).finish_non_exhaustive()
    }
}

impl Ring {
    pub(super) fn new(device: &Device, consumer: &Stream, places: usize) -> Result<Ring> {
        let place = |_| Ok(Place { memory: device.alloc(0)?, read: Read::Never });
        let free = (0..places.max(1)).map(place).collect::<Result<_>>()?;
        let state = Mutex::new(State { free, stopped: false });
        let (device, consumer) = (device.clone(), consumer.clone());
        Ok(Ring(Arc::new(Inner { device, consumer, state, changed: Condvar::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory of at least so many bytes, to be written on the device's stream; waits until there is some, and is none once
    /// the ring has stopped.
    pub(super) fn take(&self, bytes: usize) -> Result<Option<DeviceBuffer>> {
        let mut state = self.state();
        let Place { memory, read } = loop {
            if state.stopped {
                return Ok(None);
            }
            match state.free.pop() {
                Some(place) => break place,
                None => state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(state);
        self.0.wait_for(read)?;
        let memory = if memory.len() < bytes {
            // The old one first, so that its memory can be used again.
            drop(memory);
            self.0.device.alloc(bytes)?
        } else {
            memory
        };
        let ring = self.clone();
        Ok(Some(memory.lend(bytes, move |memory| ring.give_back(memory))?))
    }

    fn give_back(&self, memory: DeviceBuffer) {
        let read = self.0.mark();
        self.state().free.push(Place { memory, read });
        self.0.changed.notify_all();
    }

    /// Lets nobody wait any more.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.0.changed.notify_all();
    }
}

impl Inner {
    /// What marks the end of the work that the consumer has submitted so far.
    fn mark(&self) -> Read {
        match self.consumer.is_capturing() {
            Ok(false) => self.consumer.record().map_or(Read::Unmarked, Read::Until),
            _ => Read::Unmarked,
        }
    }

    /// Makes the device's stream wait until memory is not read any more.
    fn wait_for(&self, mut read: Read) -> Result<()> {
        loop {
            match read {
                Read::Never => return Ok(()),
                Read::Until(event) => return Ok(self.device.stream().wait(&event)?),
                // Captures last milliseconds. A stream that cannot be asked has failed, and with it what read the memory.
                Read::Unmarked if self.consumer.is_capturing()? => thread::sleep(Duration::from_millis(1)),
                Read::Unmarked => read = Read::Until(self.consumer.record()?),
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The device's next work on the memory comes after the consumer's last.
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for place in std::mem::take(&mut state.free) {
            if let Err(error) = self.wait_for(place.read) {
                tracing::error!(%error, "a batch may still be read");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
    fn memory_comes_round_and_waits_for_its_reader() {
        let device = Device::new(0).unwrap();
        let consumer = Device::new(0).unwrap();
        let ring = Ring::new(&device, consumer.stream(), 2).unwrap();
        let first = ring.take(1000).unwrap().unwrap();
        let second = ring.take(1000).unwrap().unwrap();
        let address = first.ptr();
        assert_eq!(first.len(), 1000);
        let clone = first.clone();
        let waiting = thread::spawn({
            let ring = ring.clone();
            move || ring.take(500).unwrap().unwrap().ptr()
        });
        drop(first);
        thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished(), "a clone is still held");
        drop(clone);
        assert_eq!(waiting.join().unwrap(), address);
        // A larger one takes the place of a smaller one.
        drop(second);
        let large = ring.take(1 << 20).unwrap().unwrap();
        assert_eq!(large.len(), 1 << 20);
        let _other = ring.take(10).unwrap().unwrap();
        let waiting = thread::spawn({
            let ring = ring.clone();
            move || ring.take(10).unwrap().is_none()
        });
        ring.stop();
        assert!(waiting.join().unwrap());
    }
}
