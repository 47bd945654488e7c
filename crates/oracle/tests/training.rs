//! Whole programs, from modules to optimizers, trained by the oracle.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli_core::nn::{
    BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Dropout, Linear, Module, Params, Seed,
};
use ocelli_core::optim::{AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig};
use ocelli_core::{CrossEntropyConfig, Device, Precision, Result, Tensor};
use ocelli_oracle::{Oracle, Random, Rounding};

const BATCH: usize = 16;

struct Net {
    conv1: Conv2d,
    norm: BatchNorm2d,
    conv2: Conv2d,
    dropout: Dropout,
    head: Linear,
}

impl Net {
    fn new(p: &Params) -> Result<Net> {
        let same = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        Ok(Net {
            conv1: Conv2d::new(p / "conv1", 1, 6, Conv2dConfig { bias: false, ..same })?,
            norm: BatchNorm2d::new(p / "norm", 6, BatchNormConfig::default())?,
            conv2: Conv2d::new(p / "conv2", 6, 8, same)?,
            dropout: Dropout::new(p, 0.1),
            head: Linear::new(p / "head", 32, 4)?,
        })
    }
}

impl Module for Net {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.norm.forward(&self.conv1.forward(x)?)?.relu()?.max_pool2d(2)?;
        let x = self.conv2.forward(&x)?.relu()?.max_pool2d(2)?;
        self.head.forward(&self.dropout.forward(&x.flatten()?)?)
    }
}

/// Noise, 8 x 8, with a bright square in one of four corners: which one?
fn batch(device: &Device, random: &mut Random) -> (Tensor, Tensor) {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..BATCH {
        let label = random.below(4);
        let (top, left) = (label / 2 * 4 + random.below(2), label % 2 * 4 + random.below(2));
        let bright = |i: usize| (top..top + 3).contains(&(i / 8)) && (left..left + 3).contains(&(i % 8));
        images.extend((0..64).map(|i| 0.2 * random.signed() as f32 + if bright(i) { 1.0 } else { 0.0 }));
        labels.push(label as i32);
    }
    let images = Tensor::from_slice(device, &images, &[BATCH, 8, 8, 1]).unwrap();
    (images, Tensor::from_slice(device, &labels, &[BATCH]).unwrap())
}

/// Trains, and returns the mean loss of the last steps and the accuracy in evaluation.
fn train(device: &Device, steps: usize, optimizer: impl Fn(&Params) -> Box<dyn Optimizer>) -> (f32, f32) {
    let params = Params::new(device, Seed(3));
    let net = Net::new(&params).unwrap();
    let mut optimizer = optimizer(&params);
    let mut random = Random::new(11);
    let mut losses = Vec::new();
    for _ in 0..steps {
        let (images, labels) = batch(device, &mut random);
        let loss =
            net.forward(&images).unwrap().cross_entropy(&labels, CrossEntropyConfig::default()).unwrap();
        optimizer.minimize(&loss).unwrap();
        losses.push(loss.value().unwrap());
    }
    assert!(losses[0] > 1.0, "{losses:?}");
    params.eval();
    let (images, labels) = batch(device, &mut random);
    let right = net.forward(&images).unwrap().in_top_k(&labels, 1).unwrap().mean().unwrap();
    (losses[steps - 5..].iter().sum::<f32>() / 5.0, right.value().unwrap())
}

fn sgd(params: &Params) -> Box<dyn Optimizer> {
    Box::new(Sgd::new(params, SgdConfig { lr: 0.1, momentum: 0.9, ..SgdConfig::default() }))
}

#[test]
fn a_small_network_learns_with_sgd() {
    let (loss, accuracy) = train(&ocelli_oracle::device(), 40, sgd);
    assert!(loss < 0.1 && accuracy == 1.0, "loss {loss}, accuracy {accuracy}");
}

#[test]
fn a_small_network_learns_with_adamw() {
    let adamw = |params: &Params| {
        Box::new(AdamW::new(params, AdamWConfig { lr: 0.02, ..AdamWConfig::default() })) as Box<dyn Optimizer>
    };
    let (loss, accuracy) = train(&ocelli_oracle::device(), 40, adamw);
    assert!(loss < 0.1 && accuracy == 1.0, "loss {loss}, accuracy {accuracy}");
}

#[test]
fn a_small_network_learns_in_16_bits() {
    for precision in [Precision::mixed_f16(), Precision::mixed_bf16()] {
        let device = Device::with_executor(Box::new(Oracle { rounding: Rounding::Stored }));
        device.set_precision(precision);
        let (loss, accuracy) = train(&device, 40, sgd);
        assert!(loss < 0.15 && accuracy == 1.0, "{precision:?}: loss {loss}, accuracy {accuracy}");
    }
}

