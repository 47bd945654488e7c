//! One node of the trace.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Tensor;
use smallvec::SmallVec;

use crate::device::{Buffer, Device};
use crate::ops::Op;
use crate::state::State;
use crate::types::TensorType;

/// Where a tensor given from outside lies.
#[derive(Clone)]
pub enum Data {
    /// In host memory; it is copied to the device whenever a plan needs it.
    Host(Arc<Vec<u8>>),
    /// On the device.
    Device {
        /// The values.
        buffer: Buffer,
        /// Plans read it where it lies, instead of copying it into an input slot.
        resident: bool,
    },
    /// The input of this number of a [`Session`](crate::Session): it has no values while the network is traced.
    Input(usize),
}

/// A new value for a state, given when the tensor that carries it is evaluated.
pub(crate) struct Effect {
    /// The state.
    pub(crate) state: State,
    /// Its new value.
    pub(crate) value: Tensor,
}

/// What a node of the trace stands for.
pub(super) enum Source {
    Operation(Op),
    Data(Data),
    State {
        state: State,
        version: u64,
    },
    Scalar(f32),
    /// Its input, with new values for states.
    Effects(Vec<Effect>),
}

pub(super) struct TraceNode {
    /// Creation order in the process: of two updates of one state the later counts.
    pub(super) sequence: u64,
    pub(super) device: Device,
    pub(super) source: Source,
    pub(super) outputs: SmallVec<[TensorType; 1]>,
    /// A trainable parameter lies upstream.
    pub(super) differentiable: bool,
    /// The effects have taken place.
    pub(super) applied: AtomicBool,
    /// Where the node stands in the graph of the latest walk that met it; see `linearise`.
    pub(super) mark: AtomicU64,
    links: Mutex<Links>,
}

/// What may change after a node is made: its value becomes known, and what led to it may be forgotten then.
#[derive(Default)]
pub(super) struct Links {
    /// What led to the value is forgotten.
    pub(super) forgotten: bool,
    pub(super) inputs: SmallVec<[Tensor; 2]>,
    pub(super) realised: Vec<Option<Buffer>>,
}

impl TraceNode {
    pub(super) fn new(
        device: &Device,
        source: Source,
        inputs: SmallVec<[Tensor; 2]>,
        outputs: SmallVec<[TensorType; 1]>,
    ) -> TraceNode {
        static SEQUENCE: AtomicU64 = AtomicU64::new(0);
        let differentiable = match &source {
            Source::State { state, .. } => state.is_trainable(),
            Source::Operation(Op::Detach) => false,
            _ => inputs.iter().any(|input| input.node.differentiable),
        };
        TraceNode {
            sequence: SEQUENCE.fetch_add(1, Ordering::Relaxed),
            device: device.clone(),
            source,
            outputs,
            differentiable,
            applied: AtomicBool::new(false),
            mark: AtomicU64::new(0),
            links: Mutex::new(Links { forgotten: false, inputs, realised: Vec::new() }),
        }
    }

    /// The links, also after a panic elsewhere: they are never left half-changed.
    pub(super) fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn realised(&self, output: u16) -> Option<Buffer> {
        match &self.source {
            Source::Data(Data::Device { buffer, .. }) => Some(Arc::clone(buffer)),
            _ => self.links().realised.get(output as usize).cloned().flatten(),
        }
    }

    pub(super) fn set_realised(&self, output: u16, buffer: Buffer) {
        let mut links = self.links();
        links.realised.resize(self.outputs.len(), None);
        links.realised[output as usize] = Some(buffer);
        drop(links);
        if !self.differentiable {
            // Without this, a value that is computed from its own predecessor again and again would keep them all.
            self.forget();
        }
    }

    /// Forgets what led to the value, if that is known.
    pub(super) fn forget(&self) {
        let mut links = self.links();
        let known = !links.realised.is_empty() && links.realised.iter().all(Option::is_some);
        if known && matches!(self.source, Source::Operation(_) | Source::Effects(_)) {
            links.forgotten = true;
            let inputs = std::mem::take(&mut links.inputs);
            drop(links);
            drop(inputs);
        }
    }
}

impl Drop for TraceNode {
    /// Unlinks iteratively: a long chain of operations would overflow the stack otherwise.
    fn drop(&mut self) {
        let links = self.links.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut orphans = Vec::from_iter(links.inputs.drain(..));
        while let Some(tensor) = orphans.pop() {
            if let Some(mut node) = Arc::into_inner(tensor.node) {
                let links = node.links.get_mut().unwrap_or_else(PoisonError::into_inner);
                orphans.extend(links.inputs.drain(..));
            }
        }
    }
}
