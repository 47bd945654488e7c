//! Work that threads share, whose results come in order.

use std::num::NonZero;
use std::sync::mpsc;
use std::thread;

use crate::{Error, Result};

/// How many results a thread is ahead of the one that takes them.
const AHEAD: usize = 8;

/// Does `work` for each of `0..count` on `workers` threads, 0 for as many as the machine runs at once, and hands the
/// results to `take` on the calling thread, in order. Each thread works with a state of its own that `start` makes.
///
/// # Errors
/// The first error of `take`, and [`Error::Setting`] where the system starts no more threads; those that there are then end
/// what they are at, and begin nothing more.
pub(crate) fn in_order<State, Output: Send>(
    count: usize,
    workers: usize,
    start: impl Fn() -> State + Sync,
    work: impl Fn(&mut State, usize) -> Output + Sync,
    mut take: impl FnMut(usize, Output) -> Result<()>,
) -> Result<()> {
    let workers = threads(workers).min(count).max(1);
    let (start, work) = (&start, &work);
    thread::scope(|scope| {
        // Each thread does every `workers`-th piece, so that their results in turns are all in order.
        let spawn = |worker: usize| {
            let (sender, receiver) = mpsc::sync_channel(AHEAD);
            let turns = move || {
                let mut state = start();
                for index in (worker..count).step_by(workers) {
                    // Nobody receives after an error.
                    if sender.send(work(&mut state, index)).is_err() {
                        return;
                    }
                }
            };
            thread::Builder::new().spawn_scoped(scope, turns).map_err(|error| Error::Setting {
                what: format!("the system starts no {workers} threads ({error}): ask for fewer workers"),
            })?;
            Ok(receiver)
        };
        let receivers: Vec<_> = (0..workers).map(spawn).collect::<Result<_>>()?;
        let results = receivers.iter().cycle().map_while(|receiver| receiver.recv().ok());
        for (index, result) in (0..count).zip(results) {
            take(index, result)?;
        }
        Ok(())
    })
}

/// How many threads to start: as many as asked for, or, for 0, as the machine runs at once.
pub(crate) fn threads(asked: usize) -> usize {
    if asked > 0 { asked } else { thread::available_parallelism().map_or(1, NonZero::get) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_number_of_threads() {
        for (count, workers) in [(0, 3), (1, 3), (100, 1), (100, 7), (100, 200)] {
            let mut taken = Vec::new();
            in_order(
                count,
                workers,
                || 0,
                |done: &mut usize, index| {
                    *done += 1;
                    (index * index, *done)
                },
                |index, (square, done)| {
                    assert_eq!(done, index / workers.min(count) + 1);
                    taken.push((index, square));
                    Ok(())
                },
            )
            .unwrap();
            assert!(taken.into_iter().eq((0..count).map(|index| (index, index * index))));
        }
    }

    #[test]
    fn an_error_ends_the_work() {
        let done = AtomicUsize::new(0);
        let failed = in_order(
            1_000_000,
            2,
            || (),
            |(), index| {
                done.fetch_add(1, Ordering::Relaxed);
                index
            },
            |_, index| match index {
                10 => Err(Error::Setting { what: "ten".into() }),
                _ => Ok(()),
            },
        );
        assert!(matches!(failed, Err(Error::Setting { what }) if what == "ten"));
        assert!(done.into_inner() < 100);
    }
}
