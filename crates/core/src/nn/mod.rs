//! Modules: layers with parameters, named as in PyTorch's `state_dict`.

mod conv;
mod linear;
mod norm;
mod params;
mod regularise;

pub use conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
pub use linear::Linear;
pub use norm::{BatchNorm2d, BatchNormConfig, GroupNorm};
pub use params::{Params, Seed};
pub use regularise::Dropout;

use crate::error::Result;
use crate::tensor::Tensor;

/// A part of a network: one tensor in, one out.
pub trait Module {
    /// Traces the module's operations.
    ///
    /// # Errors
    /// Shapes and types that do not fit, with the line that traced them.
    fn forward(&self, x: &Tensor) -> Result<Tensor>;
}
