//! Work that an executor keeps ready.

use std::sync::Arc;

use crate::device::{Buffer, Executor};
use crate::error::{Error, Result};
use crate::execute::{Explanation, PlanReport, PlanTimes};
use crate::tensor::Data;
use crate::types::TensorType;
use crate::work::Work;

/// Work that an executor keeps ready to be run again and again: planned, bound to memory, warm.
pub trait Held: Send {
    /// The bytes of an input, to be written before a run.
    ///
    /// # Errors
    /// [`Error::Plan`] when there is no such input.
    fn input(&mut self, index: usize) -> Result<&mut [u8]>;
    /// Runs on the inputs that have been written, and waits. Where `given` holds a buffer for an input, that buffer's
    /// values are used instead.
    ///
    /// # Errors
    /// What can go wrong in running.
    fn run(&mut self, executor: &dyn Executor, given: &[Option<Buffer>]) -> Result<()>;
    /// The bytes of a root after a run.
    ///
    /// # Errors
    /// [`Error::Plan`] when there is no such root.
    fn output(&self, index: usize) -> Result<&[u8]>;
    /// Runs so often, and says how many microseconds the GPU took for each run; nothing where there is no GPU.
    ///
    /// # Errors
    /// As [`Held::run`].
    fn gpu_times(&mut self, _executor: &dyn Executor, _runs: usize) -> Result<Option<GpuRuns>> {
        Ok(None)
    }
    /// What is launched; nothing where there is no GPU.
    fn report(&self) -> Option<PlanReport> {
        None
    }
    /// How long each launch takes by itself; nothing where there is no GPU.
    ///
    /// # Errors
    /// As [`Held::run`].
    fn profile(&self, _executor: &dyn Executor) -> Result<Option<PlanTimes>> {
        Ok(None)
    }
    /// Where the time goes; nothing where there is no GPU.
    ///
    /// # Errors
    /// As [`Held::run`].
    fn explain(&self, _executor: &dyn Executor) -> Result<Option<Explanation>> {
        Ok(None)
    }
}

/// Microseconds of GPU time, run by run.
#[derive(Clone, Debug, Default)]
pub struct GpuRuns {
    /// From the first byte of the input's copy to the last of the output's.
    pub with_copies: Vec<f64>,
    /// The launches alone, inputs and outputs staying on the GPU.
    pub launches: Vec<f64>,
}

/// Work that is run anew each time, for executors that prepare nothing.
pub(crate) struct Rerun {
    work: Work,
    /// In words, so that the bytes are aligned for every element type.
    inputs: Vec<Vec<u64>>,
    outputs: Vec<Vec<u64>>,
    types: Vec<TensorType>,
}

impl Rerun {
    pub(crate) fn new(work: Work) -> Rerun {
        let words = |ty: TensorType| vec![0; ty.bytes().div_ceil(8)];
        let graph = &work.key.graph;
        let types: Vec<TensorType> = graph.roots.iter().map(|&root| graph.ty(root)).collect();
        let is_input = |data: &&(TensorType, Data)| matches!(data.1, Data::Input(_));
        Rerun {
            inputs: work.data.iter().take_while(is_input).map(|&(ty, _)| words(ty)).collect(),
            outputs: types.iter().copied().map(words).collect(),
            types,
            work,
        }
    }
}

impl Held for Rerun {
    fn input(&mut self, index: usize) -> Result<&mut [u8]> {
        match (self.inputs.get_mut(index), self.work.data.get(index)) {
            (Some(words), Some((ty, _))) => Ok(&mut bytemuck::cast_slice_mut(words)[..ty.bytes()]),
            _ => Err(missing("input", index)),
        }
    }

    fn run(&mut self, executor: &dyn Executor, given: &[Option<Buffer>]) -> Result<()> {
        for (index, words) in self.inputs.iter().enumerate() {
            let (ty, data) = &mut self.work.data[index];
            *data = match given.get(index).cloned().flatten() {
                Some(buffer) => Data::Device { buffer, resident: false },
                None => Data::Host(Arc::new(bytemuck::cast_slice(words)[..ty.bytes()].to_vec())),
            };
        }
        let roots = executor.run(&self.work)?;
        for ((words, buffer), ty) in self.outputs.iter_mut().zip(&roots).zip(&self.types) {
            let bytes = executor.download(buffer, *ty)?;
            bytemuck::cast_slice_mut(words)[..ty.bytes()].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn output(&self, index: usize) -> Result<&[u8]> {
        match (self.outputs.get(index), self.types.get(index)) {
            (Some(words), Some(ty)) => Ok(&bytemuck::cast_slice(words)[..ty.bytes()]),
            _ => Err(missing("output", index)),
        }
    }
}

/// There is no such input or output.
pub(crate) fn missing(what: &str, index: usize) -> Error {
    Error::Plan { pass: "session", what: format!("there is no {what} {index}") }
}
