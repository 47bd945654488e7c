//! A bound plan that is kept ready: its copies belong to its CUDA graph, so that a run is one call of the driver.

use std::any::Any;
use std::sync::Arc;

use ocelli_cuda::{DeviceBuffer, Event, PinnedBuffer, ReplayGraph, Stream, nvtx};

use super::bind::{BoundPlan, Places};
use super::{Explanation, Gpu, PlanReport, PlanTimes, is_out_of_memory};
use crate::device::{Buffer, Executor};
use crate::error::{Error, Result};
use crate::plan::lower_with;
use crate::plan::memory::ALIGNMENT;
use crate::session::{GpuRuns, Held, missing};
use crate::tensor::Data;
use crate::types::TensorType;
use crate::work::Work;

/// Runs before what is captured counts as warm.
const WARM_UP: usize = 2;

/// A plan that is bound, captured and warm.
///
/// The graphs come first: dropping them waits for their last replay, before the pinned memory that they copy from and to
/// goes.
pub(super) struct HeldPlan {
    /// The input's copy, the launches, the outputs' copies.
    serve: ReplayGraph,
    /// The launches alone.
    launches: ReplayGraph,
    done: Event,
    bound: BoundPlan,
    inputs: Vec<TensorType>,
    outputs: Vec<Output>,
    answers: PinnedBuffer,
}

/// Where a root lies, on the GPU and in the pinned memory.
struct Output {
    from: DeviceBuffer,
    offset: usize,
    to: usize,
    bytes: usize,
}

impl Gpu {
    /// Plans, binds, runs once launch by launch, and captures.
    pub(super) fn hold_plan(&self, work: &Work, origins: &[Option<u32>]) -> Result<HeldPlan> {
        let plan = Arc::new(lower_with(&work.key.graph, self.options, origins)?);
        let places = Places::of(self, work)?;
        let bind = || BoundPlan::alone(self, Arc::clone(&plan), work, places.clone());
        let bound = match bind() {
            Err(error) if is_out_of_memory(&error) => {
                self.give_up_plans()?;
                bind()?
            }
            result => result?,
        };
        let is_input = |data: &&(TensorType, Data)| matches!(data.1, Data::Input(_));
        let inputs = work.data.iter().take_while(is_input).map(|&(ty, _)| ty).collect();
        let mut end = 0;
        let mut outputs = Vec::with_capacity(plan.roots.len());
        for (&root, value) in plan.roots.iter().zip(&work.key.graph.roots) {
            let (from, offset) = bound.root(root)?;
            let bytes = work.key.graph.ty(*value).bytes();
            outputs.push(Output { from, offset, to: end, bytes });
            end = (end + bytes).next_multiple_of(ALIGNMENT);
        }
        let device = self.cuda();
        let stream = device.stream();
        let answers = device.alloc_pinned(end)?;
        {
            // Launch by launch, on zeros: what is loaded at the first launch cannot be loaded in a capture.
            let _shared = self.share_stream();
            let block = bound.block().memory();
            stream.fill_bytes(block, 0, block.len(), 0)?;
            bound.enqueue(self)?;
            stream.synchronize()?;
        }
        let serve = self.capture(&bound, &|bound| {
            bound.block().upload(stream)?;
            bound.enqueue(self)?;
            download(stream, &outputs, &answers)
        })?;
        let launches = self.capture(&bound, &|bound| bound.enqueue(self))?;
        let done = stream.record()?;
        let mut held = HeldPlan { serve, launches, done, bound, inputs, outputs, answers };
        for _ in 0..WARM_UP {
            held.replay(self)?;
        }
        Ok(held)
    }

    /// Captures what `enqueue` does, and sends it to the GPU.
    fn capture(&self, bound: &BoundPlan, enqueue: &dyn Fn(&BoundPlan) -> Result<()>) -> Result<ReplayGraph> {
        let stream = self.cuda().stream();
        let graph = {
            let _alone = self.own_stream();
            let capture = stream.begin_capture()?;
            enqueue(bound)?;
            let mut keep: Vec<Box<dyn Any + Send + Sync>> = bound.kept();
            keep.push(Box::new(bound.block().memory().clone()));
            capture.end()?.instantiate(keep)?
        };
        graph.upload(stream)?;
        Ok(graph)
    }
}

