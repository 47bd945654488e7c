//! Largest elements: argmax, and whether a label is among the first k.

use super::{Call, cross_entropy::row_shape};
use crate::error::Result;
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
