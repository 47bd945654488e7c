//! The optimizers' step on all parameters of ResNet-50, f32, in one launch.

mod common;

use anyhow::Result;
use common::resnet50::CONVOLUTIONS;
use common::{Bench, Case, Program};
use ocelli::ops::{AdamW, Op, Sgd};
use ocelli::{DType, Shape};

fn main() -> Result<()> {
    common::run("optimizer", |bench| {
        let shapes = parameters();
        let groups = vec![0; shapes.len()];
        let sgd = Op::Sgd(Sgd { nesterov: false, groups: groups.clone() });
        step(bench, "SGD with momentum", sgd, &[0.1, 0.9, 1e-4, 1.0, 0.0], Sgd::BUFFERS, &shapes)?;
        // The corrections are those of the tenth step.
        let scalars = [1e-3, 0.9, 0.999, 1e-8, 1e-2, 0.651, 0.00996, 1.0, 0.0];
        step(bench, "AdamW", Op::AdamW(AdamW { groups }), &scalars, AdamW::BUFFERS, &shapes)
    })
}

/// The shapes of the parameters: filters, scales and shifts, the classifier.
fn parameters() -> Vec<Shape> {
    let mut shapes = vec![Shape::matrix(1000, 2048), Shape::vector(1000)];
    for ([c, k, kernel, ..], count) in CONVOLUTIONS {
        for _ in 0..count {
            shapes.extend([Shape::nhwc(k, kernel, kernel, c), Shape::vector(k), Shape::vector(k)]);
        }
    }
    shapes
}

fn step(
    bench: &mut Bench,
    name: &str,
    op: Op,
    scalars: &[f32],
    buffers: usize,
    shapes: &[Shape],
) -> Result<()> {
    let mut program = Program::default();
    let mut inputs: Vec<_> = scalars.iter().map(|&scalar| program.scalar(scalar)).collect();
    let mut updated = Vec::new();
    for &shape in shapes {
        // Weight, gradient, buffers: all but the gradient are updated.
        let tensors: Vec<_> = (0..2 + buffers).map(|_| program.input(DType::F32, shape)).collect();
        updated.extend(tensors.iter().enumerate().filter(|(role, _)| *role != 1).map(|(_, &tensor)| tensor));
        inputs.extend(tensors);
    }
    let first = program.push(op, inputs)?;
    for (output, tensor) in updated.into_iter().enumerate() {
        program.replace(tensor, first.output(output as u16));
    }
    let name = format!("{name}, ResNet-50");
    bench.case(Case { name, direction: "step", dtype: DType::F32, flops: 0.0, count: 1 }, program)
}
