//! Chains of pointwise work that the planner makes one launch of: what stands between the convolutions of networks.

mod common;

use anyhow::Result;
use common::{Bench, Case, Program};
use ocelli::graph::Value;
use ocelli::ops::{Binary, Op, SumTo, Unary};
use ocelli::{DType, Shape};

/// Height and width, channels; the batch is 256.
const SHAPES: [[usize; 2]; 3] = [[56, 256], [28, 512], [7, 2048]];

fn main() -> Result<()> {
    common::run("pointwise", |bench| {
        for [size, channels] in SHAPES {
            let shape = Shape::nhwc(256, size, size, channels);
            for dtype in [DType::F16, DType::F32] {
                chain(bench, "relu", shape, dtype, relu)?;
                chain(bench, "scale, shift, add, relu", shape, dtype, residual)?;
                chain(bench, "gelu", shape, dtype, gelu)?;
                chain(bench, "mask and channel sum", shape, dtype, mask_and_sum)?;
            }
        }
        Ok(())
    })
}

type Chain = fn(&mut Program, DType, Shape) -> Result<Vec<Value>>;

fn chain(bench: &mut Bench, what: &str, shape: Shape, dtype: DType, build: Chain) -> Result<()> {
    let mut program = Program::default();
    let outputs = build(&mut program, dtype, shape)?;
    outputs.into_iter().for_each(|output| program.output(output));
    let [_, height, width, channels] = shape.aligned();
    let name = format!("{what} {height}x{width}x{channels}");
    bench.case(Case { name, direction: "forward", dtype, flops: 0.0, count: 1 }, program)
}

fn relu(program: &mut Program, dtype: DType, shape: Shape) -> Result<Vec<Value>> {
    let x = program.input(dtype, shape);
    Ok(vec![program.push(Op::Unary(Unary::Relu), vec![x])?])
}

fn gelu(program: &mut Program, dtype: DType, shape: Shape) -> Result<Vec<Value>> {
    let x = program.input(dtype, shape);
    Ok(vec![program.push(Op::Unary(Unary::Gelu), vec![x])?])
}

/// The end of a residual block whose batch normalisation is a scale and a shift: `relu(x * scale + shift + residual)`.
fn residual(program: &mut Program, dtype: DType, shape: Shape) -> Result<Vec<Value>> {
    let (x, residual) = (program.input(dtype, shape), program.input(dtype, shape));
    let channels = Shape::vector(shape.channels());
    let (scale, shift) = (program.input(DType::F32, channels), program.input(DType::F32, channels));
    let scaled = program.push(Op::Binary(Binary::Mul), vec![x, scale])?;
    let shifted = program.push(Op::Binary(Binary::Add), vec![scaled, shift])?;
    let sum = program.push(Op::Binary(Binary::Add), vec![shifted, residual])?;
    Ok(vec![program.push(Op::Unary(Unary::Relu), vec![sum])?])
}

/// The gradient of `relu(x + bias)`: that of `x`, and its sum over the images for the bias.
fn mask_and_sum(program: &mut Program, dtype: DType, shape: Shape) -> Result<Vec<Value>> {
    let (y, dy) = (program.input(dtype, shape), program.input(dtype, shape));
    let dx = program.push(Op::Binary(Binary::Chain(Unary::Relu)), vec![dy, y])?;
    let sum = SumTo { shape: Shape::vector(shape.channels()), dtype: DType::F32 };
    let dbias = program.push(Op::SumTo(sum), vec![dx])?;
    Ok(vec![dx, dbias])
}
