//! From images of any size to images of one size, with or without chance.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::folder::Rgb;
use crate::random::Random;

/// How images become `size` x `size` pixels. Where pixels are scaled, they are scaled as Pillow and torchvision do it:
/// linearly, with a filter that widens when the image shrinks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transform {
    /// A random part of the image, scaled; ImageNet's augmentation (Szegedy et al., "Going Deeper with Convolutions",
    /// 2014), by torchvision's rule: ten attempts to find a part that fits, then the middle.
    RandomResizedCrop {
        /// Rows and columns of the result.
        size: usize,
        /// The least and the largest share of the image's area.
        scale: [f64; 2],
        /// The least and the largest width over height; the logarithm is drawn evenly.
        ratio: [f64; 2],
        /// Mirror every other image.
        flip: bool,
    },
    /// A random part of the image after black borders are added to it; CIFAR's augmentation (He et al., 2015).
    PaddedCrop {
        /// Rows and columns of the result.
        size: usize,
        /// Rows and columns of black on each side.
        padding: usize,
        /// Mirror every other image.
        flip: bool,
        /// Rows and columns of a square that is blackened, with its centre anywhere (DeVries and Taylor, "Improved
        /// Regularization of Convolutional Neural Networks with Cutout", 2017); 0 for none.
        cutout: usize,
    },
    /// The middle of the image, scaled so that its shorter side has `resize` pixels; for evaluation.
    CentreCrop {
        /// The shorter side after scaling.
        resize: usize,
        /// Rows and columns of the result, at most `resize`.
        size: usize,
    },
}

impl Transform {
    /// What networks for ImageNet are trained on: between 8 and 100 % of the image, mirrored or not.
    pub const fn imagenet_training(size: usize) -> Transform {
        Transform::RandomResizedCrop { size, scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0], flip: true }
    }

    /// What networks for ImageNet are evaluated on: the middle of an image whose shorter side is 8/7 of `size`, as 256
    /// is of 224.
    pub const fn imagenet_evaluation(size: usize) -> Transform {
        Transform::CentreCrop { resize: size * 8 / 7, size }
    }

    /// What networks for CIFAR are trained on: shifted by up to an eighth of the size, mirrored or not.
    pub const fn cifar_training(size: usize) -> Transform {
        Transform::PaddedCrop { size, padding: size / 8, flip: true, cutout: 0 }
    }

    /// What networks for CIFAR are evaluated on: the images as they are, scaled where they are of another size.
    pub const fn cifar_evaluation(size: usize) -> Transform {
        Transform::CentreCrop { resize: size, size }
    }

    /// Rows and columns of the result.
    pub const fn size(&self) -> usize {
        match *self {
            Transform::RandomResizedCrop { size, .. }
            | Transform::PaddedCrop { size, .. }
            | Transform::CentreCrop { size, .. } => size,
        }
    }

    /// Why the settings make no sense, if they do not.
    pub(super) fn fault(&self) -> Option<String> {
        let ordered = |[low, high]: [f64; 2]| low > 0.0 && low <= high && high.is_finite();
        match *self {
            _ if self.size() == 0 => Some("the size of images must be at least 1".into()),
            Transform::RandomResizedCrop { scale, ratio, .. } if !ordered(scale) || !ordered(ratio) => {
                Some(format!("scale {scale:?} and ratio {ratio:?} must be positive and in order"))
            }
            Transform::CentreCrop { resize, size } if size > resize => {
                Some(format!("{size} pixels cannot be cut out of {resize}"))
            }
            _ => None,
        }
    }
}

/// Transforms images; keeps the memory that scaling works in.
pub(super) struct Transformer {
    transform: Transform,
    resizer: Resizer,
}

impl Transformer {
    pub(super) fn new(transform: Transform) -> Transformer {
        Transformer { transform, resizer: Resizer::new() }
    }