/// Starts the copies of the outputs to the host.
fn download(stream: &Stream, outputs: &[Output], answers: &PinnedBuffer) -> Result<()> {
    for output in outputs {
        stream.copy_to_pinned(answers, output.to, &output.from, output.offset, output.bytes)?;
    }
    Ok(())
}

impl HeldPlan {
    /// The fast path: one graph, one event, one wait.
    fn replay(&mut self, gpu: &Gpu) -> Result<()> {
        let stream = gpu.cuda().stream();
        {
            let _shared = gpu.share_stream();
            self.serve.launch(stream)?;
            self.done.record_on(stream)?;
        }
        Ok(self.done.synchronize()?)
    }

    /// The same where some inputs lie on the GPU already.
    fn replay_given(&mut self, gpu: &Gpu, given: &[Option<Buffer>]) -> Result<()> {
        let stream = gpu.cuda().stream();
        {
            let _shared = gpu.share_stream();
            for (index, ty) in self.inputs.iter().enumerate() {
                let block = self.bound.block();
                let offset = block.offset(index)?;
                match given.get(index).and_then(Option::as_ref) {
                    Some(buffer) => {
                        let from = gpu.device_buffer(buffer)?;
                        stream.copy_device(block.memory(), offset, &from, 0, ty.bytes())?;
                    }
                    None => block.upload_part(stream, offset, ty.bytes())?,
                }
            }
            self.launches.launch(stream)?;
            download(stream, &self.outputs, &self.answers)?;
            self.done.record_on(stream)?;
        }
        Ok(self.done.synchronize()?)
    }
}

impl Held for HeldPlan {
    fn input(&mut self, index: usize) -> Result<&mut [u8]> {
        let bytes = self.inputs.get(index).ok_or_else(|| missing("input", index))?.bytes();
        let block = self.bound.block_mut();
        let offset = block.offset(index)?;
        block.staging().get_mut(offset..offset + bytes).ok_or_else(|| missing("input", index))
    }

    fn run(&mut self, executor: &dyn Executor, given: &[Option<Buffer>]) -> Result<()> {
        let _range = nvtx::range("ocelli: run a session");
        let gpu = of(executor)?;
        match given.iter().all(Option::is_none) {
            true => self.replay(gpu),
            false => self.replay_given(gpu, given),
        }
    }

    fn output(&self, index: usize) -> Result<&[u8]> {
        let output = self.outputs.get(index).ok_or_else(|| missing("output", index))?;
        let bytes = self.answers.as_slice().get(output.to..output.to + output.bytes);
        bytes.ok_or_else(|| missing("output", index))
    }

    fn gpu_times(&mut self, executor: &dyn Executor, runs: usize) -> Result<Option<GpuRuns>> {
        let gpu = of(executor)?;
        let stream = gpu.cuda().stream();
        let time = |graph: &ReplayGraph| -> Result<Vec<f64>> {
            let (start, end) = (stream.record_timed()?, stream.record_timed()?);
            let run = |_| -> Result<f64> {
                {
                    let _shared = gpu.share_stream();
                    start.record_on(stream)?;
                    graph.launch(stream)?;
                    end.record_on(stream)?;
                }
                Ok(f64::from(end.elapsed_ms(&start)?) * 1000.0)
            };
            (0..runs).map(run).collect()
        };
        Ok(Some(GpuRuns { with_copies: time(&self.serve)?, launches: time(&self.launches)? }))
    }

    fn report(&self) -> Option<PlanReport> {
        Some(PlanReport { replayed: true, ..self.bound.report() })
    }

    fn profile(&self, executor: &dyn Executor) -> Result<Option<PlanTimes>> {
        of(executor)?.time(&self.bound).map(Some)
    }

    fn explain(&self, executor: &dyn Executor) -> Result<Option<Explanation>> {
        of(executor)?.explain_plan(&self.bound).map(Some)
    }
}

fn of(executor: &dyn Executor) -> Result<&Gpu> {
    let foreign = || Error::Plan { pass: "execute", what: "a session belongs to another executor".into() };
    executor.as_any().downcast_ref().ok_or_else(foreign)
}
