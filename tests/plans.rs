//! What the planner makes of a training step and of a session, held by numbers so that a regression shows. No GPU is needed.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use ocelli::codegen::{KernelSpec, MapSpec};
use ocelli::graph::Graph;
use ocelli::plan::{LaunchKind, Plan, PlanOptions, lower, plan};
use ocelli::prelude::*;
use ocelli::{Shape, TensorType};
use ocelli_oracle::shape_device;

const BATCH: usize = 64;

/// A device that computes nothing, and the whole graphs of what it was asked to do.
fn device() -> (Device, Arc<Mutex<Vec<Graph>>>) {
    let graphs = Arc::<Mutex<Vec<Graph>>>::default();
    let kept = Arc::clone(&graphs);
    let device = shape_device(move |work| {
        kept.lock().unwrap().push(work.key.expand()?);
        Ok(())
    });
    (device, graphs)
}

/// A training step of the network of `examples/mnist.rs`, planned.
fn mnist_step(precision: Precision, options: PlanOptions) -> Plan {
    let (device, graphs) = device();
    device.set_precision(precision);
    let params = Params::new(&device, Seed(1));
    let conv1 = Conv2d::new(&params / "conv1", 1, 32, Conv2dConfig::default()).unwrap();
    let conv2 = Conv2d::new(&params / "conv2", 32, 64, Conv2dConfig::default()).unwrap();
    let fc1 = Linear::new(&params / "fc1", 9216, 128).unwrap();
    let fc2 = Linear::new(&params / "fc2", 128, 10).unwrap();
    let images = Tensor::from_slice(&device, &[7u8; BATCH * 784], &[BATCH, 28, 28, 1]).unwrap();
    let x = images.cast(DType::F32).unwrap().mul_scalar(1.0 / 255.0).unwrap();
    let x = conv1.forward(&x).unwrap().relu().unwrap();
    let x = conv2.forward(&x).unwrap().relu().unwrap().max_pool2d(2).unwrap();
    let x = x.dropout(0.25).unwrap().flatten().unwrap();
    let x = fc1.forward(&x).unwrap().relu().unwrap().dropout(0.5).unwrap();
    let labels = Tensor::from_slice(&device, &[3i32; BATCH], &[BATCH]).unwrap();
    let loss = fc2.forward(&x).unwrap().cross_entropy(&labels, Default::default()).unwrap();
    AdamW::new(&params, AdamWConfig::default()).minimize(&loss).unwrap();
    let graph = graphs.lock().unwrap().pop().unwrap();
    plan(&graph, options).unwrap()
}

#[test]
fn a_training_step_of_mnist_has_no_more_launches_than_it_had() {
    let fused = mnist_step(Precision::mixed_f16(), PlanOptions::default());
    let single = mnist_step(Precision::mixed_f16(), PlanOptions { fuse: false, ..PlanOptions::default() });
    let labels: Vec<&str> = fused.launches.iter().map(|launch| &*launch.label).collect();
    // The last three: the norm of the gradients, all single numbers (loss scale, bias corrections), the update.
    assert_eq!(fused.launches.len(), 29, "{labels:#?}");
    assert_eq!(single.launches.len(), 82);
    assert_eq!(mnist_step(Precision::F32, PlanOptions::default()).launches.len(), 27);
}

#[test]
fn a_training_step_of_mnist_needs_no_more_memory_than_it_did() {
    let shared = mnist_step(Precision::mixed_f16(), PlanOptions::default());
    let apart =
        mnist_step(Precision::mixed_f16(), PlanOptions { share_memory: false, ..PlanOptions::default() });
    assert!(shared.arena_bytes <= 19_425_024, "{}", shared.arena_bytes);
    assert!(
        shared.arena_bytes * 3 < apart.arena_bytes * 2,
        "{} of {}",
        shared.arena_bytes,
        apart.arena_bytes
    );
}

/// What an allocation that fails is explained with.
#[test]
fn a_plan_names_its_largest_tensors() {
    let largest = mnist_step(Precision::F32, PlanOptions::default()).largest(2);
    let named: Vec<&str> = largest.split("), ").collect();
    // [64, 24, 24, 64] of four bytes, by the second convolution and on the way back.
    assert_eq!(named.len(), 2, "{largest}");
    assert!(named.iter().all(|tensor| tensor.starts_with("f32[64, 24, 24, 64] of 9.0 MiB (")), "{largest}");
}

#[test]
fn biases_activations_and_their_gradients_are_one_launch_each() {
    let maps: Vec<MapSpec> = mnist_step(Precision::F32, PlanOptions::default())
        .launches
        .into_iter()
        .filter_map(|launch| match launch.kind {
            LaunchKind::Kernel(KernelSpec::Map(map)) => Some(map),
            _ => None,
        })
        .collect();
    // The masked gradient of each convolution's ReLU and the gradient of its bias are made in one pass.
    let masked = maps.iter().filter(|map| map.writes.len() == 1 && map.sums.len() == 1);
    assert_eq!(masked.count(), 3, "{maps:#?}");
}

/// Of the 57 launches of a run of ResNet-50, 53 are its convolutions, each with what follows it but the last:
/// its bias, sum and ReLU go with the pooling. The others are the fourth channel of the image and its cast, both poolings,
/// and the classifier.
#[test]
#[cfg(feature = "models")]
fn a_session_launches_layers_and_nothing_else() {
    for precision in [Precision::mixed_f16(), Precision::mixed_bf16(), Precision::Tf32] {
        let (device, graphs) = device();
        let params = Params::new(&device, Seed(1));
        let net = ocelli::models::resnet50(&params, Default::default()).unwrap();
        params.eval();
        let image = TensorType::new(DType::F32, Shape::nhwc(1, 224, 224, 3));
        let session = Session::new(&device, image, precision, move |x| net.forward(x)).unwrap();
        drop(session);
        let graph = graphs.lock().unwrap().pop().unwrap();
        let plan = lower(&graph, PlanOptions::default()).unwrap();
        let convolutions =
            plan.launches.iter().filter(|launch| matches!(launch.kind, LaunchKind::Convolution(_)));
        assert_eq!(convolutions.count(), 53);
        let labels: Vec<&str> = plan.launches.iter().map(|launch| &*launch.label).collect();
        assert_eq!(labels.len(), 57, "{precision:?}: {labels:#?}");
    }
}
