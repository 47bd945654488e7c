//! Stochastic gradient descent.

use super::Optimizer;
use super::step::Groups;
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
        Sgd { groups: Groups::new(params, config, config.lr, ops::Sgd::BUFFERS) }
    }

    /// Gives the parameters whose full name `choose` accepts settings of their own; the latest choice counts.
    #[must_use]
    pub fn group(mut self, choose: impl Fn(&str) -> bool + Send + Sync + 'static, config: SgdConfig) -> Sgd {
        self.groups.add(Box::new(choose), config);
        self
    }
}

impl Optimizer for Sgd {
    fn minimize_with(&mut self, loss: &Tensor, others: &[&Tensor]) -> Result<()> {
        let nesterov = self.groups.settings[0].nesterov;
        let scale = 1.0 / loss.device().precision().loss_scale();
        let scalars = self
            .groups
            .settings
            .iter()
            .flat_map(|c| [self.groups.lr_of(c.lr), c.momentum, c.weight_decay, scale])
            .collect();
        self.groups.step(loss, others, |groups| Rule::Sgd(ops::Sgd { nesterov, groups }), scalars)
    }

    fn lr(&self) -> f32 {
        self.groups.lr
    }

    fn set_lr(&mut self, lr: f32) {
        self.groups.lr = lr;
    }
}
