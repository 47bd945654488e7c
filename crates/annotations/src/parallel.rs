//! Work that threads share.

use std::{
    num::NonZero,
    panic,
    sync::{Mutex, PoisonError},
    thread,
};

/// The number of threads that a setting of `threads` means: itself, or all that the machine runs at once if it is 0.
pub(crate) fn thread_count(threads: usize) -> usize {
    if threads > 0 { threads } else { thread::available_parallelism().map_or(1, NonZero::get) }
}

/// Does every job on up to `threads` threads, this one among them, and returns what came of them in no particular
/// order. Jobs are taken in the order given: put the long ones first. Each thread makes itself a `state` to keep from
/// job to job.
pub(crate) fn for_each<Job, State, Outcome>(
    threads: usize,
    jobs: impl ExactSizeIterator<Item = Job> + Send,
    state: impl Fn() -> State + Sync,
    work: impl Fn(&mut State, Job) -> Outcome + Sync,
) -> Vec<Outcome>
where
    Outcome: Send,
{
    let threads = threads.min(jobs.len());
    let jobs = Mutex::new(jobs);
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || {
        let mut state = state();
        std::iter::from_fn(next).map(|job| work(&mut state, job)).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let mut others = Vec::new();
        for _ in 1..threads {
            match thread::Builder::new().name("ocelli-labels".to_owned()).spawn_scoped(scope, worker) {
                Ok(other) => others.push(other),
                Err(error) => {
                    // Slower, but not wrong.
                    tracing::warn!(%error, "work goes on with fewer threads");
                    break;
                }
            }
        }
        let mut outcomes = worker();
        for other in others {
            outcomes.extend(other.join().unwrap_or_else(|payload| panic::resume_unwind(payload)));
        }
        outcomes
    })
}

/// What `work` makes of each item, in their order, by as many threads as the machine runs at once.
pub(crate) fn in_order<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let jobs = items.iter().enumerate();
    let mut done = for_each(thread_count(0), jobs, || (), |(), (place, item)| (place, work(item)));
    done.sort_unstable_by_key(|&(place, _)| place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_done_once() {
        for threads in [1, 2, 7] {
            for count in [0, 1, 100] {
                let mut outcomes = for_each(threads, 0..count, || (), |(), job| job * 2);
                outcomes.sort_unstable();
                assert_eq!(outcomes, (0..count).map(|job| job * 2).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn parts_of_an_array_are_filled() {
        let mut array = vec![0; 100];
        for_each(3, array.chunks_mut(7).enumerate(), || (), |(), (index, part)| part.fill(index));
        assert!(array.iter().enumerate().all(|(place, value)| *value == place / 7));
    }

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(in_order(&items, |item| item + 1), (1..=1000).collect::<Vec<_>>());
    }
}
