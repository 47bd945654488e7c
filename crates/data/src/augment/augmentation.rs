//! The settings of an augmentation, and what they draw.

use super::area::Size;
use super::colour::ColourJitter;
use super::drawn::Drawn;
use super::erasing::RandomErasing;
use super::geometry::Geometry;
use super::interpolation::Interpolation;
use super::operation::Operation;
use super::orientation::{ImageSize, Orientation};
use super::policy::Policy;
use crate::random::{Random, Use};
use crate::{Error, Result};

/// What is done to the images of a set. Every part draws from random numbers of its own, so that switching one on or
/// off leaves the others what they were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// How images get their size.
    pub geometry: Geometry,
    /// The filter that scales them.
    pub interpolation: Interpolation,
    /// How often an image is mirrored left to right, 0 to 1.
    pub horizontal_flip: f32,
    /// How often an image is mirrored top to bottom, 0 to 1.
    pub vertical_flip: f32,
    /// Random changes of colour.
    pub jitter: Option<ColourJitter>,
    /// Random operations.
    pub policy: Option<Policy>,
    /// Random rectangles without an image.
    pub erasing: Option<RandomErasing>,
    /// Whether the orientation that EXIF notes is undone first. PyTorch's loaders do not.
    pub exif: bool,
}

impl Augmentation {
    /// A geometry and nothing else.
    pub const fn only(geometry: Geometry) -> Augmentation {
        Augmentation {
            geometry,
            interpolation: Interpolation::Bilinear,
            horizontal_flip: 0.0,
            vertical_flip: 0.0,
            jitter: None,
            policy: None,
            erasing: None,
            exif: false,
        }
    }

    /// What networks for ImageNet are trained on: between 8 and 100 % of the image, mirrored or not.
    pub const fn imagenet_training(size: u32) -> Augmentation {
        let (scale, ratio) = ([0.08, 1.0], [3.0 / 4.0, 4.0 / 3.0]);
        let geometry = Geometry::RandomResizedCrop { height: size, width: size, scale, ratio };
        Augmentation { horizontal_flip: 0.5, ..Augmentation::only(geometry) }
    }

    /// What networks for ImageNet are evaluated on: the middle of an image whose shorter side is 8/7 of `size`, as 256
    /// is of 224.
    pub const fn imagenet_evaluation(size: u32) -> Augmentation {
        let resize = (size as u64 * 8 / 7) as u32;
        Augmentation::only(Geometry::ResizeCentreCrop { resize, height: size, width: size })
    }

    /// What networks for CIFAR are trained on: shifted by up to an eighth of the size, mirrored or not.
    pub const fn cifar_training(size: u32) -> Augmentation {
        let geometry = Geometry::PaddedCrop { height: size, width: size, padding: size / 8, cutout: 0 };
        Augmentation { horizontal_flip: 0.5, ..Augmentation::only(geometry) }
    }

    /// What networks for CIFAR are evaluated on: the images as they are, scaled where they are of another size.
    pub const fn cifar_evaluation(size: u32) -> Augmentation {
        Augmentation::only(Geometry::ResizeCentreCrop { resize: size, height: size, width: size })
    }

    /// What detectors see: the whole image, as large as the limits of its sides allow, on a canvas whose sides are
    /// multiples of `divisor`. Set [`horizontal_flip`](Augmentation::horizontal_flip) to 0.5 to train.
    pub const fn detection(shorter: u32, longer: u32, divisor: u32) -> Augmentation {
        Augmentation::only(Geometry::Fit { shorter, longer, divisor })
    }

    /// Says whether the settings make sense.
    ///
    /// # Errors
    /// [`Error::Setting`], with what is wrong.
    pub fn check(&self) -> Result<()> {
        let flips = [self.horizontal_flip, self.vertical_flip];
        let fault = if !flips.iter().all(|flip| (0.0..=1.0).contains(flip)) {
            Some(format!("the probabilities {flips:?} of flips must be between 0 and 1"))
        } else {
            (self.geometry.fault())
                .or_else(|| self.jitter.and_then(|jitter| jitter.fault()))
                .or_else(|| self.policy.and_then(|policy| policy.fault()))
                .or_else(|| self.erasing.and_then(|erasing| erasing.fault()))
        };
        fault.map_or(Ok(()), |what| Err(Error::Setting { what: format!("augmentation: {what}") }))
    }

