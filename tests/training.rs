//! Whole training steps on the GPU: held against the oracle, replayed, planned once, and not in one another's way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::any::Any;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ocelli::nn::Dropout;
use ocelli::plan::{PlanOptions, plan};
use ocelli::prelude::*;
use ocelli::{Buffer, Counters, Executor, TensorType, Work, WorkKey};
use ocelli_oracle::Random;

/// A GPU of the test's own, and its turn: captures and measurements do not like company.
fn gpu() -> (Device, MutexGuard<'static, ()>) {
    let turn = turn();
    (Device::new(0).expect("a GPU"), turn)
}

fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn counters(device: &Device) -> Counters {
    device.gpu().expect("a GPU").counters()
}

const BATCH: usize = 16;
const SIDE: usize = 12;
const CLASSES: usize = 10;

/// Two convolutions with batch normalisation, dropout and a linear layer.
struct Net {
    params: Params,
    conv1: Conv2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
    norm2: BatchNorm2d,
    dropout: f32,
    fc: Linear,
}

impl Net {
    fn new(device: &Device, dropout: f32) -> Net {
        let params = Params::new(device, Seed(7));
        // A bias before batch normalisation has no gradient but rounding errors, which AdamW would magnify.
        let config = Conv2dConfig { padding: 1, bias: false, ..Default::default() };
        Net {
            conv1: Conv2d::new(&params / "conv1", 1, 8, config).unwrap(),
            norm1: BatchNorm2d::new(&params / "norm1", 8, BatchNormConfig::default()).unwrap(),
            conv2: Conv2d::new(&params / "conv2", 8, 16, config).unwrap(),
            norm2: BatchNorm2d::new(&params / "norm2", 16, BatchNormConfig::default()).unwrap(),
            dropout,
            fc: Linear::new(&params / "fc", 16 * 9, CLASSES).unwrap(),
            params,
        }
    }

    fn states(&self) -> Vec<(String, Vec<f32>)> {
        let read = |state: ocelli::State| (state.name().to_string(), state.to_vec().unwrap());
        self.params.all().into_iter().map(read).collect()
    }
}

impl Module for Net {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.norm1.forward(&self.conv1.forward(x)?)?.relu()?.max_pool2d(2)?;
        let x = self.norm2.forward(&self.conv2.forward(&x)?)?.silu()?.max_pool2d(2)?;
        let x = Dropout::new(&self.params, self.dropout).forward(&x)?;
        self.fc.forward(&x.flatten()?)
    }
}

/// The images and labels of a step: in each image its class' pixels are brighter.
fn batch(device: &Device, step: usize) -> (Tensor, Tensor) {
    let mut random = Random::new(1000 + step as u64);
    let labels: Vec<i32> = (0..BATCH).map(|_| random.below(CLASSES) as i32).collect();
    let pixel = |i: usize, random: &mut Random| {
        let class = labels[i / (SIDE * SIDE)] as usize;
        0.5 * random.signed() as f32 + if i % (SIDE * SIDE) % CLASSES == class { 1.0 } else { 0.0 }
    };
    let images: Vec<f32> = (0..BATCH * SIDE * SIDE).map(|i| pixel(i, &mut random)).collect();
    let images = Tensor::from_slice(device, &images, &[BATCH, SIDE, SIDE, 1]).unwrap();
    (images, Tensor::from_slice(device, &labels, &[BATCH]).unwrap())
}

/// The loss of a step, traced.
fn loss(net: &Net, step: usize) -> Tensor {
    let (images, labels) = batch(net.params.device(), step);
    net.forward(&images).unwrap().cross_entropy(&labels, CrossEntropyConfig::default()).unwrap()
}

fn sgd(net: &Net) -> Sgd {
    Sgd::new(&net.params, SgdConfig { lr: 0.05, momentum: 0.9, weight_decay: 1e-4, nesterov: false })
}

/// The losses of this many steps.
fn train(net: &Net, optimizer: &mut dyn Optimizer, steps: usize) -> Vec<f32> {
    let step = |step| {
        let loss = loss(net, step);
        optimizer.minimize(&loss).unwrap();
        loss.value().unwrap()
    };
    (0..steps).map(step).collect()
}

