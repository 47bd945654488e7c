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
use ocelli::{DType, Device};

use ceiling::Ceilings;
pub(crate) use program::Program;
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

impl Bench {
    /// Times a program, unless criterion's filter leaves it out.
    pub(crate) fn case(&mut self, case: Case, program: Program) -> Result<()> {
        let (bytes, copies) = (program.bytes(), program.copies());
        let mut prepared = None;
        let mut samples = Vec::new();
        let mut failure = None;
        let mut time = |iterations: u64| -> Result<Duration> {
            let replay = match &prepared {
                Some(replay) => replay,
                // A device of its own, so that the case's memory goes when the case is done.
                None => prepared.insert(program.prepare(&Device::new(0)?)?),
            };
            let stream = replay.gpu()?.cuda().stream();
            // One replay runs all copies of the program.
            let replays = iterations.div_ceil(copies as u64);
            let start = stream.record_timed()?;
            for _ in 0..replays {
                replay.launch()?;
            }
            let milliseconds =
                f64::from(stream.record_timed()?.elapsed_ms(&start)?) / (replays * copies as u64) as f64;
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
        if let (Some(milliseconds), Some(replay)) = (median(measured), &prepared) {
            let launches = replay.gpu()?.report().last().map_or(0, |plan| plan.launches.len()) / copies;
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