/// One step in 16 bits is the step in `f32` but for the rounding of 16 bits: 11 bits of significand, or 8.
#[test]
fn sixteen_bits_stay_near_f32() {
    let step = |precision: Precision, rounding: Rounding| {
        let device = Device::with_executor(Box::new(Oracle { rounding }));
        device.set_precision(precision);
        let params = Params::new(&device, Seed(3));
        let net = Net::new(&params).unwrap();
        let (images, labels) = batch(&device, &mut Random::new(5));
        let loss =
            net.forward(&images).unwrap().cross_entropy(&labels, CrossEntropyConfig::default()).unwrap();
        Sgd::new(&params, SgdConfig { lr: 1.0, ..SgdConfig::default() }).minimize(&loss).unwrap();
        let weights: Vec<f32> =
            params.all().iter().flat_map(|state| state.to_vec::<f32>().unwrap()).collect();
        (loss.value().unwrap(), weights)
    };
    let (exact, weights) = step(Precision::F32, Rounding::None);
    // A pixel that wins its window by little may lose it, so single gradients may jump: their sum of squares counts.
    for (precision, tolerance) in
        [(Precision::F32, 1e-6), (Precision::mixed_f16(), 5e-3), (Precision::mixed_bf16(), 4e-2)]
    {
        let (loss, rounded) = step(precision, Rounding::Stored);
        let distance = rounded.iter().zip(&weights).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        let length = weights.iter().map(|a| a.powi(2)).sum::<f32>().sqrt();
        println!("{precision:?}: loss {loss}, not {exact}; weights {} away", distance / length);
        assert!((loss - exact).abs() < tolerance, "{precision:?}: loss {loss}, not {exact}");
        assert!(distance < tolerance * length, "{precision:?}: weights {} away", distance / length);
        assert!(precision == Precision::F32 || loss != exact, "{precision:?}: nothing was rounded");
    }
}

/// A layer used twice moves its running statistics twice in one step, the second time from where the first left them.
#[test]
fn running_statistics_move_twice() {
    let device = ocelli_oracle::device();
    let params = Params::new(&device, Seed(1));
    let norm = BatchNorm2d::new(
        &params / "norm",
        1,
        BatchNormConfig { momentum: 0.25, ..BatchNormConfig::default() },
    );
    let norm = norm.unwrap();
    let image = |values: [f32; 4]| Tensor::from_slice(&device, &values, &[1, 2, 2, 1]).unwrap();
    let first = norm.forward(&image([0.0, 4.0, 0.0, 4.0])).unwrap();
    let second = norm.forward(&image([7.0, 9.0, 9.0, 7.0])).unwrap();
    let loss = first.sub(&second).unwrap().pow_scalar(2.0).unwrap().mean().unwrap();
    let mut sgd = Sgd::new(&params, SgdConfig { lr: 0.5, ..SgdConfig::default() });
    sgd.minimize(&loss).unwrap();
    let state = |name: &str| params.get(name).unwrap().to_vec::<f32>().unwrap()[0];
    // Means 2 and 8; unbiased variances 4 * 4/3 and 1 * 4/3.
    let moved = |old: f32, first: f32, second: f32| 0.75 * (0.75 * old + 0.25 * first) + 0.25 * second;
    assert!((state("norm.running_mean") - moved(0.0, 2.0, 8.0)).abs() < 1e-6);
    assert!((state("norm.running_var") - moved(1.0, 16.0 / 3.0, 4.0 / 3.0)).abs() < 1e-6);
}

/// In evaluation the running statistics stay, and the result is theirs.
#[test]
fn evaluation_uses_the_running_statistics() {
    let device = ocelli_oracle::device();
    let params = Params::new(&device, Seed(1));
    let norm =
        BatchNorm2d::new(&params / "norm", 1, BatchNormConfig { eps: 0.0, ..BatchNormConfig::default() })
            .unwrap();
    params.get("norm.running_mean").unwrap().set(&[3f32]).unwrap();
    params.get("norm.running_var").unwrap().set(&[4f32]).unwrap();
    params.eval();
    let x = Tensor::from_slice(&device, &[1f32, 9.0], &[2, 1]).unwrap();
    assert_eq!(norm.forward(&x).unwrap().to_vec::<f32>().unwrap(), [-1.0, 3.0]);
    assert_eq!(params.get("norm.running_mean").unwrap().to_vec::<f32>().unwrap(), [3.0]);
}
