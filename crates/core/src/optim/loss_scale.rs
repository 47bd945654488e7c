//! The loss scale.

use crate::training::Controls;

/// What losses are multiplied with in `f16` before they are differentiated, so that small gradients do not vanish; the
/// optimizer divides it out again (Micikevicius et al., 2018). A step whose gradients overflow is skipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossScale {
    /// The same scale at all steps.
    Static(f32),
    /// PyTorch's `GradScaler`: the scale falls when gradients overflow and grows when they have not for long. It never
    /// falls below `2^-14`.
    Dynamic {
        /// The scale of the first step.
        initial: f32,
        /// What it is multiplied with after `growth_interval` steps without overflow.
        growth: f32,
        /// What it is multiplied with after a step that overflowed.
        backoff: f32,
        /// After how many good steps it grows.
        growth_interval: u32,
    },
}

impl Default for LossScale {
    fn default() -> LossScale {
        LossScale::Dynamic { initial: 65536.0, growth: 2.0, backoff: 0.5, growth_interval: 2000 }
    }
}

impl LossScale {
    /// The smallest normal number of `f16`: a smaller scale only makes gradients vanish.
    const FLOOR: f32 = 1.0 / 16384.0;

    pub(super) fn initial(self) -> f32 {
        match self {
            LossScale::Static(scale) => scale,
            LossScale::Dynamic { initial, .. } => initial,
        }
    }

    /// The numbers by which the device lets the scale follow.
    pub(super) fn controls(self, controls: Controls) -> Controls {
        match self {
            LossScale::Static(_) => {
                Controls { growth: 1.0, backoff: 1.0, interval: f32::INFINITY, floor: 0.0, ..controls }
            }
            LossScale::Dynamic { growth, backoff, growth_interval, .. } => {
                let interval = growth_interval as f32;
                Controls { growth, backoff, interval, floor: LossScale::FLOOR, ..controls }
            }
        }
    }
}
