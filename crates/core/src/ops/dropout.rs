//! Dropout (Srivastava et al., 2014), inverted: what survives is scaled up, so that evaluation needs no change.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{Call, Op};
use crate::autograd::Gradient;
use crate::error::{Origin, Result};
use crate::tensor::Tensor;
use crate::types::{Real, TensorType};

/// Zeroes each element with probability `p` and divides the others by `1 - p`.
///
/// The mask is not stored: it is drawn from Philox4x32-10 with the run's seed as the key and (element / 8, ordinal,
/// step) as the counter, so that the gradient draws the same one again, at any vector width. `p` is rounded to a multiple
/// of 2^-16, the scale with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dropout {
    /// The probability of a zero, in `0.0..1.0`.
    pub p: Real,
    /// Which dropout of its graph this is, counted from the start of the trace. While tracing it is a number that no other
    /// dropout of the process has; linearising counts anew, so that the same program gives the same graph.
    pub ordinal: u32,
}

impl Dropout {
    /// An element is kept when its 16 random bits are at least this.
    pub fn threshold(&self) -> u32 {
        (self.p.0 * 65536.0).round().min(65535.0) as u32
    }

    /// What a kept element is multiplied with.
    pub fn scale(&self) -> f32 {
        65536.0 / (65536 - self.threshold()) as f32
    }

    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        if !(0.0..1.0).contains(&self.p.0) {
            return Err(call.invalid(format!("the probability must be in 0.0..1.0, got {}", self.p)));
        }
        call.float(0)
    }

    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dy) = at.output_gradient(0) else { return Ok(()) };
        let dx = at.graph.push(Op::Dropout(*self), vec![dy])?;
        at.give(0, dx)
    }
}

/// Philox4x32-10 (Salmon et al., 2011): four random words from a counter and a key.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..10 {
        let a = u64::from(c[0]) * 0xD251_1F53;
        let b = u64::from(c[2]) * 0xCD9E_8D57;
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}

/// The 16 random bits that decide over an element: word `(element % 8) / 2`, low half first, of the counter
/// (element / 8 low, element / 8 high, ordinal, step) under the key (seed low, seed high).
pub fn random_bits(element: u64, ordinal: u32, step: u32, seed: u64) -> u32 {
    let block = element / 8;
    let words =
        philox([block as u32, (block >> 32) as u32, ordinal, step], [seed as u32, (seed >> 32) as u32]);
    let lane = (element % 8) as usize;
    (words[lane / 2] >> (16 * (lane % 2))) & 0xffff
}

impl Tensor {
    /// Zeroes each element with probability `p` and divides the others by `1 - p`, anew in each run. Always active; the
    /// module [`crate::nn::Dropout`] knows when not to be.
    #[track_caller]
    pub fn dropout(&self, p: f32) -> Result<Tensor> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let ordinal = NEXT.fetch_add(1, Ordering::Relaxed);
        self.apply(Op::Dropout(Dropout { p: Real(p), ordinal }), &[], Origin::caller())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the authors' own test vectors.
    #[test]
    fn philox_gives_the_published_words() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        assert_eq!(
            philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }

    #[test]
    fn the_mask_keeps_the_asked_share() {
        let dropout = Dropout { p: Real(0.25), ordinal: 3 };
        let kept = (0..100_000).filter(|&i| random_bits(i, 3, 7, 11) >= dropout.threshold()).count();
        assert!((kept as f64 / 100_000.0 - 0.75).abs() < 0.005, "{kept}");
        assert_eq!(dropout.scale(), 4.0 / 3.0);
    }
}
