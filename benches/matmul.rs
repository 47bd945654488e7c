//! Matrix products: linear layers, forward and both gradients, and squares.

mod common;

use anyhow::Result;
use common::{Bench, Case, Program};
use ocelli::ops::{Matmul, Op};
use ocelli::{DType, Shape};

/// Rows (the batch), inputs and outputs of a linear layer.
const LINEAR: [[usize; 3]; 4] = [[512, 9216, 128], [256, 2048, 1000], [256, 25_088, 4096], [256, 4096, 4096]];
const SQUARES: [usize; 3] = [1024, 4096, 8192];

fn main() -> Result<()> {
    common::run("matmul", |bench| {
        for dtype in [DType::F16, DType::BF16] {
            for extent in SQUARES {
                let side = Shape::matrix(extent, extent);
                product(bench, "forward", [extent; 3], dtype, Matmul::default(), [side, side])?;
            }
        }
        for shape in LINEAR {
            let [n, c, k] = shape;
            let (x, w, y) = (Shape::matrix(n, c), Shape::matrix(k, c), Shape::matrix(n, k));
            let (plain, of_weights) = (Matmul::default(), Matmul { transpose_a: true, ..Default::default() });
            let forward = Matmul { transpose_b: true, ..Default::default() };
            product(bench, "forward", shape, DType::F16, forward, [x, w])?;
            product(bench, "data gradient", shape, DType::F16, plain, [y, w])?;
            product(bench, "weight gradient", shape, DType::F16, of_weights, [y, x])?;
        }
        Ok(())
    })
}

fn product(
    bench: &mut Bench,
    direction: &'static str,
    shape: [usize; 3],
    dtype: DType,
    matmul: Matmul,
    operands: [Shape; 2],
) -> Result<()> {
    let mut program = Program::default();
    let inputs = operands.map(|shape| program.input(dtype, shape)).to_vec();
    let result = program.push(Op::Matmul(matmul), inputs)?;
    program.output(result);
    let flops = 2.0 * shape.iter().product::<usize>() as f64;
    let name = shape.map(|extent| extent.to_string()).join("x");
    bench.case(Case { name, direction, dtype, flops, count: 1 }, program)
}
