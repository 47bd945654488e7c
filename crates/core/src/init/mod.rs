//! Initial values of parameters: seeded, and independent of the order in which parameters are made.

use std::sync::{Mutex, PoisonError};

use crate::ops::dropout::philox;

/// A rule for initial values. `fan_in` and `fan_out` are those of the filter `[k, r, s, c]` (`r s c` and `r s k`) or of
/// the weight `[out, in]`, as PyTorch counts them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// One value everywhere.
    Constant(f32),
    /// Uniform in `-bound..bound`.
    Uniform {
        /// The bound.
        bound: f32,
    },
    /// Normal with mean 0.
    Normal {
        /// The standard deviation.
        std: f32,
    },
    /// He et al., 2015: normal, variance `2 / fan`, for layers before a ReLU.
    KaimingNormal(Fan),
    /// The same variance, uniform.
    KaimingUniform(Fan),
    /// Glorot and Bengio, 2010: normal, variance `2 / (fan_in + fan_out)`.
    XavierNormal,
    /// The same variance, uniform.
    XavierUniform,
    /// PyTorch's default for convolutions and linear layers and their biases: uniform in
    /// `-1 / sqrt(fan_in) .. 1 / sqrt(fan_in)`.
    FanInUniform,
}

/// Which connections a variance is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Those that lead into a unit: keeps the variance in the forward pass.
    In,
    /// Those that lead out of it: keeps the variance of gradients.
    Out,
}

/// How many connections lead into and out of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fans {
    /// Into a unit.
    pub fan_in: usize,
    /// Out of a unit.
    pub fan_out: usize,
}

impl Init {
    /// `count` values, drawn with a key made of `seed` and the parameter's `name`.
    pub fn values(self, count: usize, fans: Fans, seed: u64, name: &str) -> Vec<f32> {
        let (fan_in, fan_out) = (fans.fan_in.max(1) as f64, fans.fan_out.max(1) as f64);
        let he = |fan: Fan| (2.0 / if fan == Fan::In { fan_in } else { fan_out }).sqrt();
        let glorot = (2.0 / (fan_in + fan_out)).sqrt();
        let draw = |value: &(dyn Fn(&mut Random) -> f64 + Sync)| draw(count, seed, name, value);
        let uniform = |bound: f64| draw(&|random| bound * (2.0 * random.unit() - 1.0));
        let normal = |std: f64| draw(&|random| std * random.standard_normal());
        match self {
            Init::Constant(value) => vec![value; count],
            Init::Uniform { bound } => uniform(f64::from(bound)),
            Init::KaimingUniform(fan) => uniform(3f64.sqrt() * he(fan)),
            Init::XavierUniform => uniform(3f64.sqrt() * glorot),
            Init::FanInUniform => uniform(1.0 / fan_in.sqrt()),
            Init::Normal { std } => normal(f64::from(std)),
            Init::KaimingNormal(fan) => normal(he(fan)),
            Init::XavierNormal => normal(glorot),
        }
    }
}

/// Random numbers of one parameter, or of one step.
pub(crate) struct Random {
    key: [u32; 2],
    counter: u64,
    words: [u32; 4],
    used: usize,
}

impl Random {
    pub(crate) fn new(seed: u64, name: &str) -> Random {
        // FNV-1a, so that a parameter's values depend on its name and not on what was made before it.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let key = seed ^ hash;
        Random { key: [key as u32, (key >> 32) as u32], counter: 0, words: [0; 4], used: 4 }
    }

    fn word(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox([self.counter as u32, (self.counter >> 32) as u32, 0, 0], self.key);
            self.counter += 1;
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// In the open interval (0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (f64::from(self.word()) + 0.5) / 4_294_967_296.0
    }

    /// A whole number below `end`, which is below 2^32.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.unit() * end as f64) as usize
    }

    /// From the normal distribution of mean 0 and variance 1, by the method of Box and Muller.
    pub(crate) fn standard_normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.unit()).cos()
    }
}

/// Values that a thread draws at a time. Each part has a counter of its own, so that the values do not depend on how many
/// threads there are.
const PART: usize = 1 << 16;

/// As many values as asked for, made on all cores.
fn draw(count: usize, seed: u64, name: &str, value: &(dyn Fn(&mut Random) -> f64 + Sync)) -> Vec<f32> {
    let mut values = vec![0.0; count];
    let parts = Mutex::new(values.chunks_mut(PART).enumerate());
    let work = || loop {
        let part = parts.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some((index, part)) = part else { return };
        let mut random = Random::new(seed, name);
        // No value takes more than two words, and a counter yields four.
        random.counter = (index * PART) as u64;
        part.iter_mut().for_each(|slot| *slot = value(&mut random) as f32);
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..cores.min(count.div_ceil(PART)) {
            scope.spawn(work);
        }
        work();
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const FANS: Fans = Fans { fan_in: 72, fan_out: 144 };

    fn moments(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        (mean, values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n)
    }

    #[test]
    fn each_rule_has_its_variance() {
        for (init, variance) in [
            (Init::Uniform { bound: 0.3 }, 0.09 / 3.0),
            (Init::Normal { std: 0.2 }, 0.04),
            (Init::KaimingNormal(Fan::In), 2.0 / 72.0),
            (Init::KaimingUniform(Fan::Out), 2.0 / 144.0),
            (Init::XavierNormal, 2.0 / 216.0),
            (Init::XavierUniform, 2.0 / 216.0),
            (Init::FanInUniform, 1.0 / 72.0 / 3.0),
        ] {
            let (mean, found) = moments(&init.values(100_000, FANS, 5, "conv.weight"));
            assert!(mean.abs() < 0.02 * found.sqrt(), "{init:?}: mean {mean}");
            assert!((found / variance - 1.0).abs() < 0.02, "{init:?}: {found}, not {variance}");
        }
    }

    #[test]
    fn values_depend_on_seed_and_name_alone() {
        let values = |seed, name| Init::XavierNormal.values(8, FANS, seed, name);
        assert_eq!(values(1, "a"), values(1, "a"));
        assert_ne!(values(1, "a"), values(2, "a"));
        assert_ne!(values(1, "a"), values(1, "b"));
    }
}
