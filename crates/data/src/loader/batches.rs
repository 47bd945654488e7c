//! The threads of an epoch.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use super::assembly::Assembly;
use super::batch::Batch;
use super::config::AHEAD;
use super::feeder::Made;
use super::kept::Kept;
use super::prepare::{Place, Wanted, Worker};
use super::ring::Ring;
use super::shared::Shared;
use crate::ordered::threads;
use crate::sampler::State;
use crate::{Error, Result};

/// Bytes of images that may lie there before all but the next batch wait.
const AHEAD_BYTES: usize = 1 << 30;

/// The batches of an epoch, in order, made ahead by threads that end with it.
pub struct Batches {
    shared: Arc<Shared>,
    work: Arc<Work>,
    made: Receiver<Result<Made>>,
    threads: Vec<JoinHandle<()>>,
    left: usize,
    state: State,
}

/// What the threads of an epoch share besides.
struct Work {
    kept: Arc<Kept>,
    epoch: u64,
    assembly: Assembly<Result<Place>>,
    ring: Ring,
}

impl Batches {
    pub(super) fn start(shared: &Arc<Shared>, kept: &Arc<Kept>, epoch: u64, first: usize) -> Result<Batches> {
        let config = &shared.config;
        let end = config.batches(shared.sampler.len());
        let work = Arc::new(Work {
            kept: Arc::clone(kept),
            epoch,
            assembly: Assembly::new(config.batch, first, end, AHEAD, AHEAD_BYTES),
            ring: Ring::new(&shared.device, shared.consumer.stream(), config.places())?,
        });
        let (sender, made) = channel();
        let state = shared.state_before(epoch, first);
        let left = end.saturating_sub(first);
        let mut batches =
            Batches { shared: Arc::clone(shared), work, made, threads: Vec::new(), left, state };
        for number in 0..threads(config.workers) {
            batches.spawn(&format!("loader {number}"), prepare)?;
        }
        batches.spawn("loader", move |shared, work| feed(shared, work, &sender))?;
        Ok(batches)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce(&Arc<Shared>, &Work) + Send + 'static) -> Result<()> {
        let (shared, work) = (Arc::clone(&self.shared), Arc::clone(&self.work));
        let thread = thread::Builder::new()
            .name(name.into())
            .spawn(move || run(&shared, &work))
            .map_err(|source| Error::Setting { what: format!("a thread cannot be started: {source}") })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where the run is: a loader that resumes from it yields the batch that is next here.
    pub fn state(&self) -> State {
        self.state
    }

    fn receive(&mut self) -> Result<Batch> {
        // What came back while a graph was captured.
        self.work.ring.mark()?;
        let made = self.shared.counters.wait_batch.time(|| self.made.recv());
        // The thread says why it ends early, unless it panicked.
        let ended = || Error::Setting { what: "the thread that feeds the GPU panicked".into() };
        let Made { batch, ready } = made.map_err(|_| ended())??;
        let consumer = self.shared.consumer.stream();
        // Another thread may be capturing a graph, which the batch is no part of.
        if consumer.is_capturing()? {
            ready.synchronize()?
        } else {
            consumer.wait(&ready)?
        }
        self.state = batch.state;
        Ok(batch)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.left == 0 {
            return None;
        }
        let batch = self.receive();
        self.left = if batch.is_ok() { self.left - 1 } else { 0 };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.work.assembly.stop();
        self.work.ring.stop();
        for thread in self.threads.drain(..) {
            // One that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// Fills places until there are none left to fill.
fn prepare(shared: &Arc<Shared>, work: &Work) {
    let mut worker = Worker::new(shared, work.kept.take_tools());
    while let Some((batch, places)) = work.assembly.claim() {
        let start = places.start;
        let fill = |place| {
            let position = batch * shared.config.batch + place;
            match shared.sampler.index(work.epoch, position) {
                Some(index) => {
                    let key = shared.sampler.key(position);
                    worker.place(Wanted { epoch: work.epoch, index, key })
                }
                None => Ok(Place::Empty),
            }
        };
        let contents: Vec<Result<Place>> = places.map(fill).collect();
        let bytes = contents.iter().flatten().map(Place::bytes).sum();
        work.assembly.fill(batch, start, contents, bytes);
    }
    work.kept.keep_tools(worker.into_tools());
}

/// Makes batches until there are none left to make, or one is an error.
fn feed(shared: &Arc<Shared>, work: &Work, made: &Sender<Result<Made>>) {
    if let Err(error) = make_all(shared, work, made) {
        // Nobody is left to hear it when this fails.
        let _ = made.send(Err(error));
    }
    // Nothing more is wanted of the workers.
    work.assembly.stop();
}

fn make_all(shared: &Arc<Shared>, work: &Work, made: &Sender<Result<Made>>) -> Result<()> {
    let mut feeder = work.kept.take_feeder(shared)?;
    let mut worker = Worker::new(shared, work.kept.take_tools());
    let result = loop {
        let Some((batch, places)) = shared.counters.wait_workers.time(|| work.assembly.take()) else {
            break Ok(());
        };
        let state = shared.state_before(work.epoch, batch + 1);
        let batch = places
            .into_iter()
            .collect::<Result<Vec<Place>>>()
            .and_then(|places| feeder.make(places, state, &work.ring, &mut worker));
        match batch {
            Ok(Some(batch)) => {
                if made.send(Ok(batch)).is_err() {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // Memory that was lent may be freed next: nothing may be under way.
    let rested = shared.stream.synchronize().map_err(Error::from).and_then(|()| feeder.rest(shared));
    if result.is_ok() && rested.is_ok() {
        work.kept.keep_feeder(feeder);
        work.kept.keep_tools(worker.into_tools());
    }
    result.and(rested)
}
