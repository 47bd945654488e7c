//! Normalisation, erasing and padding.

use std::f32::consts::TAU;

use crate::augment::area::Size;
use crate::augment::drawn::Drawn;
use crate::augment::erasing::Filling;
use crate::augment::output::Output;
use crate::images::Rgb;
use crate::random::philox;

/// The normalised canvas; it is at least as large as the image.
pub(super) fn finish(image: &Rgb, drawn: &Drawn, output: &Output, canvas: Size) -> Vec<f32> {
    let (factor, addend) = output.affine();
    let channels = output.channels as usize;
    let mut values = vec![0.0; canvas.width as usize * canvas.height as usize * channels];
    for (place, pixel) in image.pixels.as_chunks::<3>().0.iter().enumerate() {
        let (x, y) = (place % image.width, place / image.width);
        let erased = drawn.erased.filter(|erased| erased.part.contains(x as u32, y as u32));
        let normalised = match erased.map(|erased| erased.filling) {
            Some(Filling::Constant(value)) => value,
            Some(Filling::Noise(key)) => noise(key, x as u32, y as u32),
            None => [0, 1, 2].map(|c| f32::from(pixel[c]).mul_add(factor[c], addend[c])),
        };
        let start = (y * canvas.width as usize + x) * channels;
        values[start..start + 3].copy_from_slice(&normalised);
    }
    values
}

/// Three normally distributed numbers (Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958).
fn noise(key: [u32; 2], x: u32, y: u32) -> [f32; 3] {
    // The middle of one of 2^24 equal parts of 0 to 1: never 0, whose logarithm there is not.
    let even = |word: u32| ((word >> 8) as f32 + 0.5) * (1.0 / 16_777_216.0);
    let [a, b, c, d] = philox([x, y, 0, 0], key).map(even);
    let radius = |even: f32| (-2.0 * even.ln()).sqrt();
    let (sin, cos) = (TAU * b).sin_cos();
    [radius(a) * cos, radius(a) * sin, radius(c) * (TAU * d).cos()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_mean_0_and_deviation_1_in_every_channel() {
        for channel in 0..3 {
            let values: Vec<f64> =
                (0..40_000).map(|i| f64::from(noise([5, 9], i % 200, i / 200)[channel])).collect();
            let mean = values.iter().sum::<f64>() / 40_000.0;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 40_000.0;
            assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean}, {variance}");
            let beyond = values.iter().filter(|value| value.abs() > 2.0).count() as f64 / 40_000.0;
            assert!((beyond - 0.0455).abs() < 0.005, "{beyond}");
        }
    }
}
