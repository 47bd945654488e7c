//! From a description of a kernel to CUDA C and the geometry of its launch.
//!
//! A [`KernelSpec`] is plain data; [`generate`] is a pure function. The planner decides what is computed together, this
//! module how: vector width, threads, blocks, partial sums. Sources have no includes and are specialised on types,
//! channels and vector width, so that a network needs a few dozen kernels.

mod cast;
mod chunks;
mod cross_entropy;
pub(crate) mod filter_gradient;
mod gradient_norm;
mod map;
mod norm;
mod optimizer;
mod pixels;
mod pool;
mod prelude;
mod ranking;
mod rows;
mod softmax;
mod spec;
mod upsample;

pub use spec::{Access, Instruction, KernelSpec, MapInput, MapSpec, MapSum, MapWrite, Register};

use crate::error::{Error, Result};
use crate::ops::Op;
use crate::types::TensorType;

/// The GPU that kernels are generated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Compute capability, major and minor.
    pub compute_capability: (u32, u32),
    /// How many multiprocessors it has.
    pub multiprocessors: u32,
}

/// A kernel ready to be compiled and launched.
///
/// The kernel's parameters are, in this order: a pointer for each input, a pointer for each output (or, when
/// `pointer_table`, one pointer to a device array of all these); a pointer for each scratch buffer; a pointer to
/// `constants` when there are any; a pointer to the run's header when `header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Describes what it computes; the entry point's name.
    pub name: String,
    /// CUDA C.
    pub source: String,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads a block.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
    /// Buffers that the kernel needs besides its operands.
    pub scratch: Vec<Scratch>,
    /// Words that never change, uploaded once when the plan is bound.
    pub constants: Vec<u32>,
    /// Operands are passed through one array in device memory.
    pub pointer_table: bool,
    /// The kernel reads the run's header: `struct { unsigned long long seed; unsigned int step; }`.
    pub header: bool,
}

/// A buffer that a kernel needs besides its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scratch {
    /// Bytes that live for one launch, with undefined contents before and after.
    Partial(usize),
    /// 32-bit counters, zeroed when the plan is bound; the kernel leaves them at zero.
    Counters(usize),
}

/// The CUDA C and the launch of a kernel.
///
/// # Errors
/// [`crate::Error::Plan`] for a description that the planner never makes.
pub fn generate(spec: &KernelSpec, target: &Target) -> Result<Kernel> {
    match spec {
        KernelSpec::Map(map) => map::generate(map, target),
        KernelSpec::Operation { op, inputs, outputs } => operation(op, inputs, outputs, target),
        KernelSpec::CastMany { tensors } => cast::generate(tensors, target),
    }
}

/// The kernel of an operation that has one of its own.
fn operation(op: &Op, inputs: &[TensorType], outputs: &[TensorType], target: &Target) -> Result<Kernel> {
    match op {
        Op::MaxPool(_)
        | Op::MaxPoolGrad(_)
        | Op::MaxPoolWithPlaces(_)
        | Op::AvgPool(_)
        | Op::AvgPoolGrad { .. } => pool::generate(op, inputs, outputs, target),
        Op::Upsample(_) | Op::UpsampleGrad { .. } => upsample::generate(op, inputs, outputs, target),
        Op::ChannelStats | Op::GroupNorm(_) | Op::GroupNormGrad(_) => {
            norm::generate(op, inputs, outputs, target)
        }
        Op::Softmax(_) | Op::SoftmaxGrad(_) => softmax::generate(op, inputs, outputs, target),
        Op::CrossEntropy(_) | Op::CrossEntropyGrad(_) => cross_entropy::generate(op, inputs, outputs, target),
        Op::GradientNorm => gradient_norm::generate(inputs, target),
        Op::Argmax | Op::InTopK { .. } => ranking::generate(op, inputs, outputs, target),
        Op::ConvBackwardFilter { .. } => filter_gradient::generate(op, inputs, outputs, target),
        Op::Sgd(_) | Op::AdamW(_) | Op::Blend => optimizer::generate(op, inputs, outputs, target),
        _ => Err(Error::Plan { pass: "codegen", what: format!("{} has no kernel of its own", op.name()) }),
    }
}
