//! Every operation on the GPU, forward and backward, in every type, against the oracle.
//!
//! The same code runs on both devices with the same inputs, given in the type under test, so that only arithmetic and
//! the rounding of results differ. Bounds are on ||gpu - oracle|| / ||oracle||: 1e-5 in `f32` (no TensorFloat-32), and in
//! 16 bits a few times the rounding of one result (2^-11 and 2^-8). Before anything is computed, memory is filled with
//! NaN and given back, so that what a kernel forgets to write shows.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests")]

use ocelli::ops::pool::Windows;
use ocelli::ops::{Conv2d, UpsampleMode};
use ocelli::{DType, Device, Result, Shape, Tensor, TensorType, evaluate, gradients};
use ocelli_oracle::{HostTensor, Random};

const TYPES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

fn bound(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2e-3,
        DType::BF16 => 1.6e-2,
        _ => 1e-5,
    }
}

/// A GPU whose free memory holds NaN.
fn gpu() -> Device {
    let device = Device::new(0).unwrap();
    let nan = vec![f32::NAN; 1 << 20];
    let poison: Vec<Tensor> = (0..64)
        .map(|_| Tensor::from_slice(&device, &nan, &[1 << 20]).unwrap().to_device().unwrap())
        .collect();
    drop(poison);
    device
}

/// The value of `build`, and its gradients for the floating-point inputs under a random cotangent.
fn run(
    device: &Device,
    inputs: &[HostTensor],
    cotangent: u64,
    backward: bool,
    build: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let tensors = inputs.iter().map(|input| input.to_tensor(device)).collect::<Result<Vec<Tensor>>>()?;
    let y = build(&tensors)?;
    let mut results = vec![y.clone()];
    if backward {
        let weights = Random::new(cotangent).tensor(y.ty()).rounded().to_tensor(device)?;
        let loss = y.cast(DType::F32)?.mul(&weights)?.sum()?;
        let targets: Vec<&Tensor> = tensors.iter().filter(|tensor| tensor.dtype().is_float()).collect();
        results.extend(gradients(&loss, &targets)?);
    }
    evaluate(&results.iter().collect::<Vec<_>>())?;
    Ok(results)
}

/// Compares both devices on inputs of these types.
fn compare(
    label: &str,
    devices: &[Device; 2],
    inputs: &[HostTensor],
    dtype: DType,
    backward: bool,
    build: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) {
    let seed = 99;
    let [ours, oracles] = devices.each_ref().map(|device| {
        let results =
            run(device, inputs, seed, backward, build).unwrap_or_else(|e| panic!("{label} {dtype}: {e}"));
        results.iter().map(|tensor| tensor.to_f32_vec().unwrap()).collect::<Vec<_>>()
    });
    for (which, (ours, oracles)) in ours.iter().zip(&oracles).enumerate() {
        let difference: f64 =
            ours.iter().zip(oracles).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        let size: f64 = oracles.iter().map(|b| f64::from(*b).powi(2)).sum();
        let error = difference.sqrt() / size.sqrt().max(1e-30);
        let what = if which == 0 { "value".to_string() } else { format!("gradient {}", which - 1) };
        let shapes: Vec<String> = inputs.iter().map(|input| input.ty.to_string()).collect();
        assert!(
            error <= bound(dtype) || (size == 0.0 && difference == 0.0),
            "{label} {dtype}, {what}: relative error {error:.2e} for inputs {shapes:?}\n gpu    {:?}\n oracle {:?}",
            &ours[..ours.len().min(8)],
            &oracles[..oracles.len().min(8)]
        );
    }
}

struct Check {
    devices: [Device; 2],
}

impl Check {
    fn new() -> Check {
        Check { devices: [gpu(), ocelli_oracle::device()] }
    }

    /// Forward and backward, in all types, with random inputs of these shapes.
    fn all(&self, label: &str, shapes: &[&[usize]], build: impl Fn(&[Tensor]) -> Result<Tensor>) {
        for dtype in TYPES {
            let inputs = random(shapes, dtype);
            compare(label, &self.devices, &inputs, dtype, true, &build);
        }
    }

