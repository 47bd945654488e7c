use std::{
    num::NonZero,
    panic,
    sync::{Mutex, PoisonError},
    thread,
};

/// The number of threads that a setting of `threads` means: itself, or all that the machine runs at once if it is 0.
pub(super) fn thread_count(threads: usize) -> usize {
    if threads > 0 { threads } else { thread::available_parallelism().map_or(1, NonZero::get) }
}

/// Does every job on up to `threads` threads, this one among them, and returns what came of them in no particular
/// order. Jobs are taken in the order given: put the long ones first. Each thread makes itself a `state` to keep from
/// job to job.
pub(super) fn for_each<Job, State, Outcome>(
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
            match thread::Builder::new().name("ocelli-evaluation".to_owned()).spawn_scoped(scope, worker) {
                Ok(other) => others.push(other),
                Err(error) => {
                    // Slower, but not wrong.
                    tracing::warn!(%error, "the evaluation goes on with fewer threads");
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
}
