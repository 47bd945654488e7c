//! Policies: random operations with given or random magnitudes.

use super::area::Size;
use super::operation::{Affine, Operation};
use crate::random::{Random, Use};

/// Operations that a policy applies to every image, each drawn evenly out of fourteen: none at all, shear, translation
/// (both in each direction), rotation, brightness, colour, contrast, sharpness, posterisation, solarisation, automatic
/// contrast, equalisation. Magnitudes are those of torchvision's transforms of the same names; signs are drawn evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Some operations in turn, all of one magnitude (Cubuk et al., "RandAugment", 2019).
    RandAugment {
        /// How many, at most [`Policy::MAX_OPERATIONS`].
        operations: u32,
        /// Their magnitude, a bin counted from 0.
        magnitude: u32,
        /// Into how many bins each operation's magnitudes are divided, at least 2.
        bins: u32,
    },
    /// One operation of a random magnitude, in the wide space (Müller and Hutter, "TrivialAugment", 2021).
    TrivialAugment {
        /// Into how many bins each operation's magnitudes are divided, at least 2.
        bins: u32,
    },
}

/// The largest magnitude of each operation.
struct Space {
    shear: f64,
    /// Right and down, pixels.
    translation: [f64; 2],
    /// Degrees.
    rotation: f64,
    /// Of brightness, colour, contrast and sharpness: what is added to a factor of 1.
    factor: f64,
    /// Bits that are lost.
    bits: f64,
}

impl Policy {
    /// More operations than this are refused.
    pub const MAX_OPERATIONS: u32 = 8;

    /// torchvision's default: two operations of magnitude 9 out of 31.
    pub const fn rand_augment() -> Policy {
        Policy::RandAugment { operations: 2, magnitude: 9, bins: 31 }
    }

    /// torchvision's default: 31 bins.
    pub const fn trivial_augment() -> Policy {
        Policy::TrivialAugment { bins: 31 }
    }

    pub(super) fn fault(&self) -> Option<String> {
        // Up to here the number of a bin is exact in single precision.
        const MAX_BINS: u32 = 1 << 20;
        let (Policy::RandAugment { bins, .. } | Policy::TrivialAugment { bins }) = *self;
        if !(2..=MAX_BINS).contains(&bins) {
            return Some(format!("the policy's bins {bins} must be between 2 and {MAX_BINS}"));
        }
        match *self {
            Policy::RandAugment { magnitude, .. } if magnitude >= bins => {
                Some(format!("the policy's magnitude {magnitude} must be below its bins, {bins}"))
            }
            Policy::RandAugment { operations, .. } if operations > Policy::MAX_OPERATIONS => Some(format!(
                "the policy's operations {operations} must be at most {}",
                Policy::MAX_OPERATIONS
            )),
            _ => None,
        }
    }

    /// Appends what is drawn for an image that has become `size` pixels.
    pub(super) fn draw(
        &self,
        seed: u64,
        epoch: u64,
        sample: u64,
        size: Size,
        operations: &mut Vec<Operation>,
    ) {
        let mut random = Random::new(seed, Use::Policy, epoch, sample);
        let (count, magnitude, bins, space) = match *self {
            Policy::RandAugment { operations, magnitude, bins } => {
                // 150 of 331 pixels, the size of AutoAugment's images.
                let translation = [size.width, size.height].map(|side| 150.0 / 331.0 * f64::from(side));
                let space = Space { shear: 0.3, translation, rotation: 30.0, factor: 0.9, bits: 4.0 };
                (operations.min(Policy::MAX_OPERATIONS), Some(magnitude), bins, space)
            }
            Policy::TrivialAugment { bins } => {
                let space =
                    Space { shear: 0.99, translation: [32.0; 2], rotation: 135.0, factor: 0.99, bits: 6.0 };
                (1, None, bins, space)
            }
        };
        for _ in 0..count {
            let which = random.below(KINDS);
            let drawn = random.below(bins as usize) as u32;
            let negative = random.coin();
            let bin = Bin { index: magnitude.unwrap_or(drawn), bins, negative };
            operations.extend(space.operation(which, bin, size));
        }
    }
}

/// How many operations there are to draw from.
const KINDS: usize = 14;

/// One of `bins` magnitudes from 0 to a largest one, and its sign.
#[derive(Clone, Copy)]
struct Bin {
    index: u32,
    bins: u32,
    negative: bool,
}

impl Bin {
    /// The magnitude between 0 and `end`, rounded to single precision as torchvision's is.
    fn of(self, end: f64) -> f64 {
        let steps = f64::from(self.bins.max(2) - 1);
        f64::from((end * f64::from(self.index) / steps) as f32)
    }

    fn signed(self, end: f64) -> f64 {
        if self.negative { -self.of(end) } else { self.of(end) }
    }
}