    /// Draws what becomes of image `sample` in an epoch: the same for the same arguments, whatever was drawn before. An
    /// image without pixels is taken for one of a single pixel, which no decoder will deliver.
    pub fn draw(&self, seed: u64, epoch: u64, sample: u64, image: ImageSize) -> Drawn {
        let orientation = if self.exif { image.orientation } else { Orientation::Upright };
        let stored = Size { width: image.width.max(1), height: image.height.max(1) };
        let oriented = orientation.turn(stored);
        let placed = self.geometry.place(oriented, seed, epoch, sample);
        let happens = |purpose, probability: f32| {
            Random::new(seed, purpose, epoch, sample).between(0.0, 1.0) < f64::from(probability)
        };
        let mut operations = Vec::new();
        if let Some(jitter) = self.jitter {
            jitter.draw(seed, epoch, sample, &mut operations);
        }
        if let Some(policy) = self.policy {
            policy.draw(seed, epoch, sample, placed.size, &mut operations);
        }
        let cutout = self.geometry.cutout(placed.size, seed, epoch, sample);
        operations.extend(cutout.map(Operation::Blacken));
        Drawn {
            orientation,
            image: oriented,
            source: placed.source,
            scaled: placed.scaled,
            window: placed.window,
            size: placed.size,
            interpolation: self.interpolation,
            horizontal_flip: happens(Use::HorizontalFlip, self.horizontal_flip),
            vertical_flip: happens(Use::VerticalFlip, self.vertical_flip),
            operations,
            erased: self.erasing.and_then(|erasing| erasing.draw(seed, epoch, sample, placed.size)),
        }
    }

    /// The size that all images of a batch are padded to: that of the geometry, or, for [`Geometry::Fit`], the largest of
    /// their sizes in each direction, rounded up to a multiple of the divisor.
    pub fn canvas(&self, sizes: impl IntoIterator<Item = Size>) -> Size {
        let least = self.geometry.size().unwrap_or_default();
        let largest = sizes.into_iter().fold(least, |canvas, size| Size {
            width: canvas.width.max(size.width),
            height: canvas.height.max(size.height),
        });
        let divisor = if let Geometry::Fit { divisor, .. } = self.geometry { divisor.max(1) } else { 1 };
        let up = |side: u32| side.max(1).checked_next_multiple_of(divisor).unwrap_or(side);
        Size { width: up(largest.width), height: up(largest.height) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::erasing::{ErasingValue, Filling};

    fn everything() -> Augmentation {
        Augmentation {
            vertical_flip: 0.25,
            jitter: Some(ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }),
            policy: Some(Policy::rand_augment()),
            erasing: Some(RandomErasing { value: ErasingValue::Noise, ..RandomErasing::default() }),
            ..Augmentation::imagenet_training(64)
        }
    }

    #[test]
    fn a_draw_depends_on_its_arguments_alone() {
        let image = ImageSize::upright(500, 375);
        let augmentation = everything();
        augmentation.check().unwrap();
        let draw = |seed, epoch, sample| augmentation.draw(seed, epoch, sample, image);
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        for other in [draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4), draw(1, 2, 3 + (1 << 32))] {
            assert_ne!(other.source, draw(1, 2, 3).source);
        }
    }

    #[test]
    fn switching_a_part_off_leaves_the_others_what_they_were() {
        let image = ImageSize::upright(500, 375);
        for sample in 0..100 {
            let all = everything().draw(1, 0, sample, image);
            let less = Augmentation { jitter: None, horizontal_flip: 0.0, ..everything() };
            let less = less.draw(1, 0, sample, image);
            assert!(all.operations.ends_with(&less.operations));
            assert_eq!(all.operations.len(), less.operations.len() + 4);
            let without =
                Drawn { operations: all.operations.clone(), horizontal_flip: all.horizontal_flip, ..less };
            assert_eq!(without, all);
            let no_hue = ColourJitter { hue: 0.0, ..everything().jitter.unwrap() };
            let no_hue = Augmentation { jitter: Some(no_hue), ..everything() }.draw(1, 0, sample, image);
            let mut rest = all.operations.clone();
            rest.retain(|operation| !matches!(operation, Operation::Hue(_)));
            assert_eq!(no_hue.operations, rest);
        }
    }

