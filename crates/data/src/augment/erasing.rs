//! Rectangles that are erased.

use super::area::{Rectangle, Size};
use crate::random::{Random, Use};

/// What erased pixels become; the numbers are of normalised pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ErasingValue {
    /// A value for each of red, green and blue.
    Constant([f32; 3]),
    /// Normally distributed noise, mean 0 and deviation 1, in every channel of every pixel.
    Noise,
}

/// Erases a random rectangle of the normalised image (Zhong et al., "Random Erasing Data Augmentation", 2017), by
/// torchvision's rule: ten attempts to find a rectangle smaller than the image in both directions, then none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomErasing {
    /// How often, 0 to 1.
    pub probability: f32,
    /// The least and the largest share of the image's area.
    pub scale: [f64; 2],
    /// The least and the largest height over width; the logarithm is drawn evenly.
    pub ratio: [f64; 2],
    /// What the erased pixels become.
    pub value: ErasingValue,
}

impl Default for RandomErasing {
    /// torchvision's: every other image, 2 to 33 % of it, by zeros, which are the mean colour.
    fn default() -> RandomErasing {
        RandomErasing {
            probability: 0.5,
            scale: [0.02, 0.33],
            ratio: [0.3, 3.3],
            value: ErasingValue::Constant([0.0; 3]),
        }
    }
}

/// What one image's erased rectangle is filled with, in normalised values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Filling {
    /// A value for each of red, green and blue.
    Constant([f32; 3]),
    /// Normally distributed noise from Philox under this key: pixel `(x, y)` of the output takes the counter
    /// `[x, y, 0, 0]`.
    Noise([u32; 2]),
}

/// A rectangle of one image that is erased.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Erased {
    /// Where, in the output.
    pub part: Rectangle,
    /// What it is filled with.
    pub filling: Filling,
}

impl RandomErasing {
    pub(super) fn fault(&self) -> Option<String> {
        let RandomErasing { probability, scale, ratio, value } = *self;
        if !(0.0..=1.0).contains(&probability) {
            return Some(format!("the probability {probability} of erasing must be between 0 and 1"));
        }
        if !(scale[0] >= 0.0 && scale[0] <= scale[1] && scale[1] <= 1.0) {
            return Some(format!("the share {scale:?} that is erased must lie between 0 and 1, in order"));
        }
        if !(ratio[0] > 0.0 && ratio[0] <= ratio[1] && ratio[1].is_finite()) {
            return Some(format!("the ratio {ratio:?} of erased sides must be positive and in order"));
        }
        match value {
            ErasingValue::Constant(value) if !value.iter().all(|value| value.is_finite()) => {
                Some(format!("the value {value:?} of erased pixels must be finite"))
            }
            _ => None,
        }
    }

    pub(super) fn draw(&self, seed: u64, epoch: u64, sample: u64, size: Size) -> Option<Erased> {
        let mut random = Random::new(seed, Use::Erasing, epoch, sample);
        let erases = random.between(0.0, 1.0) < f64::from(self.probability);
        let key = [random.word(), random.word()];
        if !erases {
            return None;
        }
        let area = f64::from(size.width) * f64::from(size.height);
        let part = (0..10).find_map(|_| {
            let area = area * random.between(self.scale[0], self.scale[1]);
            let ratio = random.between(self.ratio[0].ln(), self.ratio[1].ln()).exp();
            let [height, width] =
                [area * ratio, area / ratio].map(|square| square.sqrt().round_ties_even() as u32);
            (height < size.height && width < size.width).then(|| {
                let top = random.below((size.height - height) as usize + 1) as u32;
                let left = random.below((size.width - width) as usize + 1) as u32;
                Rectangle { left, top, width, height }
            })
        })?;
        let filling = match self.value {
            ErasingValue::Constant(value) => Filling::Constant(value),
            ErasingValue::Noise => Filling::Noise(key),
        };
        Some(Erased { part, filling })
    }
}
