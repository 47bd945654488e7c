//! What plans consist of, for `--profile`, `--explain` and tests that hold it.

use serde::Serialize;

use crate::codegen::KernelSpec;
use crate::ops::Op;
use crate::plan::{ConvolutionKind, Decision, LaunchKind};

/// How often things happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Graphs differentiated and planned.
    pub planned: u64,
    /// Plans bound to memory.
    pub bound: u64,
    /// Plans run.
    pub runs: u64,
}

/// What a plan consists of.
#[derive(Clone, Debug)]
pub struct PlanReport {
    /// Its launches, in order.
    pub launches: Vec<LaunchReport>,
    /// What the planner chose where it had a choice, and why.
    pub decisions: Vec<Decision>,
    /// Bytes of what lives within a step.
    pub arena_bytes: usize,
    /// Bytes of scratch space that launches use one after the other.
    pub workspace_bytes: usize,
    /// Whether it is replayed as a CUDA graph.
    pub replayed: bool,
    /// The number of the run in which it was last used.
    pub last_run: u64,
}

impl PlanReport {
    /// Bytes that all launches must move.
    pub fn bytes(&self) -> f64 {
        self.launches.iter().map(|launch| launch.bytes as f64).sum()
    }

    /// Operations of all convolutions and matrix products.
    pub fn operations(&self) -> f64 {
        self.launches.iter().map(|launch| launch.operations).sum()
    }
}

/// One launch of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct LaunchReport {
    /// The layers that it serves, by name; none for what belongs to no layer with parameters.
    pub layers: Vec<String>,
    /// What it does for them: `batch norm + add + relu`.
    pub pattern: String,
    /// What kind of work it is.
    pub group: LaunchGroup,
    /// Its operations, with their shapes.
    pub label: String,
    /// How: the kernel's name, or the library's engine.
    pub how: String,
    /// Bytes that it must read and write, each operand counted once.
    pub bytes: usize,
    /// Multiplications and additions of its convolution or matrix product; 0 for other work.
    pub operations: f64,
}

/// The kinds of work that times are summed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchGroup {
    /// A convolution, with what is done in its launch.
    ConvolutionForward,
    /// A convolution's gradient for its input.
    ConvolutionData,
    /// A convolution's gradient for its filter.
    ConvolutionFilter,
    /// A matrix product.
    Matmul,
    /// Pointwise work.
    Map,
    /// Sums, with the pointwise work in their launch; statistics of channels.
    Reduction,
    /// Pooling and its gradient.
    Pooling,
    /// The optimizer's update.
    Optimizer,
    /// Everything else: losses, casts of weights, copies.
    Other,
}

impl LaunchGroup {
    /// The group of a launch.
    pub fn of(kind: &LaunchKind) -> LaunchGroup {
        match kind {
            LaunchKind::Convolution(convolution) => match convolution.kind {
                ConvolutionKind::Forward => LaunchGroup::ConvolutionForward,
                ConvolutionKind::BackwardData => LaunchGroup::ConvolutionData,
                ConvolutionKind::BackwardFilter => LaunchGroup::ConvolutionFilter,
            },
            LaunchKind::Matmul(_) => LaunchGroup::Matmul,
            LaunchKind::Copy(_) | LaunchKind::Kernel(KernelSpec::CastMany { .. }) => LaunchGroup::Other,
            LaunchKind::Kernel(KernelSpec::Map(map)) => {
                if map.sums.is_empty() {
                    LaunchGroup::Map
                } else {
                    LaunchGroup::Reduction
                }
            }
            LaunchKind::Kernel(KernelSpec::Operation { op, .. }) => match op {
                Op::ConvBackwardFilter { .. } => LaunchGroup::ConvolutionFilter,
                Op::ChannelStats => LaunchGroup::Reduction,
                Op::MaxPool(_)
                | Op::MaxPoolGrad(_)
                | Op::MaxPoolWithPlaces(_)
                | Op::MaxPoolGradAtPlaces { .. }
                | Op::AvgPool(_)
                | Op::AvgPoolGrad { .. } => LaunchGroup::Pooling,
                Op::Sgd(_) | Op::AdamW(_) | Op::GradientNorm | Op::Blend => LaunchGroup::Optimizer,
                _ => LaunchGroup::Other,
            },
        }
    }

    /// The group in words.
    pub fn name(self) -> &'static str {
        match self {
            LaunchGroup::ConvolutionForward => "convolutions, forward",
            LaunchGroup::ConvolutionData => "convolutions, data gradients",
            LaunchGroup::ConvolutionFilter => "convolutions, filter gradients",
            LaunchGroup::Matmul => "matrix products",
            LaunchGroup::Map => "maps",
            LaunchGroup::Reduction => "reductions",
            LaunchGroup::Pooling => "pooling",
            LaunchGroup::Optimizer => "optimizer",
            LaunchGroup::Other => "other",
        }
    }
}

/// How long the launches of a plan take.
#[derive(Clone, Debug)]
pub struct PlanTimes {
    /// Each launch.
    pub launches: Vec<LaunchTime>,
    /// All launches, as a step replays them.
    pub step_microseconds: f32,
    /// What marking a moment between two launches costs; it is taken off the launches' times within the step.
    pub mark_microseconds: f32,
}

impl PlanTimes {
    /// The sum of the launches' times within the step.
    pub fn sum_microseconds(&self) -> f32 {
        self.launches.iter().map(|launch| launch.microseconds).sum()
    }
}

/// How long a launch takes.
#[derive(Clone, Debug, Serialize)]
pub struct LaunchTime {
    /// The launch.
    #[serde(flatten)]
    pub launch: LaunchReport,
    /// Its time within the step: after the launches before it, with the caches as they leave them.
    pub microseconds: f32,
    /// Its time by itself, repeated, its operands in the cache as far as they fit.
    pub alone_microseconds: f32,
}
