//! Batch and group normalisation.
//!
//! Both stay one node through autograd, because the gradient of the whole is cheaper than that of its parts; the planner
//! splits batch normalisation afterwards.

use super::{Call, Op};
use crate::autograd::Gradient;
use crate::error::{Origin, Result};
use crate::tensor::Tensor;
use crate::types::{DType, Real, Shape, TensorType};

/// Batch normalisation (Ioffe and Szegedy, 2015) with the statistics of the batch: `y = gamma (x - mean) /
/// sqrt(variance + eps) + beta`, mean and biased variance over all but the last extent.
///
/// `x` is `[.., c]`, `gamma` and `beta` `f32[c]`; it yields `y` like `x`, and mean and variance as `f32[c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: Real,
}

impl BatchNorm {
    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        gradient_of_norm(Op::BatchNormGrad(*self), at)
    }
}

/// Group normalisation (Wu and He, 2018): mean and variance over each image and group of channels.
///
/// `x` is `[n, h, w, c]`, `gamma` and `beta` `f32[c]`; it yields `y` like `x`, and the mean and `1 / sqrt(variance +
/// eps)` as `f32[n, groups]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupNorm {
    /// How many groups the channels form.
    pub groups: usize,
    /// Added to the variance.
    pub eps: Real,
}

impl GroupNorm {
    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<Vec<TensorType>> {
        let (dtype, [n, h, w, c]) = call.images(0)?;
        if self.groups == 0 || c % self.groups != 0 {
            return Err(call.invalid(format!("{c} channels do not divide into {} groups", self.groups)));
        }
        check_affine(c, call)?;
        let statistics = TensorType::new(DType::F32, Shape::matrix(n, self.groups));
        Ok(vec![TensorType::new(dtype, Shape::nhwc(n, h, w, c)), statistics, statistics])
    }

    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        gradient_of_norm(Op::GroupNormGrad(*self), at)
    }
}

/// `(x, gamma, beta) -> (y, s, t)` with the gradient `(x, gamma, s, t, dy) -> (dx, dgamma, dbeta)`; no gradient flows
/// through the statistics themselves.
fn gradient_of_norm(op: Op, at: &mut Gradient<'_>) -> Result<()> {
    let Some(dy) = at.output_gradient(0) else { return Ok(()) };
    let inputs = vec![at.input(0), at.input(1), at.output(1), at.output(2), dy];
    let first = at.graph.push(op, inputs)?;
    (0..3).try_for_each(|index| at.give(index, first.output(index as u16)))
}

/// Checks that `gamma` and `beta` are `f32[c]`.
fn check_affine(channels: usize, call: &Call<'_>) -> Result<()> {
    for index in [1, 2] {
        let ty = call.input(index)?;
        if ty.dtype != DType::F32 {
            return Err(call.wrong_type(ty, "scale, bias and statistics are f32"));
        }
        if ty.shape != Shape::vector(channels) {
            return Err(call.mismatch(
                Shape::vector(channels),
                ty.shape,
                "there is one scale and one bias a channel",
            ));
        }
    }
    Ok(())
}

pub(crate) fn infer_batch_norm(call: &Call<'_>) -> Result<Vec<TensorType>> {
    let x = call.float(0)?;
    if x.shape.rank() < 2 {
        return Err(call.wrong_type(x, "it takes images [n, h, w, c] or features [n, c]"));
    }
    let channels = x.shape.channels();
    check_affine(channels, call)?;
    let statistics = TensorType::new(DType::F32, Shape::vector(channels));
    Ok(vec![x, statistics, statistics])
}

pub(crate) fn infer_norm_grad(call: &Call<'_>) -> Result<Vec<TensorType>> {
    let (x, gamma) = (call.float(0)?, call.float(1)?);
    let dy = call.float(4)?;
    if dy.shape != x.shape {
        return Err(call.mismatch(x.shape, dy.shape, "dy must have the shape of x"));
    }
    Ok(vec![x, gamma, gamma])
}

pub(crate) fn infer_channel_stats(call: &Call<'_>) -> Result<Vec<TensorType>> {
    let x = call.float(0)?;
    Ok(vec![TensorType::new(DType::F32, Shape::vector(x.shape.channels())); 2])
}

impl Tensor {
    /// Batch normalisation of `[.., c]` with the batch's own statistics; yields the result, and the batch's mean and
    /// biased variance, `f32[c]`.
    #[track_caller]
    pub fn batch_norm(&self, gamma: &Tensor, beta: &Tensor, eps: f32) -> Result<[Tensor; 3]> {
        let y = self.apply(Op::BatchNorm(BatchNorm { eps: Real(eps) }), &[gamma, beta], Origin::caller())?;
        let (mean, variance) = (y.sibling(1), y.sibling(2));
        Ok([y, mean, variance])
    }

    /// Batch normalisation of `[.., c]` with given statistics, as in evaluation or when frozen; all are `f32[c]`.
    #[track_caller]
    pub fn batch_norm_with(
        &self,
        gamma: &Tensor,
        beta: &Tensor,
        mean: &Tensor,
        variance: &Tensor,
        eps: f32,
    ) -> Result<Tensor> {
        let scale = gamma.mul(&variance.add_scalar(eps)?.rsqrt()?)?;
        let bias = beta.sub(&mean.mul(&scale)?)?;
        self.mul(&scale)?.add(&bias)
    }

    /// Group normalisation of `[n, h, w, c]`; `gamma` and `beta` are `f32[c]`.
    #[track_caller]
    pub fn group_norm(&self, groups: usize, gamma: &Tensor, beta: &Tensor, eps: f32) -> Result<Tensor> {
        let op = Op::GroupNorm(GroupNorm { groups, eps: Real(eps) });
        self.apply(op, &[gamma, beta], Origin::caller())
    }
}
