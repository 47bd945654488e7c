//! The device: what executes plans, and the settings under which it does.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::graph::Graph;
use crate::plan::costs::Analytic;
use crate::plan::{Decision, PlanOptions, rewrite};
use crate::session::{Held, Rerun};
use crate::types::{DType, TensorType};
use crate::work::{Work, WorkKey};

/// Values that an executor keeps; only the executor knows how.
pub type Buffer = Arc<dyn Any + Send + Sync>;

/// What runs graphs: the GPU, or the oracle that interprets them on the host.
pub trait Executor: Send + Sync {
    /// Keeps these values, given as the bytes of their element type in row-major order.
    fn upload(&self, ty: TensorType, bytes: &[u8]) -> Result<Buffer>;
    /// Replaces the values of a buffer, in place.
    fn overwrite(&self, buffer: &Buffer, ty: TensorType, bytes: &[u8]) -> Result<()>;
    /// Keeps a copy of a buffer's present values.
    fn duplicate(&self, buffer: &Buffer, ty: TensorType) -> Result<Buffer>;
    /// The bytes of a buffer's values, once they are known.
    fn download(&self, buffer: &Buffer, ty: TensorType) -> Result<Vec<u8>>;
    /// Replaces the values of a buffer by those of another one, in place.
    fn assign(&self, to: &Buffer, from: &Buffer, ty: TensorType) -> Result<()> {
        self.overwrite(to, ty, &self.download(from, ty)?)
    }
    /// Does the work: computes the roots, and gives the states their new values. Returns the roots' buffers.
    fn run(&self, work: &Work) -> Result<Vec<Buffer>>;
    /// The graph that is planned for some work, after all rewrites, and what was chosen in them.
    fn rewrite(&self, key: &WorkKey) -> Result<(Graph, Vec<Decision>)> {
        let options = PlanOptions::default();
        rewrite(&key.expand_for(options)?, options, &Analytic::default())
    }
    /// Keeps work ready to be run again and again. Its graph has been rewritten; its first data leaves are
    /// [`Data::Input`](crate::Data::Input)s; it has no scalars and reads no states, but `origins` says which of them each
    /// data leaf was computed from, for reports.
    fn hold(&self, work: Work, _origins: &[Option<u32>]) -> Result<Box<dyn Held>> {
        Ok(Box::new(Rerun::new(work)))
    }
    /// The executor itself, for callers that know which one it is.
    fn as_any(&self) -> &dyn Any;
}

/// In which element types a network is computed. Parameters, statistics and losses are `f32` always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// `f32` with every bit: no TensorFloat-32.
    #[default]
    F32,
    /// `f32`, whose convolutions and matrix products round their operands to TensorFloat-32 (10 bits of significand).
    Tf32,
    /// Convolutions, matrix products and what follows them in 16-bit floating point.
    Mixed(Half),
}

/// A 16-bit floating-point type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// IEEE half precision: more significand, less range; losses are scaled (see [`crate::optim::LossScale`]).
    F16,
    /// Brain floating point: the range of `f32`, less significand.
    BF16,
}

impl Precision {
    /// Mixed precision in `f16`, the fast type on Hopper.
    pub const fn mixed_f16() -> Precision {
        Precision::Mixed(Half::F16)
    }

    /// Mixed precision in `bf16`.
    pub const fn mixed_bf16() -> Precision {
        Precision::Mixed(Half::BF16)
    }

    /// The element type of convolutions and matrix products.
    pub fn compute_type(self) -> DType {
        match self {
            Precision::F32 | Precision::Tf32 => DType::F32,
            Precision::Mixed(Half::F16) => DType::F16,
            Precision::Mixed(Half::BF16) => DType::BF16,
        }
    }
}

/// A device and its settings. Cloning clones the handle.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    executor: Box<dyn Executor>,
    precision: Mutex<Precision>,
    deterministic: AtomicBool,
    seed: AtomicU64,
    step: AtomicU32,
    /// How many nodes the last trace had: the next one is probably as large.
    trace_nodes: AtomicUsize,
}

impl Device {
    /// A device whose plans this executor runs.
    pub fn with_executor(executor: Box<dyn Executor>) -> Device {
        Device(Arc::new(Inner {
            executor,
            precision: Mutex::new(Precision::default()),
            deterministic: AtomicBool::new(false),
            seed: AtomicU64::new(0),
            step: AtomicU32::new(0),
            trace_nodes: AtomicUsize::new(0),
        }))
    }

    /// The executor.
    pub fn executor(&self) -> &dyn Executor {
        &*self.0.executor
    }

    /// In which element types networks are computed.
    pub fn precision(&self) -> Precision {
        *self.0.precision.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the element types in which networks are computed from now on.
    pub fn set_precision(&self, precision: Precision) {
        *self.0.precision.lock().unwrap_or_else(PoisonError::into_inner) = precision;
    }

    /// Whether only algorithms are used that give the same bits every time.
    pub fn deterministic(&self) -> bool {
        self.0.deterministic.load(Ordering::Relaxed)
    }

    /// Restricts the choice of algorithms to those that give the same bits every time.
    pub fn set_deterministic(&self, deterministic: bool) {
        self.0.deterministic.store(deterministic, Ordering::Relaxed);
    }

    /// Seeds what is random in plans (dropout) and starts its count of steps again.
    pub fn manual_seed(&self, seed: u64) {
        self.0.seed.store(seed, Ordering::Relaxed);
        self.0.step.store(0, Ordering::Relaxed);
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0.seed.load(Ordering::Relaxed)
    }

    pub(crate) fn trace_nodes(&self) -> &AtomicUsize {
        &self.0.trace_nodes
    }

    /// The number of this run; every run has another, so that its masks are other ones.
    pub(crate) fn next_step(&self) -> u32 {
        self.0.step.fetch_add(1, Ordering::Relaxed)
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Device {}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("precision", &self.precision()).finish_non_exhaustive()
    }
}
