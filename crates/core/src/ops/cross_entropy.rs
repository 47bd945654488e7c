//! Cross entropy of logits and class labels, fused with log-softmax.

use super::{Call, Op};
use crate::autograd::Gradient;
use crate::error::Result;
use crate::types::{DType, Real, Shape, TensorType};

/// For each row of logits `[.., c]` with its label `i32[..]`: `-sum(q log softmax(logits))`, where `q` is `1 - s` at the
/// label plus `s / c` everywhere, `s` the label smoothing (Szegedy et al., 2016; PyTorch's rule).
///
/// It yields the loss of each row and whether the row counts (1 or 0), both `f32[..]`. A row whose label is `ignore_index`
/// has loss 0 and does not count. A label outside of `0..c` makes its row's loss and gradient not a number: the mistake
/// shows at once, and nothing outside of the row is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CrossEntropy {
    /// The share of the target that is spread evenly, in `0.0..=1.0`.
    pub label_smoothing: Real,
    /// The label that marks a row to skip.
    pub ignore_index: i32,
}

impl CrossEntropy {
    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<Vec<TensorType>> {
        let (logits, labels) = (call.float(0)?, call.indices(1)?);
        if !(0.0..=1.0).contains(&self.label_smoothing.0) {
            return Err(
                call.invalid(format!("label smoothing must be in 0.0..=1.0, got {}", self.label_smoothing))
            );
        }
        let rows = row_shape(logits, labels, call)?;
        Ok(vec![TensorType::new(DType::F32, rows); 2])
    }

    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dloss) = at.output_gradient(0) else { return Ok(()) };
        let (logits, labels) = (at.input(0), at.input(1));
        let dx = at.graph.push(Op::CrossEntropyGrad(*self), vec![logits, labels, dloss])?;
        at.give(0, dx)
    }
}

/// The extents of the rows of `logits`, after checking that there is one label for each.
pub(super) fn row_shape(logits: TensorType, labels: TensorType, call: &Call<'_>) -> Result<Shape> {
    let dims = logits.shape.dims();
    match dims.split_last() {
        Some((_, rows)) if rows == labels.shape.dims() => Ok(labels.shape),
        _ => Err(call.mismatch(logits.shape, labels.shape, "there must be one label for each row of logits")),
    }
}
