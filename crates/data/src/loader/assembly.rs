//! Batches that are being put together: which places are whose, and which batches are whole.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Places that a worker fills before it looks for others.
const CHUNK: usize = 4;

/// What workers fill, place by place, and one thread takes, batch by batch, in order.
#[derive(Debug)]
pub(super) struct Assembly<T> {
    /// Places of a batch.
    size: usize,
    /// The batch after the last.
    end: usize,
    /// How many batches may be filled before the first of them is taken.
    ahead: usize,
    /// How many bytes may lie in places before batches behind the first are filled, too.
    bytes: usize,
    state: Mutex<State<T>>,
    filled: Condvar,
    room: Condvar,
}

#[derive(Debug)]
struct State<T> {
    /// The batch and the place in it that nobody fills yet.
    next: (usize, usize),
    /// The batch that is taken next.
    wanted: usize,
    making: BTreeMap<usize, Making<T>>,
    /// What lies in places.
    bytes: usize,
    stopped: bool,
}

#[derive(Debug)]
struct Making<T> {
    places: Vec<Option<T>>,
    missing: usize,
    bytes: usize,
}

impl<T> Assembly<T> {
    /// For batches of `size` places, from `first` up to, not including, `end`; `ahead` of them may be filled at once, those
    /// behind the first only while fewer than so many bytes lie in places.
    pub(super) fn new(size: usize, first: usize, end: usize, ahead: usize, bytes: usize) -> Assembly<T> {
        let state =
            State { next: (first, 0), wanted: first, making: BTreeMap::new(), bytes: 0, stopped: false };
        let (filled, room) = (Condvar::new(), Condvar::new());
        Assembly { size, end, ahead: ahead.max(1), bytes, state: Mutex::new(state), filled, room }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch and places in it, to be filled; waits while there are enough. None when there are no more.
    pub(super) fn claim(&self) -> Option<(usize, Range<usize>)> {
        let mut state = self.state();
        loop {
            let (batch, start) = state.next;
            if state.stopped || batch >= self.end {
                return None;
            }
            // The first is filled whatever it takes: nothing else would make room.
            let is_first = batch == state.wanted;
            if is_first || batch < state.wanted + self.ahead && state.bytes < self.bytes {
                let end = (start + CHUNK).min(self.size);
                state.next = if end == self.size { (batch + 1, 0) } else { (batch, end) };
                return Some((batch, start..end));
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Fills places of a batch from `start` on, with so many bytes.
    pub(super) fn fill(&self, batch: usize, start: usize, contents: Vec<T>, bytes: usize) {
        let mut state = self.state();
        let size = self.size;
        state.bytes += bytes;
        let empty = || Making { places: (0..size).map(|_| None).collect(), missing: size, bytes: 0 };
        let making = state.making.entry(batch).or_insert_with(empty);
        making.bytes += bytes;
        for (place, content) in making.places.iter_mut().skip(start).zip(contents) {
            making.missing -= usize::from(place.is_none());
            *place = Some(content);
        }
        if making.missing == 0 {
            drop(state);
            self.filled.notify_all();
        }
    }

    /// The next batch, in order; waits until it is whole. None when there are no more.
    pub(super) fn take(&self) -> Option<(usize, Vec<T>)> {
        let mut state = self.state();
        loop {
            let batch = state.wanted;
            if state.stopped || batch >= self.end {
                return None;
            }
            if state.making.get(&batch).is_some_and(|making| making.missing == 0) {
                let making = state.making.remove(&batch)?;
                state.bytes -= making.bytes;
                state.wanted += 1;
                drop(state);
                self.room.notify_all();
                return Some((batch, making.places.into_iter().flatten().collect()));
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets nobody wait any more.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.filled.notify_all();
        self.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn batches_come_whole_and_in_order_whoever_fills_them() {
        let assembly = Assembly::new(10, 3, 20, 2, 100);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some((batch, places)) = assembly.claim() {
                        let contents = places.clone().map(|place| (batch, place)).collect();
                        assembly.fill(batch, places.start, contents, 30);
                    }
                });
            }
            for expected in 3..20 {
                let (batch, places) = assembly.take().unwrap();
                assert_eq!(batch, expected);
                assert!(places.into_iter().eq((0..10).map(|place| (batch, place))));
            }
            assert!(assembly.take().is_none());
        });
    }

    #[test]
    fn workers_do_not_run_ahead_further_than_allowed() {
        let assembly = Assembly::new(4, 0, 100, 2, usize::MAX);
        assert_eq!(assembly.claim(), Some((0, 0..4)));
        assert_eq!(assembly.claim(), Some((1, 0..4)));
        thread::scope(|scope| {
            let third = scope.spawn(|| assembly.claim());
            thread::sleep(Duration::from_millis(30));
            assert!(!third.is_finished());
            assembly.fill(0, 0, vec![(); 4], 0);
            assert!(assembly.take().is_some());
            assert_eq!(third.join().unwrap(), Some((2, 0..4)));
            let waiting = scope.spawn(|| assembly.take().is_none());
            assembly.stop();
            assert!(waiting.join().unwrap());
            assert!(assembly.claim().is_none());
        });
    }

    #[test]
    fn what_lies_ahead_is_bounded_by_bytes_and_the_first_batch_is_not() {
        let assembly = Assembly::new(8, 0, 100, 3, 1000);
        assert_eq!(assembly.claim(), Some((0, 0..4)));
        assembly.fill(0, 0, vec![(); 4], 5000);
        // However much it is.
        assert_eq!(assembly.claim(), Some((0, 4..8)));
        thread::scope(|scope| {
            let ahead = scope.spawn(|| assembly.claim());
            thread::sleep(Duration::from_millis(30));
            assert!(!ahead.is_finished(), "5000 bytes lie there");
            assembly.fill(0, 4, vec![(); 4], 700);
            assert!(assembly.take().is_some());
            // That has made room, and the next batch is the first.
            assert_eq!(ahead.join().unwrap(), Some((1, 0..4)));
        });
        assembly.fill(1, 0, vec![(); 4], 999);
        assert_eq!(assembly.claim(), Some((1, 4..8)));
        assert_eq!(assembly.claim(), Some((2, 0..4)));
    }
}
