//! What the benchmarks share: GPU times by events under criterion's control, ceilings measured in the same run, and
//! results kept by card.

#![allow(dead_code, reason = "each benchmark uses its part")]

mod ceiling;
pub(crate) mod program;
pub(crate) mod resnet50;
pub(crate) mod results;

use std::time::Duration;

use anyhow::Result;
use criterion::{Criterion, SamplingMode};
use ocelli::cuda::Stream;
use ocelli::{DType, Device};

use ceiling::Ceilings;
pub(crate) use program::Program;
use program::Replay;
use results::{Results, Row};

/// Samples a case; the median is reported.
const SAMPLES: usize = 10;

/// What is measured.
pub(crate) struct Case {
    /// The shape, as in the table that it comes from.
    pub(crate) name: String,
    /// `forward`, or which gradient.
    pub(crate) direction: &'static str,
    /// The element type.
    pub(crate) dtype: DType,
    /// Multiplications and additions, each counted as one.
    pub(crate) flops: f64,
    /// How often the work occurs in the network whose sum is reported.
    pub(crate) count: u32,
}

/// A benchmark that runs.
pub(crate) struct Bench {
    name: &'static str,
    /// The card that was found; it stays open from case to case.
    device: Device,
    criterion: Criterion,
    ceilings: Ceilings,
    results: Results,
}

/// Runs a benchmark, or says that it needs a GPU.
pub(crate) fn run(name: &'static str, body: impl FnOnce(&mut Bench) -> Result<()>) -> Result<()> {
    let device = match Device::new(0) {
        Ok(device) => device,
        Err(error) => {
            println!("{name}: this benchmark needs an NVIDIA GPU. {error}");
            return Ok(());
        }
    };
    let ceilings = Ceilings::measure(&device)?;
    println!("{name} on {ceilings}");
    let criterion = Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .nresamples(1000)
        .configure_from_args();
    let results = Results::new(name);
    let mut bench = Bench { name, device, criterion, ceilings, results };
    body(&mut bench)?;
    bench.criterion.final_summary();
    bench.results.finish(&bench.device, &bench.ceilings)
}

/// Work that is submitted again and again.
pub(crate) trait Submit {
    /// Enqueues it.
    fn submit(&mut self) -> Result<()>;

    /// Where it is enqueued.
    fn stream(&self) -> Result<Stream>;

    /// How many launches that was.
    fn launches(&self) -> Result<usize>;
}

impl Submit for Replay {
    fn submit(&mut self) -> Result<()> {
        self.launch()
    }

    fn stream(&self) -> Result<Stream> {
        Ok(self.gpu()?.cuda().stream().clone())
    }

    fn launches(&self) -> Result<usize> {
        Ok(self.gpu()?.report().last().map_or(0, |plan| plan.launches.len()))
    }
}

impl Bench {
    /// Times a program, unless criterion's filter leaves it out.
    pub(crate) fn case(&mut self, case: Case, program: Program) -> Result<()> {
        let (bytes, copies) = (program.bytes(), program.copies());
        // A device of its own, so that the case's memory goes when the case is done.
        self.time(case, bytes, copies, || program.prepare(&Device::new(0)?))
    }

    /// Times work, unless criterion's filter leaves it out. What is submitted at once is the case so many times over, each
    /// of which moves so many bytes.
    pub(crate) fn time<W: Submit>(
        &mut self,
        case: Case,
        bytes: f64,
        copies: usize,
        prepare: impl Fn() -> Result<W>,
    ) -> Result<()> {
        let mut prepared = None;
        let mut samples = Vec::new();
        let mut failure = None;
        let mut time = |iterations: u64| -> Result<Duration> {
            let work = match &mut prepared {
                Some(work) => work,
                none => none.insert(prepare()?),
            };
            let stream = work.stream()?;
            let times = iterations.div_ceil(copies as u64);
            let start = stream.record_timed()?;
            for _ in 0..times {
                work.submit()?;
            }
            let milliseconds =
                f64::from(stream.record_timed()?.elapsed_ms(&start)?) / (times * copies as u64) as f64;
            samples.push(milliseconds);
            Ok(Duration::from_secs_f64(milliseconds * 1e-3 * iterations as f64))
        };
        let mut group = self.criterion.benchmark_group(self.name);
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(format!("{}/{}/{}", case.direction, case.name, case.dtype), |bencher| {
            bencher.iter_custom(|iterations| {
                if failure.is_none() {
                    match time(iterations) {
                        Ok(elapsed) => return elapsed,
                        Err(error) => failure = Some(error),
                    }
                }
                // Criterion goes on to the end of the case; what failed is told then.
                Duration::from_secs(1)
            });
        });
        group.finish();
        if let Some(error) = failure {
            return Err(
                error.context(format!("{} {} {} {}", self.name, case.direction, case.name, case.dtype))
            );
        }
        let measured = samples.split_off(samples.len().saturating_sub(SAMPLES));
        if let (Some(milliseconds), Some(work)) = (median(measured), &prepared) {
            let launches = work.launches()? / copies;
            let row = Row::new(&case, milliseconds, bytes, launches, &self.ceilings);
            println!("{row}");
            self.results.push(row);
        }
        Ok(())
    }
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