    /// As `all`, with `f32` tensors after the first `halves` ones: parameters of a mixed-precision operation.
    fn mixed(
        &self,
        label: &str,
        halves: usize,
        shapes: &[&[usize]],
        build: impl Fn(&[Tensor]) -> Result<Tensor>,
    ) {
        for dtype in TYPES {
            let mut inputs = random(&shapes[..halves], dtype);
            inputs.extend(random(&shapes[halves..], DType::F32));
            compare(label, &self.devices, &inputs, dtype, true, &build);
        }
    }
}

fn random(shapes: &[&[usize]], dtype: DType) -> Vec<HostTensor> {
    let seed = shapes
        .iter()
        .flat_map(|s| s.iter())
        .fold(11, |seed: u64, &n| seed.wrapping_mul(31).wrapping_add(n as u64));
    let mut random = Random::new(seed);
    shapes.iter().map(|s| random.tensor(TensorType::new(dtype, Shape::new(s).unwrap())).rounded()).collect()
}

fn labels(rows: usize, classes: usize) -> HostTensor {
    let values = (0..rows).map(|i| ((i * 5 + 3) % classes) as f64).collect();
    HostTensor::new(TensorType::new(DType::I32, Shape::vector(rows)), values)
}

const SHAPES: [&[usize]; 8] =
    [&[1], &[7], &[3, 10], &[64, 128], &[2, 3, 5, 7], &[2, 9, 9, 8], &[4, 16, 16, 64], &[32, 28, 28, 12]];

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn functions_of_one_variable() {
    let check = Check::new();
    for shape in SHAPES {
        check.all("neg", &[shape], |x| x[0].neg());
        check.all("abs", &[shape], |x| x[0].abs());
        check.all("exp", &[shape], |x| x[0].exp());
        check.all("log", &[shape], |x| x[0].abs()?.log());
        check.all("sqrt", &[shape], |x| x[0].abs()?.sqrt());
        check.all("rsqrt", &[shape], |x| x[0].abs()?.rsqrt());
        check.all("reciprocal", &[shape], |x| x[0].reciprocal());
        check.all("relu", &[shape], |x| x[0].relu());
        check.all("relu6", &[shape], |x| x[0].mul_scalar(4.0)?.relu6());
        check.all("leaky_relu", &[shape], |x| x[0].leaky_relu(0.1));
        check.all("sigmoid", &[shape], |x| x[0].sigmoid());
        check.all("tanh", &[shape], |x| x[0].tanh());
        check.all("silu", &[shape], |x| x[0].silu());
        check.all("hardsigmoid", &[shape], |x| x[0].mul_scalar(2.0)?.hardsigmoid());
        check.all("hardswish", &[shape], |x| x[0].mul_scalar(2.0)?.hardswish());
        check.all("gelu", &[shape], |x| x[0].gelu());
        check.all("softplus", &[shape], |x| x[0].softplus());
        check.all("clamp", &[shape], |x| x[0].clamp(-0.75, 1.0));
        check.all("pow_scalar", &[shape], |x| x[0].abs()?.pow_scalar(1.7));
        check.all("scalars", &[shape], |x| x[0].mul_scalar(-1.5)?.add_scalar(0.25));
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn functions_of_two_variables() {
    let check = Check::new();
    let pairs: [(&[usize], &[usize]); 10] = [
        (&[5], &[5]),
        (&[2, 3, 5, 7], &[2, 3, 5, 7]),
        (&[4, 16, 16, 64], &[4, 16, 16, 64]),
        (&[4, 16, 16, 64], &[64]),
        (&[2, 3, 5, 7], &[7]),
        (&[2, 3, 5, 7], &[]),
        (&[4, 8, 8, 24], &[4, 1, 1, 24]),
        (&[3, 5, 7, 6], &[3, 5, 7, 1]),
        (&[3, 5, 7, 6], &[1, 5, 7, 1]),
        (&[64, 10], &[10]),
    ];
    for (a, b) in pairs {
        for shapes in [[a, b], [b, a]] {
            check.all("add", &shapes, |x| x[0].add(&x[1]));
            check.all("sub", &shapes, |x| x[0].sub(&x[1]));
            check.all("mul", &shapes, |x| x[0].mul(&x[1]));
            check.all("div", &shapes, |x| x[0].div(&x[1]));
            check.all("maximum", &shapes, |x| x[0].maximum(&x[1]));
            check.all("minimum", &shapes, |x| x[0].minimum(&x[1]));
            check.all("pow", &shapes, |x| x[0].abs()?.pow(&x[1]));
        }
        check.mixed("mixed mul", 1, &[a, b], |x| x[0].mul(&x[1]));
    }
    check.all("shared", &[&[2, 5, 5, 8]], |x| {
        let y = x[0].relu()?;
        y.mul(&x[0].sigmoid()?)?.add(&y)?.add(&x[0].tanh()?)?.mul(&y)
    });
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn sums_and_means() {
    let check = Check::new();
    let targets: [(&[usize], &[usize]); 14] = [
        (&[4, 16, 16, 64], &[64]),
        (&[32, 28, 28, 32], &[32]),
        (&[8, 9, 9, 24], &[24]),
        (&[2, 3, 5, 7], &[7]),
        (&[2, 3, 5, 7], &[2, 1, 1, 7]),
        (&[16, 7, 7, 256], &[16, 1, 1, 256]),
        (&[2, 3, 5, 7], &[2, 3, 5, 1]),
        (&[2, 3, 5, 7], &[2, 1, 1, 1]),
        (&[2, 3, 5, 7], &[1, 3, 1, 7]),
        (&[2, 3, 5, 7], &[1, 3, 5, 1]),
        (&[64, 1000], &[64, 1]),
        (&[64, 10], &[10]),
        (&[128], &[]),
        (&[32, 28, 28, 12], &[]),
    ];
    for (from, to) in targets {
        // Positive numbers: a relative error of a sum near zero says nothing.
        check.all("sum_to", &[from], |x| x[0].abs()?.cast(DType::F32)?.sum_to(to));
    }
    check.all("mean", &[&[3, 7, 7, 8]], |x| x[0].abs()?.cast(DType::F32)?.mean());
    check.all("mean_images", &[&[3, 7, 7, 8]], |x| x[0].abs()?.mean_images());
    check.all("broadcast_to", &[&[3, 1, 1, 8]], |x| x[0].broadcast_to(&[3, 4, 5, 8]));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn convolutions() {
    let check = Check::new();
    let plain = Conv2d::default();
    let cases: [([usize; 4], [usize; 4], Conv2d); 14] = [
        ([1, 1, 1, 1], [1, 1, 1, 1], plain),
        ([2, 12, 12, 1], [32, 3, 3, 1], plain),
        ([64, 28, 28, 1], [32, 3, 3, 1], plain),
        ([3, 9, 7, 1], [8, 3, 3, 1], Conv2d { stride: [2, 1], padding: [1, 2], ..plain }),
        ([2, 15, 13, 3], [16, 5, 3, 3], Conv2d { stride: [2, 3], padding: [2, 1], ..plain }),
        ([4, 14, 14, 32], [64, 3, 3, 32], Conv2d { padding: [1, 1], ..plain }),
        ([4, 14, 14, 64], [128, 1, 1, 64], Conv2d { stride: [2, 2], ..plain }),
        ([2, 9, 9, 12], [20, 3, 3, 12], plain),
        ([2, 5, 4, 3], [5, 3, 3, 3], plain),
        ([2, 13, 13, 16], [16, 3, 3, 16], Conv2d { dilation: [2, 3], padding: [2, 3], ..plain }),
        ([2, 8, 8, 32], [64, 3, 3, 8], Conv2d { groups: 4, padding: [1, 1], ..plain }),
        ([2, 9, 9, 32], [32, 3, 3, 1], Conv2d { groups: 32, stride: [2, 2], padding: [1, 1], ..plain }),
        ([2, 6, 6, 8], [16, 3, 3, 1], Conv2d { groups: 8, padding: [1, 1], ..plain }),
        ([2, 32, 32, 4], [64, 7, 7, 4], Conv2d { stride: [2, 2], padding: [3, 3], ..plain }),
    ];
    for (x, w, conv) in cases {
        check.all("conv2d", &[&x, &w], |x| x[0].conv2d(&x[1], conv));
    }
    let doubling = Conv2d { stride: [2, 2], padding: [1, 1], ..plain };
    check.all("conv_transpose2d", &[&[2, 5, 6, 16], &[16, 3, 3, 8]], |x| {
        x[0].conv_transpose2d(&x[1], doubling, [1, 1])
    });
    check.mixed("bias", 2, &[&[2, 8, 8, 8], &[16, 3, 3, 8], &[16]], |x| {
        x[0].conv2d(&x[1], plain)?.add(&x[2])?.relu()
    });
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn matrix_products() {
    let check = Check::new();
    for (m, k, n) in [(1, 1, 1), (3, 5, 7), (64, 9216, 128), (64, 128, 10), (33, 100, 57), (128, 64, 256)] {
        check.all("matmul", &[&[m, k], &[k, n]], |x| x[0].matmul(&x[1]));
        check.all("linear", &[&[m, k], &[n, k]], |x| x[0].linear(&x[1]));
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn pooling() {
    let check = Check::new();
    for shape in [[2, 6, 6, 8], [1, 7, 9, 3], [64, 24, 24, 64], [2, 13, 11, 20], [8, 28, 28, 64]] {
        for windows in [
            Windows::square(2),
            Windows::square(3).stride(2).padding(1),
            Windows::square(3).stride(2).ceil_mode(),
            Windows::square(3).stride(1).padding(1),
            Windows { kernel: [2, 3], stride: [1, 2], padding: [1, 0], ceil_mode: false },
        ] {
            let label = format!("{windows:?}");
            check.all(&format!("max_pool2d {label}"), &[&shape], |x| x[0].max_pool2d(windows));
            check.all(&format!("avg_pool2d {label}"), &[&shape], |x| x[0].avg_pool2d(windows));
            check.all(&format!("avg_pool2d without pad {label}"), &[&shape], |x| {
                x[0].avg_pool2d_without_pad(windows)
            });
        }
        for output in [[1, 1], [3, 2], [7, 7]] {
            check.all("adaptive_avg_pool2d", &[&shape], |x| x[0].adaptive_avg_pool2d(output));
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn normalisation() {
    let check = Check::new();
    for shape in [[2usize, 3, 3, 8], [4, 7, 5, 3], [32, 14, 14, 64], [8, 28, 28, 32], [64, 1, 1, 16]] {
        let c = shape[3];
        check.mixed("batch_norm", 1, &[&shape, &[c], &[c]], |x| {
            Ok(x[0].batch_norm(&x[1], &x[2], 1e-5)?[0].clone())
        });
        check.mixed("batch_norm with relu", 1, &[&shape, &[c], &[c]], |x| {
            x[0].batch_norm(&x[1], &x[2], 1e-5)?[0].add(&x[0])?.relu()
        });
        check.mixed("batch_norm_with", 1, &[&shape, &[c], &[c], &[c], &[c]], |x| {
            x[0].batch_norm_with(&x[1], &x[2], &x[3], &x[4].abs()?, 1e-5)
        });
        for groups in [1, c / 2, c].into_iter().filter(|&groups| groups > 0 && c % groups == 0) {
            // Of two elements the gradient is a difference of equals.
            if shape[1] * shape[2] * c / groups >= 8 {
                check.mixed("group_norm", 1, &[&shape, &[c], &[c]], |x| {
                    x[0].group_norm(groups, &x[1], &x[2], 1e-5)
                });
            }
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn softmax_and_losses() {
    let check = Check::new();
    for (rows, classes) in [(1, 1000), (64, 10), (3, 7), (5, 4099), (512, 21)] {
        let shape: &[usize] = &[rows, classes];
        check.all("softmax", &[shape], |x| x[0].softmax());
        check.all("log_softmax", &[shape], |x| x[0].log_softmax());
        for dtype in TYPES {
            let mut inputs = random(&[shape], dtype);
            inputs.push(labels(rows, classes));
            for config in [(0.0, -100), (0.1, -100), (0.1, 3)] {
                let config = ocelli::CrossEntropyConfig { label_smoothing: config.0, ignore_index: config.1 };
                let loss = |x: &[Tensor]| x[0].cross_entropy(&x[1], config);
                if rows > 1 {
                    compare("cross_entropy", &check.devices, &inputs, dtype, true, &loss);
                }
            }
            compare("argmax", &check.devices, &inputs, dtype, false, &|x| x[0].argmax());
            for k in [1, 5] {
                compare("in_top_k", &check.devices, &inputs, dtype, false, &|x| x[0].in_top_k(&x[1], k));
            }
        }
        let pair: [&[usize]; 2] = [shape, shape];
        check.all("mse_loss", &pair, |x| x[0].mse_loss(&x[1]));
        check.all("l1_loss", &pair, |x| x[0].l1_loss(&x[1]));
        check.all("smooth_l1_loss", &pair, |x| x[0].smooth_l1_loss(&x[1], 0.5));
        check.all("bce", &pair, |x| x[0].binary_cross_entropy_with_logits(&x[1].sigmoid()?));
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn moving_elements() {
    let check = Check::new();
    for shape in [[2usize, 3, 5, 24], [4, 6, 6, 12], [1, 1, 1, 6]] {
        let c = shape[3];
        check.all("channel_slice", &[&shape], |x| x[0].channel_slice(c / 3, c / 2));
        check.all("channel_slice 1", &[&shape], |x| x[0].channel_slice(1, 3));
        check.all("channel_shuffle", &[&shape], |x| x[0].channel_shuffle(3));
        check.all(
            "concat",
            &[&shape, &[shape[0], shape[1], shape[2], 8], &[shape[0], shape[1], shape[2], 5]],
            |x| Tensor::concat(&[&x[0], &x[1], &x[2]])?.relu(),
        );
        check.all("flatten", &[&shape], |x| x[0].relu()?.flatten()?.mul_scalar(2.0));
    }
    for (shape, output) in
        [([2, 5, 7, 8], [10, 14]), ([1, 4, 4, 3], [7, 5]), ([2, 9, 8, 16], [4, 3]), ([1, 1, 1, 4], [3, 2])]
    {
        for mode in [
            UpsampleMode::Nearest,
            UpsampleMode::Bilinear { align_corners: false },
            UpsampleMode::Bilinear { align_corners: true },
        ] {
            check.all(&format!("upsample {mode:?}"), &[&shape], |x| x[0].upsample(output, mode));
        }
    }
    for dtype in [DType::F32, DType::F16, DType::BF16, DType::I32, DType::U8] {
        for shape in [&[10usize, 28, 28, 1][..], &[10], &[10, 6]] {
            let ty = TensorType::new(dtype, Shape::new(shape).unwrap());
            let data = HostTensor::new(ty, (0..ty.shape.elements()).map(|i| (i % 251) as f64).collect());
            let inputs = [data, labels(17, 10)];
            compare("take_rows", &check.devices, &inputs, dtype, false, &|x| x[0].take_rows(&x[1]));
            compare("take_rows cast", &check.devices, &inputs, dtype, false, &|x| {
                x[0].take_rows(&x[1])?.cast(DType::F32)?.mul_scalar(0.5)
            });
        }
    }
}

/// The mask is the same bits on both devices, in every type and at every vector width, and it scales what it keeps.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn dropout() {
    for shape in [&[64usize, 9216][..], &[3, 5, 7, 11], &[2, 4, 4, 4], &[5]] {
        for dtype in TYPES {
            let [ours, oracles] = [gpu(), ocelli_oracle::device()].map(|device| {
                device.manual_seed(42);
                let x = random(&[shape], dtype)[0].to_tensor(&device).unwrap();
                let y = x.relu().unwrap().dropout(0.25).unwrap().dropout(0.5).unwrap();
                y.to_f32_vec().unwrap()
            });
            for (i, (ours, oracle)) in ours.iter().zip(&oracles).enumerate() {
                assert_eq!(*ours == 0.0, *oracle == 0.0, "element {i} of {shape:?} {dtype}");
                assert!((ours - oracle).abs() <= 2.0 * bound(dtype) as f32 * oracle.abs().max(1e-6));
            }
        }
    }
}

/// Random networks of several layers, trained for a few steps, from the generator that the planner is tested with.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn random_programs_train_alike() {
    use ocelli::optim::{Optimizer, Sgd, SgdConfig};
    for seed in 0..60 {
        let [ours, oracles] = [gpu(), ocelli_oracle::device()].map(|device| {
            device.manual_seed(seed);
            let program = ocelli_oracle::RandomProgram::new(&device, seed).unwrap();
            let mut sgd =
                Sgd::new(program.params(), SgdConfig { lr: 0.001, momentum: 0.9, ..Default::default() });
            let mut losses = Vec::new();
            for _ in 0..4 {
                let loss = program.loss().unwrap();
                sgd.minimize(&loss).unwrap_or_else(|error| panic!("program {seed}: {error}"));
                losses.push(loss.value().unwrap());
            }
            losses
        });
        for (step, (ours, oracle)) in ours.iter().zip(&oracles).enumerate() {
            let error = (ours - oracle).abs() / oracle.abs().max(1e-3);
            assert!(error < 1e-3, "program {seed}, step {step}: {ours} on the GPU, {oracle} by the oracle");
        }
    }
}
