//! Which part of an image is taken, and how large it becomes.

use super::area::{Rectangle, Size};
use crate::random::{Random, Use};

/// How images get their size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Geometry {
    /// A random part of the image, scaled; ImageNet's augmentation (Szegedy et al., "Going Deeper with Convolutions",
    /// 2014), by torchvision's rule: ten attempts to find a part that fits, then the middle.
    RandomResizedCrop {
        /// Rows of the result.
        height: u32,
        /// Columns of the result.
        width: u32,
        /// The least and the largest share of the image's area.
        scale: [f64; 2],
        /// The least and the largest width over height; the logarithm is drawn evenly.
        ratio: [f64; 2],
    },
    /// The middle of the image, scaled so that its shorter side has `resize` pixels; for evaluation.
    ResizeCentreCrop {
        /// The shorter side after scaling; the other is cut off below its point.
        resize: u32,
        /// Rows of the result, at most `resize`.
        height: u32,
        /// Columns of the result, at most `resize`.
        width: u32,
    },
    /// The whole image, scaled whatever its proportions.
    Resize {
        /// Rows of the result.
        height: u32,
        /// Columns of the result.
        width: u32,
    },
    /// A random part of the image, unscaled, after black borders are added to it; CIFAR's augmentation (He et al.,
    /// 2015). Where the image is too small even so, it is black to the right and below.
    PaddedCrop {
        /// Rows of the result.
        height: u32,
        /// Columns of the result.
        width: u32,
        /// Rows and columns of black on each side.
        padding: u32,
        /// Rows and columns of a square that is blackened, with its centre anywhere (DeVries and Taylor, "Improved
        /// Regularization of Convolutional Neural Networks with Cutout", 2017); 0 for none.
        cutout: u32,
    },
    /// The whole image, as large as two limits allow, with its proportions: detectors' geometry. It lies at the top
    /// left of a canvas that is as large as the largest image of the batch, and zero beyond the image, after
    /// normalisation.
    ///
    /// The sizes are those of torchvision's `GeneralizedRCNNTransform`: `scale = min(shorter / min, longer / max)` in
    /// single precision, sides cut off below their points. It scales without widening the filter; here it widens.
    Fit {
        /// What the shorter side becomes, unless the other would become too long.
        shorter: u32,
        /// What the longer side may become.
        longer: u32,
        /// The canvas's sides are multiples of this.
        divisor: u32,
    },
}

/// What becomes of an image's geometry: `source` is scaled to `scaled`, of which `size` pixels are taken from column
/// `window[0]` and row `window[1]` on.
pub(super) struct Placed {
    pub(super) source: Rectangle,
    pub(super) scaled: Size,
    pub(super) window: [i32; 2],
    pub(super) size: Size,
}

impl Geometry {
    /// The size of all results, where they have one.
    pub const fn size(&self) -> Option<Size> {
        match *self {
            Geometry::RandomResizedCrop { height, width, .. }
            | Geometry::ResizeCentreCrop { height, width, .. }
            | Geometry::Resize { height, width }
            | Geometry::PaddedCrop { height, width, .. } => Some(Size { width, height }),
            Geometry::Fit { .. } => None,
        }
    }

