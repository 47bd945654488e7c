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

/// A device that knows shapes and computes nothing, for tests of what is planned: `see` is shown all that it is asked to
/// do. What is read of it is 0.
pub fn shape_device(see: impl Fn(&Work) -> Result<()> + Send + Sync + 'static) -> Device {
    Device::with_executor(Box::new(Shapes(see)))
}

struct Shapes<F>(F);

impl<F: Fn(&Work) -> Result<()> + Send + Sync + 'static> Executor for Shapes<F> {
    fn upload(&self, _: TensorType, _: &[u8]) -> Result<Buffer> {
        Ok(Arc::new(()))
    }

    fn overwrite(&self, _: &Buffer, _: TensorType, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn duplicate(&self, buffer: &Buffer, _: TensorType) -> Result<Buffer> {
        Ok(Arc::clone(buffer))
    }

    fn download(&self, _: &Buffer, ty: TensorType) -> Result<Vec<u8>> {
        Ok(vec![0; ty.bytes()])
    }

    fn assign(&self, _: &Buffer, _: &Buffer, _: TensorType) -> Result<()> {
        Ok(())
    }

    fn run(&self, work: &Work) -> Result<Vec<Buffer>> {
        (self.0)(work)?;
        Ok(work.key.graph.roots.iter().map(|_| Arc::new(()) as Buffer).collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
