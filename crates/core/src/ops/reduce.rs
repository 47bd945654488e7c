//! Sums over extents and their counterpart, repetition.

use super::Call;
use crate::autograd::Gradient;
use crate::error::Result;
use crate::types::{DType, Shape, TensorType};

/// Sums over every extent in which `shape` (aligned at the last extent) has 1 and the input has more.
///
/// `[n, h, w, c]` summed to `[c]` is a bias' gradient, to `[n, 1, 1, c]` a sum over each image, to `[]` the sum of
/// everything. Sums are made in `f32`, in an order that does not change from run to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SumTo {
    /// The shape of the result; it must broadcast to the input's.
    pub shape: Shape,
    /// The element type of the result.
    pub dtype: DType,
}

impl SumTo {
    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        let x = call.float(0)?;
        if !self.shape.broadcasts_to(&x.shape) {
            return Err(call.mismatch(x.shape, self.shape, "each extent of the sum, from the last, must be equal or 1"));
        }
        if !self.dtype.is_float() {
            return Err(call.wrong_type(TensorType::new(self.dtype, self.shape), "a sum is a floating-point number"));
        }
        Ok(TensorType::new(self.dtype, self.shape))
    }
}

pub(crate) fn infer_broadcast(shape: Shape, call: &Call<'_>) -> Result<TensorType> {
    let x = call.float(0)?;
    if !x.shape.broadcasts_to(&shape) {
        return Err(call.mismatch(x.shape, shape, "each extent, from the last, must be equal or 1"));
    }
    Ok(TensorType::new(x.dtype, shape))
}

pub(crate) fn gradient_of_sum(at: &mut Gradient<'_>) -> Result<()> {
    let Some(dy) = at.output_gradient(0) else { return Ok(()) };
    let x = at.input_type(0);
    let dy = at.graph.cast(dy, x.dtype)?;
    let dx = at.graph.broadcast_to(dy, x.shape)?;
    at.give(0, dx)
}

pub(crate) fn gradient_of_broadcast(at: &mut Gradient<'_>) -> Result<()> {
    let Some(dy) = at.output_gradient(0) else { return Ok(()) };
    at.give(0, dy)
}