    pub(super) fn fault(&self) -> Option<String> {
        let ordered = |[low, high]: [f64; 2]| low > 0.0 && low <= high && high.is_finite();
        let (sides, name) = match *self {
            Geometry::RandomResizedCrop { height, width, .. }
            | Geometry::ResizeCentreCrop { height, width, .. }
            | Geometry::Resize { height, width }
            | Geometry::PaddedCrop { height, width, .. } => ([height, width], "height and width"),
            Geometry::Fit { shorter, longer, .. } => ([shorter, longer], "shorter and longer sides"),
        };
        // Twice the padding is added to a side, and all of it must stay below 2^31.
        if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return Some(format!("{name} {sides:?} must be between 1 and {MAX_SIDE}"));
        }
        match *self {
            Geometry::RandomResizedCrop { scale, ratio, .. } if !ordered(scale) || !ordered(ratio) => {
                Some(format!("scale {scale:?} and ratio {ratio:?} must be positive and in order"))
            }
            Geometry::ResizeCentreCrop { resize, height, width } if height.max(width) > resize => {
                Some(format!("{height} x {width} pixels cannot be cut out of {resize}"))
            }
            Geometry::ResizeCentreCrop { resize, .. } if resize > MAX_SIDE => {
                Some(format!("the shorter side {resize} must be at most {MAX_SIDE}"))
            }
            Geometry::PaddedCrop { padding, .. } if padding > MAX_SIDE => {
                Some(format!("the padding {padding} must be at most {MAX_SIDE}"))
            }
            Geometry::Fit { shorter, longer, .. } if shorter > longer => {
                Some(format!("the shorter side {shorter} must not be longer than the longer side {longer}"))
            }
            Geometry::Fit { divisor, .. } if !(1..=MAX_SIDE).contains(&divisor) => {
                Some(format!("the divisor {divisor} must be between 1 and {MAX_SIDE}"))
            }
            _ => None,
        }
    }

    /// What becomes of an image that is looked at as `image` pixels.
    pub(super) fn place(&self, image: Size, seed: u64, epoch: u64, sample: u64) -> Placed {
        let mut random = Random::new(seed, Use::Crop, epoch, sample);
        let whole = Rectangle { left: 0, top: 0, width: image.width, height: image.height };
        match *self {
            Geometry::RandomResizedCrop { height, width, scale, ratio } => {
                let size = Size { width, height };
                let source = random_part(image, scale, ratio, &mut random);
                Placed { source, scaled: size, window: [0, 0], size }
            }
            Geometry::ResizeCentreCrop { resize, height, width } => {
                let shorter = u64::from(image.width.min(image.height).max(1));
                let scaled = [image.width, image.height]
                    .map(|side| u64::from(side) * u64::from(resize) / shorter)
                    .map(|side| side.min(i32::MAX as u64) as u32);
                let middle = |scaled: u32, side: u32| {
                    (f64::from(scaled.saturating_sub(side)) / 2.0).round_ties_even() as i32
                };
                let window = [middle(scaled[0], width), middle(scaled[1], height)];
                let scaled = Size { width: scaled[0], height: scaled[1] };
                Placed { source: whole, scaled, window, size: Size { width, height } }
            }
            Geometry::Resize { height, width } => {
                let size = Size { width, height };
                Placed { source: whole, scaled: size, window: [0, 0], size }
            }
            Geometry::PaddedCrop { height, width, padding, .. } => {
                let mut begin = |image: u32, side: u32| {
                    let slack = (image as usize + 2 * padding as usize).saturating_sub(side as usize);
                    (random.below(slack + 1) as i64 - i64::from(padding)) as i32
                };
                let top = begin(image.height, height);
                let left = begin(image.width, width);
                Placed { source: whole, scaled: image, window: [left, top], size: Size { width, height } }
            }
            Geometry::Fit { shorter, longer, .. } => {
                let least = image.width.min(image.height).max(1) as f32;
                let most = image.width.max(image.height).max(1) as f32;
                let scale = (shorter as f32 / least).min(longer as f32 / most);
                // Rounded to single precision before it is cut off, or 480 rows would become 799.
                let [width, height] =
                    [image.width, image.height].map(|side| ((side as f32 * scale) as u32).clamp(1, MAX_SIDE));
                let size = Size { width, height };
                Placed { source: whole, scaled: size, window: [0, 0], size }
            }
        }
    }

    /// The square of cutout in a result of `size`, if there is one.
    pub(super) fn cutout(&self, size: Size, seed: u64, epoch: u64, sample: u64) -> Option<Rectangle> {
        let Geometry::PaddedCrop { cutout, .. } = *self else { return None };
        if cutout == 0 {
            return None;
        }
        let mut random = Random::new(seed, Use::Cutout, epoch, sample);
        let mut span = |side: u32| {
            let centre = random.below(side as usize) as u64;
            let end = centre + u64::from(cutout) / 2 + 1;
            let start = end.saturating_sub(u64::from(cutout));
            (start as u32, (end.min(u64::from(side)) - start) as u32)
        };
        let ((top, height), (left, width)) = (span(size.height), span(size.width));
        Some(Rectangle { left, top, width, height })
    }
}

/// Longer sides of results are refused: places in a batch are counted in 32 bits.
const MAX_SIDE: u32 = 1 << 16;

