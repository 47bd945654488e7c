//! Pooling: ResNet-50's at batch 256, and a window beside a window, forward and backward.

mod common;

use anyhow::Result;
use common::{Bench, Case, Program};
use ocelli::ops::pool::Windows;
use ocelli::ops::{AvgPool, MaxPool, Op};
use ocelli::{DType, Shape};

fn main() -> Result<()> {
    common::run("pooling", |bench| {
        for dtype in [DType::F16, DType::F32] {
            max_pool(bench, dtype, Windows::square(3).stride(2).padding(1), [112, 64])?;
            max_pool(bench, dtype, Windows::square(2), [56, 128])?;
            avg_pool(bench, dtype, Windows::square(2), [56, 128])?;
        }
        Ok(())
    })
}

fn max_pool(bench: &mut Bench, dtype: DType, windows: Windows, [size, channels]: [usize; 2]) -> Result<()> {
    let name = format!("max {}x{0}/{} {size}x{size}x{channels}", windows.kernel[0], windows.stride[0]);
    let (x, y) = shapes(windows, size, channels);
    let case = |direction| Case { name: name.clone(), direction, dtype, flops: 0.0, count: 1 };

    let mut forward = Program::default();
    let input = forward.input(dtype, x);
    let result = forward.push(Op::MaxPool(MaxPool(windows)), vec![input])?;
    forward.output(result);
    bench.case(case("forward"), forward)?;

    // What a training step runs: the places of the largest values are kept, and gradients go there.
    let mut places = Program::default();
    let input = places.input(dtype, x);
    let result = places.push(Op::MaxPoolWithPlaces(MaxPool(windows)), vec![input])?;
    places.output(result);
    places.output(result.output(1));
    bench.case(case("forward with places"), places)?;

    let mut backward = Program::default();
    let inputs = vec![backward.input(dtype, y), backward.input(DType::U8, y)];
    let result = backward.push(Op::MaxPoolGradAtPlaces { pool: MaxPool(windows), input: x }, inputs)?;
    backward.output(result);
    bench.case(case("backward"), backward)
}

fn avg_pool(bench: &mut Bench, dtype: DType, windows: Windows, [size, channels]: [usize; 2]) -> Result<()> {
    let name = format!("average {}x{0}/{} {size}x{size}x{channels}", windows.kernel[0], windows.stride[0]);
    let pool = AvgPool::Windows { windows, count_include_pad: true };
    let (x, y) = shapes(windows, size, channels);
    let case = |direction| Case { name: name.clone(), direction, dtype, flops: 0.0, count: 1 };

    let mut forward = Program::default();
    let input = forward.input(dtype, x);
    let result = forward.push(Op::AvgPool(pool), vec![input])?;
    forward.output(result);
    bench.case(case("forward"), forward)?;

    let mut backward = Program::default();
    let gradient = backward.input(dtype, y);
    let result = backward.push(Op::AvgPoolGrad { pool, input: x }, vec![gradient])?;
    backward.output(result);
    bench.case(case("backward"), backward)
}

/// The shapes of input and output, at batch 256.
fn shapes(windows: Windows, size: usize, channels: usize) -> (Shape, Shape) {
    let out = windows.count(0, size).unwrap_or(0);
    (Shape::nhwc(256, size, size, channels), Shape::nhwc(256, out, out, channels))
}
