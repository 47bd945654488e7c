//! Matrix product.

use super::{Call, Op};
use crate::autograd::Gradient;
use crate::error::{Origin, Result};
use crate::tensor::Tensor;
use crate::types::{DType, Shape, TensorType};

/// `op(a) x op(b)`, `[m, k] x [k, n] -> [m, n]`, where `op` transposes or not. A linear layer with PyTorch's weight
/// `[out, in]` is `Matmul { transpose_b: true, .. }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Matmul {
    /// `a` is given as `[k, m]`.
    pub transpose_a: bool,
    /// `b` is given as `[n, k]`.
    pub transpose_b: bool,
}

impl Matmul {
    /// `(m, k, n)` for operands of these shapes, or `None` when they do not fit.
    pub fn extents(&self, a: Shape, b: Shape) -> Option<(usize, usize, usize)> {
        let ((a0, a1), (b0, b1)) = (a.as_matrix()?, b.as_matrix()?);
        let (m, k) = if self.transpose_a { (a1, a0) } else { (a0, a1) };
        let (b_k, n) = if self.transpose_b { (b1, b0) } else { (b0, b1) };
        (k == b_k).then_some((m, k, n))
    }

    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        let (a, b) = (call.float(0)?, call.float(1)?);
        if a.dtype != b.dtype {
            return Err(call.wrong_type(b, "both matrices must have one element type"));
        }
        match self.extents(a.shape, b.shape) {
            Some((m, _, n)) => Ok(TensorType::new(a.dtype, Shape::matrix(m, n))),
            None => Err(call.mismatch(a.shape, b.shape, "matrices [m, k] and [k, n] must share k")),
        }
    }

    /// With `y = A B`: `dA = dy B'`, `dB = A' dy`; a transposed operand's gradient is transposed in turn.
    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dy) = at.output_gradient(0) else { return Ok(()) };
        let (a, b) = (at.input(0), at.input(1));
        if at.wants(0) {
            let (op, inputs) = if self.transpose_a {
                (Matmul { transpose_a: self.transpose_b, transpose_b: true }, vec![b, dy])
            } else {
                (Matmul { transpose_a: false, transpose_b: !self.transpose_b }, vec![dy, b])
            };
            let da = at.graph.push(Op::Matmul(op), inputs)?;
            at.give(0, da)?;
        }
        if at.wants(1) {
            let (op, inputs) = if self.transpose_b {
                (Matmul { transpose_a: true, transpose_b: self.transpose_a }, vec![dy, a])
            } else {
                (Matmul { transpose_a: !self.transpose_a, transpose_b: false }, vec![a, dy])
            };
            let db = at.graph.push(Op::Matmul(op), inputs)?;
            at.give(1, db)?;
        }
        Ok(())
    }
}

/// A matrix product with a bias, `y = op(a) op(b) + bias`, and ReLU if wanted, rounded once: `bias` is `[n]`, of the type
/// that is written. The planner makes it of its parts; it has no gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FusedMatmul {
    /// The product.
    pub matmul: Matmul,
    /// Negative numbers become zero.
    pub relu: bool,
    /// The element type of the bias and the result: the operands', or `f32`.
    pub dtype: DType,
}

impl FusedMatmul {
    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        let product = self.matmul.infer(call)?;
        let bias = call.float(2)?;
        if bias.dtype != self.dtype || (self.dtype != DType::F32 && self.dtype != product.dtype) {
            return Err(
                call.wrong_type(bias, "the bias has the result's element type: the matrices', or f32")
            );
        }
        let columns = Shape::vector(product.shape.channels());
        if bias.shape != columns {
            return Err(call.mismatch(columns, bias.shape, "there is one bias a column"));
        }
        Ok(TensorType::new(self.dtype, product.shape))
    }
}

impl Tensor {
    /// `[m, k] x [k, n] -> [m, n]`.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        self.apply(Op::Matmul(Matmul::default()), &[other], Origin::caller())
    }

    /// `x W'` for features `[n, in]` and a weight `[out, in]`, PyTorch's layout.
    #[track_caller]
    pub fn linear(&self, weight: &Tensor) -> Result<Tensor> {
        let matmul = Matmul { transpose_a: false, transpose_b: true };
        self.apply(Op::Matmul(matmul), &[weight], Origin::caller())
    }
}
