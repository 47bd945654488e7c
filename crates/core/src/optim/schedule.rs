//! Learning-rate schedules: pure functions of the step, so that a resumed run continues where it was.

/// How a learning rate changes over the steps of a training run.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Always the same.
    Constant {
        /// The rate.
        lr: f32,
    },
    /// Multiplied by `factor` at each of `milestones`.
    Step {
        /// The rate at the start.
        lr: f32,
        /// The steps at which it changes, ascending.
        milestones: Vec<usize>,
        /// What it is multiplied with.
        factor: f32,
    },
    /// Half a cosine wave from `lr` down to `end` over `steps` steps, `end` afterwards.
    Cosine {
        /// The rate at the start.
        lr: f32,
        /// The rate at the end.
        end: f32,
        /// How long it takes.
        steps: usize,
    },
    /// Rises evenly from `start` to the beginning of `then` over `steps` steps, then follows it from its first step.
    LinearWarmup {
        /// The rate at the start.
        start: f32,
        /// How long it takes.
        steps: usize,
        /// What comes afterwards.
        then: Box<Schedule>,
    },
}

impl Schedule {
    /// The learning rate at a step, counted from 0.
    pub fn at(&self, step: usize) -> f32 {
        match self {
            Schedule::Constant { lr } => *lr,
            Schedule::Step { lr, milestones, factor } => {
                let passed = milestones.iter().filter(|&&milestone| milestone <= step).count();
                lr * factor.powi(passed as i32)
            }
            Schedule::Cosine { lr, end, steps } => {
                let progress = if *steps == 0 { 1.0 } else { step.min(*steps) as f64 / *steps as f64 };
                let height = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
                (f64::from(*end) + f64::from(lr - end) * height) as f32
            }
            Schedule::LinearWarmup { start, steps, then } if step < *steps => {
                start + (then.at(0) - start) * step as f32 / *steps as f32
            }
            Schedule::LinearWarmup { steps, then, .. } => then.at(step - steps),
        }
    }

    /// The same schedule after a linear rise from 0 over `steps` steps.
    #[must_use]
    pub fn with_warmup(self, steps: usize) -> Schedule {
        Schedule::LinearWarmup { start: 0.0, steps, then: Box::new(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_their_shapes() {
        let step = Schedule::Step { lr: 1.0, milestones: vec![3, 5], factor: 0.1 };
        let rates: Vec<f32> = (0..7).map(|i| step.at(i)).collect();
        for (rate, expected) in rates.iter().zip([1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]) {
            assert!((rate - expected).abs() < 1e-7, "{rates:?}");
        }
        let cosine = Schedule::Cosine { lr: 1.0, end: 0.2, steps: 10 };
        assert_eq!((cosine.at(0), cosine.at(10), cosine.at(99)), (1.0, 0.2, 0.2));
        assert!((cosine.at(5) - 0.6).abs() < 1e-6);
        let warm = Schedule::Constant { lr: 0.4 }.with_warmup(4);
        let rates: Vec<f32> = (0..6).map(|i| warm.at(i)).collect();
        assert_eq!(rates, [0.0, 0.1, 0.2, 0.3, 0.4, 0.4].map(|r: f32| r));
    }
}
