//! Mean and deviation out of exact sums.

use serde::Serialize;

/// The mean and the deviation of pixels, for each of red, green and blue, where black is 0 and white is 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Pixels {
    /// How many images were decoded.
    pub images: u64,
    /// How many pixels they have: each counts once, so that large images count for more.
    pub count: u64,
    /// The mean of each channel, 0 to 1.
    pub mean: [f64; 3],
    /// The standard deviation of each channel, over all pixels of all images together: the square root of the mean square
    /// of the differences from the mean.
    pub deviation: [f64; 3],
}

/// Sums over pixels of 8 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    images: u64,
    pixels: u64,
    sums: [u128; 3],
    squares: [u128; 3],
}

impl Totals {
    /// Of one image: the sums of its values and of their squares.
    pub(super) fn of_image(pixels: u64, sums: [u64; 3], squares: [u64; 3]) -> Totals {
        Totals { images: 1, pixels, sums: sums.map(u128::from), squares: squares.map(u128::from) }
    }

    /// Nothing can overflow: a set would have more pixels than 64 bits can count bytes.
    pub(super) fn add(&mut self, other: &Totals) {
        self.images += other.images;
        self.pixels += other.pixels;
        for channel in 0..3 {
            self.sums[channel] += other.sums[channel];
            self.squares[channel] += other.squares[channel];
        }
    }

    /// Mean and deviation; `None` where there are no pixels.
    pub(super) fn pixels(&self) -> Option<Pixels> {
        if self.pixels == 0 {
            return None;
        }
        let count = self.pixels as f64;
        let mean = self.sums.map(|sum| sum as f64 / count / 255.0);
        let deviation = [0, 1, 2].map(|channel| {
            let (sum, squares) = (self.sums[channel], self.squares[channel]);
            // The difference is taken of integers, where nothing cancels: n * sum(x^2) - sum(x)^2, never negative. With
            // sums below 2^64 each product fits.
            let spread = (u128::from(self.pixels) * squares).saturating_sub(sum * sum);
            (spread as f64).sqrt() / count / 255.0
        });
        Some(Pixels { images: self.images, count: self.pixels, mean, deviation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(pixels: &[[u8; 3]]) -> Totals {
        let sum = |channel: usize, power: u32| {
            pixels.iter().map(|pixel| u64::from(pixel[channel]).pow(power)).sum::<u64>()
        };
        let count = pixels.len() as u64;
        Totals::of_image(
            count,
            [0, 1, 2].map(|channel| sum(channel, 1)),
            [0, 1, 2].map(|channel| sum(channel, 2)),
        )
    }

    #[test]
    fn mean_and_deviation_are_those_of_two_passes_over_all_pixels() {
        let first: Vec<[u8; 3]> = (0..1000u32).map(|i| [i as u8, ((i * i) >> 3) as u8, 7]).collect();
        let second: Vec<[u8; 3]> = (0..37u32).map(|i| [255 - i as u8, 0, 8]).collect();
        let mut both = totals(&first);
        both.add(&totals(&second));
        let found = both.pixels().unwrap();
        assert_eq!((found.images, found.count), (2, 1037));
        for channel in 0..3 {
            let values: Vec<f64> =
                first.iter().chain(&second).map(|pixel| f64::from(pixel[channel]) / 255.0).collect();
            let mean = values.iter().sum::<f64>() / 1037.0;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 1037.0;
            assert!((found.mean[channel] - mean).abs() < 1e-12, "{channel}");
            assert!((found.deviation[channel] - variance.sqrt()).abs() < 1e-12, "{channel}");
        }
    }

    #[test]
    fn a_small_deviation_of_many_pixels_is_not_lost() {
        // 10^15 pixels of 200, and one of 201: a variance of 10^-15, far below what 64-bit floats keep of the squares.
        let count = 1_000_000_000_000_000u64;
        let (sum, squares) = (u128::from(count) * 200 + 201, u128::from(count) * 40_000 + 40_401);
        let found = Totals { images: 1, pixels: count + 1, sums: [sum, 0, 0], squares: [squares, 0, 0] };
        let pixels = found.pixels().unwrap();
        assert!((pixels.deviation[0] * 255.0 / 1e-15f64.sqrt() - 1.0).abs() < 1e-9, "{pixels:?}");
        let white = Totals::of_image(9, [9 * 255; 3], [9 * 255 * 255; 3]).pixels().unwrap();
        assert_eq!((white.mean, white.deviation), ([1.0; 3], [0.0; 3]));
    }

    #[test]
    fn no_pixels_have_no_mean() {
        assert_eq!(Totals::default().pixels(), None);
    }
}