impl Space {
    /// Operation number `which`, in torchvision's order.
    fn operation(&self, which: usize, bin: Bin, size: Size) -> Option<Operation> {
        let factor = (1.0 + bin.signed(self.factor)) as f32;
        Some(match which {
            1 => Operation::Affine(Affine::shear_x(bin.signed(self.shear), size)),
            2 => Operation::Affine(Affine::shear_y(bin.signed(self.shear), size)),
            3 => Operation::Affine(Affine::translate(bin.signed(self.translation[0]).trunc(), 0.0)),
            4 => Operation::Affine(Affine::translate(0.0, bin.signed(self.translation[1]).trunc())),
            5 => Operation::Affine(Affine::rotate(bin.signed(self.rotation))),
            6 => Operation::Brightness(factor),
            7 => Operation::Saturation(factor),
            8 => Operation::Contrast(factor),
            9 => Operation::Sharpness(factor),
            10 => Operation::Posterize((8.0 - bin.of(self.bits)).round_ties_even() as u8),
            11 => Operation::Solarize((255.0 * (1.0 - bin.of(1.0))) as f32),
            12 => Operation::AutoContrast,
            13 => Operation::Equalize,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 331, height: 662 };

    fn drawn(policy: Policy, samples: u64) -> Vec<Vec<Operation>> {
        let draw = |sample| {
            let mut operations = Vec::new();
            policy.draw(7, 0, sample, SIZE, &mut operations);
            operations
        };
        (0..samples).map(draw).collect()
    }

    /// The magnitudes in bin 9 of 31, worked out by hand from torchvision's table.
    #[test]
    fn rand_augment_has_its_magnitudes() {
        let all: Vec<Operation> = drawn(Policy::rand_augment(), 1000).concat();
        let close = |a: f32, b: f32| (a.abs() - b).abs() < 1e-6;
        for operation in &all {
            match *operation {
                Operation::Brightness(factor)
                | Operation::Saturation(factor)
                | Operation::Contrast(factor)
                | Operation::Sharpness(factor) => assert!(close(factor - 1.0, 0.27), "{factor}"),
                // 8 - 9 * 4 / 30 = 6.8.
                Operation::Posterize(bits) => assert_eq!(bits, 7),
                Operation::Solarize(threshold) => assert!(close(threshold, 178.5), "{threshold}"),
                Operation::Affine(Affine { inverse: [a, b, c, d, e, f] }) => {
                    let shear = close(b, 0.09) && d == 0.0 && close(c, 0.09 * 331.0);
                    let shear = shear || close(d, 0.09) && b == 0.0 && close(f, 0.09 * 165.5);
                    // 45 and 90 pixels of 331 and 662.
                    let moved = (b, d) == (0.0, 0.0) && (c.abs(), f.abs()) == (45.0, 0.0);
                    let moved = moved || (b, d) == (0.0, 0.0) && (c.abs(), f.abs()) == (0.0, 90.0);
                    let turned =
                        close(a, 9f32.to_radians().cos()) && close(d, 9f32.to_radians().sin()) && b == -d;
                    assert!(shear || moved || turned, "{a} {b} {c} {d} {e} {f}");
                }
                Operation::AutoContrast | Operation::Equalize => {}
                other => panic!("{other:?} is no operation of a policy"),
            }
        }
        // Two of fourteen are drawn, one of which does nothing.
        assert!((1800..1910).contains(&all.len()), "{}", all.len());
        let share = all.iter().filter(|operation| **operation == Operation::Equalize).count();
        assert!((110..180).contains(&share), "{share}");
    }

    #[test]
    fn trivial_augment_has_one_operation_of_any_magnitude() {
        let all = drawn(Policy::trivial_augment(), 3000);
        assert!(all.iter().all(|operations| operations.len() <= 1));
        let mut factors: Vec<f32> = Vec::new();
        let mut bits: Vec<u8> = Vec::new();
        for operation in all.into_iter().flatten() {
            match operation {
                Operation::Brightness(factor) => factors.push(factor),
                Operation::Posterize(kept) => bits.push(kept),
                _ => {}
            }
        }
        assert!(factors.iter().all(|factor| (0.009..=1.991).contains(factor)));
        assert!(factors.iter().any(|factor| *factor < 0.2) && factors.iter().any(|factor| *factor > 1.8));
        bits.sort_unstable();
        bits.dedup();
        assert_eq!(bits, [2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        assert_eq!(Policy::rand_augment().fault(), None);
        assert_eq!(Policy::trivial_augment().fault(), None);
        assert!(Policy::TrivialAugment { bins: 1 }.fault().is_some());
        assert!(Policy::RandAugment { operations: 2, magnitude: 31, bins: 31 }.fault().is_some());
        assert!(Policy::RandAugment { operations: 9, magnitude: 9, bins: 31 }.fault().is_some());
    }
}