/// Asserts that losses agree: `tolerance` in the first five steps, growing tenfold until the last, as small differences
/// do in training.
#[track_caller]
fn assert_losses(what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (step, (&a, &b)) in found.iter().zip(expected).enumerate() {
        let allowed = tolerance * if step < 5 { 1.0 } else { 10.0 };
        let error = f64::from((a - b).abs()) / f64::from(b.abs()).max(0.1);
        assert!(error <= allowed, "{what}, step {step}: {a}, the oracle {b}; all: {found:?}, {expected:?}");
    }
}

type MakeOptimizer = fn(&Net) -> Box<dyn Optimizer>;

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn training_follows_the_oracle() {
    let optimizers: [(&str, MakeOptimizer); 4] = [
        ("SGD", |net| Box::new(sgd(net))),
        ("Nesterov", |net| {
            let config = SgdConfig { lr: 0.02, momentum: 0.9, weight_decay: 0.0, nesterov: true };
            Box::new(
                Sgd::new(&net.params, config)
                    .group(|name| name.starts_with("fc"), SgdConfig { lr: 0.05, ..config }),
            )
        }),
        ("AdamW", |net| Box::new(AdamW::new(&net.params, AdamWConfig { lr: 5e-3, ..Default::default() }))),
        ("AdamW in two groups", |net| {
            let config = AdamWConfig { lr: 5e-3, weight_decay: 0.1, ..Default::default() };
            let plain = AdamWConfig { weight_decay: 0.0, ..config };
            Box::new(AdamW::new(&net.params, config).group(|name| name.contains("norm"), plain))
        }),
    ];
    let precisions = [
        (Precision::F32, 1e-4),
        (Precision::Tf32, 5e-3),
        (Precision::mixed_f16(), 5e-3),
        (Precision::mixed_bf16(), 4e-2),
    ];
    for (name, optimizer) in optimizers {
        for (precision, tolerance) in precisions {
            let run = |device: &Device| {
                device.set_precision(precision);
                device.manual_seed(11);
                let net = Net::new(device, 0.25);
                let mut optimizer = optimizer(&net);
                // The oracle's numbers do not overflow: with the first scales, those of the GPU may.
                optimizer.training_mut().set_loss_scale(LossScale::Static(1024.0));
                let losses = train(&net, &mut *optimizer, 20);
                (losses, net.states())
            };
            let (device, _turn) = gpu();
            let ((found, states), (expected, expected_states)) =
                (run(&device), run(&ocelli_oracle::device()));
            let what = format!("{name} in {precision:?}");
            assert_losses(&what, &found, &expected, tolerance);
            let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
            assert!(
                mean(&expected[15..]) < 0.9 * mean(&expected[..5]),
                "{what} does not learn: {expected:?}"
            );
            if precision == Precision::F32 {
                for ((name, found), (_, expected)) in states.iter().zip(&expected_states) {
                    let norm =
                        |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
                    let error = norm(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
                    let size = norm(&mut expected.iter().map(|&b| f64::from(b)));
                    assert!(error <= 2e-3 * size, "{what}: {name} is off by {}", error / size);
                }
            }
        }
    }
}

/// Overflow, clipping, micro-batches and averages, replayed: each step is the oracle's, and a skipped one leaves every bit.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn all_parts_of_a_step_follow_the_oracle() {
    let makers: [MakeOptimizer; 2] = [
        |net| Box::new(sgd(net).with_clipped_gradients(0.5).with_average(AverageConfig::default())),
        |net| {
            Box::new(AdamW::new(&net.params, AdamWConfig::default()).with_average(AverageConfig::default()))
        },
    ];
    for (maker, precision) in makers
        .into_iter()
        .flat_map(|maker| [Precision::F32, Precision::mixed_f16()].map(|precision| (maker, precision)))
    {
        let run = |device: &Device| {
            device.set_precision(precision);
            let net = Net::new(device, 0.0);
            let mut optimizer = maker(&net);
            optimizer.training_mut().set_loss_scale(LossScale::Static(1024.0));
            let (mut losses, mut norms) = (Vec::new(), Vec::new());
            for step in 0..12 {
                if step % 3 == 0 {
                    optimizer.accumulate(&loss(&net, step + 20)).unwrap();
                }
                let overflows = step % 4 == 3 && precision == Precision::mixed_f16();
                let factor = Tensor::scalar(device, if overflows { f32::INFINITY } else { 1.0 });
                let (before, own) = (net.states(), loss(&net, step));
                optimizer.minimize_with(&own.mul(&factor).unwrap(), &[&own]).unwrap();
                if overflows {
                    assert!(before == net.states(), "{precision:?}, step {step}");
                } else {
                    losses.push(own.value().unwrap());
                    norms.extend(optimizer.gradient_norm().unwrap());
                }
            }
            let skipped = optimizer.skipped_steps().unwrap();
            assert_eq!(skipped, if precision == Precision::F32 { 0 } else { 3 });
            optimizer.swap_average().unwrap();
            losses.push(loss(&net, 0).value().unwrap());
            (losses, norms)
        };
        let (device, _turn) = gpu();
        let ((found, norms), (expected, expected_norms)) = (run(&device), run(&ocelli_oracle::device()));
        let tolerance = if precision == Precision::F32 { 1e-4 } else { 1e-2 };
        assert_losses("losses", &found, &expected, tolerance);
        assert_losses("norms", &norms, &expected_norms, 5.0 * tolerance);
    }
}

