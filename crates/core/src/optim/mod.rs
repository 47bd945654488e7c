//! Optimizers and schedules.
//!
//! A step (forward, backward, update) is one plan: [`Optimizer::minimize`] hands the traced loss over, and the plan that
//! was made the first time is replayed. Settings are read at each step and are no part of the plan.
//!
//! In `f16` the loss is scaled ([`LossScale`]). Whether gradients overflowed is decided on the device, in the same plan: a
//! step that overflows leaves weights, buffers, running statistics and averages as they were, bit for bit, and is counted.

mod adamw;
mod average;
mod loss_scale;
mod schedule;
mod sgd;
mod step;
mod training;

pub use adamw::{AdamW, AdamWConfig};
pub use average::AverageConfig;
pub use loss_scale::LossScale;
pub use schedule::Schedule;
pub use sgd::{Sgd, SgdConfig};
pub use training::Training;

use crate::error::Result;
use crate::tensor::Tensor;

/// Makes a loss smaller.
pub trait Optimizer {
    /// One step: computes the loss, its gradients, and the parameters' new values. Nothing is waited for; the loss may be
    /// read later. The gradients of micro-batches since the last step ([`Optimizer::accumulate`]) are added to this loss's.
    /// What led to the loss is forgotten, as PyTorch's `backward()` does: a loss that is kept does not keep its batch.
    ///
    /// # Errors
    /// [`crate::Error::NotScalar`] when the loss is not one number; [`crate::Error::Forgotten`] when it has been minimised
    /// already; what can go wrong in planning and running.
    fn minimize(&mut self, loss: &Tensor) -> Result<()> {
        self.minimize_with(loss, &[])
    }

    /// The same, computing other tensors of the step too, such as an accuracy. What led to them is forgotten as well.
    ///
    /// # Errors
    /// As [`Optimizer::minimize`].
    fn minimize_with(&mut self, loss: &Tensor, others: &[&Tensor]) -> Result<()>;

    /// Adds the gradients of one micro-batch to those of the next [`Optimizer::minimize`], as PyTorch's `backward()` does.
    /// They are added, not averaged: divide the loss by the number of micro-batches. Sums are `f32`. All micro-batches must
    /// train the same parameters. An overflow in any of them skips the whole step; running statistics follow each
    /// micro-batch by itself.
    ///
    /// # Errors
    /// As [`Optimizer::minimize`].
    fn accumulate(&mut self, loss: &Tensor) -> Result<()>;

    /// The learning rate of the first group.
    fn lr(&self) -> f32;

    /// Sets the learning rate of the first group; those of the others keep their ratio to it.
    fn set_lr(&mut self, lr: f32);

    /// What a step does besides the optimizer's rule.
    fn training(&self) -> &Training;

    /// The same, to change it.
    fn training_mut(&mut self) -> &mut Training;

    /// Scales losses in `f16` this way; without it, by [`LossScale::default`]. Other types need no scale and have none.
    #[must_use]
    fn with_loss_scale(mut self, loss_scale: LossScale) -> Self
    where
        Self: Sized,
    {
        self.training_mut().set_loss_scale(loss_scale);
        self
    }

    /// Shrinks the gradients of a step so that the norm of all of them together is at most `max_norm`, as PyTorch's
    /// `clip_grad_norm_` does.
    #[must_use]
    fn with_clipped_gradients(mut self, max_norm: f32) -> Self
    where
        Self: Sized,
    {
        self.training_mut().set_max_norm(Some(max_norm));
        self
    }

    /// Keeps an exponential moving average of weights and running statistics.
    #[must_use]
    fn with_average(mut self, config: AverageConfig) -> Self
    where
        Self: Sized,
    {
        self.training_mut().set_average(Some(config));
        self
    }

    /// Leaves weight decay off the parameters of at most one extent in all groups: biases, and the scales and shifts of
    /// normalisation.
    #[must_use]
    fn without_decay_of_norms_and_biases(mut self) -> Self
    where
        Self: Sized,
    {
        self.training_mut().set_decay_of_vectors(false);
        self
    }

    /// The value of a loss that was minimised, after asking whether it and the gradients are numbers. In `f16` it waits for
    /// all steps so far, else for that loss alone.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`], which names the step: when the loss itself is infinite or not a number (the input, the
    /// labels or the weights are wrong; skipping the step does not help), or when so many steps in a row were skipped for
    /// gradients that overflow that the loss scale cannot be the reason. What reading the loss can fail with.
    fn check(&self, loss: &Tensor) -> Result<f32> {
        self.training().check(loss)
    }

    /// The present loss scale; 1 where losses are not scaled. It waits for all steps so far.
    ///
    /// # Errors
    /// What reading it can fail with.
    fn loss_scale(&self) -> Result<f32> {
        self.training().loss_scale()
    }

    /// How many steps were skipped so far because gradients overflowed. It waits for all steps so far.
    ///
    /// # Errors
    /// What reading it can fail with.
    fn skipped_steps(&self) -> Result<u64> {
        self.training().skipped_steps()
    }

    /// The norm of all gradients together in the last step, before clipping; `None` where nothing measures it, which
    /// clipping and a loss scale do. It waits for all steps so far.
    ///
    /// # Errors
    /// What reading it can fail with.
    fn gradient_norm(&self) -> Result<Option<f32>> {
        self.training().gradient_norm()
    }

    /// Swaps the averages with weights and running statistics, on the device: once to evaluate the averaged network, once
    /// more to go on training. Without averages it does nothing.
    ///
    /// # Errors
    /// What can go wrong in planning and running.
    fn swap_average(&mut self) -> Result<()> {
        self.training_mut().swap_average()
    }
}
