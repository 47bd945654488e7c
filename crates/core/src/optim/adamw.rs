//! AdamW.

use super::step::{Groups, Settings};
use super::{Optimizer, Training};
use crate::error::Result;
use crate::nn::Params;
use crate::ops;
use crate::tensor::Tensor;
use crate::work::Rule;

/// The settings of a group of parameters; see [`ops::AdamW`] for the formula.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// The learning rate.
    pub lr: f32,
    /// How slowly the mean gradient changes.
    pub beta1: f32,
    /// How slowly the mean squared gradient changes.
    pub beta2: f32,
    /// Added to the denominator.
    pub eps: f32,
    /// The share of itself, times the learning rate, that a parameter loses at each step.
    pub weight_decay: f32,
}

impl Default for AdamWConfig {
    fn default() -> AdamWConfig {
        AdamWConfig { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// Adam with decoupled weight decay, all parameters in one launch.
pub struct AdamW {
    groups: Groups<AdamWConfig>,
}

impl AdamW {
    /// Trains all trainable parameters with these settings.
    pub fn new(params: &Params, config: AdamWConfig) -> AdamW {
        AdamW { groups: Groups::new(params, config) }
    }

    /// Gives the parameters whose full name `choose` accepts settings of their own; the latest choice counts.
    #[must_use]
    pub fn group(
        mut self,
        choose: impl Fn(&str) -> bool + Send + Sync + 'static,
        config: AdamWConfig,
    ) -> AdamW {
        self.groups.add(Box::new(choose), config);
        self
    }
}

impl Settings for AdamWConfig {
    const BUFFERS: usize = ops::AdamW::BUFFERS;

    fn lr(&self) -> f32 {
        self.lr
    }

    fn undecayed(self) -> AdamWConfig {
        AdamWConfig { weight_decay: 0.0, ..self }
    }

    fn scalars(&self, lr: f32) -> Vec<f32> {
        vec![lr, self.beta1, self.beta2, self.eps, self.weight_decay]
    }

    fn rule(&self, groups: Vec<u32>) -> Rule {
        Rule::AdamW(ops::AdamW { groups })
    }
}

impl Optimizer for AdamW {
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
