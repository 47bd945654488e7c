//! Operations that move elements without computing: reshape, concatenation, ranges and shuffles of channels, rows by
//! index.

use super::{Call, Op};
use crate::autograd::Gradient;
use crate::error::{Error, Origin, Result};
use crate::tensor::{Tensor, checked_shape};
use crate::types::{Shape, TensorType};

/// The channels `start..start + length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelSlice {
    /// The first channel.
    pub start: usize,
    /// How many channels.
    pub length: usize,
}

impl ChannelSlice {
    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        let x = call.input(0)?;
        let channels = x.shape.channels();
        if self.length == 0 || self.start.checked_add(self.length).is_none_or(|end| end > channels) {
            let what = format!("channels {}..+{} of {channels} do not exist", self.start, self.length);
            return Err(call.invalid(what));
        }
        with_channels(x, self.length, call)
    }

    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dy) = at.output_gradient(0) else { return Ok(()) };
        let pad = ChannelPad { before: self.start, total: at.input_type(0).shape.channels() };
        let dx = at.graph.push(Op::ChannelPad(pad), vec![dy])?;
        at.give(0, dx)
    }
}

/// The input's channels from `before` on, zeros in the other channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelPad {
    /// How many channels of zeros come first.
    pub before: usize,
    /// How many channels there are in all.
    pub total: usize,
}

impl ChannelPad {
    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        let x = call.input(0)?;
        let channels = x.shape.channels();
        if self.before.checked_add(channels).is_none_or(|end| end > self.total) {
            let what = format!("{channels} channels after {} do not fit into {}", self.before, self.total);
            return Err(call.invalid(what));
        }
        with_channels(x, self.total, call)
    }

    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dy) = at.output_gradient(0) else { return Ok(()) };
        let slice = ChannelSlice { start: self.before, length: at.input_type(0).shape.channels() };
        let dx = at.graph.push(Op::ChannelSlice(slice), vec![dy])?;
        at.give(0, dx)
    }
}

/// The pixels of blocks side by side along the channels: `x [n, h, w, c] -> y [n, output, bh bw c]` with
/// `y[n, i, j, (a bw + b) c + k] = x[n, i bh + a - before, j bw + b - before, k]`, 0 outside of `x`.
///
/// A convolution whose stride is the block becomes one of stride 1 over it, with more channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpaceToDepth {
    /// The extents of a block, down and across.
    pub block: [usize; 2],
    /// How far the first block reaches out of the image.
    pub before: [usize; 2],
    /// How many blocks there are, down and across.
    pub output: [usize; 2],
}

impl SpaceToDepth {
    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        call.positive("block", &self.block)?;
        let (dtype, [n, _, _, c]) = call.images(0)?;
        let [rows, columns] = self.output;
        Ok(TensorType::new(dtype, Shape::nhwc(n, rows, columns, c * self.block[0] * self.block[1])))
    }

    /// The other way: `y [n, output, bh bw c] -> x [n, extents, c]`. Pixels of `y` outside of `x` are dropped.
    pub(crate) fn infer_back(&self, extents: [usize; 2], call: &Call<'_>) -> Result<TensorType> {
        call.positive("block", &self.block)?;
        let (dtype, [n, rows, columns, channels]) = call.images(0)?;
        let area = self.block[0] * self.block[1];
        if [rows, columns] != self.output || channels % area != 0 {
            return Err(
                call.invalid(format!("{:?} blocks of {:?} pixels do not fit", self.output, self.block))
            );
        }
        Ok(TensorType::new(dtype, Shape::nhwc(n, extents[0], extents[1], channels / area)))
    }
}

/// Tensors that agree in all but the last extent, side by side along it.
pub(crate) fn infer_concat(call: &Call<'_>) -> Result<TensorType> {
    let first = call.float(0)?;
    let mut channels = 0;
    for index in 0..call.inputs.len() {
        let other = call.float(index)?;
        let rank = first.shape.rank();
        let agrees = rank >= 1
            && other.shape.rank() == rank
            && other.shape.dims()[..rank - 1] == first.shape.dims()[..rank - 1];
        if !agrees {
            return Err(call.mismatch(first.shape, other.shape, "all extents but the last must be equal"));
        }
        if other.dtype != first.dtype {
            return Err(call.wrong_type(other, "all inputs must have the first one's element type"));
        }
        channels += other.shape.channels();
    }
    with_channels(first, channels, call)
}

pub(crate) fn gradient_of_concat(at: &mut Gradient<'_>) -> Result<()> {
    let Some(dy) = at.output_gradient(0) else { return Ok(()) };
    let mut start = 0;
    for index in 0..at.input_count() {
        let length = at.input_type(index).shape.channels();
        if at.wants(index) {
            let dx = at.graph.push(Op::ChannelSlice(ChannelSlice { start, length }), vec![dy])?;
            at.give(index, dx)?;
        }
        start += length;
    }
    Ok(())
}

