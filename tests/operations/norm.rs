use ocelli::nn::{BatchNorm2d, BatchNormConfig, Module, Params, Seed};
use ocelli::{Device, Result, Tensor};
use ocelli_oracle::Random;

use crate::harness::{Suite, case, gpu, numbers, poison, positive, seed_of};

const SHAPES: [&[usize]; 8] = [
    &[2, 3, 4, 5],
    &[7, 3],
    &[64, 100],
    &[5, 1, 1, 3],
    &[3, 5, 7, 12],
    &[8, 12, 12, 8],
    &[4, 16, 16, 64],
    &[16, 28, 28, 32],
];

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn batch_norm() {
    let mut suite = Suite::default();
    for shape in SHAPES {
        let c = shape[shape.len() - 1];
        let inputs = [numbers(shape), positive(&[c]).f32(), numbers(&[c]).f32()];
        for (output, name) in
            ["batch_norm", "the mean of batch_norm", "the variance of batch_norm"].iter().enumerate()
        {
            suite.check(case(*name, inputs.clone()), |x| {
                Ok(x[0].batch_norm(&x[1], &x[2], 1e-3)?[output].clone())
            });
        }
        suite.check(case("batch_norm, silu", inputs).roundings(6), |x| {
            x[0].batch_norm(&x[1], &x[2], 1e-3)?[0].silu()
        });
    }
    // The square keeps the gradients of one channel's parameters away from 0.
    let inputs = [numbers(&[2, 9, 7, 1]), positive(&[1]).f32(), numbers(&[1]).f32()];
    suite.check(case("batch_norm of one channel", inputs).roundings(6), |x| {
        x[0].batch_norm(&x[1], &x[2], 1e-3)?[0].pow_scalar(2.0)
    });
    let inputs = [numbers(&[1, 1, 1, 3]), positive(&[3]).f32(), numbers(&[3]).f32()];
    suite.check(case("batch_norm of a single value", inputs), |x| {
        Ok(x[0].batch_norm(&x[1], &x[2], 1e-3)?[0].clone())
    });
}

/// The mean of the squares less the square of the mean would lose three digits here. The gradients are left out: they
/// hang on the last bit of the mean.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn batch_norm_far_from_zero() {
    let mut suite = Suite::default();
    for shape in [[4, 9, 9, 8], [8, 28, 28, 12]] {
        let inputs = [numbers(&shape), positive(&[shape[3]]), numbers(&[shape[3]])];
        suite.check(case("batch_norm far from zero", inputs).only_f32(), |x| {
            let far = x[0].detach()?.add_scalar(30.0)?;
            Ok(far.batch_norm(&x[1].detach()?, &x[2], 1e-5)?[0].clone())
        });
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn batch_norm_with_given_statistics() {
    let mut suite = Suite::default();
    for shape in SHAPES {
        let c = [shape[shape.len() - 1]];
        let affine = [positive(&c).f32(), numbers(&c).f32(), numbers(&c).f32(), positive(&c).f32()];
        let inputs: Vec<_> = [numbers(shape)].into_iter().chain(affine).collect();
        suite.check(case("batch_norm_with", inputs).roundings(4), |x| {
            x[0].batch_norm_with(&x[1], &x[2], &x[3], &x[4], 1e-3)
        });
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn group_norm() {
    let mut suite = Suite::default();
    let shapes = [
        ([2, 3, 2, 6], 3),
        ([1, 4, 3, 4], 1),
        ([3, 2, 2, 5], 5),
        ([2, 5, 5, 9], 3),
        ([2, 9, 7, 64], 32),
        ([2, 16, 16, 32], 8),
        ([3, 33, 31, 12], 2),
    ];
    for (shape, groups) in shapes {
        let c = [shape[3]];
        let inputs = [numbers(&shape), positive(&c).f32(), numbers(&c).f32()];
        let case = case(format!("group_norm of {groups} groups"), inputs);
        suite.check(case, |x| x[0].group_norm(groups, &x[1], &x[2], 1e-3));
    }
    let inputs = [numbers(&[2, 5, 3, 1]), positive(&[1]).f32(), numbers(&[1]).f32()];
    // Its parameters' gradients are one number each, a sum whose terms cancel: 16-bit roundings of the terms would be a
    // large share of it for some seeds.
    suite.check(case("group_norm of one channel", inputs).only_f32(), |x| {
        x[0].group_norm(1, &x[1], &x[2], 1e-3)?.pow_scalar(2.0)
    });
}

/// What a layer yields over several batches in training, in evaluation after them, and then frozen, and its running
/// statistics after each.
fn layer(device: &Device, seed: u64) -> Result<Vec<Vec<f32>>> {
    let params = Params::new(device, Seed(1));
    let norm = BatchNorm2d::new(&params / "bn", 5, BatchNormConfig { momentum: 0.3, ..Default::default() })?;
    let mut random = Random::new(seed);
    let mut results = Vec::new();
    for batch in 0..8 {
        if batch == 6 {
            params.eval();
        }
        let values: Vec<f32> = (0..2 * 3 * 4 * 5).map(|_| random.signed() as f32).collect();
        let x = Tensor::from_slice(device, &values, &[2, 3, 4, 5])?;
        results.push(norm.forward(&x)?.to_vec()?);
        for name in ["bn.running_mean", "bn.running_var"] {
            results.push(params.get(name)?.to_vec()?);
        }
    }
    Ok(results)
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn running_statistics_follow_the_batches() {
    let seed = seed_of("running_statistics");
    let device = gpu();
    poison(&device);
    let (found, expected) = (layer(&device, seed).unwrap(), layer(&ocelli_oracle::device(), seed).unwrap());
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let (batch, what) = (index / 3, ["result", "running mean", "running variance"][index % 3]);
        for (a, b) in found.iter().zip(expected) {
            assert!(
                (a - b).abs() <= 1e-5 * (1.0 + b.abs()),
                "batch {batch}, {what}: {a}, not {b}; seed {seed}"
            );
        }
    }
    assert_eq!(found[7 * 3 + 1], found[5 * 3 + 1], "evaluation leaves the running mean alone");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_frozen_layer_is_a_fixed_map() {
    let run = |device: &Device| -> Result<Vec<Vec<f32>>> {
        let params = Params::new(device, Seed(1));
        let norm = BatchNorm2d::new(&params, 3, BatchNormConfig { frozen: true, ..Default::default() })?;
        params.get("running_mean")?.set(&[0.5f32, -1.0, 2.0])?;
        params.get("running_var")?.set(&[0.25f32, 4.0, 1.0])?;
        let x = Tensor::from_slice(device, &[1.0f32, -2.0, 3.0, 0.0, 0.5, -0.5], &[1, 1, 2, 3])?;
        let y = norm.forward(&x)?;
        assert!(!y.requires_grad(), "a frozen layer has no trainable parameters");
        let running = params.get("running_mean")?.to_vec()?;
        Ok(vec![y.to_vec()?, running])
    };
    let (found, expected) = (run(&gpu()).unwrap(), run(&ocelli_oracle::device()).unwrap());
    for (a, b) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((a - b).abs() <= 1e-6 * (1.0 + b.abs()), "{found:?}, not {expected:?}");
    }
}
