use ocelli_core::Shape;
use ocelli_core::ops::Upsample;

use crate::host_tensor::{HostTensor, coordinates, offset};

pub(super) fn upsample(upsample: &Upsample, x: &HostTensor, output: Shape) -> Vec<f64> {
    let mut y = vec![0.0; output.elements()];
    shares(upsample, x.ty.shape, output, |from, to, share| y[to] += share * x.values[from]);
    y
}

pub(super) fn upsample_grad(upsample: &Upsample, dy: &HostTensor, input: Shape) -> Vec<f64> {
    let mut dx = vec![0.0; input.elements()];
    shares(upsample, input, dy.ty.shape, |from, to, share| dx[from] += share * dy.values[to]);
    dx
}

/// Visits the four neighbours of each output pixel, by their offsets in `x` and `y`, with the neighbour's share.
fn shares(upsample: &Upsample, x: Shape, y: Shape, mut visit: impl FnMut(usize, usize, f64)) {
    let [_, height, width, _] = x.aligned();
    let neighbours = |axis, index, input| {
        let (first, second, weight) = upsample.neighbours(axis, index, input);
        [(first, 1.0 - f64::from(weight)), (second, f64::from(weight))]
    };
    for at @ [n, p, q, c] in coordinates(y.aligned()) {
        for (row, down) in neighbours(0, p, height) {
            for (column, across) in neighbours(1, q, width) {
                visit(offset(x.aligned(), [n, row, column, c]), offset(y.aligned(), at), down * across);
            }
        }
    }
}
