//! What convolutions take over in the plans of ResNet-50. No GPU is needed.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use ocelli::codegen::KernelSpec;
use ocelli::models::{ResNet, ResNetConfig, resnet50};
use ocelli::ops::{ConvFusion, Op};
use ocelli::plan::{Convolution, ConvolutionKind, LaunchKind, Plan, PlanOptions, plan};
use ocelli::prelude::*;
use ocelli_oracle::shape_device;

/// The plan of what is done with ResNet-50 and images of this many channels.
fn plan_of(precision: Precision, channels: usize, run: impl Fn(&Params, &ResNet, &Tensor)) -> Plan {
    plan_with(PlanOptions::default(), precision, channels, run)
}

fn plan_with(
    options: PlanOptions,
    precision: Precision,
    channels: usize,
    run: impl Fn(&Params, &ResNet, &Tensor),
) -> Plan {
    let plans = Arc::<Mutex<Vec<Plan>>>::default();
    let kept = Arc::clone(&plans);
    let device = shape_device(move |work| {
        kept.lock().unwrap().push(plan(&work.key.expand_for(options)?, options)?);
        Ok(())
    });
    device.set_precision(precision);
    let params = Params::new(&device, Seed(1));
    let net = resnet50(&params, ResNetConfig::default()).unwrap();
    let shape = [16, 224, 224, channels];
    let images = Tensor::from_slice(&device, &vec![7u8; shape.iter().product()], &shape).unwrap();
    run(&params, &net, &images.cast(DType::F32).unwrap());
    plans.lock().unwrap().pop().unwrap()
}

fn convolutions(plan: &Plan) -> Vec<Convolution> {
    let convolution = |kind: &LaunchKind| match kind {
        LaunchKind::Convolution(convolution) => Some(*convolution),
        _ => None,
    };
    plan.launches.iter().filter_map(|launch| convolution(&launch.kind)).collect()
}

/// Of 53 convolutions 33 are followed by ReLU, 4 are shortcuts, 16 are followed by the shortcut's addition and ReLU. The
/// last one of these is read by the average over the images alone, which takes all of it along in its own pass.
#[test]
fn in_evaluation_every_convolution_is_one_launch_with_all_that_follows_it() {
    for precision in [Precision::Tf32, Precision::mixed_f16()] {
        let plan = plan_of(precision, 3, |params, net, images| {
            params.eval();
            evaluate(&[&net.forward(images).unwrap()]).unwrap();
        });
        let convolutions = convolutions(&plan);
        let count = |residual: bool, relu: bool| {
            let fusion = ConvFusion { bias: true, residual, relu, ..ConvFusion::NONE };
            convolutions.iter().filter(|convolution| convolution.fusion == fusion).count()
        };
        assert_eq!(convolutions.len(), 53);
        let labels: Vec<&String> = plan.launches.iter().map(|launch| &launch.label).collect();
        let found = [count(false, false), count(false, true), count(true, false), count(true, true)];
        assert_eq!(found, [4, 33, 0, 15], "{labels:#?}");
    }
}

/// All but the first convolution yield the statistics of the normalisation after them, which cuDNN makes in f16 alone.
#[test]
fn in_training_convolutions_yield_the_statistics_that_follow() {
    for (precision, expected) in [(Precision::mixed_f16(), 52), (Precision::mixed_bf16(), 0)] {
        let plan = plan_of(precision, 3, |params, net, images| {
            let labels = Tensor::from_slice(params.device(), &[3i32; 16], &[16]).unwrap();
            let loss = net.forward(images).unwrap().cross_entropy(&labels, Default::default()).unwrap();
            Sgd::new(params, SgdConfig { lr: 0.1, ..Default::default() }).minimize(&loss).unwrap();
        });
        let convolutions = convolutions(&plan);
        let forward = convolutions.iter().filter(|c| c.kind == ConvolutionKind::Forward);
        let (with, without) = forward.partition::<Vec<&Convolution>, _>(|c| c.fusion.statistics);
        assert_eq!((with.len(), without.len()), (expected, 53 - expected));
        let decided = |fused: bool| {
            let statistics = plan.decisions.iter().filter(|decision| decision.pattern == "statistics");
            statistics.filter(|decision| decision.fused == fused).count()
        };
        assert_eq!((decided(true), decided(false)), (expected, 53 - expected));
        // Each normalisation is left with one reading of its own statistics at most.
        let statistics = plan.launches.iter().filter(|launch| launch.label.starts_with("channel_stats"));
        assert_eq!(statistics.count(), 53 - expected);
    }
}

/// Launches, the arena, and how often everything but convolutions passes over the convolutions' outputs: what better
/// planning lowers, and nothing may raise.
#[test]
fn a_training_step_moves_and_keeps_no_more_than_it_did() {
    for (save_memory, launches, passes, mebibytes) in [(false, 421, 8.71, 641), (true, 463, 9.23, 585)] {
        let options = PlanOptions { save_memory, ..PlanOptions::default() };
        let plan = plan_with(options, Precision::mixed_f16(), 4, |params, net, images| {
            let labels = Tensor::from_slice(images.device(), &[3i32; 16], &[16]).unwrap();
            let loss = net.forward(images).unwrap().cross_entropy(&labels, Default::default()).unwrap();
            Sgd::new(params, SgdConfig::default()).minimize(&loss).unwrap();
        });
        let bytes = |buffers: &[u32]| -> usize {
            buffers.iter().map(|&buffer| plan.buffers[buffer as usize].ty.bytes()).sum()
        };
        let (mut outputs, mut moved) = (0, 0);
        for launch in &plan.launches {
            match &launch.kind {
                LaunchKind::Convolution(convolution) if convolution.kind == ConvolutionKind::Forward => {
                    outputs += bytes(&launch.writes[..1]);
                }
                LaunchKind::Convolution(_) => {}
                // The update moves the weights, which do not grow with the batch.
                LaunchKind::Kernel(KernelSpec::Operation { op: Op::Sgd(_) | Op::GradientNorm, .. }) => {}
                _ => moved += bytes(&launch.reads) + bytes(&launch.writes),
            }
        }
        let found = (plan.launches.len(), moved as f64 / outputs as f64, plan.arena_bytes >> 20);
        println!("save_memory {save_memory}: launches, passes, MiB: {found:?}");
        assert!(found.0 <= launches && found.1 <= passes && found.2 <= mebibytes, "{found:?}");
    }
}
