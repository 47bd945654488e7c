//! Sums over extents and their counterpart, repetition.

use super::{Call, Op};
use crate::autograd::Gradient;
use crate::error::{Error, Origin, Result};
use crate::tensor::{Tensor, checked_shape};
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
            return Err(call.mismatch(
                x.shape,
                self.shape,
                "each extent of the sum, from the last, must be equal or 1",
            ));
        }
        if !self.dtype.is_float() {
            return Err(
                call.wrong_type(TensorType::new(self.dtype, self.shape), "a sum is a floating-point number")
            );
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

impl Tensor {
    /// The sum over the extents that `shape` lacks, aligned at the last extent: `[c]` sums to one value a channel.
    #[track_caller]
    pub fn sum_to(&self, shape: &[usize]) -> Result<Tensor> {
        let shape = checked_shape("sum", shape)?;
        self.apply(Op::SumTo(SumTo { shape, dtype: self.dtype() }), &[], Origin::caller())
    }

    /// The sum of all elements, `[]`.
    #[track_caller]
    pub fn sum(&self) -> Result<Tensor> {
        self.sum_to(&[])
    }

    /// The mean of all elements, `[]`.
    #[track_caller]
    pub fn mean(&self) -> Result<Tensor> {
        self.sum()?.mul_scalar(1.0 / self.shape().elements() as f32)
    }

    /// The sum over each image: `[n, h, w, c] -> [n, 1, 1, c]`.
    #[track_caller]
    pub fn sum_images(&self) -> Result<Tensor> {
        let (n, _, _, c) = self.image_extents("sum_images")?;
        self.sum_to(&[n, 1, 1, c])
    }

    /// The mean over each image, which is global average pooling: `[n, h, w, c] -> [n, 1, 1, c]`.
    #[track_caller]
    pub fn mean_images(&self) -> Result<Tensor> {
        let (_, h, w, _) = self.image_extents("mean_images")?;
        self.sum_images()?.mul_scalar(1.0 / (h * w) as f32)
    }

    /// Repeats the tensor to fill `shape`.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &[usize]) -> Result<Tensor> {
        let shape = checked_shape("broadcast_to", shape)?;
        self.apply(Op::BroadcastTo(shape), &[], Origin::caller())
    }

    /// `(n, h, w, c)`, or an error that names the operation.
    #[track_caller]
    pub(crate) fn image_extents(&self, operation: &'static str) -> Result<(usize, usize, usize, usize)> {
        let (found, rule, origin) = (self.ty(), "it takes images of shape [n, h, w, c]", Origin::caller());
        self.shape().as_nhwc().ok_or(Error::TypeMismatch { operation, found, rule, origin })
    }
}
