//! What a batch's elements are.

use crate::{Error, Result};

/// The type of a batch's elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Element {
    /// IEEE half precision.
    #[default]
    F16,
    /// bfloat16.
    Bf16,
    /// IEEE single precision.
    F32,
}

impl Element {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Element::F16 | Element::Bf16 => 2,
            Element::F32 => 4,
        }
    }
}

/// How pixels become a batch's elements: red, green and blue in `0..=255` become `(value / 255 - mean) / deviation`,
/// and channels beyond the third are zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// The elements' type.
    pub dtype: Element,
    /// Channels of a pixel in the batch, `[N, H, W, channels]`: 3, 4 or 8. More than 3 suit cuDNN's fp16 convolutions.
    pub channels: u32,
    /// Subtracted, of red, green and blue, as shares of 255.
    pub mean: [f32; 3],
    /// Divided by, of red, green and blue, as shares of 255; greater than zero.
    pub deviation: [f32; 3],
}

impl Default for Output {
    /// Half precision, four channels, and ImageNet's mean and deviation, as torchvision's reference training has them.
    fn default() -> Output {
        Output {
            dtype: Element::F16,
            channels: 4,
            mean: [0.485, 0.456, 0.406],
            deviation: [0.229, 0.224, 0.225],
        }
    }
}

impl Output {
    /// Says whether the settings make sense.
    ///
    /// # Errors
    /// [`Error::Setting`], with what is wrong.
    pub fn check(&self) -> Result<()> {
        let fault = |what: String| Err(Error::Setting { what });
        if ![3, 4, 8].contains(&self.channels) {
            return fault(format!("a batch has 3, 4 or 8 channels, not {}", self.channels));
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return fault(format!("the mean {:?} must be finite", self.mean));
        }
        if !self.deviation.iter().all(|deviation| deviation.is_normal() && *deviation > 0.0) {
            return fault(format!("the deviation {:?} must be greater than zero", self.deviation));
        }
        Ok(())
    }

    /// Bytes of one pixel in the batch.
    pub const fn pixel_bytes(&self) -> usize {
        self.channels as usize * self.dtype.bytes()
    }

    /// A channel's factor and addend: `(value / 255 - mean) / deviation` is `value * factor + addend`.
    pub(super) fn affine(&self) -> ([f32; 3], [f32; 3]) {
        let of = |channel: usize| (f64::from(self.mean[channel]), f64::from(self.deviation[channel]));
        let factor = [0, 1, 2].map(|channel| (1.0 / (255.0 * of(channel).1)) as f32);
        let addend = [0, 1, 2].map(|channel| (-of(channel).0 / of(channel).1) as f32);
        (factor, addend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let sound = Output::default();
        sound.check().unwrap();
        for wrong in [
            Output { channels: 5, ..sound },
            Output { deviation: [0.2, 0.0, 0.2], ..sound },
            Output { deviation: [0.2, f32::NAN, 0.2], ..sound },
            Output { mean: [f32::INFINITY; 3], ..sound },
        ] {
            assert!(matches!(wrong.check(), Err(Error::Setting { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn factor_and_addend_normalise() {
        let output = Output::default();
        let (factor, addend) = output.affine();
        for channel in 0..3 {
            for value in 0..=255u8 {
                let expected = (f64::from(value) / 255.0 - f64::from(output.mean[channel]))
                    / f64::from(output.deviation[channel]);
                let found = f64::from(f32::from(value).mul_add(factor[channel], addend[channel]));
                assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
            }
        }
    }
}