    /// Appends the transformed image to `output`, or says why it cannot be made.
    pub(super) fn apply(
        &mut self,
        image: &Rgb,
        random: &mut Random,
        output: &mut Vec<u8>,
    ) -> Result<(), String> {
        if image.width == 0 || image.height == 0 {
            return Err("it has no pixels".into());
        }
        let start = output.len();
        let size = self.transform.size();
        let flip = match self.transform {
            Transform::RandomResizedCrop { scale, ratio, flip, .. } => {
                let part = random_part(image, scale, ratio, random);
                self.resize(image, part, [size; 2], output)?;
                flip
            }
            Transform::PaddedCrop { padding, flip, .. } => {
                padded_crop(image, size, padding, random, output)?;
                flip
            }
            Transform::CentreCrop { resize, .. } => {
                self.centre_crop(image, resize, size, output)?;
                false
            }
        };
        let pixels = &mut output[start..];
        if flip && random.coin() {
            mirror(pixels, size);
        }
        if let Transform::PaddedCrop { cutout, .. } = self.transform
            && cutout > 0
        {
            blacken_square(pixels, size, cutout, random);
        }
        Ok(())
    }

    /// Scales the middle and cuts; torchvision's rule for the other side and for the place of the cut.
    fn centre_crop(
        &mut self,
        image: &Rgb,
        resize: usize,
        size: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), String> {
        let shorter = image.width.min(image.height);
        let [width, height] = [image.width, image.height].map(|side| side * resize / shorter);
        let mut scaled = Vec::new();
        let whole = Part { left: 0, top: 0, width: image.width, height: image.height };
        let pixels = if [width, height] == [image.width, image.height] {
            &image.pixels
        } else {
            self.resize(image, whole, [width, height], &mut scaled)?;
            &scaled
        };
        let [left, top] = [width, height].map(|side| ((side - size) as f64 / 2.0).round_ties_even() as usize);
        for row in top..top + size {
            let start = (row * width + left) * 3;
            output.extend_from_slice(&pixels[start..start + size * 3]);
        }
        Ok(())
    }

    fn resize(
        &mut self,
        image: &Rgb,
        part: Part,
        [width, height]: [usize; 2],
        output: &mut Vec<u8>,
    ) -> Result<(), String> {
        let start = output.len();
        output.resize(start + width * height * 3, 0);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
            part.left as f64,
            part.top as f64,
            part.width as f64,
            part.height as f64,
        );
        let source = ImageRef::new(image.width as u32, image.height as u32, &image.pixels, PixelType::U8x3)
            .map_err(|error| error.to_string())?;
        let mut target =
            Image::from_slice_u8(width as u32, height as u32, &mut output[start..], PixelType::U8x3)
                .map_err(|error| error.to_string())?;
        self.resizer.resize(&source, &mut target, &options).map_err(|error| error.to_string())
    }
}

/// A rectangle of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

