//! The optimizers' updates and what goes with them: one node, and one launch, for all parameters.
//!
//! Settings that may change from step to step are inputs (scalars), so that a schedule needs no new plan. Inputs are
//! first the scalars of each group, then for each tensor its weight, its gradient and its buffers; outputs are for each
//! tensor its new weight and its new buffers. Gradients may be of any floating-point type, the rest is `f32`.

use super::{Call, Op};
use crate::error::Result;
use crate::types::{DType, TensorType};

/// The norm of all gradients together, and whether all of them are numbers: `(g, g, ..) -> (norm, not finite)`, both
/// `f32[]`, in one launch that reads each gradient once.
///
/// `norm = sqrt(sum of g^2)` over all elements of all gradients, of any shapes and floating-point types; `not finite` is 1
/// where any element is infinite or not a number, else 0. The sum is made in the same order every time. A norm of finite
/// gradients may be infinite: only the second output says what they are.
pub(crate) fn infer_gradient_norm(call: &Call<'_>) -> Result<Vec<TensorType>> {
    if call.inputs.is_empty() {
        return Err(call.invalid("there must be a gradient"));
    }
    (0..call.inputs.len()).try_for_each(|index| call.float(index).map(drop))?;
    Ok(vec![TensorType::scalar(); 2])
}

/// Many weighted sums of two tensors at once: `(keep, take, a, b, a, b, ..) -> (y, y, ..)` with `y = keep a + take b`.
///
/// `keep` and `take` are `f32[]`, each `a` and `y` is `f32`, each `b` of its shape and of any floating-point type. A term
/// whose factor is 0 is left out whatever its value, and a factor of 1 leaves the bits as they are: with (1, 0) and (0, 1)
/// it chooses between old values and new ones, with (1, 1) it sums gradients, with (decay, 1 - decay) it is a moving
/// average.
pub(crate) fn infer_blend(call: &Call<'_>) -> Result<Vec<TensorType>> {
    let (factors, tensors) = call.inputs.split_at(call.inputs.len().min(Op::BLEND_FACTORS));
    if tensors.is_empty() || !tensors.len().is_multiple_of(2) {
        return Err(call.invalid(format!("{} inputs are not two factors and pairs", call.inputs.len())));
    }
    if let Some(&factor) = factors.iter().find(|&&factor| factor != TensorType::scalar()) {
        return Err(call.wrong_type(factor, "factors are f32[]"));
    }
    let one = |pair: &[TensorType]| {
        let (a, b) = (pair[0], pair[1]);
        if a.dtype != DType::F32 || !b.dtype.is_float() {
            return Err(
                call.wrong_type(if b.dtype.is_float() { a } else { b }, "f32 and a floating-point type meet")
            );
        }
        if a.shape != b.shape {
            return Err(call.mismatch(a.shape, b.shape, "both tensors of a pair have one shape"));
        }
        Ok(a)
    };
    tensors.chunks(2).map(one).collect()
}

impl Op {
    /// The factors that come before the pairs of a [`Op::Blend`].
    pub const BLEND_FACTORS: usize = 2;

    /// Whether the thread that writes an element of an output is the only one that reads the same element of the inputs of
    /// the same tensor: the operations here, which may write where they read.
    pub fn updates_in_place(&self) -> bool {
        matches!(self, Op::Sgd(_) | Op::AdamW(_) | Op::Blend)
    }
}

/// Stochastic gradient descent with momentum, PyTorch's rule: `g = scale * gradient + weight_decay * w`,
/// `m = momentum * m + g`, `w = w - lr * (nesterov ? g + momentum * m : m)`.
///
/// Scalars of a group: lr, momentum, weight_decay, gradient scale, skip. Where skip is not 0, weights and buffers keep their
/// bits. Buffers of a tensor: m.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sgd {
    /// Nesterov's form of momentum.
    pub nesterov: bool,
    /// The group of each tensor.
    pub groups: Vec<u32>,
}

impl Sgd {
    /// Scalars a group.
    pub const SCALARS: usize = 5;
    /// Buffers a tensor.
    pub const BUFFERS: usize = 1;

    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<Vec<TensorType>> {
        infer_update(Sgd::SCALARS, Sgd::BUFFERS, &self.groups, call)
    }
}

/// AdamW (Loshchilov and Hutter, 2019), PyTorch's rule: `g = scale * gradient`, `w = w (1 - lr * weight_decay)`,
/// `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`,
/// `w = w - lr * (m / correction1) / (sqrt(v / correction2) + eps)`.
///
/// Scalars of a group: lr, beta1, beta2, eps, weight_decay, correction1 (`1 - beta1^t`), correction2 (`1 - beta2^t`),
/// gradient scale, skip. Where skip is not 0, weights and buffers keep their bits. Buffers of a tensor: m, v.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AdamW {
    /// The group of each tensor.
    pub groups: Vec<u32>,
}

impl AdamW {
    /// Scalars a group.
    pub const SCALARS: usize = 9;
    /// Buffers a tensor.
    pub const BUFFERS: usize = 2;

    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<Vec<TensorType>> {
        infer_update(AdamW::SCALARS, AdamW::BUFFERS, &self.groups, call)
    }
}

/// How many groups there are.
pub fn group_count(groups: &[u32]) -> usize {
    groups.iter().max().map_or(0, |&last| last as usize + 1)
}

fn infer_update(scalars: usize, buffers: usize, groups: &[u32], call: &Call<'_>) -> Result<Vec<TensorType>> {
    let first = scalars * group_count(groups);
    if call.inputs.len() != first + groups.len() * (2 + buffers) {
        return Err(call.invalid(format!(
            "{} inputs do not fit {} tensors",
            call.inputs.len(),
            groups.len()
        )));
    }
    let mut outputs = Vec::with_capacity(groups.len() * (1 + buffers));
    for tensor in call.inputs[first..].chunks(2 + buffers) {
        let (weight, gradient) = (tensor[0], tensor[1]);
        if weight.dtype != DType::F32 {
            return Err(call.wrong_type(weight, "parameters are f32"));
        }
        if !gradient.dtype.is_float() || gradient.shape != weight.shape {
            return Err(call.mismatch(weight.shape, gradient.shape, "a gradient has its parameter's shape"));
        }
        if let Some(buffer) = tensor[2..].iter().find(|&&buffer| buffer != weight) {
            return Err(call.mismatch(weight.shape, buffer.shape, "a buffer is like its parameter"));
        }
        outputs.extend(std::iter::repeat_n(weight, 1 + buffers));
    }
    Ok(outputs)
}
