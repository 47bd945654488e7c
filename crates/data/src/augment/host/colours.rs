//! Operations on one pixel at a time. All arithmetic is in single precision and in torchvision's order, its products
//! and sums fused where torch fuses them, since a result is cut off below its point and may differ by one otherwise.

use crate::images::Rgb;

pub(super) fn each(image: &mut Rgb, operation: impl Fn([u8; 3]) -> [u8; 3]) {
    for pixel in image.pixels.as_chunks_mut().0 {
        *pixel = operation(*pixel);
    }
}

/// Clamped, and cut off below the point.
pub(super) fn cut(value: f32) -> u8 {
    value.clamp(0.0, 255.0) as u8
}

/// The grey value, cut off below the point.
pub(super) fn grey([red, green, blue]: [u8; 3]) -> f32 {
    let [red, green, blue] = [red, green, blue].map(f32::from);
    blue.mul_add(0.114, green.mul_add(0.587, red * 0.2989)).floor()
}

/// `factor * value + (1 - factor) * other`.
pub(super) fn blend(value: u8, other: f32, factor: f32) -> u8 {
    let rest = (1.0 - f64::from(factor)) as f32;
    cut(other.mul_add(rest, f32::from(value) * factor))
}

pub(super) fn brightness(pixel: [u8; 3], factor: f32) -> [u8; 3] {
    pixel.map(|value| cut(f32::from(value) * factor))
}

pub(super) fn saturation(pixel: [u8; 3], factor: f32) -> [u8; 3] {
    let grey = grey(pixel);
    pixel.map(|value| blend(value, grey, factor))
}

pub(super) fn posterize(pixel: [u8; 3], bits: u8) -> [u8; 3] {
    let mask = (0xff00u16 >> bits.min(8)) as u8;
    pixel.map(|value| value & mask)
}

pub(super) fn solarize(pixel: [u8; 3], threshold: f32) -> [u8; 3] {
    pixel.map(|value| if f32::from(value) >= threshold { 255 - value } else { value })
}

pub(super) fn hue(pixel: [u8; 3], shift: f32) -> [u8; 3] {
    let [hue, saturation, value] = hue_saturation_value(pixel.map(|value| f32::from(value) * (1.0 / 255.0)));
    let mut hue = (hue + shift) % 1.0;
    if hue < 0.0 {
        hue += 1.0;
    }
    from_hue_saturation_value([hue, saturation, value]).map(|value| cut(value * 255.999))
}

/// Hue, saturation and value, each 0 to 1.
fn hue_saturation_value([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let largest = red.max(green).max(blue);
    let least = red.min(green).min(blue);
    let range = largest - least;
    if range == 0.0 {
        return [0.0, 0.0, largest];
    }
    let [r, g, b] = [red, green, blue].map(|value| (largest - value) / range);
    let sixths = if largest == red {
        b - g
    } else if largest == green {
        r + 2.0 - b
    } else {
        g + 4.0 - r
    };
    [(sixths * (1.0 / 6.0) + 1.0) % 1.0, range / largest, largest]
}

fn from_hue_saturation_value([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let sixths = hue * 6.0;
    let sector = sixths.floor();
    let part = saturation * (sixths - sector);
    let within = |share: f32| (share * value).clamp(0.0, 1.0);
    let (p, q, t) = (within(1.0 - saturation), within(1.0 - part), within(part + (1.0 - saturation)));
    match sector as i32 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hue_that_is_not_shifted_is_kept_and_a_third_of_a_turn_swaps_the_colours() {
        for pixel in [[0, 0, 0], [255, 255, 255], [12, 12, 12], [200, 30, 90], [1, 255, 254], [7, 3, 250]] {
            let same = hue(pixel, 0.0);
            assert!(same.iter().zip(pixel).all(|(a, b)| a.abs_diff(b) <= 1), "{same:?} for {pixel:?}");
            let [red, green, blue] = pixel;
            let turned = hue(pixel, 1.0 / 3.0);
            let expected = [blue, red, green];
            assert!(turned.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 1), "{turned:?} for {pixel:?}");
            let back = hue(pixel, -1.0 / 3.0);
            let expected = [green, blue, red];
            assert!(back.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 1), "{back:?} for {pixel:?}");
        }
    }

    #[test]
    fn posterisation_keeps_the_highest_bits() {
        assert_eq!(posterize([255, 127, 96], 2), [192, 64, 64]);
        assert_eq!(posterize([255, 127, 96], 0), [0; 3]);
        assert_eq!(posterize([255, 127, 96], 8), [255, 127, 96]);
    }
}
