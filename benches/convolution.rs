//! Convolutions: those of ResNet-50 at batch 256, forward and both gradients, in fp16.
//!
//! `benches/peers/convolution.py` times PyTorch on the same table.

mod common;

use anyhow::Result;
use common::resnet50::CONVOLUTIONS;
use common::{Bench, Case, Program};
use ocelli::ops::{Conv2d, Op};
use ocelli::{DType, Shape};

const BATCH: usize = 256;

fn main() -> Result<()> {
    common::run("convolution", |bench| {
        for (shape, count) in CONVOLUTIONS {
            convolution(bench, shape, count)?;
        }
        Ok(())
    })
}

fn convolution(bench: &mut Bench, shape: [usize; 5], count: u32) -> Result<()> {
    let [c, k, kernel, stride, size] = shape;
    let conv = Conv2d { stride: [stride; 2], padding: [kernel / 2; 2], ..Default::default() };
    let out = size / stride;
    let (x, w) = (Shape::nhwc(BATCH, size, size, c), Shape::nhwc(k, kernel, kernel, c));
    let y = Shape::nhwc(BATCH, out, out, k);
    let flops = 2.0 * (y.elements() * kernel * kernel * c) as f64;
    let directions = [
        ("forward", Op::Conv2d(conv), [x, w]),
        ("data gradient", Op::ConvBackwardData { conv, input: x }, [y, w]),
        ("filter gradient", Op::ConvBackwardFilter { conv, filter: w }, [x, y]),
    ];
    for (direction, op, operands) in directions {
        // Nobody needs the gradient of the pictures.
        if c == 4 && direction == "data gradient" {
            continue;
        }
        let mut program = Program::default();
        let inputs = operands.map(|shape| program.input(DType::F16, shape)).to_vec();
        let result = program.push(op, inputs)?;
        program.output(result);
        let name = shape.map(|extent| extent.to_string()).join(",");
        bench.case(Case { name, direction, dtype: DType::F16, flops, count }, program)?;
    }
    Ok(())
}
