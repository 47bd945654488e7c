//! Every operation's gradient against finite differences, on odd sizes and random numbers.
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

use ocelli_core::{DType, Result, Shape, Tensor, TensorType};
use ocelli_oracle::{HostTensor, Random, check_gradient};

/// Holds the gradient of `build` for inputs of these shapes against finite differences.
#[track_caller]
fn check(shapes: &[&[usize]], build: impl Fn(&[Tensor]) -> Result<Tensor>) {
    check_values(&random(shapes), build);
}

/// The same with given inputs.
#[track_caller]
fn check_values(inputs: &[HostTensor], build: impl Fn(&[Tensor]) -> Result<Tensor>) {
    if let Err(error) = check_gradient(build, inputs) {
        panic!("{error}");
    }
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
