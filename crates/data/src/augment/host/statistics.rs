//! Operations that need numbers about the whole image.

use super::colours::{blend, cut, each, grey};
use crate::images::Rgb;

pub(super) fn contrast(image: &mut Rgb, factor: f32) {
    let pixels = image.pixels.as_chunks().0;
    // Grey values are whole numbers; torch adds them in single precision, which is exact for images of up to 2^16
    // pixels.
    let sum: u64 = pixels.iter().map(|pixel| grey(*pixel) as u64).sum();
    let mean = sum as f32 / pixels.len() as f32;
    each(image, |pixel| pixel.map(|value| blend(value, mean, factor)));
}

pub(super) fn auto_contrast(image: &mut Rgb) {
    let (mut least, mut largest) = ([u8::MAX; 3], [0; 3]);
    for pixel in image.pixels.as_chunks::<3>().0 {
        for channel in 0..3 {
            least[channel] = least[channel].min(pixel[channel]);
            largest[channel] = largest[channel].max(pixel[channel]);
        }
    }
    each(image, |pixel| [0, 1, 2].map(|channel| stretch(pixel[channel], least[channel], largest[channel])));
}

/// From `least..=largest` to `0..=255`; a channel of one value stays.
fn stretch(value: u8, least: u8, largest: u8) -> u8 {
    if least == largest {
        return value;
    }
    let scale = f32::from(largest - least) * (1.0 / 255.0);
    cut(f32::from(value - least) / scale)
}

pub(super) fn equalize(image: &mut Rgb) {
    let tables = [0, 1, 2].map(|channel| {
        let mut counts = [0u64; 256];
        for pixel in image.pixels.as_chunks::<3>().0 {
            counts[usize::from(pixel[channel])] += 1;
        }
        equalizing(&counts)
    });
    each(image, |pixel| [0, 1, 2].map(|channel| tables[channel][usize::from(pixel[channel])]));
}

/// What each value becomes: with `step` the mean number of pixels for each of 255 values, the largest one's not
/// counted, the number of pixels below it over `step`, rounded. Where `step` is zero, values stay.
fn equalizing(counts: &[u64; 256]) -> [u8; 256] {
    let total: u64 = counts.iter().sum();
    let last = counts.iter().rfind(|count| **count > 0).copied().unwrap_or(0);
    let step = (total - last) / 255;
    let mut below = 0;
    std::array::from_fn(|value| {
        if step == 0 {
            return value as u8;
        }
        let result = ((below + step / 2) / step).min(255) as u8;
        below += counts[value];
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Rgb {
        let pixel = |i: usize| [(i / 4) as u8 / 2 + 20, 77, (i % 256) as u8];
        Rgb { width: 32, height: 32, pixels: (0..1024).flat_map(pixel).collect() }
    }

    #[test]
    fn automatic_contrast_stretches_each_channel() {
        let mut image = ramp();
        auto_contrast(&mut image);
        let of = |channel: usize| image.pixels.iter().skip(channel).step_by(3).copied();
        // 127 / (127 / 255) is a little less than 255 in single precision, and is cut off.
        assert_eq!((of(0).min(), of(0).max()), (Some(0), Some(254)));
        assert!(of(1).all(|value| value == 77));
        assert!(of(2).eq((0..1024).map(|i| (i % 256) as u8)));
    }

    #[test]
    fn equalisation_spreads_values_evenly_and_keeps_a_flat_channel() {
        let mut image = ramp();
        equalize(&mut image);
        let mut red: Vec<u8> = image.pixels.iter().step_by(3).copied().collect();
        assert!(red.is_sorted());
        red.dedup();
        // A step of 1016 / 255 pixels is cut off to 3, and the last values crowd at 255.
        assert!(red.windows(2).all(|pair| (2..=3).contains(&(pair[1] - pair[0]))), "{red:?}");
        assert_eq!((red[0], red[red.len() - 1]), (0, 255));
        assert!(image.pixels.iter().skip(1).step_by(3).all(|value| *value == 77));
    }

    #[test]
    fn contrast_keeps_the_mean_and_scales_the_distance_from_it() {
        let mut image = Rgb { width: 2, height: 1, pixels: vec![50, 50, 50, 150, 150, 150] };
        contrast(&mut image, 0.5);
        // Grey values are 49 and 149, since their weights add up to less than 1.
        assert_eq!(image.pixels, [74, 74, 74, 124, 124, 124]);
    }
}
