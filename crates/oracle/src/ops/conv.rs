//! A convolution is a sum of products `x[i] * w[j]` into `y[k]`; each gradient sums the same triples with the roles
//! exchanged.

use ocelli_core::Shape;
use ocelli_core::ops::{Conv2d, ConvFusion};

use crate::host_tensor::{HostTensor, offset};

pub(super) fn conv2d(conv: &Conv2d, x: &HostTensor, w: &HostTensor, output: Shape) -> Vec<f64> {
    let mut y = vec![0.0; output.elements()];
    products(conv, x.ty.shape, w.ty.shape, output, |i, j, k| y[k] += x.values[i] * w.values[j]);
    y
}

pub(super) fn backward_data(conv: &Conv2d, dy: &HostTensor, w: &HostTensor, input: Shape) -> Vec<f64> {
    let mut dx = vec![0.0; input.elements()];
    products(conv, input, w.ty.shape, dy.ty.shape, |i, j, k| dx[i] += dy.values[k] * w.values[j]);
    dx
}

pub(super) fn backward_filter(conv: &Conv2d, x: &HostTensor, dy: &HostTensor, filter: Shape) -> Vec<f64> {
    let mut dw = vec![0.0; filter.elements()];
    products(conv, x.ty.shape, filter, dy.ty.shape, |i, j, k| dw[j] += x.values[i] * dy.values[k]);
    dw
}

/// `relu(x scale + shift)`, channel by channel.
pub(super) fn prologue(x: &HostTensor, scale: &HostTensor, shift: &HostTensor) -> HostTensor {
    let channels = x.ty.shape.channels();
    let value = |(i, x): (usize, &f64)| relu(x * scale.values[i % channels] + shift.values[i % channels]);
    HostTensor::new(x.ty, x.values.iter().enumerate().map(value).collect())
}

/// The result of a convolution with work before and after it; with statistics, the sums of its channels and of their
/// squares too.
pub(super) fn fused_conv2d(
    conv: &Conv2d,
    fusion: &ConvFusion,
    inputs: &[&HostTensor],
    output: Shape,
) -> Vec<Vec<f64>> {
    let mut rest = inputs[2..].iter();
    let mut take = |wanted: bool| if wanted { rest.next() } else { None };
    let (scale, shift) = (take(fusion.prologue), take(fusion.prologue));
    let (bias, residual) = (take(fusion.bias), take(fusion.residual));
    let mut y = match (scale, shift) {
        (Some(scale), Some(shift)) => conv2d(conv, &prologue(inputs[0], scale, shift), inputs[1], output),
        _ => conv2d(conv, inputs[0], inputs[1], output),
    };
    let channels = output.channels();
    for (i, y) in y.iter_mut().enumerate() {
        *y += residual.map_or(0.0, |residual| residual.values[i]);
        *y += bias.map_or(0.0, |bias| bias.values[i % channels]);
        if fusion.relu {
            *y = relu(*y);
        }
    }
    if !fusion.statistics {
        return vec![y];
    }
    let (mut sum, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
    for (i, y) in y.iter().enumerate() {
        sum[i % channels] += y;
        squares[i % channels] += y * y;
    }
    vec![y, sum, squares]
}

/// The positive part; not a number stays so.
fn relu(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

/// Visits the offsets `(in x, in w, in y)` of every product of the convolution.
fn products(conv: &Conv2d, x: Shape, w: Shape, y: Shape, mut visit: impl FnMut(usize, usize, usize)) {
    let [batch, height, width, _] = x.aligned();
    let [_, p, q, filters] = y.aligned();
    let [_, r, s, channels] = w.aligned();
    let filters_per_group = filters / conv.groups;
    for n in 0..batch {
        for (down, across) in pairs(p, q) {
            for filter in 0..filters {
                let k = offset(y.aligned(), [n, down, across, filter]);
                let first_channel = filter / filters_per_group * channels;
                for (tap_down, tap_across) in pairs(r, s) {
                    let row =
                        (down * conv.stride[0] + tap_down * conv.dilation[0]).checked_sub(conv.padding[0]);
                    let column = (across * conv.stride[1] + tap_across * conv.dilation[1])
                        .checked_sub(conv.padding[1]);
                    let (Some(row), Some(column)) = (row, column) else { continue };
                    if row >= height || column >= width {
                        continue;
                    }
                    let i = offset(x.aligned(), [n, row, column, first_channel]);
                    let j = offset(w.aligned(), [filter, tap_down, tap_across, 0]);
                    (0..channels).for_each(|channel| visit(i + channel, j + channel, k));
                }
            }
        }
    }
}

fn pairs(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}