/// A counter or an accumulator that only the first launch finds zeroed makes the second replay wrong.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_replay_is_right() {
    let (device, _turn) = gpu();
    for shape in [[64, 28, 28, 3], [16, 56, 56, 8]] {
        for run in 0..6 {
            let values = vec![(run + 1) as f32; shape.iter().product()];
            let x = Tensor::from_slice(&device, &values, &shape).unwrap();
            let (all, channels) = (x.mean().unwrap(), x.sum_to(&[shape[3]]).unwrap());
            evaluate(&[&all, &channels]).unwrap();
            let (rows, expected) = ((shape[0] * shape[1] * shape[2]) as f32, (run + 1) as f32);
            assert!(
                (all.value().unwrap() - expected).abs() < 1e-5 * expected,
                "run {run}: {:?}",
                all.value()
            );
            assert_eq!(channels.to_vec::<f32>().unwrap(), vec![expected * rows; shape[3]], "run {run}");
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn nothing_is_planned_or_bound_after_the_second_step() {
    let (device, _turn) = gpu();
    let net = Net::new(&device, 0.25);
    let mut sgd = sgd(&net);
    let mut steady = None;
    for step in 0..12 {
        // None of these is part of the plan.
        sgd.set_lr(0.05 / (step + 1) as f32);
        device.manual_seed(step as u64);
        let loss = loss(&net, step);
        sgd.minimize(&loss).unwrap();
        if step % 3 == 0 {
            assert!(loss.value().unwrap().is_finite());
        }
        let Counters { planned, bound, runs } = counters(&device);
        match (step, steady) {
            (0, _) => {}
            (1, _) => steady = Some((planned, bound)),
            (_, steady) => assert_eq!(Some((planned, bound)), steady, "step {step}"),
        }
        assert_eq!(runs, step as u64 + 1);
    }
    assert_eq!(steady, Some((1, 1)));
    assert!(device.gpu().unwrap().report()[0].replayed);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_changed_attribute_is_another_plan() {
    let (device, _turn) = gpu();
    let mut net = Net::new(&device, 0.25);
    let mut sgd = sgd(&net);
    let mut planned = Vec::new();
    for (step, dropout) in [0.25, 0.25, 0.5, 0.25, 0.5].into_iter().enumerate() {
        net.dropout = dropout;
        sgd.minimize(&loss(&net, step)).unwrap();
        planned.push(counters(&device).planned);
    }
    device.set_deterministic(true);
    sgd.minimize(&loss(&net, 5)).unwrap();
    planned.push(counters(&device).planned);
    assert_eq!(planned, [1, 1, 2, 2, 2, 3]);
}

/// Networks of one structure share a plan, each with its own parameters; with six of them bindings are given up and
/// made again.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn networks_of_one_structure_do_not_disturb_each_other() {
    for count in [2, 6] {
        let run = |device: &Device| -> Vec<Vec<f32>> {
            let nets: Vec<Net> = (0..count).map(|_| Net::new(device, 0.0)).collect();
            let mut optimizers: Vec<Sgd> = nets.iter().map(sgd).collect();
            let mut losses = vec![Vec::new(); count];
            for step in 0..5 {
                for index in 0..count {
                    // Each has batches of its own, so that an exchange of parameters would show.
                    let loss = loss(&nets[index], 100 * index + step);
                    optimizers[index].minimize(&loss).unwrap();
                    losses[index].push(loss.value().unwrap());
                }
            }
            losses
        };
        let (device, _turn) = gpu();
        let (found, expected) = (run(&device), run(&ocelli_oracle::device()));
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_losses(&format!("network {index} of {count}"), found, expected, 1e-4);
        }
        let counters = counters(&device);
        assert_eq!(counters.planned, 1);
        if count == 2 {
            assert_eq!(counters.bound, 2);
        }
    }
}

/// Losses and other results keep their values while later steps reuse the memory that they were computed in.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn results_may_be_read_late() {
    let run = |device: &Device| -> (Vec<f32>, Vec<Vec<f32>>) {
        let net = Net::new(device, 0.0);
        let mut sgd = sgd(&net);
        let mut kept = Vec::new();
        for step in 0..10 {
            let (images, labels) = batch(device, step);
            let logits = net.forward(&images).unwrap();
            let loss = logits.cross_entropy(&labels, CrossEntropyConfig::default()).unwrap();
            sgd.minimize_with(&loss, &[&logits]).unwrap();
            kept.push((loss, logits));
        }
        let mut read: Vec<(f32, Vec<f32>)> = kept
            .iter()
            .rev()
            .map(|(loss, logits)| (loss.value().unwrap(), logits.to_vec().unwrap()))
            .collect();
        read.reverse();
        read.into_iter().unzip()
    };
    let (device, _turn) = gpu();
    let ((losses, logits), (expected_losses, expected_logits)) =
        (run(&device), run(&ocelli_oracle::device()));
    assert_losses("read late", &losses, &expected_losses, 1e-4);
    for (step, (found, expected)) in logits.iter().zip(&expected_logits).enumerate() {
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() <= 5e-3 * (1.0 + b.abs()), "logits of step {step}: {a}, not {b}");
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_tensor_of_an_old_parameter_is_refused() {
    let (device, _turn) = gpu();
    let net = Net::new(&device, 0.0);
    let unread = net.forward(&batch(&device, 0).0).unwrap();
    sgd(&net).minimize(&loss(&net, 0)).unwrap();
    let message = unread.to_vec::<f32>().unwrap_err().to_string();
    assert!(message.contains("has changed since"), "{message}");
}

/// Evaluation uses the running statistics, changes nothing, and does not stop the training step from being replayed.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn evaluation_between_training_steps() {
    let run = |device: &Device| -> (Vec<f32>, Vec<f32>) {
        device.manual_seed(3);
        let net = Net::new(device, 0.25);
        let mut sgd = sgd(&net);
        let (mut losses, mut evaluated) = (Vec::new(), Vec::new());
        for step in 0..8 {
            let loss = loss(&net, step);
            sgd.minimize(&loss).unwrap();
            losses.push(loss.value().unwrap());
            net.params.eval();
            let (images, labels) = batch(device, 50);
            let logits = net.forward(&images).unwrap();
            let right = logits.in_top_k(&labels, 1).unwrap().sum().unwrap();
            let loss = logits.cross_entropy(&labels, CrossEntropyConfig::default()).unwrap();
            evaluate(&[&right, &loss]).unwrap();
            assert!(right.value().unwrap() <= BATCH as f32);
            evaluated.push(loss.value().unwrap());
            net.params.train();
        }
        let states = net.states();
        net.params.eval();
        net.forward(&batch(device, 51).0).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(net.states(), states, "evaluation changed a state");
        (losses, evaluated)
    };
    let (device, _turn) = gpu();
    let ((losses, evaluated), (expected_losses, expected)) = (run(&device), run(&ocelli_oracle::device()));
    assert_losses("training", &losses, &expected_losses, 1e-4);
    assert_losses("evaluation", &evaluated, &expected, 1e-3);
    assert_eq!(
        counters(&device).planned,
        3,
        "the training step, the evaluation, and the one of logits alone"
    );
}

