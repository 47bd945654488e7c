//! The filters that scale images.

/// How pixels are scaled. Either filter widens when the image shrinks, so that every source pixel counts, as Pillow and
/// torchvision (`antialias=True`) do it: with `scale` source pixels for each pixel of the result and `width =
/// max(scale, 1)`, result pixel `x` is the mean of the source pixels `i` weighted by `filter((i + 0.5 - (x + 0.5) *
/// scale) / width)`, over those whose weight is not zero and which lie in the source rectangle. The filter runs over
/// the columns, whose result is clamped to `0..=255`, then over the rows; it is rounded to 8 bits once, where Pillow
/// rounds twice.
///
/// Source: Pillow, `src/libImaging/Resample.c`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// A triangle: `1 - |t|` up to 1.
    #[default]
    Bilinear,
    /// Keys' cubic with a = -0.5, up to 2 (Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981).
    Bicubic,
}

impl Interpolation {
    /// Up to where the filter is not zero.
    pub(super) const fn support(self) -> f64 {
        match self {
            Interpolation::Bilinear => 1.0,
            Interpolation::Bicubic => 2.0,
        }
    }

    fn weight(self, at: f64) -> f64 {
        const A: f64 = -0.5;
        let t = at.abs();
        match self {
            Interpolation::Bilinear => (1.0 - t).max(0.0),
            Interpolation::Bicubic if t < 1.0 => ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0,
            Interpolation::Bicubic if t < 2.0 => (((t - 5.0) * t + 8.0) * t - 4.0) * A,
            Interpolation::Bicubic => 0.0,
        }
    }

    /// What pixel `x` of `scaled` is made of, out of `source` pixels: the first one's index, and weights that add up to
    /// 1.
    pub(super) fn taps(self, x: u32, source: u32, scaled: u32) -> (usize, Vec<f64>) {
        let scale = f64::from(source) / f64::from(scaled.max(1));
        let width = scale.max(1.0);
        let centre = (f64::from(x) + 0.5) * scale;
        let reach = self.support() * width;
        let first = (centre - reach + 0.5).max(0.0) as u32;
        let end = ((centre + reach + 0.5).max(0.0) as u32).min(source);
        let mut weights: Vec<f64> =
            (first..end).map(|i| self.weight((f64::from(i) - centre + 0.5) / width)).collect();
        let sum: f64 = weights.iter().sum();
        if sum != 0.0 {
            weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        (first as usize, weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_the_right_size_stays_what_it_is() {
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
            for x in 0..9 {
                let (first, weights) = interpolation.taps(x, 9, 9);
                for (i, weight) in (first..).zip(weights) {
                    assert_eq!(weight, if i == x as usize { 1.0 } else { 0.0 });
                }
            }
        }
    }

    #[test]
    fn weights_add_up_and_their_middle_is_where_the_pixel_lies() {
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
            for (source, scaled) in [(100, 37), (37, 100), (20_000, 224), (5, 1), (1, 5)] {
                for x in 0..scaled {
                    let (first, weights) = interpolation.taps(x, source, scaled);
                    assert!(first + weights.len() <= source as usize);
                    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                    // At the border the filter is cut off, and its middle moves inwards.
                    let scale = f64::from(source) / f64::from(scaled);
                    let centre = (f64::from(x) + 0.5) * scale;
                    let reach = interpolation.support() * scale.max(1.0);
                    if centre - reach > 0.0 && centre + reach < f64::from(source) {
                        let places = (first..).map(|i| i as f64 + 0.5);
                        let mean: f64 = places.zip(&weights).map(|(place, weight)| place * weight).sum();
                        assert!((mean - centre).abs() < 0.03 * scale.max(1.0), "{mean} for {centre}");
                    }
                }
            }
        }
    }
}
