//! Sessions on the GPU: held against the oracle, replayed, refreshed, moved to other threads, beside training.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ocelli::plan::PlanOptions;
use ocelli::prelude::*;
use ocelli::{Shape, TensorType};
use ocelli_oracle::Random;

/// A GPU of the test's own, and its turn: captures and measurements do not like company.
fn gpu() -> (Device, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::new(0).expect("a GPU");
    poison(&device);
    (device, turn)
}

/// Fills memory that is allocated next with what is not a number in any type.
fn poison(device: &Device) {
    let cuda = device.gpu().expect("a GPU").cuda();
    let buffers: Vec<_> = (8..=26)
        .flat_map(|log| [1 << log; 4])
        .map(|bytes| {
            let buffer = cuda.alloc(bytes).unwrap();
            cuda.stream().fill_bytes(&buffer, 0, bytes, 0xff).unwrap();
            buffer
        })
        .collect();
    drop(buffers);
    device.synchronize().unwrap();
}

const SIDE: usize = 32;
const EACH: usize = SIDE * SIDE * 3;
const CLASSES: usize = 10;

/// A small ResNet: a stem, a bottleneck with a projection, a bottleneck without, pooling, a classifier.
struct Net {
    params: Params,
    stem: Layer,
    bottlenecks: Vec<([Layer; 3], Option<Layer>)>,
    fc: Linear,
}

/// A convolution and its normalisation.
type Layer = (Conv2d, BatchNorm2d);

fn layer(params: Params, [inputs, outputs, kernel, stride]: [usize; 4]) -> Layer {
    let config = Conv2dConfig { kernel, stride, padding: kernel / 2, bias: false, ..Default::default() };
    let conv = Conv2d::new(&params / "conv", inputs, outputs, config).unwrap();
    (conv, BatchNorm2d::new(&params / "norm", outputs, BatchNormConfig::default()).unwrap())
}

fn through((conv, norm): &Layer, x: &Tensor) -> Result<Tensor> {
    norm.forward(&conv.forward(x)?)
}

impl Net {
    fn new(device: &Device) -> Net {
        let params = Params::new(device, Seed(7));
        let bottleneck = |name: &str, inputs: usize, width: usize, stride: usize| {
            let at = |part: &str| &(&params / name) / part;
            let layers = [
                layer(at("1"), [inputs, width, 1, 1]),
                layer(at("2"), [width, width, 3, stride]),
                layer(at("3"), [width, 4 * width, 1, 1]),
            ];
            let projection = (inputs != 4 * width).then(|| layer(at("p"), [inputs, 4 * width, 1, stride]));
            (layers, projection)
        };
        let net = Net {
            stem: layer(&params / "stem", [3, 16, 3, 1]),
            bottlenecks: vec![bottleneck("a", 16, 8, 2), bottleneck("b", 32, 8, 1)],
            fc: Linear::new(&params / "fc", 32, CLASSES).unwrap(),
            params: params.clone(),
        };
        net.params.eval();
        net.randomise(1);
        net
    }

    /// Other weights and statistics, such that activations stay moderate.
    fn randomise(&self, seed: u64) {
        let mut random = Random::new(seed);
        for state in self.params.all() {
            let ty = state.ty();
            let values = match state.name().rsplit('.').next() {
                Some("running_var") => random.positive(ty),
                _ => random.tensor(ty),
            };
            let fan_in = (ty.shape.elements() / ty.shape.dims()[0]) as f64;
            let size = if ty.shape.rank() > 1 { 1.0 / fan_in.sqrt() } else { 0.5 };
            let values: Vec<f32> = values.values.into_iter().map(|value| (value * size) as f32).collect();
            state.set(&values).unwrap();
        }
    }
}

impl Module for Net {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = through(&self.stem, x)?.relu()?.max_pool2d(2)?;
        for (layers, projection) in &self.bottlenecks {
            let y = through(&layers[0], &x)?.relu()?;
            let y = through(&layers[1], &y)?.relu()?;
            let y = through(&layers[2], &y)?;
            let shortcut = projection.as_ref().map_or(Ok(x.clone()), |layer| through(layer, &x))?;
            x = y.add(&shortcut)?.relu()?;
        }
        self.fc.forward(&x.mean_images()?.flatten()?)
    }
}

fn input(batch: usize) -> TensorType {
    TensorType::new(DType::F32, Shape::nhwc(batch, SIDE, SIDE, 3))
}

