//! Random changes of colour.

use super::operation::Operation;
use crate::random::{Random, Use};

/// Random changes of brightness, contrast, saturation and hue, in random order (torchvision's `ColorJitter`). Zero
/// leaves one out; each is drawn in any case, so that leaving one out does not change the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ColourJitter {
    /// The factor of the brightness lies evenly within this of 1, and not below 0.
    pub brightness: f32,
    /// The factor of the contrast, likewise. The mean brightness stays.
    pub contrast: f32,
    /// The factor of the saturation, likewise.
    pub saturation: f32,
    /// The shift of the hue lies evenly within this of 0; in turns of the circle of colours, at most 0.5.
    pub hue: f32,
}

impl ColourJitter {
    pub(super) fn fault(&self) -> Option<String> {
        let ColourJitter { brightness, contrast, saturation, hue } = *self;
        if ![brightness, contrast, saturation].iter().all(|range| range.is_finite() && *range >= 0.0) {
            return Some(format!(
                "brightness {brightness}, contrast {contrast} and saturation {saturation} must not be negative"
            ));
        }
        (!(0.0..=0.5).contains(&hue)).then(|| format!("the hue's range {hue} must be between 0 and 0.5"))
    }

    pub(super) fn draw(&self, seed: u64, epoch: u64, sample: u64, operations: &mut Vec<Operation>) {
        let mut random = Random::new(seed, Use::Jitter, epoch, sample);
        let mut order = [0, 1, 2, 3];
        random.shuffle(&mut order);
        let mut factor = |range: f32| {
            let range = f64::from(range);
            random.between((1.0 - range).max(0.0), 1.0 + range) as f32
        };
        let [brightness, contrast, saturation] =
            [self.brightness, self.contrast, self.saturation].map(&mut factor);
        let hue = random.between(-f64::from(self.hue), f64::from(self.hue)) as f32;
        let all = [
            (self.brightness, Operation::Brightness(brightness)),
            (self.contrast, Operation::Contrast(contrast)),
            (self.saturation, Operation::Saturation(saturation)),
            (self.hue, Operation::Hue(hue)),
        ];
        operations
            .extend(order.map(|which| all[which]).iter().filter(|(range, _)| *range > 0.0).map(|(_, o)| *o));
    }
}
