//! Optimizers and schedules.
//!
//! A step (forward, backward, update) is one plan: [`Optimizer::minimize`] hands the traced loss over, and the plan that
//! was made the first time is replayed. Settings are read at each step and are no part of the plan.

mod adamw;
mod schedule;
mod sgd;
mod step;

pub use adamw::{AdamW, AdamWConfig};
pub use schedule::Schedule;
pub use sgd::{Sgd, SgdConfig};

use crate::error::Result;
use crate::tensor::Tensor;

/// Makes a loss smaller.
pub trait Optimizer {
    /// One step: computes the loss, its gradients, and the parameters' new values. Nothing is waited for; the loss may be
    /// read later.
    ///
    /// # Errors
    /// [`crate::Error::NotScalar`] when the loss is not one number; what can go wrong in planning and running.
    fn minimize(&mut self, loss: &Tensor) -> Result<()> {
        self.minimize_with(loss, &[])
    }

    /// The same, computing other tensors of the step too, such as an accuracy.
    ///
    /// # Errors
    /// As [`Optimizer::minimize`].
    fn minimize_with(&mut self, loss: &Tensor, others: &[&Tensor]) -> Result<()>;

    /// The learning rate of the first group.
    fn lr(&self) -> f32;

    /// Sets the learning rate of the first group; those of the others keep their ratio to it.
    fn set_lr(&mut self, lr: f32);
}
