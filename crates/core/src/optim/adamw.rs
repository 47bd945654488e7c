//! AdamW.

use super::Optimizer;
use super::step::Groups;
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
    steps: i32,
}

impl AdamW {
    /// Trains all trainable parameters with these settings.
    pub fn new(params: &Params, config: AdamWConfig) -> AdamW {
        AdamW { groups: Groups::new(params, config, config.lr, ops::AdamW::BUFFERS), steps: 0 }
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

impl Optimizer for AdamW {
    fn minimize_with(&mut self, loss: &Tensor, others: &[&Tensor]) -> Result<()> {
        let steps = self.steps.saturating_add(1);
        let scale = 1.0 / loss.device().precision().loss_scale();
        let correction = |beta: f32| (1.0 - f64::from(beta).powi(steps)) as f32;
        let scalars = |c: &AdamWConfig| {
            [
                self.groups.lr_of(c.lr),
                c.beta1,
                c.beta2,
                c.eps,
                c.weight_decay,
                correction(c.beta1),
                correction(c.beta2),
                scale,
            ]
        };
        let scalars = self.groups.settings.iter().flat_map(scalars).collect();
        self.groups.step(loss, others, |groups| Rule::AdamW(ops::AdamW { groups }), scalars)?;
        self.steps = steps;
        Ok(())
    }

    fn lr(&self) -> f32 {
        self.groups.lr
    }

    fn set_lr(&mut self, lr: f32) {
        self.groups.lr = lr;
    }
}
