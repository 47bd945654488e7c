//! How long the launches of a plan take.

use ocelli_cuda::DeviceBuffer;

use super::Gpu;
use super::bind::BoundPlan;
use super::report::{LaunchTime, PlanTimes};
use crate::error::Result;

/// How often a launch is repeated in the graph that times it.
const REPEATS: usize = 20;
/// Events in a row that tell how long an event takes.
const MARKS: usize = 16;
/// Replays, of which the median counts.
const REPLAYS: usize = 7;

impl Gpu {
    /// Times the launches of the plan with the most launches: each within the step, each by itself, and all of them as a
    /// step replays them. States have their values back afterwards.
    ///
    /// # Errors
    /// What a launch may fail with.
    pub fn profile(&self) -> Result<Option<PlanTimes>> {
        let plans = self.plans();
        let bound = plans.values().flat_map(|planned| &planned.bound);
        bound.max_by_key(|bound| bound.launch_count()).map(|bound| self.time(bound)).transpose()
    }

    pub(super) fn time(&self, bound: &BoundPlan) -> Result<PlanTimes> {
        let device = self.cuda();
        let stream = device.stream();
        let mut saved: Vec<(DeviceBuffer, DeviceBuffer)> = Vec::new();
        for state in bound.states() {
            let copy = device.alloc(state.len())?;
            stream.copy_device(&copy, 0, state, 0, state.len())?;
            saved.push((state.clone(), copy));
        }
        let (times, mark_microseconds) = self.times_in_step(bound)?;
        let report = bound.report();
        let mut launches = Vec::with_capacity(report.launches.len());
        for (position, launch) in report.launches.into_iter().enumerate() {
            let alone_microseconds = self.replay_time(REPEATS, || bound.enqueue_one(self, position))?;
            launches.push(LaunchTime { launch, microseconds: times[position], alone_microseconds });
        }
        let step_microseconds = self.replay_time(1, || bound.enqueue(self))?;
        for (state, copy) in &saved {
            stream.copy_device(state, 0, copy, 0, state.len())?;
        }
        stream.synchronize()?;
        Ok(PlanTimes { launches, step_microseconds, mark_microseconds })
    }

    /// The median microseconds of each launch within the step, and those of a mark.
    ///
    /// The step is captured with an event between every two launches, so that each finds the caches as the ones before it
    /// left them. Events take time themselves: several in a row at the end tell how long, which is taken off.
    fn times_in_step(&self, bound: &BoundPlan) -> Result<(Vec<f32>, f32)> {
        let stream = self.cuda().stream();
        let count = bound.launch_count();
        let mut events = Vec::with_capacity(count + 1 + MARKS);
        for _ in 0..count + 1 + MARKS {
            events.push(stream.record_timed()?);
        }
        let graph = {
            let _alone = self.own_stream();
            let capture = stream.begin_capture()?;
            for (position, event) in events.iter().enumerate() {
                event.record_in_graph(stream)?;
                if position < count {
                    bound.enqueue_one(self, position)?;
                }
            }
            capture.end()?.instantiate(Vec::new())?
        };
        graph.launch(stream)?;
        let mut samples = vec![Vec::with_capacity(REPLAYS); count + MARKS];
        for _ in 0..REPLAYS {
            graph.launch(stream)?;
            stream.synchronize()?;
            for (interval, pair) in samples.iter_mut().zip(events.windows(2)) {
                interval.push(pair[1].elapsed_ms(&pair[0])? * 1000.0);
            }
        }
        let marks = samples.split_off(count).concat();
        let mark = median(marks);
        Ok((samples.into_iter().map(|interval| (median(interval) - mark).max(0.0)).collect(), mark))
    }

    /// The median microseconds of one of `repeats` executions of `enqueue` in a CUDA graph.
    fn replay_time(&self, repeats: usize, mut enqueue: impl FnMut() -> Result<()>) -> Result<f32> {
        let stream = self.cuda().stream();
        let graph = {
            let _alone = self.own_stream();
            let capture = stream.begin_capture()?;
            for _ in 0..repeats {
                enqueue()?;
            }
            capture.end()?.instantiate(Vec::new())?
        };
        graph.launch(stream)?;
        let mut times = Vec::with_capacity(REPLAYS);
        for _ in 0..REPLAYS {
            let start = stream.record_timed()?;
            graph.launch(stream)?;
            let end = stream.record_timed()?;
            stream.synchronize()?;
            times.push(end.elapsed_ms(&start)? * 1000.0 / repeats as f32);
        }
        Ok(median(times))
    }
}

/// The value in the middle; 0 of none.
fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
