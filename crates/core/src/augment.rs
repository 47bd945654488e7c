//! Mixup and CutMix: pairs of images of a batch become one, on the device, and their labels with them.
//!
//! What is drawn is drawn on the host ([`MixSampler`]) and goes into the plan as numbers, so that no step needs a new plan.
//! The partners' images are read through the permutation by the launch that mixes.

use crate::error::{Error, Origin, Result};
use crate::init::Random;
use crate::loss::CrossEntropyConfig;
use crate::tensor::Tensor;

/// A part of an image in pixels: rows `top..bottom` and columns `left..right`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// The first row.
    pub top: usize,
    /// The first column.
    pub left: usize,
    /// The row after the last.
    pub bottom: usize,
    /// The column after the last.
    pub right: usize,
}

impl Area {
    /// The share of an image of this height and width that lies outside: how much of the label stays.
    pub fn share_outside(&self, height: usize, width: usize) -> f32 {
        let inside = (self.bottom - self.top) * (self.right - self.left);
        (1.0 - inside as f64 / (height * width) as f64) as f32
    }
}

/// Draws what mixup and CutMix need: a stream of its own for each seed and step, the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixSampler {
    seed: u64,
}

impl MixSampler {
    /// Draws by this seed.
    pub fn new(seed: u64) -> MixSampler {
        MixSampler { seed }
    }

    /// The partner of each of `images` images at this step: a permutation, each as likely as any other.
    pub fn permutation(&self, step: u64, images: usize) -> Vec<i32> {
        let mut random = self.random(step, "permutation");
        let mut partners: Vec<i32> = (0..images as i32).collect();
        for last in (1..images).rev() {
            partners.swap(last, random.below(last + 1));
        }
        partners
    }

    /// The share of its own that an image keeps at this step, from the distribution Beta(`alpha`, `alpha`); `alpha` is
    /// positive, and 1 makes all shares alike.
    pub fn lambda(&self, step: u64, alpha: f64) -> f32 {
        let mut random = self.random(step, "lambda");
        // In logarithms, because for small alpha both vanish.
        let (a, b) = (ln_gamma_variate(&mut random, alpha), ln_gamma_variate(&mut random, alpha));
        (1.0 / (1.0 + (b - a).exp())) as f32
    }

    /// The area of CutMix at this step in images of this height and width, by torchvision's rule: around any pixel, of
    /// `1 - lambda` of the image's area where it does not leave the image. The label's share is then
    /// [`Area::share_outside`], not `lambda`.
    pub fn area(&self, step: u64, alpha: f64, height: usize, width: usize) -> Area {
        let lambda = f64::from(self.lambda(step, alpha));
        let mut random = self.random(step, "area");
        let (column, row) = (random.below(width), random.below(height));
        let share = 0.5 * (1.0 - lambda).sqrt();
        let (half_width, half_height) = ((share * width as f64) as usize, (share * height as f64) as usize);
        Area {
            top: row.saturating_sub(half_height),
            left: column.saturating_sub(half_width),
            bottom: (row + half_height).min(height),
            right: (column + half_width).min(width),
        }
    }

    fn random(&self, step: u64, what: &str) -> Random {
        Random::new(self.seed, &format!("{what} of step {step}"))
    }
}

/// The logarithm of a number from the distribution Gamma(`shape`, 1), by the method of Marsaglia and Tsang (2000).
fn ln_gamma_variate(random: &mut Random, shape: f64) -> f64 {
    if shape < 1.0 {
        // Gamma(a) is Gamma(a + 1) times u^(1/a).
        return ln_gamma_variate(random, shape + 1.0) + random.unit().ln() / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = random.standard_normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && random.unit().ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
            return (d * v).ln();
        }
    }
}

impl Tensor {
    /// Mixup (Zhang et al., 2018): `lambda x + (1 - lambda) x[permutation]`, for images (or any rows) `[n, ..]` and
    /// partners `i32[n]`, with `lambda` in `0.0..=1.0`. Integers become `f32`. The loss to go with it is
    /// [`Tensor::cross_entropy_mixed`]; no step needs a new plan for another `lambda`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for another `lambda`, [`Error::ShapeMismatch`] when there is not one partner a row.
    #[track_caller]
    pub fn mixup(&self, permutation: &Tensor, lambda: f32) -> Result<Tensor> {
        let partners = self.partners("mixup", permutation)?;
        mix("mixup", &self.as_float()?, &partners.as_float()?, lambda)
    }

