//! Largest elements: argmax, and whether a label is among the first k.

use super::{Call, Op, cross_entropy::row_shape};
use crate::error::{Origin, Result};
use crate::tensor::Tensor;
use crate::types::{DType, Shape, TensorType};

/// The index of each row's largest element; the first of equal ones. `[.., c] -> i32[..]`.
pub(crate) fn infer_argmax(call: &Call<'_>) -> Result<TensorType> {
    let x = call.float(0)?;
    let Some((_, rows)) = x.shape.dims().split_last() else {
        return Err(call.wrong_type(x, "it takes rows [.., c]"));
    };
    let shape = Shape::new(rows).ok_or_else(|| call.invalid("the result is too large"))?;
    Ok(TensorType::new(DType::I32, shape))
}

/// 1 for each row in which fewer than `k` elements are larger than the label's (or equal and before it), else 0; 0 too
/// for a label outside of the row. `([.., c], i32[..]) -> f32[..]`.
pub(crate) fn infer_in_top_k(k: usize, call: &Call<'_>) -> Result<TensorType> {
    let (logits, labels) = (call.float(0)?, call.indices(1)?);
    call.positive("k", &[k])?;
    Ok(TensorType::new(DType::F32, row_shape(logits, labels, call)?))
}

impl Tensor {
    /// The index of each row's largest element, `i32`.
    #[track_caller]
    pub fn argmax(&self) -> Result<Tensor> {
        self.apply(Op::Argmax, &[], Origin::caller())
    }

    /// 1 for each row whose label is among its `k` largest elements, else 0. Its sum, on the device, is the number of
    /// right answers; its mean the top-k accuracy.
    #[track_caller]
    pub fn in_top_k(&self, labels: &Tensor, k: usize) -> Result<Tensor> {
        self.apply(Op::InTopK { k }, &[labels], Origin::caller())
    }
}
