//! The memory of batches, which goes round.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ocelli_cuda::{Device, DeviceBuffer, Event, Stream};

use crate::Result;

/// How long a loader waits for memory before it says why.
const PATIENCE: Duration = Duration::from_secs(10);

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
    /// The one that came back first is taken first: the work that read it is over soonest.
    free: VecDeque<Place>,
    /// These came back while a graph was captured, beside which no event can be recorded.
    unmarked: VecDeque<DeviceBuffer>,
    stopped: bool,
}

/// Memory for a batch, and the work that may still read it.
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
    pub(super) fn new(device: &Device, consumer: &Stream, places: usize) -> Result<Ring> {
        let place = |_| Ok(Place { memory: device.alloc(0)?, read: None });
        let free = (0..places.max(1)).map(place).collect::<Result<_>>()?;
        let state = Mutex::new(State { free, ..State::default() });
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
        let mut told = false;
        let Place { memory, read } = loop {
            if state.stopped {
                return Ok(None);
            }
            if let Some(place) = state.free.pop_front() {
                break place;
            }
            let (waited, timeout) =
                self.0.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            state = waited;
            if timeout.timed_out() && !told {
                tracing::info!(
                    "the loader waits until one of its batches is dropped: they lie ready, or are held; a program that \
                     holds more than `prefetch` of them waits without end"
                );
                told = true;
            }
        };
        drop(state);
        if let Some(read) = read {
            self.0.device.stream().wait(&read)?;
        }
        let memory = if memory.len() < bytes {
            // The old one first, so that its memory can be used again. That waits for the stream: a place that is new has
            // none, and takes what an epoch before has left.
            if !memory.is_empty() {
                drop(memory);
                self.0.device.release_unused_memory()?;
            }
            self.0.device.alloc(bytes)?
        } else {
            memory
        };
        let ring = self.clone();
        Ok(Some(memory.lend(bytes, move |memory| ring.give_back(memory))?))
    }

    /// Takes memory back, on whichever thread drops it: most often the one that gives the consumer's stream its work.
    fn give_back(&self, memory: DeviceBuffer) {
        self.state().unmarked.push_back(memory);
        if let Err(error) = self.mark() {
            tracing::error!(%error, "a batch's memory cannot be used again yet");
        }
    }

    /// Marks what came back, unless a graph is being captured: then the next call does.
    pub(super) fn mark(&self) -> Result<()> {
        let mut state = self.state();
        while !state.unmarked.is_empty() && !self.0.consumer.is_capturing()? {
            let read = Some(self.0.consumer.record()?);
            let Some(memory) = state.unmarked.pop_front() else { break };
            state.free.push_back(Place { memory, read });
            self.0.changed.notify_all();
        }
        Ok(())
    }

    /// Lets nobody wait any more.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The device's next work on the memory comes after the consumer's last.
        let state = std::mem::take(self.state.get_mut().unwrap_or_else(PoisonError::into_inner));
        for place in state.free {
            if let Some(Err(error)) = place.read.map(|read| self.device.stream().wait(&read)) {
                tracing::error!(%error, "a batch may still be read");
            }
        }
        for memory in state.unmarked {
            match self.consumer.is_capturing() {
                Ok(false) => {
                    let waited = self.consumer.record().and_then(|read| self.device.stream().wait(&read));
                    if let Err(error) = waited {
                        tracing::error!(%error, "a batch may still be read");
                    }
                }
                // Nobody can say when it is read for the last time.
                _ => std::mem::forget(memory),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

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