fn random_part(image: &Rgb, scale: [f64; 2], ratio: [f64; 2], random: &mut Random) -> Part {
    let (width, height) = (image.width as f64, image.height as f64);
    for _ in 0..10 {
        let area = width * height * random.between(scale[0], scale[1]);
        let ratio = random.between(ratio[0].ln(), ratio[1].ln()).exp();
        let part = [(area * ratio).sqrt(), (area / ratio).sqrt()].map(|side| side.round_ties_even() as usize);
        if part[0] > 0 && part[0] <= image.width && part[1] > 0 && part[1] <= image.height {
            return Part {
                top: random.below(image.height - part[1] + 1),
                left: random.below(image.width - part[0] + 1),
                width: part[0],
                height: part[1],
            };
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
    let w = (w.round_ties_even() as usize).clamp(1, image.width);
    let h = (h.round_ties_even() as usize).clamp(1, image.height);
    Part { left: (image.width - w) / 2, top: (image.height - h) / 2, width: w, height: h }
}

fn padded_crop(
    image: &Rgb,
    size: usize,
    padding: usize,
    random: &mut Random,
    output: &mut Vec<u8>,
) -> Result<(), String> {
    let slack = |side: usize| (side + 2 * padding).checked_sub(size);
    let (Some(down), Some(across)) = (slack(image.height), slack(image.width)) else {
        return Err(format!(
            "it has {} x {} pixels, and {size} x {size} cannot be cut out of it with {padding} around it",
            image.width, image.height
        ));
    };
    // Where the result begins, in the image with its borders.
    let (top, left) = (random.below(down + 1), random.below(across + 1));
    // The columns that result and image have in common, counted from the left border.
    let common = left.max(padding)..(left + size).min(padding + image.width);
    for row in top..top + size {
        let start = output.len();
        output.resize(start + size * 3, 0);
        let Some(row) = row.checked_sub(padding).filter(|&row| row < image.height) else { continue };
        if common.is_empty() {
            continue;
        }
        let from = (row * image.width + common.start - padding) * 3;
        let (to, bytes) = (start + (common.start - left) * 3, common.len() * 3);
        output[to..to + bytes].copy_from_slice(&image.pixels[from..from + bytes]);
    }
    Ok(())
}

/// Mirrors each row.
fn mirror(pixels: &mut [u8], size: usize) {
    for row in pixels.chunks_exact_mut(size * 3) {
        for column in 0..size / 2 {
            let other = size - 1 - column;
            for channel in 0..3 {
                row.swap(column * 3 + channel, other * 3 + channel);
            }
        }
    }
}

fn blacken_square(pixels: &mut [u8], size: usize, square: usize, random: &mut Random) {
    let (row, column) = (random.below(size), random.below(size));
    let span = |centre: usize| {
        let start = (centre + square / 2 + 1).saturating_sub(square);
        (start, (centre + square / 2 + 1).min(size))
    };
    let ((top, bottom), (left, right)) = (span(row), span(column));
    for row in top..bottom {
        pixels[(row * size + left) * 3..(row * size + right) * 3].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Use;

    /// Each pixel tells its place: red the column, green the row.
    fn places(width: usize, height: usize) -> Rgb {
        let pixel = |i: usize| [(i % width) as u8 + 1, (i / width) as u8 + 1, 200];
        Rgb { width, height, pixels: (0..width * height).flat_map(pixel).collect() }
    }

    fn apply(transform: Transform, image: &Rgb, index: usize) -> Vec<u8> {
        let mut output = Vec::new();
        let mut random = Random::new(7, Use::Augmentation, 0, index);
        Transformer::new(transform).apply(image, &mut random, &mut output).unwrap();
        assert_eq!(output.len(), transform.size().pow(2) * 3);
        output
    }

    #[test]
    fn the_middle_of_an_image_of_the_right_size_is_cut_out_unscaled() {
        let image = places(9, 6);
        let middle = apply(Transform::CentreCrop { resize: 6, size: 4 }, &image, 0);
        // (9 - 4) / 2 rounds to 2, (6 - 4) / 2 is 1.
        let expected: Vec<u8> = (0..16).flat_map(|i| [(i % 4) as u8 + 3, (i / 4) as u8 + 2, 200]).collect();
        assert_eq!(middle, expected);
        assert_eq!(apply(Transform::cifar_evaluation(6), &places(6, 6), 0), places(6, 6).pixels);
    }

    #[test]
    fn scaling_down_averages() {
        // Columns of 0 and 200 in turns: half the size is 100 everywhere but at the border, whose filter is cut off.
        let image =
            Rgb { width: 16, height: 16, pixels: (0..256).flat_map(|i| [(i % 2) as u8 * 200; 3]).collect() };
        let half = apply(Transform::CentreCrop { resize: 8, size: 6 }, &image, 0);
        assert!(half.iter().all(|&value| value.abs_diff(100) <= 1), "{half:?}");
    }

    #[test]
    fn a_padded_crop_is_a_shift_with_black_borders() {
        let image = places(8, 8);
        let transform = Transform::PaddedCrop { size: 8, padding: 2, flip: true, cutout: 0 };
        let mut seen = std::collections::HashSet::new();
        for index in 0..400 {
            let mut crop = apply(transform, &image, index);
            let at = |crop: &[u8], row: usize, column: usize| -> [u8; 2] {
                let start = (row * 8 + column) * 3;
                [crop[start], crop[start + 1]]
            };
            // The four pixels in the middle lie in the image whatever the shift.
            let flipped = at(&crop, 3, 3)[0] > at(&crop, 3, 4)[0];
            if flipped {
                mirror(&mut crop, 8);
            }
            let [x, y] = at(&crop, 3, 3).map(i32::from);
            let (right, down) = (x - 4, y - 4);
            assert!(right.abs() <= 2 && down.abs() <= 2);
            for row in 0..8 {
                for column in 0..8 {
                    let (x, y) = (column as i32 + right, row as i32 + down);
                    let inside = (0..8).contains(&x) && (0..8).contains(&y);
                    let expected = if inside { [x as u8 + 1, y as u8 + 1] } else { [0, 0] };
                    assert_eq!(at(&crop, row, column), expected, "{right} right, {down} down");
                }
            }
            seen.insert((right, down, flipped));
        }
        assert_eq!(seen.len(), 50);
    }

    #[test]
    fn a_padded_crop_larger_than_the_image_is_refused() {
        let transform = Transform::PaddedCrop { size: 16, padding: 2, flip: false, cutout: 0 };
        let mut random = Random::new(7, Use::Augmentation, 0, 0);
        let fault = Transformer::new(transform).apply(&places(8, 20), &mut random, &mut Vec::new());
        assert!(fault.unwrap_err().contains("8 x 20"));
        let narrow = Transform::PaddedCrop { size: 3, padding: 6, flip: false, cutout: 0 };
        (0..200).for_each(|index| drop(apply(narrow, &places(1, 2), index)));
    }

    #[test]
    fn cutout_blackens_one_square() {
        let white = Rgb { width: 16, height: 16, pixels: vec![255; 16 * 16 * 3] };
        let transform = Transform::PaddedCrop { size: 16, padding: 0, flip: false, cutout: 5 };
        let black = |index| apply(transform, &white, index).iter().filter(|&&value| value == 0).count() / 3;
        let areas: Vec<usize> = (0..200).map(black).collect();
        // At the border less than half of the square may remain, in each direction.
        assert!(areas.iter().all(|&area| (9..=25).contains(&area)), "{areas:?}");
        assert!(areas.contains(&25) && areas.contains(&9));
    }

    #[test]
    fn random_parts_lie_in_the_image_and_have_their_areas_and_ratios() {
        let image = places(120, 80);
        let (mut least, mut largest) = (1.0f64, 0.0f64);
        for index in 0..2000 {
            let mut random = Random::new(3, Use::Augmentation, 1, index);
            let part = random_part(&image, [0.08, 1.0], [0.75, 4.0 / 3.0], &mut random);
            assert!(part.left + part.width <= 120 && part.top + part.height <= 80);
            let area = (part.width * part.height) as f64 / 9600.0;
            let ratio = part.width as f64 / part.height as f64;
            assert!((0.07..=1.0).contains(&area), "{part:?}");
            assert!((0.70..=1.43).contains(&ratio), "{part:?}");
            (least, largest) = (least.min(area), largest.max(area));
        }
        assert!(least < 0.1 && largest > 0.8, "{least}, {largest}");
        // No part of this one has the ratio and an eighth of the area: the middle is taken.
        let strip = places(200, 4);
        let mut random = Random::new(3, Use::Augmentation, 1, 0);
        let part = random_part(&strip, [0.5, 1.0], [0.75, 4.0 / 3.0], &mut random);
        assert_eq!(part, Part { left: 97, top: 0, width: 5, height: 4 });
    }
}
