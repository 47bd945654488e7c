//! Batch normalisation at the sizes of ResNet-50, batch 256: training's forward pass alone and with the ReLU after it,
//! and the gradient.

mod common;

use anyhow::Result;
use common::{Bench, Case, Program};
use ocelli::ops::{BatchNorm, Op, Unary};
use ocelli::{DType, Real, Shape};

/// Channels, height and width.
const RESNET50: [[usize; 2]; 6] = [[64, 112], [64, 56], [256, 56], [512, 28], [1024, 14], [2048, 7]];

fn main() -> Result<()> {
    common::run("batch_norm", |bench| {
        for [channels, size] in RESNET50 {
            batch_norm(bench, channels, size)?;
        }
        Ok(())
    })
}

fn batch_norm(bench: &mut Bench, channels: usize, size: usize) -> Result<()> {
    let (x, c) = (Shape::nhwc(256, size, size, channels), Shape::vector(channels));
    let (dtype, norm) = (DType::F16, BatchNorm { eps: Real(1e-5) });
    let case =
        |direction| Case { name: format!("{channels},{size}"), direction, dtype, flops: 0.0, count: 1 };

    for (direction, relu) in [("forward", false), ("forward and ReLU", true)] {
        let mut forward = Program::default();
        let inputs =
            vec![forward.input(dtype, x), forward.input(DType::F32, c), forward.input(DType::F32, c)];
        let y = forward.push(Op::BatchNorm(norm), inputs)?;
        let result = if relu { forward.push(Op::Unary(Unary::Relu), vec![y])? } else { y };
        [result, y.output(1), y.output(2)].into_iter().for_each(|output| forward.output(output));
        bench.case(case(direction), forward)?;
    }

    let mut backward = Program::default();
    let operands = [(dtype, x), (DType::F32, c), (DType::F32, c), (DType::F32, c), (dtype, x)];
    let inputs = operands.map(|(dtype, shape)| backward.input(dtype, shape)).to_vec();
    let dx = backward.push(Op::BatchNormGrad(norm), inputs)?;
    (0..3).for_each(|output| backward.output(dx.output(output)));
    bench.case(case("backward"), backward)
}