fn images(batch: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..batch * EACH).map(|_| random.signed() as f32).collect()
}

fn serve(net: &Arc<Net>, device: &Device, batch: usize, precision: Precision) -> Session {
    let net = Arc::clone(net);
    Session::new(device, input(batch), precision, move |x| net.forward(x)).unwrap()
}

/// The logits that the oracle computes with this network's weights of this seed, in `f64`.
fn expected(images: &[f32], seed: u64) -> Vec<f32> {
    let device = ocelli_oracle::device();
    let net = Net::new(&device);
    net.randomise(seed);
    let x = Tensor::from_slice(&device, images, &[images.len() / EACH, SIDE, SIDE, 3]).unwrap();
    net.forward(&x).unwrap().to_vec().unwrap()
}

#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let error = norm(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    let size = norm(&mut expected.iter().map(|&b| f64::from(b)));
    assert!(error <= tolerance * size, "{what}: off by {}: {found:?}, not {expected:?}", error / size);
}

const PRECISIONS: [(Precision, f64); 4] = [
    (Precision::F32, 1e-5),
    (Precision::Tf32, 5e-3),
    (Precision::Mixed(ocelli::Half::F16), 5e-3),
    (Precision::Mixed(ocelli::Half::BF16), 4e-2),
];

#[test]
fn the_oracle_serves_the_network_of_these_tests() {
    let device = ocelli_oracle::device();
    let net = Arc::new(Net::new(&device));
    let mut session = serve(&net, &device, 2, Precision::mixed_f16());
    let images = images(2, 4);
    let expected = expected(&images, 1);
    assert!(expected.iter().any(|logit| logit.abs() > 0.1), "{expected:?}");
    assert_close("the oracle", session.run(&images).unwrap().get(0).unwrap(), &expected, 1e-6);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_replay_in_every_precision_answers_as_the_oracle_does() {
    for (precision, tolerance) in PRECISIONS {
        let (device, _turn) = gpu();
        let net = Arc::new(Net::new(&device));
        let mut session = serve(&net, &device, 2, precision);
        for batch in [2, 1, 5, 2] {
            for run in 0..3 {
                let images = images(batch, run);
                let what = format!("{precision:?}, batch {batch}, run {run}");
                let expected = expected(&images, 1);
                assert_close(&what, session.run(&images).unwrap().get(0).unwrap(), &expected, tolerance);
                // The same from a tensor on the GPU, and from the pinned memory.
                let tensor = Tensor::from_slice(&device, &images, &[batch, SIDE, SIDE, 3]).unwrap();
                let tensor = tensor.to_device().unwrap();
                assert_close(&what, session.run(&tensor).unwrap().get(0).unwrap(), &expected, tolerance);
                let outputs = session.run_with(batch, |place: &mut [f32]| place.copy_from_slice(&images));
                assert_close(&what, outputs.unwrap().get(0).unwrap(), &expected, tolerance);
            }
        }
    }
}

/// Where the launches differ most: every optimisation off.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn optimisations_may_be_switched_off() {
    let (_, _turn) = gpu();
    let plain =
        PlanOptions { fold_batch_norm: false, fuse: false, fuse_convolutions: false, ..Default::default() };
    let device = Device::with_plan_options(0, plain).unwrap();
    let net = Arc::new(Net::new(&device));
    let mut session = serve(&net, &device, 2, Precision::F32);
    let images = images(2, 5);
    let found = session.run(&images).unwrap().to_vec(0).unwrap();
    assert_close("plain", &found, &expected(&images, 1), 1e-5);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_refresh_takes_over_the_weights_in_every_plan() {
    let (device, _turn) = gpu();
    let net = Arc::new(Net::new(&device));
    let mut session = serve(&net, &device, 1, Precision::mixed_f16());
    session.warm_up(&[4]).unwrap();
    for seed in 2..6 {
        net.randomise(seed);
        for (batch, seed) in [(1, seed), (4, seed)] {
            let images = images(batch, seed);
            let stale = session.run(&images).unwrap().to_vec(0).unwrap();
            assert_close("before", &stale, &expected(&images, seed - 1), 5e-3);
        }
        session.refresh().unwrap();
        for (batch, seed) in [(1, seed), (4, seed)] {
            let images = images(batch, seed);
            let fresh = session.run(&images).unwrap().to_vec(0).unwrap();
            assert_close("after", &fresh, &expected(&images, seed), 5e-3);
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn pixels_and_several_outputs() {
    let (device, _turn) = gpu();
    let network = |net: Net| {
        move |pixels: &Tensor| {
            let x = pixels.cast(DType::F32)?.mul_scalar(1.0 / 64.0)?.add_scalar(-2.0)?;
            let logits = net.forward(&x)?;
            Ok([logits.softmax()?, logits.argmax()?])
        }
    };
    let ty = TensorType::new(DType::U8, Shape::nhwc(3, SIDE, SIDE, 3));
    let pixels: Vec<u8> = (0..3 * EACH).map(|i| (i * 7919 % 256) as u8).collect();
    let run = |device: &Device| {
        let mut session = Session::new(device, ty, Precision::F32, network(Net::new(device))).unwrap();
        let outputs = session.run(&pixels).unwrap();
        (outputs.to_vec::<f32>(0).unwrap(), outputs.to_vec::<i32>(1).unwrap())
    };
    let ((softmax, class), (expected, expected_class)) = (run(&device), run(&ocelli_oracle::device()));
    assert_close("softmax", &softmax, &expected, 1e-4);
    assert_eq!(class, expected_class);
}

/// Sessions serve from threads of their own, while another one trains on the same GPU: what one thread captures must not
/// hold what another one launches.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn sessions_serve_beside_training() {
    let (device, _turn) = gpu();
    let expected: Vec<Vec<f32>> = (0..3).map(|seed| expected(&images(2, seed), 1)).collect();
    let servers: Vec<_> = (0..2)
        .map(|thread| {
            let (device, expected) = (device.clone(), expected.clone());
            std::thread::spawn(move || {
                let net = Arc::new(Net::new(&device));
                for round in 0..3 {
                    let mut session = serve(&net, &device, 2, Precision::F32);
                    for run in 0..100 {
                        let seed = run % 3;
                        let found = session.run(&images(2, seed as u64)).unwrap().to_vec(0).unwrap();
                        assert_close(&format!("{thread}, {round}, {run}"), &found, &expected[seed], 1e-5);
                    }
                }
            })
        })
        .collect();
    let net = Net::new(&device);
    net.params.train();
    let mut sgd = Sgd::new(&net.params, SgdConfig { lr: 1e-3, ..Default::default() });
    for step in 0..60 {
        // Other batch sizes are other plans, which are captured in turn.
        let batch = 2 + step as usize / 20;
        let x = Tensor::from_slice(&device, &images(batch, step), &[batch, SIDE, SIDE, 3]).unwrap();
        let labels = Tensor::from_slice(&device, &vec![3i32; batch], &[batch]).unwrap();
        let loss = net.forward(&x).unwrap().cross_entropy(&labels, CrossEntropyConfig::default()).unwrap();
        sgd.minimize(&loss).unwrap();
        assert!(loss.value().unwrap().is_finite());
    }
    servers.into_iter().for_each(|server| server.join().unwrap());
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_run_makes_nothing_new_and_costs_the_host_little() {
    let (device, _turn) = gpu();
    let net = Arc::new(Net::new(&device));
    let mut session = serve(&net, &device, 1, Precision::mixed_f16());
    let images = images(1, 1);
    session.run(&images).unwrap();
    let made = || {
        let gpu = device.gpu().unwrap();
        (gpu.counters(), gpu.memory().unwrap().in_use)
    };
    let before = made();
    for _ in 0..50 {
        session.run(&images).unwrap();
    }
    assert_eq!(made(), before);
    assert!(session.report().unwrap().replayed);
    assert!(!session.profile().unwrap().unwrap().launches.is_empty());

    let latencies = session.latencies(500).unwrap();
    let (gpu, launches) = (latencies.gpu.unwrap(), latencies.launches.unwrap());
    println!("{latencies}");
    assert!(launches.p50 <= gpu.p50 * 1.05, "{latencies}");
    assert!(latencies.end_to_end.p50 >= launches.p50 * 0.95, "{latencies}");
    // Copies of 12 KiB, one call of the driver and one wait, with room for a busy machine.
    assert!(latencies.end_to_end.p50 - gpu.p50 < 30.0, "{latencies}");
    let again = session.run(&images).unwrap().to_vec(0).unwrap();
    assert_close("after all that", &again, &expected(&images, 1), 5e-3);
}