/// A data set on the device, from which batches are taken by index.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn batches_taken_from_the_device() {
    let run = |device: &Device| -> Vec<f32> {
        let net = Net::new(device, 0.0);
        let mut sgd = sgd(&net);
        let mut random = Random::new(5);
        let pixels: Vec<u8> = (0..64 * SIDE * SIDE).map(|_| random.below(256) as u8).collect();
        let labels: Vec<i32> = (0..64).map(|_| random.below(CLASSES) as i32).collect();
        let images = Tensor::from_slice(device, &pixels, &[64, SIDE, SIDE, 1]).unwrap().to_device().unwrap();
        let labels = Tensor::from_slice(device, &labels, &[64]).unwrap().to_device().unwrap();
        let step = |_| {
            let rows: Vec<i32> = (0..BATCH).map(|_| random.below(64) as i32).collect();
            let rows = Tensor::from_slice(device, &rows, &[BATCH]).unwrap();
            let x =
                images.take_rows(&rows).unwrap().cast(DType::F32).unwrap().mul_scalar(1.0 / 255.0).unwrap();
            let labels = labels.take_rows(&rows).unwrap();
            let loss =
                net.forward(&x).unwrap().cross_entropy(&labels, CrossEntropyConfig::default()).unwrap();
            sgd.minimize(&loss).unwrap();
            loss.value().unwrap()
        };
        (0..10).map(step).collect()
    };
    let (device, _turn) = gpu();
    assert_losses("batches by index", &run(&device), &run(&ocelli_oracle::device()), 1e-4);
    assert_eq!((counters(&device).planned, counters(&device).bound), (1, 1));
}

