//! One measurement.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use ocelli_cuda::{Device, Event, Stream};
use ocelli_data::loader::Statistics;
use serde::Serialize;

use super::error::{Error, Result};
use super::memory::{Memory, Span};

/// Steps that may be submitted before the GPU has begun them.
const AHEAD: usize = 4;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Training on one batch that lies on the GPU
    Synthetic,
    /// Batches that are taken and dropped
    Loader,
    /// Training on the loader's batches
    Both,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Synthetic => "synthetic",
            Kind::Loader => "loader",
            Kind::Both => "both",
        }
    }
}

/// How long is measured.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Batches that come before.
    pub(super) warm_up: u32,
    /// From the end of these on.
    pub(super) time: Duration,
}

/// What a measurement works on.
pub(super) trait Subject {
    /// A batch.
    type Batch;

    /// The next batch; `None` where there are no more.
    fn next(&mut self) -> Result<Option<Self::Batch>>;

    /// Submits what is done with it. How many images it holds.
    fn work(&mut self, batch: Self::Batch) -> Result<usize>;

    /// Where the loader's time went so far, where there is a loader.
    fn statistics(&self) -> Option<Statistics>;
}

/// What was measured.
pub(super) struct Measured {
    pub(super) batches: u64,
    pub(super) images: u64,
    /// The GPU's time from where the first batch was asked for to where the last one's work was done.
    pub(super) elapsed: Duration,
    /// The GPU's time between where a batch was asked for and where it was there, all batches together.
    pub(super) waited: Duration,
    /// From batch to batch, as the thread that trains gets them.
    pub(super) latency: Latency,
    /// How much memory was in use.
    pub(super) memory: Span,
    /// What the loader did meanwhile.
    pub(super) loader: Option<Statistics>,
}

impl Measured {
    pub(super) fn images_per_second(&self) -> f64 {
        ratio(self.images as f64, self.elapsed.as_secs_f64())
    }

    /// The share of its time in which the GPU waited for data.
    pub(super) fn waited_share(&self) -> f64 {
        ratio(self.waited.as_secs_f64(), self.elapsed.as_secs_f64()).min(1.0)
    }
}

/// A quotient; 0 where nothing was done.
pub(super) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Times that so many in a hundred batches took at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Latency {
    pub(super) p50: Duration,
    pub(super) p95: Duration,
    pub(super) p99: Duration,
}

impl Latency {
    fn of(mut times: Vec<Duration>) -> Latency {
        times.sort_unstable();
        // By nearest rank: a time that was measured, and no mean of two.
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100);
            times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Latency { p50: at(50), p95: at(95), p99: at(99) }
    }
}

/// Works until the time is over, or there are no more batches. Throughput is taken from the GPU's clock, between two points
/// of its compute stream, and not from the host's, which runs ahead: so nothing has to be drained before, and no batch that
/// was ready already counts twice.
pub(super) fn measure(device: &Device, limits: Limits, subject: &mut impl Subject) -> Result<Measured> {
    let stream = device.stream();
    let mut waits = Waits::default();
    for _ in 0..limits.warm_up {
        step(stream, subject, &mut waits)?.ok_or(Error::Ended)?;
    }
    waits.forget();
    let begin_memory = Memory::now(device)?;
    let before = subject.statistics();
    let (begin, started) = (stream.record_timed()?, Instant::now());
    let (mut images, mut times, mut last) = (0, Vec::new(), started);
    while started.elapsed() < limits.time {
        let Some(step) = step(stream, subject, &mut waits)? else { break };
        times.push(step.received.saturating_duration_since(last));
        last = step.received;
        images += step.images as u64;
    }
    let end = stream.record_timed()?;
    let loader = subject.statistics().zip(before).map(|(after, before)| after - before);
    if times.is_empty() {
        return Err(Error::Ended);
    }
    let memory = Span { begin: begin_memory, end: Memory::now(device)? };
    let elapsed = between(&begin, &end)?;
    let (batches, waited) = (times.len() as u64, waits.finish()?);
    Ok(Measured { batches, images, elapsed, waited, latency: Latency::of(times), memory, loader })
}

/// What became of a batch.
struct Step {
    /// When it was there.
    received: Instant,
    images: usize,
}

