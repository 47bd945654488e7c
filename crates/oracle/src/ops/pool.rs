use ocelli_core::Shape;
use ocelli_core::ops::{AvgPool, MaxPool};

use crate::host_tensor::{HostTensor, coordinates, offset};

pub(super) fn max_pool(pool: &MaxPool, x: &HostTensor, output: Shape) -> Vec<f64> {
    coordinates(output.aligned()).map(|at| x.values[winner(pool, x, at)]).collect()
}

/// The gradient of each window goes to its winner.
pub(super) fn max_pool_grad(pool: &MaxPool, x: &HostTensor, dy: &HostTensor) -> Vec<f64> {
    let mut dx = vec![0.0; x.values.len()];
    for at in coordinates(dy.extents()) {
        dx[winner(pool, x, at)] += dy.at(at);
    }
    dx
}

/// The pooling, and the place of each winner in its window, in reading order.
pub(super) fn max_pool_with_places(pool: &MaxPool, x: &HostTensor, output: Shape) -> Vec<Vec<f64>> {
    let [_, height, width, channels] = x.extents();
    let MaxPool(windows) = pool;
    let place = |at: [usize; 4]| {
        let pixel = winner(pool, x, at) / channels;
        let (row, column) = (pixel / width % height, pixel % width);
        let r = row + windows.padding[0] - at[1] * windows.stride[0];
        let s = column + windows.padding[1] - at[2] * windows.stride[1];
        (r * windows.kernel[1] + s) as f64
    };
    vec![max_pool(pool, x, output), coordinates(output.aligned()).map(place).collect()]
}

/// Each gradient goes to the place in its window that is named for it.
pub(super) fn max_pool_grad_at_places(
    MaxPool(windows): &MaxPool,
    dy: &HostTensor,
    places: &HostTensor,
    input: Shape,
) -> Vec<f64> {
    let extents = input.aligned();
    let mut dx = vec![0.0; input.elements()];
    for at in coordinates(dy.extents()) {
        let place = places.at(at) as usize;
        let row = at[1] * windows.stride[0] + place / windows.kernel[1] - windows.padding[0];
        let column = at[2] * windows.stride[1] + place % windows.kernel[1] - windows.padding[1];
        dx[offset(extents, [at[0], row, column, at[3]])] += dy.at(at);
    }
    dx
}

/// Where the largest value of a window lies: the first of equal ones in reading order; not a number wins.
fn winner(MaxPool(windows): &MaxPool, x: &HostTensor, [n, p, q, c]: [usize; 4]) -> usize {
    let [_, height, width, _] = x.extents();
    let mut best: Option<usize> = None;
    for r in 0..windows.kernel[0] {
        for s in 0..windows.kernel[1] {
            let row = (p * windows.stride[0] + r).wrapping_sub(windows.padding[0]);
            let column = (q * windows.stride[1] + s).wrapping_sub(windows.padding[1]);
            if row >= height || column >= width {
                continue;
            }
            let here = offset(x.extents(), [n, row, column, c]);
            let wins = |best: usize| {
                x.values[here] > x.values[best] || (x.values[here].is_nan() && !x.values[best].is_nan())
            };
            if best.is_none_or(wins) {
                best = Some(here);
            }
        }
    }
    // A window always holds a pixel: padding is at most half of it, and it starts before the image's end.
    best.unwrap_or(0)
}

pub(super) fn avg_pool(pool: &AvgPool, x: &HostTensor, output: Shape) -> Vec<f64> {
    let mut y = vec![0.0; output.elements()];
    shares(pool, x.ty.shape, output, |pixel, window, share| y[window] += share * x.values[pixel]);
    y
}

pub(super) fn avg_pool_grad(pool: &AvgPool, dy: &HostTensor, input: Shape) -> Vec<f64> {
    let mut dx = vec![0.0; input.elements()];
    shares(pool, input, dy.ty.shape, |pixel, window, share| dx[pixel] += share * dy.values[window]);
    dx
}

/// Visits each pixel of each window, by their offsets in `x` and `y`, with the pixel's share in the mean.
fn shares(pool: &AvgPool, x: Shape, y: Shape, mut visit: impl FnMut(usize, usize, f64)) {
    let [_, height, width, _] = x.aligned();
    for at @ [n, p, q, c] in coordinates(y.aligned()) {
        let (top, bottom, tall) = pool.window(0, p, height);
        let (left, right, wide) = pool.window(1, q, width);
        for row in top..bottom {
            for column in left..right {
                let pixel = offset(x.aligned(), [n, row, column, c]);
                visit(pixel, offset(y.aligned(), at), 1.0 / (tall * wide) as f64);
            }
        }
    }
}