/// A value fed back without end: each step reads what the last one computed.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_result_fed_into_the_next_step() {
    let (device, _turn) = gpu();
    let mut x = Tensor::from_slice(&device, &[1f32; 100], &[100]).unwrap();
    for _ in 0..20 {
        x = x.mul_scalar(0.5).unwrap().add_scalar(1.0).unwrap();
        evaluate(&[&x]).unwrap();
    }
    let expected = (0..20).fold(1f32, |x, _| x * 0.5 + 1.0);
    assert_eq!(x.to_vec::<f32>().unwrap(), [expected; 100]);
    assert!(counters(&device).planned <= 2, "{:?}", counters(&device));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn deterministic_runs_give_the_same_bits() {
    for precision in [Precision::F32, Precision::mixed_f16(), Precision::mixed_bf16()] {
        let run = |device: &Device| {
            device.set_precision(precision);
            device.set_deterministic(true);
            device.manual_seed(5);
            let net = Net::new(device, 0.25);
            let losses = train(&net, &mut sgd(&net), 20);
            (losses, net.states())
        };
        let (device, turn) = gpu();
        let first = run(&device);
        assert!(first == run(&device), "{precision:?}, twice on one device");
        drop((device, turn));
        let (device, _turn) = gpu();
        assert!(first == run(&device), "{precision:?}, on a new device");
    }
}

