//! Softmax and log-softmax over rows, forward and backward.

mod common;

use anyhow::Result;
use common::{Bench, Case, Program};
use ocelli::ops::{Op, Softmax};
use ocelli::{DType, Shape};

/// Rows and columns: ImageNet's classes at batch 256, many rows of many classes, a detector's classes, long rows.
const SHAPES: [[usize; 2]; 4] = [[256, 1000], [65_536, 1000], [1_000_000, 91], [512, 131_072]];

fn main() -> Result<()> {
    common::run("softmax", |bench| {
        for shape in SHAPES {
            for dtype in [DType::F32, DType::F16] {
                softmax(bench, shape, dtype, false)?;
            }
            softmax(bench, shape, DType::F32, true)?;
        }
        Ok(())
    })
}

fn softmax(bench: &mut Bench, [rows, columns]: [usize; 2], dtype: DType, log: bool) -> Result<()> {
    let (shape, operation) = (Shape::matrix(rows, columns), Softmax { log });
    let name = format!("{}{rows}x{columns}", if log { "log " } else { "" });
    let case = |direction| Case { name: name.clone(), direction, dtype, flops: 0.0, count: 1 };

    let mut forward = Program::default();
    let x = forward.input(dtype, shape);
    let y = forward.push(Op::Softmax(operation), vec![x])?;
    forward.output(y);
    bench.case(case("forward"), forward)?;

    let mut backward = Program::default();
    let inputs = vec![backward.input(dtype, shape), backward.input(dtype, shape)];
    let dx = backward.push(Op::SoftmaxGrad(operation), inputs)?;
    backward.output(dx);
    bench.case(case("backward"), backward)
}
