//! The exponential moving average of the weights.

/// How weights and running statistics are averaged over the steps: `average = d average + (1 - d) value` after each step,
/// from the values before the first one.
///
/// Running statistics are averaged like weights (as timm and torchvision's references do), not copied: the averaged
/// network's activations change more slowly than those of the weights that the statistics were measured with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AverageConfig {
    /// The share of the average that stays at each step.
    pub decay: f32,
    /// Averages over few steps at first: at step `t`, counted from 0, `d` is at most `(1 + t) / (10 + t)`.
    pub warm_up: bool,
}

impl Default for AverageConfig {
    fn default() -> AverageConfig {
        AverageConfig { decay: 0.9999, warm_up: true }
    }
}

impl AverageConfig {
    /// The share that stays at step `step`, counted from 0.
    pub fn decay_at(&self, step: u64) -> f32 {
        let t = step as f32;
        if self.warm_up { self.decay.min((1.0 + t) / (10.0 + t)) } else { self.decay }
    }
}
