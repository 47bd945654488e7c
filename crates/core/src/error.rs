//! What can go wrong, in one enum.

use std::panic::Location;

use crate::types::{DType, Shape, TensorType};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while a graph is built, planned or executed.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two operands have shapes that do not fit together.
    #[error("{operation}: the shapes {left} and {right} do not fit: {rule} (at {origin})")]
    ShapeMismatch {
        /// The operation.
        operation: &'static str,
        /// The first operand's shape.
        left: Shape,
        /// The second operand's shape.
        right: Shape,
        /// What the operation needs.
        rule: &'static str,
        /// The user's line.
        origin: Origin,
    },
    /// The memory of a plan does not fit on the GPU.
    #[error(
        "the plan needs {} MiB for what lives within a step, the largest of it {largest}: {source}. A smaller batch, \
         16 bits or `PlanOptions::save_memory` need less",
        arena >> 20
    )]
    PlanTooLarge {
        /// Bytes of what lives within a step.
        arena: usize,
        /// The largest tensors, with their sizes and what makes them.
        largest: String,
        /// What the allocation failed with.
        source: ocelli_cuda::Error,
    },
    /// A gradient is asked of a tensor that a step has computed: a loss that has been minimised or accumulated, or another
    /// that was asked for with it.
    #[error("this tensor was computed in a training step, and what led to it is forgotten: trace it again")]
    Forgotten,
    /// An operand has an element type that the operation does not take.
    #[error("{operation}: an operand is {found}, but {rule} (at {origin})")]
    TypeMismatch {
        /// The operation.
        operation: &'static str,
        /// The operand's type.
        found: TensorType,
        /// What the operation needs.
        rule: &'static str,
        /// The user's line.
        origin: Origin,
    },
    /// An argument is out of its range.
    #[error("{operation}: {what} (at {origin})")]
    InvalidArgument {
        /// The operation.
        operation: &'static str,
        /// Which argument, its value and its range.
        what: String,
        /// The user's line.
        origin: Origin,
    },
    /// Values were given whose number is not that of the shape.
    #[error("{count} values were given for the shape {shape}, which holds {}", shape.elements())]
    LengthMismatch {
        /// How many values were given.
        count: usize,
        /// The shape they were meant for.
        shape: Shape,
    },
    /// Values were read as another type than they have.
    #[error("the tensor holds {found} values and was read as {wanted}; cast it first")]
    ReadType {
        /// What the tensor holds.
        found: DType,
        /// What was asked for.
        wanted: DType,
    },
    /// Tensors of two devices met in one graph.
    #[error("{operation}: its operands live on different devices; move one with `to_device`")]
    DeviceMismatch {
        /// The operation.
        operation: &'static str,
    },
    /// A loss must be one floating-point number.
    #[error("the loss is {found}; minimize needs one floating-point number: take its mean() or sum()")]
    NotScalar {
        /// What was given.
        found: TensorType,
    },
    /// An operation has no gradient, but a trainable parameter lies before it.
    #[error("{operation} has no gradient; detach() its input, or take it out of the loss")]
    NoGradient {
        /// The operation.
        operation: &'static str,
    },
    /// Two parameters have the same name.
    #[error("the name {name:?} is taken by another parameter; every module needs a path of its own")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// No parameter has this name.
    #[error("there is no parameter {name:?}; the nearest is {nearest:?}")]
    UnknownName {
        /// The name that was asked for.
        name: String,
        /// The most similar name there is.
        nearest: Option<String>,
    },
    /// The planner met a graph that it cannot lower: a defect of this library.
    #[error("the plan is wrong ({pass}): {what}; please report it")]
    Plan {
        /// The pass that noticed.
        pass: &'static str,
        /// What it noticed.
        what: String,
    },
    /// A tensor was traced from a state whose value has changed since.
    #[error(
        "{name:?} has changed since this tensor was traced from it; read the tensor before the update, pass it to \
         minimize_with, or compute it again"
    )]
    StaleState {
        /// The state's name.
        name: String,
    },
    /// A network that a session traces wanted to know its input's values.
    #[error(
        "the input of a session has no values while its network is traced: compute with it, but do not read it"
    )]
    InputRead,
    /// Values were given to a session that do not fit one of its inputs.
    #[error("input {index} of the session is {expected}, of any first extent, but {found}")]
    SessionInput {
        /// Which input.
        index: usize,
        /// What it is, with the first extent that the session was made with.
        expected: TensorType,
        /// What was given.
        found: String,
    },
    /// The CUDA layer failed.
    #[error(transparent)]
    Cuda(#[from] ocelli_cuda::Error),
    /// cuDNN failed.
    #[error(transparent)]
    Cudnn(#[from] ocelli_cudnn::Error),
    /// A gradient was asked for a tensor that the loss was not computed from.
    #[error(
        "no path leads from the {target} tensor to the loss; when a value has been read, how it was computed is forgotten, \
         so ask for gradients first"
    )]
    Unrelated {
        /// The tensor whose gradient was asked for.
        target: TensorType,
    },
    /// No trainable parameter lies before the loss.
    #[error("the loss depends on no trainable parameter; are all of them frozen?")]
    NothingToTrain,
    /// A training step met numbers that are infinite or not numbers.
    #[error("step {step}: {what}")]
    NotFinite {
        /// The step, counted from 1.
        step: u64,
        /// What is not finite, and where to look for the reason.
        what: String,
    },
    /// Something below failed while an operation ran.
    #[error("{operation}: {source}")]
    Execution {
        /// The label of the launch.
        operation: String,
        /// What failed.
        source: Box<Error>,
    },
}

/// A line of the user's program.
#[derive(Clone, Copy)]
pub struct Origin(pub &'static Location<'static>);

impl Origin {
    /// The caller's line.
    #[track_caller]
    pub fn caller() -> Origin {
        Origin(Location::caller())
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.0.file(), self.0.line())
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