    /// CutMix (Yun et al., 2019): images `[n, h, w, c]` whose pixels inside of `area` are those of their partners,
    /// `permutation: i32[n]`. The loss to go with it is [`Tensor::cross_entropy_mixed`] with [`Area::share_outside`]; no
    /// step needs a new plan for another area.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the area does not lie in the images or they are none; [`Error::ShapeMismatch`] when
    /// there is not one partner an image.
    #[track_caller]
    pub fn cutmix(&self, permutation: &Tensor, area: Area) -> Result<Tensor> {
        let partners = self.partners("cutmix", permutation)?;
        let invalid =
            |what: String| Error::InvalidArgument { operation: "cutmix", what, origin: Origin::caller() };
        let Some((_, height, width, _)) = self.shape().as_nhwc() else {
            return Err(invalid(format!("{} holds no images [n, h, w, c]", self.ty())));
        };
        let Area { top, left, bottom, right } = area;
        if top > bottom || left > right || bottom > height || right > width {
            return Err(invalid(format!("{area:?} does not lie in images of {height} x {width} pixels")));
        }
        let inside = |extent, first, end| -> Vec<f32> {
            (0..extent).map(|at| f32::from(u8::from((first..end).contains(&at)))).collect()
        };
        let device = self.device();
        let rows = Tensor::from_slice(device, &inside(height, top, bottom), &[1, height, 1, 1])?;
        let columns = Tensor::from_slice(device, &inside(width, left, right), &[1, 1, width, 1])?;
        // Products with 0 and 1 are exact; full-size ones make it one launch.
        let part_of = |images: &Tensor| images.mul(&rows)?.mul(&columns);
        let own = self.as_float()?;
        own.sub(&part_of(&own)?)?.add(&part_of(&partners.as_float()?)?)
    }

    /// The cross entropy of logits `[n, c]` of mixed images: `lambda` of that with their own `labels`, `i32[n]`, the rest of
    /// that with their partners', as [`Tensor::cross_entropy`] has it, label smoothing included.
    ///
    /// # Errors
    /// As [`Tensor::cross_entropy`] and [`Tensor::mixup`].
    #[track_caller]
    pub fn cross_entropy_mixed(
        &self,
        labels: &Tensor,
        permutation: &Tensor,
        lambda: f32,
        config: CrossEntropyConfig,
    ) -> Result<Tensor> {
        let partners = labels.partners("cross_entropy_mixed", permutation)?;
        let (own, other) = (self.cross_entropy(labels, config)?, self.cross_entropy(&partners, config)?);
        mix("cross_entropy_mixed", &own, &other, lambda)
    }

    #[track_caller]
    fn partners(&self, operation: &'static str, permutation: &Tensor) -> Result<Tensor> {
        if self.dims().first() != permutation.dims().first() {
            let (left, right, origin) = (self.shape(), permutation.shape(), Origin::caller());
            let rule = "each row has one partner";
            return Err(Error::ShapeMismatch { operation, left, right, rule, origin });
        }
        self.take_rows(permutation)
    }

    #[track_caller]
    fn as_float(&self) -> Result<Tensor> {
        if self.dtype().is_float() { Ok(self.clone()) } else { self.cast(crate::types::DType::F32) }
    }
}

/// `lambda a + (1 - lambda) b`.
#[track_caller]
fn mix(operation: &'static str, a: &Tensor, b: &Tensor, lambda: f32) -> Result<Tensor> {
    if !(0.0..=1.0).contains(&lambda) {
        let what = format!("lambda must be in 0.0..=1.0, got {lambda}");
        return Err(Error::InvalidArgument { operation, what, origin: Origin::caller() });
    }
    let share = |value| Tensor::scalar(a.device(), value);
    a.mul(&share(lambda))?.add(&b.mul(&share(1.0 - lambda))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_the_moments_of_beta() {
        let sampler = MixSampler::new(7);
        for alpha in [0.05, 0.2, 1.0, 4.0] {
            let count = 20_000;
            let drawn: Vec<f64> = (0..count).map(|step| f64::from(sampler.lambda(step, alpha))).collect();
            assert!(drawn.iter().all(|lambda| (0.0..=1.0).contains(lambda)));
            let mean = drawn.iter().sum::<f64>() / count as f64;
            let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count as f64;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 0.01, "alpha {alpha}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.04, "alpha {alpha}: {variance}, not {expected}");
        }
    }

    #[test]
    fn permutations_are_whole_and_even() {
        let sampler = MixSampler::new(3);
        let mut seen = [[0; 4]; 4];
        for step in 0..4000 {
            let drawn = sampler.permutation(step, 4);
            let mut sorted = drawn.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
            drawn.iter().enumerate().for_each(|(at, &partner)| seen[at][partner as usize] += 1);
        }
        assert!(seen.iter().flatten().all(|&count| (880..1120).contains(&count)), "{seen:?}");
        assert_eq!(sampler.permutation(5, 9), sampler.permutation(5, 9));
        assert_ne!(sampler.permutation(5, 9), sampler.permutation(6, 9));
    }

    #[test]
    fn areas_lie_in_the_image_and_leave_its_edges_as_the_rule_says() {
        let sampler = MixSampler::new(1);
        let (mut whole, mut cut) = (0, 0);
        for step in 0..2000 {
            let area = sampler.area(step, 1.0, 12, 20);
            assert!(
                area.top <= area.bottom && area.bottom <= 12 && area.left <= area.right && area.right <= 20
            );
            let lambda = f64::from(sampler.lambda(step, 1.0));
            let half = |extent: f64| (0.5 * (1.0 - lambda).sqrt() * extent) as usize;
            let (height, width) = (area.bottom - area.top, area.right - area.left);
            assert!(height <= 2 * half(12.0) && width <= 2 * half(20.0));
            if (height, width) == (2 * half(12.0), 2 * half(20.0)) { whole += 1 } else { cut += 1 }
        }
        assert!(whole > 200 && cut > 200, "{whole} whole, {cut} cut");
        assert_eq!(Area { top: 1, left: 2, bottom: 4, right: 6 }.share_outside(6, 8), 0.75);
    }
}
