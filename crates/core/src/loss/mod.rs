//! Losses. Each is a scalar, `f32[]`, the mean over what it was given.

use crate::error::{Origin, Result};
use crate::ops::pointwise::Unary;
use crate::ops::{CrossEntropy, Op};
use crate::tensor::Tensor;
use crate::types::{DType, Real};

/// How a cross entropy treats its targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropyConfig {
    /// The share of the target that is spread evenly over the classes, in `0.0..=1.0`.
    pub label_smoothing: f32,
    /// The label that marks rows to skip; they do not count in the mean.
    pub ignore_index: i32,
}

impl Default for CrossEntropyConfig {
    fn default() -> CrossEntropyConfig {
        CrossEntropyConfig { label_smoothing: 0.0, ignore_index: -100 }
    }
}

impl Tensor {
    /// Cross entropy of logits `[.., c]` and labels `i32[..]`, the mean over the rows that count. A label outside of
    /// `0..c` makes the loss not a number.
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Tensor, config: CrossEntropyConfig) -> Result<Tensor> {
        let CrossEntropyConfig { label_smoothing, ignore_index } = config;
        let op = Op::CrossEntropy(CrossEntropy { label_smoothing: Real(label_smoothing), ignore_index });
        let loss = self.apply(op, &[labels], Origin::caller())?;
        let counted = loss.sibling(1);
        loss.sum()?.div(&counted.sum()?)
    }

    /// Binary cross entropy of logits and targets in `0.0..=1.0`, computed without overflow: the mean of
    /// `softplus(x) - x z`.
    #[track_caller]
    pub fn binary_cross_entropy_with_logits(&self, targets: &Tensor) -> Result<Tensor> {
        let x = self.cast(DType::F32)?;
        x.softplus()?.sub(&x.mul(targets)?)?.mean()
    }

    /// The mean of `(x - target)^2`.
    #[track_caller]
    pub fn mse_loss(&self, targets: &Tensor) -> Result<Tensor> {
        self.difference(targets)?.pow_scalar(2.0)?.mean()
    }

    /// The mean of `|x - target|`.
    #[track_caller]
    pub fn l1_loss(&self, targets: &Tensor) -> Result<Tensor> {
        self.difference(targets)?.abs()?.mean()
    }

    /// The mean of `(x - target)^2 / (2 beta)` where `|x - target| < beta`, else of `|x - target| - beta / 2`. With
    /// `beta` 0 it is the L1 loss.
    #[track_caller]
    pub fn smooth_l1_loss(&self, targets: &Tensor, beta: f32) -> Result<Tensor> {
        if beta == 0.0 {
            return self.l1_loss(targets);
        }
        let difference = self.difference(targets)?;
        difference.apply(Op::Unary(Unary::SmoothL1(Real(beta))), &[], Origin::caller())?.mean()
    }

    #[track_caller]
    fn difference(&self, targets: &Tensor) -> Result<Tensor> {
        self.cast(DType::F32)?.sub(targets)
    }
}
