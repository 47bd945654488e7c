//! Stochastic gradient descent.

use super::step::{Groups, Settings};
use super::{Optimizer, Training};
use crate::error::Result;
use crate::nn::Params;
use crate::ops;
use crate::tensor::Tensor;
use crate::work::Rule;

/// The settings of a group of parameters; see [`ops::Sgd`] for the formula.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// The learning rate.
    pub lr: f32,
    /// How much of the last step goes into the next.
    pub momentum: f32,
    /// The weight of the parameters' own size in the gradient.
    pub weight_decay: f32,
    /// Nesterov's form of momentum; that of the first group holds for all.
    pub nesterov: bool,
}

impl Default for SgdConfig {
    fn default() -> SgdConfig {
        SgdConfig { lr: 0.01, momentum: 0.0, weight_decay: 0.0, nesterov: false }
    }
}

/// Stochastic gradient descent with momentum, all parameters in one launch.
pub struct Sgd {
    groups: Groups<SgdConfig>,
}

impl Sgd {
    /// Trains all trainable parameters with these settings.
    pub fn new(params: &Params, config: SgdConfig) -> Sgd {
        Sgd { groups: Groups::new(params, config) }
    }

    /// Gives the parameters whose full name `choose` accepts settings of their own; the latest choice counts.
    #[must_use]
    pub fn group(mut self, choose: impl Fn(&str) -> bool + Send + Sync + 'static, config: SgdConfig) -> Sgd {
        self.groups.add(Box::new(choose), config);
        self
    }
}

impl Settings for SgdConfig {
    const BUFFERS: usize = ops::Sgd::BUFFERS;

    fn lr(&self) -> f32 {
        self.lr
    }

    fn undecayed(self) -> SgdConfig {
        SgdConfig { weight_decay: 0.0, ..self }
    }

    fn scalars(&self, lr: f32) -> Vec<f32> {
        vec![lr, self.momentum, self.weight_decay]
    }

    fn rule(&self, groups: Vec<u32>) -> Rule {
        Rule::Sgd(ops::Sgd { nesterov: self.nesterov, groups })
    }
}

impl Optimizer for Sgd {
    fn minimize_with(&mut self, loss: &Tensor, others: &[&Tensor]) -> Result<()> {
        self.groups.step(loss, others)
    }

    fn accumulate(&mut self, loss: &Tensor) -> Result<()> {
        self.groups.accumulate(loss)
    }

    fn lr(&self) -> f32 {
        self.groups.lr
    }

    fn set_lr(&mut self, lr: f32) {
        self.groups.lr = lr;
    }

    fn training(&self) -> &Training {
        &self.groups.training
    }

    fn training_mut(&mut self) -> &mut Training {
        &mut self.groups.training
    }
}
