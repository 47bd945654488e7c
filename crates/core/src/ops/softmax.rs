//! Softmax and log-softmax.

use super::Op;
use crate::autograd::Gradient;
use crate::error::{Origin, Result};
use crate::tensor::Tensor;

/// `e^x / sum(e^x)` over the last extent, or its logarithm, computed after subtracting the largest element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Softmax {
    /// Yield the logarithm.
    pub log: bool,
}

impl Softmax {
    pub(crate) fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    /// With `y` the value: `dx = y (dy - sum(y dy))`, or `dx = dy - e^y sum(dy)` for the logarithm.
    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dy) = at.output_gradient(0) else { return Ok(()) };
        let y = at.output(0);
        let dx = at.graph.push(Op::SoftmaxGrad(*self), vec![y, dy])?;
        at.give(0, dx)
    }
}

impl Tensor {
    /// Softmax over the last extent.
    #[track_caller]
    pub fn softmax(&self) -> Result<Tensor> {
        self.apply(Op::Softmax(Softmax { log: false }), &[], Origin::caller())
    }

    /// The logarithm of the softmax over the last extent.
    #[track_caller]
    pub fn log_softmax(&self) -> Result<Tensor> {
        self.apply(Op::Softmax(Softmax { log: true }), &[], Origin::caller())
    }
}
