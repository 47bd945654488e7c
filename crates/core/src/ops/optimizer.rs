//! The optimizers' updates: one node, and one launch, for all parameters.
//!
//! Settings that may change from step to step are inputs (scalars), so that a schedule needs no new plan. Inputs are
//! first the scalars of each group, then for each tensor its weight, its gradient and its buffers; outputs are for each
//! tensor its new weight and its new buffers. Gradients may be of any floating-point type, the rest is `f32`.

use super::Call;
use crate::error::Result;
use crate::types::{DType, TensorType};

/// Stochastic gradient descent with momentum, PyTorch's rule: `g = scale * gradient + weight_decay * w`,
/// `m = momentum * m + g`, `w = w - lr * (nesterov ? g + momentum * m : m)`.
///
/// Scalars of a group: lr, momentum, weight_decay, gradient scale. Buffers of a tensor: m.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sgd {
    /// Nesterov's form of momentum.
    pub nesterov: bool,
    /// The group of each tensor.
    pub groups: Vec<u32>,
}

impl Sgd {
    /// Scalars a group.
    pub const SCALARS: usize = 4;
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
/// gradient scale. Buffers of a tensor: m, v.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AdamW {
    /// The group of each tensor.
    pub groups: Vec<u32>,
}

impl AdamW {
    /// Scalars a group.
    pub const SCALARS: usize = 8;
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
