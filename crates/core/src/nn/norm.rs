//! Normalisation layers.

use super::{Module, Params};
use crate::error::Result;
use crate::init::{Fans, Init};
use crate::state::State;
use crate::tensor::{Effect, Tensor};
use crate::types::Shape;

/// The settings of a batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormConfig {
    /// Added to the variance.
    pub eps: f32,
    /// The weight of the newest batch in the running statistics.
    pub momentum: f32,
    /// Use the running statistics in training too, and leave them as they are.
    pub frozen: bool,
}

impl Default for BatchNormConfig {
    fn default() -> BatchNormConfig {
        BatchNormConfig { eps: 1e-5, momentum: 0.1, frozen: false }
    }
}

/// Batch normalisation of `[.., c]`: `weight`, `bias`, `running_mean` and `running_var`, all `f32[c]`.
///
/// In training it normalises with the batch's mean and biased variance and moves the running statistics towards the
/// mean and the unbiased variance; in evaluation, or frozen, it normalises with the running statistics.
pub struct BatchNorm2d {
    weight: State,
    bias: State,
    running_mean: State,
    running_var: State,
    config: BatchNormConfig,
    params: Params,
}

impl BatchNorm2d {
    /// A layer for this many channels. A frozen one has no trainable parameters.
    ///
    /// # Errors
    /// A name that is taken; a failure to allocate.
    pub fn new(params: impl AsRef<Params>, channels: usize, config: BatchNormConfig) -> Result<BatchNorm2d> {
        let params = params.as_ref();
        let (shape, fans) = (Shape::vector(channels), Fans { fan_in: channels, fan_out: channels });
        let layer = BatchNorm2d {
            weight: params.parameter("weight", shape, fans, Init::Constant(1.0))?,
            bias: params.parameter("bias", shape, fans, Init::Constant(0.0))?,
            running_mean: params.buffer("running_mean", shape, fans, Init::Constant(0.0))?,
            running_var: params.buffer("running_var", shape, fans, Init::Constant(1.0))?,
            config,
            params: params.clone(),
        };
        layer.weight.set_trainable(!config.frozen);
        layer.bias.set_trainable(!config.frozen);
        Ok(layer)
    }

    /// The running statistics after this batch: `(1 - momentum) old + momentum new`.
    fn follow(&self, state: &State, batch: &Tensor) -> Result<Effect> {
        let momentum = self.config.momentum;
        let old = state.tensor().mul_scalar(1.0 - momentum)?;
        let value = old.add(&batch.detach()?.mul_scalar(momentum)?)?;
        state.set_pending(&value);
        Ok(Effect { state: state.clone(), value })
    }
}

impl Module for BatchNorm2d {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (gamma, beta, eps) = (self.weight.tensor(), self.bias.tensor(), self.config.eps);
        if self.config.frozen || !self.params.is_training() {
            return x.batch_norm_with(
                &gamma,
                &beta,
                &self.running_mean.tensor(),
                &self.running_var.tensor(),
                eps,
            );
        }
        let [y, mean, variance] = x.batch_norm(&gamma, &beta, eps)?;
        let samples = (x.shape().elements() / x.shape().channels().max(1)) as f32;
        let unbiased = variance.mul_scalar(samples / (samples - 1.0).max(1.0))?;
        let effects =
            vec![self.follow(&self.running_mean, &mean)?, self.follow(&self.running_var, &unbiased)?];
        Ok(y.with_effects(effects))
    }
}

/// Group normalisation of `[n, h, w, c]`: `weight` and `bias`, `f32[c]`.
pub struct GroupNorm {
    weight: State,
    bias: State,
    groups: usize,
    eps: f32,
}

impl GroupNorm {
    /// A layer with this many groups of this many channels in all, eps 1e-5.
    ///
    /// # Errors
    /// A name that is taken; a failure to allocate.
    pub fn new(params: impl AsRef<Params>, groups: usize, channels: usize) -> Result<GroupNorm> {
        let params = params.as_ref();
        let (shape, fans) = (Shape::vector(channels), Fans { fan_in: channels, fan_out: channels });
        Ok(GroupNorm {
            weight: params.parameter("weight", shape, fans, Init::Constant(1.0))?,
            bias: params.parameter("bias", shape, fans, Init::Constant(0.0))?,
            groups,
            eps: 1e-5,
        })
    }
}

impl Module for GroupNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.group_norm(self.groups, &self.weight.tensor(), &self.bias.tensor(), self.eps)
    }
}