fn random_part(image: Size, scale: [f64; 2], ratio: [f64; 2], random: &mut Random) -> Rectangle {
    let (width, height) = (f64::from(image.width), f64::from(image.height));
    for _ in 0..10 {
        let area = width * height * random.between(scale[0], scale[1]);
        let ratio = random.between(ratio[0].ln(), ratio[1].ln()).exp();
        let [w, h] = [area * ratio, area / ratio].map(|square| square.sqrt().round_ties_even() as u32);
        if (1..=image.width).contains(&w) && (1..=image.height).contains(&h) {
            let top = random.below((image.height - h) as usize + 1) as u32;
            let left = random.below((image.width - w) as usize + 1) as u32;
            return Rectangle { left, top, width: w, height: h };
        }
    }
    let own = width / height;
    let [w, h] = if own < ratio[0] {
        [width, width / ratio[0]]
    } else if own > ratio[1] {
        [height * ratio[1], height]
    } else {
        [width, height]
    };
    let w = (w.round_ties_even() as u32).clamp(1, image.width.max(1));
    let h = (h.round_ties_even() as u32).clamp(1, image.height.max(1));
    let middle = |image: u32, side: u32| image.saturating_sub(side) / 2;
    Rectangle { left: middle(image.width, w), top: middle(image.height, h), width: w, height: h }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    #[test]
    fn random_parts_lie_in_the_image_and_have_their_areas_and_ratios() {
        let geometry = Geometry::RandomResizedCrop {
            height: 24,
            width: 32,
            scale: [0.08, 1.0],
            ratio: [0.75, 4.0 / 3.0],
        };
        let (mut least, mut largest) = (1.0f64, 0.0f64);
        for sample in 0..2000 {
            let Placed { source, scaled, window, size } = geometry.place(size(120, 80), 3, 1, sample);
            assert_eq!((scaled, window, size), (Size { width: 32, height: 24 }, [0, 0], scaled));
            assert!(source.left + source.width <= 120 && source.top + source.height <= 80);
            let area = f64::from(source.width * source.height) / 9600.0;
            let ratio = f64::from(source.width) / f64::from(source.height);
            assert!((0.07..=1.0).contains(&area) && (0.70..=1.43).contains(&ratio), "{source:?}");
            (least, largest) = (least.min(area), largest.max(area));
        }
        assert!(least < 0.1 && largest > 0.8, "{least}, {largest}");
        // No part of this one has the ratio and half of the area: the middle is taken.
        let strip =
            Geometry::RandomResizedCrop { height: 8, width: 8, scale: [0.5, 1.0], ratio: [0.75, 4.0 / 3.0] };
        let source = strip.place(size(200, 4), 3, 1, 0).source;
        assert_eq!(source, Rectangle { left: 97, top: 0, width: 5, height: 4 });
    }

    #[test]
    fn the_middle_is_where_torchvision_cuts() {
        let geometry = Geometry::ResizeCentreCrop { resize: 256, height: 224, width: 224 };
        let placed = geometry.place(size(500, 375), 0, 0, 0);
        // 500 * 256 / 375 is 341.33; (341 - 224) / 2 is 58.5, which is rounded to even.
        assert_eq!((placed.scaled, placed.window), (size(341, 256), [58, 16]));
        let extreme = geometry.place(size(1, u32::MAX), 0, 0, 0);
        assert_eq!(extreme.scaled, size(256, i32::MAX as u32));
    }

    /// Sizes that torchvision's `GeneralizedRCNNTransform(800, 1333)` gives.
    #[test]
    fn fitted_images_have_the_sizes_of_torchvision() {
        let geometry = Geometry::Fit { shorter: 800, longer: 1333, divisor: 32 };
        for (image, expected) in [
            (size(640, 480), size(1066, 800)),
            (size(640, 427), size(1199, 800)),
            (size(640, 426), size(1201, 800)),
            (size(640, 360), size(1333, 749)),
            (size(3000, 1000), size(1333, 444)),
            (size(900, 1000), size(800, 888)),
            (size(20_000, 1), size(1333, 1)),
        ] {
            assert_eq!(geometry.place(image, 0, 0, 0).size, expected, "{image:?}");
        }
    }

    #[test]
    fn padded_crops_reach_every_shift() {
        let geometry = Geometry::PaddedCrop { height: 8, width: 8, padding: 2, cutout: 0 };
        let mut seen = std::collections::HashSet::new();
        for sample in 0..400 {
            let placed = geometry.place(size(8, 9), 7, 0, sample);
            assert!((-2..=2).contains(&placed.window[0]) && (-2..=3).contains(&placed.window[1]));
            seen.insert(placed.window);
        }
        assert_eq!(seen.len(), 30);
        let small = Geometry::PaddedCrop { height: 16, width: 16, padding: 2, cutout: 0 };
        assert_eq!(small.place(size(8, 20), 7, 0, 0).window[0], -2);
    }

    #[test]
    fn cutout_is_a_square_that_the_border_may_cut() {
        let geometry = Geometry::PaddedCrop { height: 16, width: 16, padding: 0, cutout: 5 };
        let areas: Vec<u32> = (0..200)
            .map(|sample| {
                let square = geometry.cutout(size(16, 16), 7, 0, sample).unwrap();
                assert!(square.left + square.width <= 16 && square.top + square.height <= 16);
                square.width * square.height
            })
            .collect();
        assert!(areas.iter().all(|area| (9..=25).contains(area)), "{areas:?}");
        assert!(areas.contains(&25) && areas.contains(&9));
    }
}
