//! Every operation's gradient against finite differences, on odd sizes and random numbers; and every plan of the operation
//! with its gradients against its graph.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod conv;
mod layout;
mod loss;
mod matmul;
mod norm;
mod pointwise;
mod pool;
mod reduce;
mod sharing;
mod upsample;

use ocelli_core::{DType, Result, Shape, Tensor, TensorType, evaluate, gradients};
use ocelli_oracle::{HostTensor, Random, check_gradient, check_plans, recording_device};

/// Holds the gradient of `build` for inputs of these shapes against finite differences.
#[track_caller]
fn check(shapes: &[&[usize]], build: impl Fn(&[Tensor]) -> Result<Tensor>) {
    check_values(&random(shapes), build);
}

/// The same with given inputs.
#[track_caller]
fn check_values(inputs: &[HostTensor], build: impl Fn(&[Tensor]) -> Result<Tensor>) {
    if let Err(error) = check_gradient(&build, inputs).and_then(|()| check_plans_of(build, inputs)) {
        panic!("{error}");
    }
}

/// Holds the plans of `build` and of its gradients, in one graph.
fn check_plans_of(build: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[HostTensor]) -> Result<()> {
    let (device, recorder) = recording_device();
    let tensors = inputs.iter().map(|input| input.to_tensor(&device)).collect::<Result<Vec<Tensor>>>()?;
    let output = build(&tensors)?;
    let loss = output.mul(&Random::new(1).tensor(output.ty()).to_tensor(&device)?)?.sum()?;
    let targets: Vec<&Tensor> = tensors.iter().filter(|tensor| tensor.dtype().is_float()).collect();
    let found: Vec<Tensor> = targets.iter().filter_map(|x| gradients(&loss, &[x]).ok()?.pop()).collect();
    evaluate(&[&output, &loss].into_iter().chain(&found).collect::<Vec<_>>())?;
    recorder.take().iter().try_for_each(|(graph, bindings)| check_plans(graph, bindings))
}

/// Random inputs of these shapes, `f32`.
fn random(shapes: &[&[usize]]) -> Vec<HostTensor> {
    let mut random = Random::new(
        shapes.iter().flat_map(|shape| shape.iter()).fold(7, |seed, &extent| seed * 31 + extent as u64),
    );
    shapes.iter().map(|shape| random.tensor(f32(shape))).collect()
}

fn f32(shape: &[usize]) -> TensorType {
    TensorType::new(DType::F32, Shape::new(shape).unwrap())
}