    #[test]
    fn shares_are_what_was_asked_for() {
        let image = ImageSize::upright(60, 40);
        let drawn: Vec<Drawn> = (0..4000).map(|sample| everything().draw(1, 0, sample, image)).collect();
        let count = |happens: fn(&Drawn) -> bool| drawn.iter().filter(|drawn| happens(drawn)).count();
        assert!((1900..2100).contains(&count(|drawn| drawn.horizontal_flip)));
        assert!((900..1100).contains(&count(|drawn| drawn.vertical_flip)));
        assert!((1900..2100).contains(&count(|drawn| drawn.erased.is_some())));
        for erased in drawn.iter().filter_map(|drawn| drawn.erased) {
            let part = erased.part;
            assert!(part.left + part.width <= 64 && part.top + part.height <= 64);
            let area = f64::from(part.width * part.height) / 4096.0;
            assert!((0.015..0.36).contains(&area), "{part:?}");
            assert!(matches!(erased.filling, Filling::Noise(_)));
        }
        for operation in drawn.iter().flat_map(|drawn| &drawn.operations) {
            match *operation {
                Operation::Hue(hue) => assert!((-0.1..=0.1).contains(&hue)),
                Operation::Saturation(factor) => assert!((0.6..=1.4).contains(&factor)),
                _ => {}
            }
        }
    }

    #[test]
    fn exif_is_heeded_only_where_asked() {
        let image = ImageSize { width: 40, height: 30, orientation: Orientation::Rotate90 };
        let plain = Augmentation::only(Geometry::PaddedCrop { height: 8, width: 8, padding: 0, cutout: 0 });
        assert_eq!(plain.draw(0, 0, 0, image).image, Size { width: 40, height: 30 });
        let turned = Augmentation { exif: true, ..plain }.draw(0, 0, 0, image);
        assert_eq!(turned.image, Size { width: 30, height: 40 });
        assert_eq!(turned.orientation, Orientation::Rotate90);
        let stored = turned.stored_part();
        assert_eq!((stored.width, stored.height), (40, 30));
    }

    #[test]
    fn canvases_hold_all_images_and_are_multiples() {
        let detection = Augmentation::detection(800, 1333, 32);
        detection.check().unwrap();
        let sizes = [Size { width: 1066, height: 800 }, Size { width: 800, height: 1199 }];
        assert_eq!(detection.canvas(sizes), Size { width: 1088, height: 1216 });
        assert_eq!(Augmentation::cifar_training(32).canvas([Size { width: 32, height: 32 }]).width, 32);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for sound in [
            Augmentation::imagenet_training(224),
            Augmentation::imagenet_evaluation(224),
            Augmentation::cifar_training(32),
            Augmentation::cifar_evaluation(32),
        ] {
            sound.check().unwrap();
        }
        let sound = Augmentation::imagenet_training(224);
        let jitter = |jitter| Augmentation { jitter: Some(jitter), ..sound };
        let erasing = |erasing| Augmentation { erasing: Some(erasing), ..sound };
        for wrong in [
            Augmentation::imagenet_training(0),
            Augmentation { horizontal_flip: 1.5, ..sound },
            Augmentation { vertical_flip: f32::NAN, ..sound },
            Augmentation::only(Geometry::ResizeCentreCrop { resize: 200, height: 224, width: 224 }),
            Augmentation::detection(800, 600, 32),
            Augmentation::detection(800, 1333, 0),
            jitter(ColourJitter { brightness: -0.1, ..ColourJitter::default() }),
            jitter(ColourJitter { hue: 0.6, ..ColourJitter::default() }),
            erasing(RandomErasing { scale: [0.5, 0.1], ..RandomErasing::default() }),
            erasing(RandomErasing { probability: 2.0, ..RandomErasing::default() }),
        ] {
            assert!(matches!(wrong.check(), Err(Error::Setting { .. })), "{wrong:?}");
        }
    }
}
