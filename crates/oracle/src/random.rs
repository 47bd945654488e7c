//! Random numbers for tests: seeded, the same on every machine.

use ocelli_core::{DType, TensorType};

use crate::host_tensor::HostTensor;

/// A generator (splitmix64; Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that yields the same numbers for the same seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An integer in `0..bound`; `bound` is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.unit() * bound as f64) as usize
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number whose magnitude is in `0.1..2.0`, of either sign: away from the kinks at 0, and from overflow.
    pub fn signed(&mut self) -> f64 {
        let magnitude = 0.1 + 1.9 * self.unit();
        if self.chance(0.5) { magnitude } else { -magnitude }
    }

    /// Numbers as [`Random::signed`] draws them.
    pub fn tensor(&mut self, ty: TensorType) -> HostTensor {
        HostTensor::new(ty, (0..ty.shape.elements()).map(|_| self.signed()).collect())
    }

    /// Numbers in `0.1..2.0`, as scales and variances are.
    pub fn positive(&mut self, ty: TensorType) -> HostTensor {
        HostTensor::new(ty, (0..ty.shape.elements()).map(|_| self.signed().abs()).collect())
    }

    /// `i32` labels in `0..classes`.
    pub fn labels(&mut self, shape: ocelli_core::Shape, classes: usize) -> HostTensor {
        let values = (0..shape.elements()).map(|_| self.below(classes) as f64).collect();
        HostTensor::new(TensorType::new(DType::I32, shape), values)
    }
}
