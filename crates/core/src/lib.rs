//! Tensors, the graph, autograd, the planner and the executor of Ocelli.
pub mod autograd;
mod error;
pub mod graph;
pub mod ops;
mod types;

pub use error::{Error, Origin, Result};
pub use types::{DType, Real, Shape, TensorType};
pub mod codegen;