/// Channel `g * (c / groups) + i` moves to `i * groups + g` (ShuffleNet; Zhang et al., 2017).
pub(crate) fn infer_shuffle(groups: usize, call: &Call<'_>) -> Result<TensorType> {
    let x = call.input(0)?;
    let channels = x.shape.channels();
    if groups == 0 || channels % groups != 0 {
        return Err(call.invalid(format!("{channels} channels do not divide into {groups} groups")));
    }
    Ok(x)
}

pub(crate) fn gradient_of_shuffle(groups: usize, at: &mut Gradient<'_>) -> Result<()> {
    let Some(dy) = at.output_gradient(0) else { return Ok(()) };
    let inverse = at.input_type(0).shape.channels() / groups;
    let dx = at.graph.push(Op::ChannelShuffle { groups: inverse }, vec![dy])?;
    at.give(0, dx)
}

pub(crate) fn infer_reshape(shape: Shape, call: &Call<'_>) -> Result<TensorType> {
    let x = call.input(0)?;
    if x.shape.elements() != shape.elements() {
        return Err(call.mismatch(x.shape, shape, "a reshape must keep the number of elements"));
    }
    Ok(TensorType::new(x.dtype, shape))
}

pub(crate) fn gradient_of_reshape(at: &mut Gradient<'_>) -> Result<()> {
    let Some(dy) = at.output_gradient(0) else { return Ok(()) };
    let shape = at.input_type(0).shape;
    let dx = at.graph.reshape(dy, shape)?;
    at.give(0, dx)
}

/// `y[i, ..] = data[indices[i], ..]`. A row whose index is outside of the data is not
/// a number (floating point) or 0 (integers); nothing is read for it.
pub(crate) fn infer_take_rows(call: &Call<'_>) -> Result<TensorType> {
    let (data, indices) = (call.input(0)?, call.indices(1)?);
    if data.shape.rank() < 1 || indices.shape.rank() != 1 {
        return Err(call.mismatch(data.shape, indices.shape, "data has rows and indices are a vector"));
    }
    let mut dims = data.shape.dims().to_vec();
    dims[0] = indices.shape.elements();
    let shape = Shape::new(&dims).ok_or_else(|| call.invalid("the result is too large"))?;
    Ok(TensorType::new(data.dtype, shape))
}

/// A type with another last extent.
fn with_channels(ty: TensorType, channels: usize, call: &Call<'_>) -> Result<TensorType> {
    let mut dims = ty.shape.dims().to_vec();
    match dims.last_mut() {
        Some(last) => *last = channels,
        None => return Err(call.wrong_type(ty, "a scalar has no channels")),
    }
    let shape = Shape::new(&dims).ok_or_else(|| call.invalid("the result is too large"))?;
    Ok(TensorType::new(ty.dtype, shape))
}

impl Tensor {
    /// The same elements, in the same order, under another shape.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor> {
        let shape = checked_shape("reshape", shape)?;
        self.apply(Op::Reshape(shape), &[], Origin::caller())
    }

    /// `[n, h, w, c] -> [n, h * w * c]`. The order is that of memory, channels fastest; PyTorch's is (c, h, w), so that
    /// the columns of a linear layer that follows are permuted against PyTorch's.
    #[track_caller]
    pub fn flatten(&self) -> Result<Tensor> {
        let rows = self.dims().first().copied().unwrap_or(1);
        self.reshape(&[rows, self.shape().elements() / rows.max(1)])
    }

    /// The same tensor, through which no gradient flows.
    #[track_caller]
    pub fn detach(&self) -> Result<Tensor> {
        self.apply(Op::Detach, &[], Origin::caller())
    }

    /// Tensors side by side along the channels (the last extent); all other extents must be equal.
    #[track_caller]
    pub fn concat(tensors: &[&Tensor]) -> Result<Tensor> {
        let origin = Origin::caller();
        let Some(first) = tensors.first() else {
            let what = "there must be at least one tensor".to_string();
            return Err(Error::InvalidArgument { operation: "concat", what, origin });
        };
        Tensor::trace(first.device(), Op::Concat, tensors, origin)
    }

    /// The channels `start..start + length`.
    #[track_caller]
    pub fn channel_slice(&self, start: usize, length: usize) -> Result<Tensor> {
        self.apply(Op::ChannelSlice(ChannelSlice { start, length }), &[], Origin::caller())
    }

    /// The channels from `before` on, among `total` channels; zeros in the others.
    #[track_caller]
    pub fn channel_pad(&self, before: usize, total: usize) -> Result<Tensor> {
        self.apply(Op::ChannelPad(ChannelPad { before, total }), &[], Origin::caller())
    }

    /// Interleaves the channels of `groups` groups (ShuffleNet).
    #[track_caller]
    pub fn channel_shuffle(&self, groups: usize) -> Result<Tensor> {
        self.apply(Op::ChannelShuffle { groups }, &[], Origin::caller())
    }

    /// The rows (images) that `indices`, `i32[n]`, name: a batch out of a data set on the device.
    #[track_caller]
    pub fn take_rows(&self, indices: &Tensor) -> Result<Tensor> {
        self.apply(Op::TakeRows, &[indices], Origin::caller())
    }
}
