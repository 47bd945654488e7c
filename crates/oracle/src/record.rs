//! Programs turned into graphs: a device that keeps what it is asked to do, for tests of passes and kernels.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use ocelli_core::graph::Graph;
use ocelli_core::{Buffer, Device, Executor, Result, TensorType, Work};

use crate::executor::{Oracle, bindings};
use crate::interpret::Bindings;

/// Each piece of work that a recording device did: its whole graph, and what its leaves were bound to before it ran.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<(Graph, Bindings)>>>);

/// A device whose plans the oracle interprets, and what it was asked to do.
pub fn recording_device() -> (Device, Recorder) {
    let recorder = Recorder::default();
    let executor = Recording { oracle: Oracle::default(), recorder: recorder.clone() };
    (Device::with_executor(Box::new(executor)), recorder)
}

impl Recorder {
    /// Takes what has been recorded since the last time, oldest first.
    pub fn take(&self) -> Vec<(Graph, Bindings)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Recording {
    oracle: Oracle,
    recorder: Recorder,
}

impl Executor for Recording {
    fn upload(&self, ty: TensorType, bytes: &[u8]) -> Result<Buffer> {
        self.oracle.upload(ty, bytes)
    }

    fn overwrite(&self, buffer: &Buffer, ty: TensorType, bytes: &[u8]) -> Result<()> {
        self.oracle.overwrite(buffer, ty, bytes)
    }

    fn duplicate(&self, buffer: &Buffer, ty: TensorType) -> Result<Buffer> {
        self.oracle.duplicate(buffer, ty)
    }

    fn download(&self, buffer: &Buffer, ty: TensorType) -> Result<Vec<u8>> {
        self.oracle.download(buffer, ty)
    }

    fn assign(&self, to: &Buffer, from: &Buffer, ty: TensorType) -> Result<()> {
        self.oracle.assign(to, from, ty)
    }

    fn run(&self, work: &Work) -> Result<Vec<Buffer>> {
        let record = (work.key.expand()?, bindings(work)?);
        self.recorder.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        self.oracle.run(work)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