/// Takes a batch and submits its work.
fn step(stream: &Stream, subject: &mut impl Subject, waits: &mut Waits) -> Result<Option<Step>> {
    let asked = stream.record_timed()?;
    let Some(batch) = subject.next()? else { return Ok(None) };
    let there = stream.record_timed()?;
    let received = Instant::now();
    let images = subject.work(batch)?;
    waits.add(asked, there)?;
    Ok(Some(Step { received, images }))
}

/// The GPU's time from one event to another.
fn between(begin: &Event, end: &Event) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(f64::from(end.elapsed_ms(begin)?) / 1e3).unwrap_or_default())
}

/// Adds up how long the GPU waited, a few batches behind it: so events do not heap up, and the host does not run ahead
/// without end.
#[derive(Default)]
struct Waits {
    pending: VecDeque<Wait>,
    total: Duration,
}

/// The GPU's stream where a batch was asked for, and where it was there.
struct Wait {
    asked: Event,
    there: Event,
    counts: bool,
}

impl Waits {
    fn add(&mut self, asked: Event, there: Event) -> Result<()> {
        self.pending.push_back(Wait { asked, there, counts: true });
        if self.pending.len() > AHEAD { self.settle() } else { Ok(()) }
    }

    /// Counts the oldest, once the GPU has passed it.
    fn settle(&mut self) -> Result<()> {
        let Some(Wait { asked, there, counts }) = self.pending.pop_front() else { return Ok(()) };
        let waited = between(&asked, &there)?;
        self.total += if counts { waited } else { Duration::ZERO };
        Ok(())
    }

    /// Counts from now on only.
    fn forget(&mut self) {
        self.pending.iter_mut().for_each(|wait| wait.counts = false);
        self.total = Duration::ZERO;
    }

    fn finish(mut self) -> Result<Duration> {
        while !self.pending.is_empty() {
            self.settle()?;
        }
        Ok(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_times_that_were_measured() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_millis).collect();
        let latency = |p50, p95, p99| {
            let [p50, p95, p99] = [p50, p95, p99].map(Duration::from_millis);
            Latency { p50, p95, p99 }
        };
        assert_eq!(Latency::of(times(100)), latency(50, 95, 99));
        assert_eq!(Latency::of(times(7)), latency(4, 7, 7));
        assert_eq!(Latency::of(times(1)), latency(1, 1, 1));
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }

    #[test]
    fn quotients_of_nothing_are_nothing() {
        assert_eq!((ratio(3.0, 2.0), ratio(3.0, 0.0), ratio(0.0, 0.0)), (1.5, 0.0, 0.0));
    }

    /// Batches that take a while to come, of which there are only so many.
    struct Slow {
        left: usize,
        asked: usize,
    }

    impl Subject for Slow {
        type Batch = ();

        fn next(&mut self) -> Result<Option<()>> {
            std::thread::sleep(Duration::from_millis(10));
            self.asked += 1;
            Ok((self.asked <= self.left).then_some(()))
        }

        fn work(&mut self, (): ()) -> Result<usize> {
            Ok(3)
        }

        fn statistics(&self) -> Option<Statistics> {
            None
        }
    }

    #[test]
    #[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
    fn a_gpu_that_has_nothing_else_to_do_waits_all_the_time() {
        let device = Device::new(0).unwrap();
        let measure = |left, seconds| {
            let limits = Limits { warm_up: 2, time: Duration::from_secs_f64(seconds) };
            measure(&device, limits, &mut Slow { left, asked: 0 })
        };
        let measured = measure(12, 60.0).unwrap();
        assert_eq!((measured.batches, measured.images), (10, 30));
        assert!(measured.waited_share() > 0.9, "{}", measured.waited_share());
        assert!(measured.elapsed >= Duration::from_millis(100), "{:?}", measured.elapsed);
        assert!(measured.latency.p50 >= Duration::from_millis(10), "{:?}", measured.latency);
        // The time ends it, too; and without a batch after the first ones there is nothing to tell.
        assert!(measure(usize::MAX, 0.1).unwrap().batches <= 10);
        assert!(matches!(measure(2, 60.0), Err(Error::Ended)));
        assert!(matches!(measure(1, 60.0), Err(Error::Ended)));
    }
}