/// What the planner makes of the step is what the GPU launches, replayed, without allocating.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_step_launches_what_was_planned_and_allocates_nothing() {
    for precision in [Precision::F32, Precision::mixed_f16()] {
        let (recording, recorder) = ocelli_oracle::recording_device();
        recording.set_precision(precision);
        let net = Net::new(&recording, 0.25);
        sgd(&net).minimize(&loss(&net, 0)).unwrap();
        // What convolutions take over is decided by times, which are not the same everywhere.
        let options = PlanOptions { fuse_convolutions: false, ..PlanOptions::default() };
        let planned = plan(&recorder.take()[0].0, options).unwrap();

        let _turn = turn();
        let device = Device::with_plan_options(0, options).unwrap();
        device.set_precision(precision);
        let net = Net::new(&device, 0.25);
        let mut sgd = sgd(&net);
        let mut in_use = Vec::new();
        for step in 0..6 {
            let loss = loss(&net, step);
            sgd.minimize(&loss).unwrap();
            loss.value().unwrap();
            in_use.push(device.gpu().unwrap().memory().unwrap().in_use);
        }
        let report = device.gpu().unwrap().report().pop().unwrap();
        println!(
            "{precision:?}: {} launches, arena {} bytes, workspace {} bytes",
            report.launches.len(),
            report.arena_bytes,
            report.workspace_bytes
        );
        let labels: Vec<&str> = report.launches.iter().map(|launch| &*launch.label).collect();
        let expected: Vec<&str> = planned.launches.iter().map(|launch| &*launch.label).collect();
        assert_eq!(labels, expected, "{precision:?}");
        assert_eq!(report.arena_bytes, planned.arena_bytes, "{precision:?}");
        assert!(report.replayed);
        assert!(
            in_use[2..].iter().all(|&bytes| bytes == in_use[2]),
            "memory in use after each step: {in_use:?}"
        );
    }
}

/// The step of this file's network, on any machine: what more fusion or better packing lowers, and nothing may raise.
#[test]
fn launches_and_memory_of_the_step_do_not_grow() {
    for (precision, launches, arena) in [(Precision::F32, 32, 339_200), (Precision::mixed_f16(), 36, 177_408)]
    {
        let (device, recorder) = ocelli_oracle::recording_device();
        device.set_precision(precision);
        let net = Net::new(&device, 0.25);
        sgd(&net).minimize(&loss(&net, 0)).unwrap();
        let plan = plan(&recorder.take()[0].0, PlanOptions::default()).unwrap();
        let labels: Vec<&str> = plan.launches.iter().map(|launch| &*launch.label).collect();
        println!("{precision:?}: {} launches, arena {} bytes", labels.len(), plan.arena_bytes);
        assert!(labels.len() <= launches, "{precision:?}: {} launches: {labels:#?}", labels.len());
        assert!(plan.arena_bytes <= arena, "{precision:?}: {} bytes", plan.arena_bytes);
    }
}

/// A network of 400 nodes: a hundred times scale, shift, silu and a sum with what came before.
struct Deep {
    params: Params,
    scales: Vec<ocelli::State>,
    image: Tensor,
}

impl Deep {
    fn new(device: &Device) -> Deep {
        let params = Params::new(device, Seed(1));
        let image = Tensor::from_slice(device, &[0.5f32; 8], &[1, 1, 1, 8]).unwrap().to_device().unwrap();
        let fans = ocelli::init::Fans { fan_in: 8, fan_out: 8 };
        let scale = |i: usize| {
            let (shape, init) = (ocelli::Shape::vector(8), ocelli::init::Init::Constant(0.1));
            (&params / &*format!("layer{i}")).parameter("scale", shape, fans, init).unwrap()
        };
        Deep { scales: (0..20).map(scale).collect(), params, image }
    }

    fn loss(&self) -> Tensor {
        let mut x = self.image.clone();
        for i in 0..95 {
            let y = x.mul(&self.scales[i % 20].tensor()).unwrap().add_scalar(0.1).unwrap().silu().unwrap();
            x = x.add(&y).unwrap();
        }
        x.mean().unwrap()
    }

    /// The mean host time of a step, of the fastest of several rounds.
    fn host_time(&self) -> Duration {
        let mut sgd = Sgd::new(&self.params, SgdConfig { lr: 1e-6, ..Default::default() });
        (0..5).for_each(|_| sgd.minimize(&self.loss()).unwrap());
        let mut round = || {
            self.params.device().synchronize().unwrap();
            let start = Instant::now();
            (0..20).for_each(|_| sgd.minimize(&self.loss()).unwrap());
            start.elapsed() / 20
        };
        (0..10).map(|_| round()).min().unwrap()
    }
}

/// An executor that looks plans up and runs nothing.
#[derive(Default)]
struct LookUp(Mutex<HashSet<WorkKey>>);

