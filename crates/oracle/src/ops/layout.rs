use ocelli_core::ops::{ChannelPad, ChannelSlice, SpaceToDepth};

use crate::host_tensor::{HostTensor, coordinates};

pub(super) fn concat(parts: &[&HostTensor]) -> Vec<f64> {
    let rows = parts[0].rows().count();
    let row = |part: &HostTensor, row: usize| {
        let channels = part.ty.shape.channels();
        part.values[row * channels..(row + 1) * channels].to_vec()
    };
    (0..rows).flat_map(|i| parts.iter().flat_map(move |part| row(part, i))).collect()
}

pub(super) fn channel_slice(slice: &ChannelSlice, x: &HostTensor) -> Vec<f64> {
    x.rows().flat_map(|row| &row[slice.start..slice.start + slice.length]).copied().collect()
}

pub(super) fn channel_pad(pad: &ChannelPad, x: &HostTensor) -> Vec<f64> {
    let mut y = Vec::with_capacity(x.rows().count() * pad.total);
    for row in x.rows() {
        let end = y.len() + pad.total;
        y.resize(y.len() + pad.before, 0.0);
        y.extend_from_slice(row);
        y.resize(end, 0.0);
    }
    y
}

/// Channels seen as a matrix of `groups` rows, transposed.
pub(super) fn channel_shuffle(groups: usize, x: &HostTensor) -> Vec<f64> {
    let width = x.ty.shape.channels() / groups;
    let shuffle = |row: &[f64]| -> Vec<f64> {
        (0..width).flat_map(|i| (0..groups).map(move |g| (g, i))).map(|(g, i)| row[g * width + i]).collect()
    };
    x.rows().flat_map(shuffle).collect()
}

pub(super) fn take_rows(data: &HostTensor, indices: &HostTensor) -> Vec<f64> {
    let rows = data.ty.shape.dims()[0];
    let width: usize = data.ty.shape.dims()[1..].iter().product();
    let nothing = if data.ty.dtype.is_float() { f64::NAN } else { 0.0 };
    let row = |index: f64| {
        if (0.0..rows as f64).contains(&index) {
            data.values[index as usize * width..][..width].to_vec()
        } else {
            vec![nothing; width]
        }
    };
    indices.values.iter().flat_map(|&index| row(index)).collect()
}

/// Each channel is a pixel of its block, or 0 where the block reaches out of the image.
pub(super) fn space_to_depth(blocks: &SpaceToDepth, x: &HostTensor) -> Vec<f64> {
    let [n, h, w, c] = x.extents();
    let [rows, columns] = blocks.output;
    let output = [n, rows, columns, c * blocks.block[0] * blocks.block[1]];
    let pixel = |at: [usize; 4]| {
        let (row, column, channel) = inside_block(blocks, at, c);
        let (row, column) = (row.checked_sub(blocks.before[0])?, column.checked_sub(blocks.before[1])?);
        (row < h && column < w).then(|| x.at([at[0], row, column, channel]))
    };
    coordinates(output).map(|at| pixel(at).unwrap_or(0.0)).collect()
}

/// Each pixel is a channel of its block.
pub(super) fn depth_to_space(blocks: &SpaceToDepth, extents: [usize; 2], y: &HostTensor) -> Vec<f64> {
    let [n, .., channels] = y.extents();
    let [bh, bw] = blocks.block;
    let c = channels / (bh * bw);
    let channel = |at: [usize; 4]| {
        let (row, column) = (at[1] + blocks.before[0], at[2] + blocks.before[1]);
        y.at([at[0], row / bh, column / bw, (row % bh * bw + column % bw) * c + at[3]])
    };
    coordinates([n, extents[0], extents[1], c]).map(channel).collect()
}

/// Row and column, `before` not yet taken off, and channel of the pixel that a channel of a block stands for.
fn inside_block(blocks: &SpaceToDepth, at: [usize; 4], c: usize) -> (usize, usize, usize) {
    let [bh, bw] = blocks.block;
    let part = at[3] / c;
    (at[1] * bh + part / bw, at[2] * bw + part % bw, at[3] % c)
}
