//! Layers that act in training only.

use super::{Module, Params};
use crate::error::Result;
use crate::tensor::Tensor;

/// Dropout in training, nothing in evaluation.
pub struct Dropout {
    p: f32,
    params: Params,
}

impl Dropout {
    /// Zeroes elements with probability `p`, in `0.0..1.0`, while `params` are in training mode.
    pub fn new(params: impl AsRef<Params>, p: f32) -> Dropout {
        Dropout { p, params: params.as_ref().clone() }
    }
}

impl Module for Dropout {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.params.is_training() && self.p > 0.0 { x.dropout(self.p) } else { Ok(x.clone()) }
    }
}