impl Executor for LookUp {
    fn upload(&self, _: TensorType, _: &[u8]) -> Result<Buffer> {
        Ok(Arc::new(()))
    }

    fn overwrite(&self, _: &Buffer, _: TensorType, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn duplicate(&self, buffer: &Buffer, _: TensorType) -> Result<Buffer> {
        Ok(buffer.clone())
    }

    fn download(&self, _: &Buffer, ty: TensorType) -> Result<Vec<u8>> {
        Ok(vec![0; ty.bytes()])
    }

    fn run(&self, work: &Work) -> Result<Vec<Buffer>> {
        let mut plans = self.0.lock().unwrap();
        if !plans.contains(&work.key) {
            plans.insert(work.key.clone());
            println!("{} nodes", work.key.graph.nodes.len());
        }
        Ok(work.key.graph.roots.iter().map(|_| Arc::new(()) as Buffer).collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The goal is 100 microseconds; the bound is loose because other programs run beside tests.
#[track_caller]
fn assert_quick(what: &str, time: Duration) {
    println!("{what}: {:.1} microseconds a step of 400 nodes", time.as_secs_f64() * 1e6);
    let bound = Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 1 });
    assert!(time < bound, "{what}: {time:?}");
}

#[test]
fn tracing_and_looking_up_a_step_is_quick() {
    let look_up = Device::with_executor(Box::new(LookUp::default()));
    assert_quick("tracing and look-up", Deep::new(&look_up).host_time());
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn the_host_time_of_a_step_is_short() {
    let (device, _turn) = gpu();
    assert_quick("tracing, look-up and replay", Deep::new(&device).host_time());
    assert_eq!(counters(&device).planned, 1);
}

/// A program may keep its losses, to read them later: that must not keep the memory that a loader lends its batches in.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_loss_that_is_kept_does_not_keep_its_batch() {
    let (device, _turn) = gpu();
    let memory = device.gpu().unwrap().cuda().clone();
    let params = Params::new(&device, Seed(1));
    let fc = Linear::new(&params / "fc", 8, 3).unwrap();
    let mut sgd = Sgd::new(&params, SgdConfig { lr: 0.1, ..Default::default() });
    let labels = Tensor::from_slice(&device, &[0i32, 1, 2, 0], &[4]).unwrap();
    let (sender, returned) = std::sync::mpsc::channel();
    let lend = |value: f32| {
        let buffer = memory.alloc(4 * 8 * 4).unwrap();
        let bytes: Vec<u8> = (0..32).flat_map(|i| ((value + i as f32) / 32.0).to_ne_bytes()).collect();
        memory.stream().upload(&buffer, 0, &bytes).unwrap();
        let sender = sender.clone();
        let lent = buffer.lend(4 * 8 * 4, move |memory| sender.send(memory).unwrap()).unwrap();
        Tensor::from_device_memory(&device, lent, DType::F32, &[4, 8]).unwrap()
    };
    let mut kept = Vec::new();
    for step in 0..6 {
        let images = lend(step as f32 / 8.0);
        let logits = fc.forward(&images).unwrap();
        let loss = logits.cross_entropy(&labels, Default::default()).unwrap();
        let right = logits.in_top_k(&labels, 1).unwrap().sum().unwrap();
        sgd.minimize_with(&loss, &[&right]).unwrap();
        drop((images, logits));
        returned.try_recv().unwrap_or_else(|_| panic!("step {step} keeps its batch"));
        kept.push((loss, right));
    }
    let losses: Vec<f32> = kept.iter().map(|(loss, _)| loss.value().unwrap()).collect();
    assert!(losses[5] < losses[0] && losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    assert!(matches!(sgd.minimize(&kept[5].0), Err(Error::Forgotten)));

    // Without gradients: a history that nobody can ask for is not kept either.
    params.eval();
    let images = lend(0.5);
    let logits = fc.forward(&images).unwrap().detach().unwrap();
    let loss = logits.cross_entropy(&labels, Default::default()).unwrap();
    evaluate(&[&loss]).unwrap();
    drop((images, logits));
    returned.try_recv().expect("an evaluation keeps its batch");
    assert!(loss.value().unwrap().is_finite());
}
