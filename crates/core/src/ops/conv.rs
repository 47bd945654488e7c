//! Convolution (cross-correlation, as every framework calls it so) and its two gradients.

use super::{Call, Op};
use crate::autograd::Gradient;
use crate::error::{Error, Origin, Result};
use crate::tensor::Tensor;
use crate::types::{DType, Shape, TensorType};

/// A two-dimensional convolution: images `[n, h, w, c]` with filters `[k, r, s, c / groups]` give
/// `[n, p, q, k]`, `p = (h + 2 padding - dilation (r - 1) - 1) / stride + 1` rounded down, `q` likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Steps between windows, down and across.
    pub stride: [usize; 2],
    /// Rows of zeros above and below, columns of zeros left and right.
    pub padding: [usize; 2],
    /// Steps between a window's taps, down and across.
    pub dilation: [usize; 2],
    /// How many groups of channels are convolved apart; the channel count for a depthwise convolution.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Conv2d {
        Conv2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

impl Conv2d {
    /// The extent of the output along one axis (0 down, 1 across), or `None` when the window does not fit.
    pub fn output_extent(&self, axis: usize, input: usize, window: usize) -> Option<usize> {
        let reach = self.dilation[axis].checked_mul(window.checked_sub(1)?)?.checked_add(1)?;
        let padded = input.checked_add(self.padding[axis].checked_mul(2)?)?;
        Some(padded.checked_sub(reach)? / self.stride[axis] + 1)
    }

    fn output_shape(&self, x: [usize; 4], w: [usize; 4], call: &Call<'_>) -> Result<Shape> {
        call.positive("stride", &self.stride)?;
        call.positive("dilation", &self.dilation)?;
        call.positive("groups", &[self.groups])?;
        let ([n, height, width, c], [k, r, s, c_per_group]) = (x, w);
        let (image, filter) = (Shape::nhwc(n, height, width, c), Shape::nhwc(k, r, s, c_per_group));
        if c_per_group * self.groups != c || k % self.groups != 0 {
            let rule = "the filters' last extent times groups must be the image's channels, and groups must divide the filters";
            return Err(call.mismatch(image, filter, rule));
        }
        match (self.output_extent(0, height, r), self.output_extent(1, width, s)) {
            (Some(p), Some(q)) => Ok(Shape::nhwc(n, p, q, k)),
            _ => Err(call.mismatch(image, filter, "the (dilated) filter must fit into the padded image")),
        }
    }

    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        let ((dtype, x), (w_dtype, w)) = (call.images(0)?, call.images(1)?);
        if w_dtype != dtype {
            return Err(call.wrong_type(call.input(1)?, "the filters must have the images' element type"));
        }
        Ok(TensorType::new(dtype, self.output_shape(x, w, call)?))
    }

    pub(crate) fn infer_backward_data(&self, input: Shape, call: &Call<'_>) -> Result<TensorType> {
        let ((dtype, dy), (_, w)) = (call.images(0)?, call.images(1)?);
        self.check_output(input, Shape::nhwc(w[0], w[1], w[2], w[3]), dy, call)?;
        Ok(TensorType::new(dtype, input))
    }

    pub(crate) fn infer_backward_filter(&self, filter: Shape, call: &Call<'_>) -> Result<TensorType> {
        let ((dtype, x), (_, dy)) = (call.images(0)?, call.images(1)?);
        self.check_output(Shape::nhwc(x[0], x[1], x[2], x[3]), filter, dy, call)?;
        Ok(TensorType::new(dtype, filter))
    }

    /// The shape rule of [`Op::FusedConvBackwardFilter`].
    pub(crate) fn infer_fused_backward_filter(&self, filter: Shape, call: &Call<'_>) -> Result<TensorType> {
        check_prologue(call.input(0)?.shape.channels(), 2, call)?;
        self.infer_backward_filter(filter, call)
    }

    /// Checks that the convolution of an image and a filter of these shapes has the shape of `dy`.
    fn check_output(&self, image: Shape, filter: Shape, dy: [usize; 4], call: &Call<'_>) -> Result<()> {
        let extents = |shape: Shape| shape.as_nhwc().map(|(n, h, w, c)| [n, h, w, c]);
        let (Some(x), Some(w)) = (extents(image), extents(filter)) else {
            return Err(call.mismatch(image, filter, "images and filters have four extents"));
        };
        let forward = self.output_shape(x, w, call)?;
        let dy = Shape::nhwc(dy[0], dy[1], dy[2], dy[3]);
        if forward == dy {
            Ok(())
        } else {
            Err(call.mismatch(forward, dy, "dy must have the output's shape"))
        }
    }

    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dy) = at.output_gradient(0) else { return Ok(()) };
        let (x, w) = (at.input(0), at.input(1));
        if at.wants(0) {
            let op = Op::ConvBackwardData { conv: *self, input: at.input_type(0).shape };
            let dx = at.graph.push(op, vec![dy, w])?;
            at.give(0, dx)?;
        }
        if at.wants(1) {
            let op = Op::ConvBackwardFilter { conv: *self, filter: at.input_type(1).shape };
            let dw = at.graph.push(op, vec![x, dy])?;
            at.give(1, dw)?;
        }
        Ok(())
    }

    /// The gradient of the transposed convolution: the roles of image and output are exchanged.
    pub(crate) fn gradient_of_backward_data(&self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(g) = at.output_gradient(0) else { return Ok(()) };
        let (dy, w) = (at.input(0), at.input(1));
        if at.wants(0) {
            let ddy = at.graph.push(Op::Conv2d(*self), vec![g, w])?;
            at.give(0, ddy)?;
        }
        if at.wants(1) {
            let op = Op::ConvBackwardFilter { conv: *self, filter: at.input_type(1).shape };
            let dw = at.graph.push(op, vec![g, dy])?;
            at.give(1, dw)?;
        }
        Ok(())
    }
}

/// What a convolution does to its images before it multiplies, and to its result before it stores it, all in one launch.
///
/// The planner makes such operations (see [`crate::plan::rules`]) after gradients, so they have none. With everything on,
/// `(x, w, scale, shift, bias, residual) -> (y, sum, squares)`; inputs and outputs of what is off are left out:
///
/// ```text
/// z = relu(x scale + shift)            prologue; scale and shift [c], of the images' type
/// y = relu(conv(z, w) + residual + bias)   bias [k] and residual like y, both of the images' type; relu by itself
/// sum, squares = sum(y), sum(y^2)      statistics; f32[k], over all but the last extent
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConvFusion {
    /// Scale, shift and ReLU of the images, channel by channel.
    pub prologue: bool,
    /// A bias for each channel of the result.
    pub bias: bool,
    /// Another tensor is added.
    pub residual: bool,
    /// ReLU of the result.
    pub relu: bool,
    /// Sums of each channel of the result, and of their squares.
    pub statistics: bool,
}

impl ConvFusion {
    /// No fusion: a plain convolution.
    pub const NONE: ConvFusion =
        ConvFusion { prologue: false, bias: false, residual: false, relu: false, statistics: false };

    pub(crate) fn infer(&self, conv: &Conv2d, call: &Call<'_>) -> Result<Vec<TensorType>> {
        let y = conv.infer(call)?;
        let (c, k) = (call.input(0)?.shape.channels(), y.shape.channels());
        let mut next = 2;
        if self.prologue {
            check_prologue(c, next, call)?;
            next += 2;
        }
        if self.bias {
            call.exactly(
                next,
                TensorType::new(y.dtype, Shape::vector(k)),
                "the bias has one number a filter",
            )?;
            next += 1;
        }
        if self.residual {
            call.exactly(next, y, "what is added must be like the result")?;
        }
        let statistics = TensorType::new(DType::F32, Shape::vector(k));
        Ok(if self.statistics { vec![y, statistics, statistics] } else { vec![y] })
    }
}

/// Checks the scale and the shift of a prologue, which are inputs `first` and the one after it.
fn check_prologue(channels: usize, first: usize, call: &Call<'_>) -> Result<()> {
    let wanted = TensorType::new(call.input(0)?.dtype, Shape::vector(channels));
    (first..first + 2)
        .try_for_each(|index| call.exactly(index, wanted, "there is one scale and one shift a channel"))
}

impl Tensor {
    /// Convolves images `[n, h, w, c]` with `filters` `[k, r, s, c / groups]`.
    #[track_caller]
    pub fn conv2d(&self, filters: &Tensor, conv: Conv2d) -> Result<Tensor> {
        self.apply(Op::Conv2d(conv), &[filters], Origin::caller())
    }

    /// The transposed convolution (also called deconvolution): images `[n, h, w, k]` with `filters`
    /// `[k, r, s, c / groups]` give `[n, p, q, c]`, `p = (h - 1) stride - 2 padding + dilation (r - 1) + output_padding + 1`.
    #[track_caller]
    pub fn conv_transpose2d(
        &self,
        filters: &Tensor,
        conv: Conv2d,
        output_padding: [usize; 2],
    ) -> Result<Tensor> {
        let (n, h, w, _) = self.image_extents("conv_transpose2d")?;
        let (_, r, s, c) = filters.image_extents("conv_transpose2d")?;
        let origin = Origin::caller();
        let extent = |axis: usize, input: usize, window: usize| {
            let reach = conv.dilation[axis] * window.saturating_sub(1) + output_padding[axis] + 1;
            (input.saturating_sub(1) * conv.stride[axis] + reach).checked_sub(2 * conv.padding[axis])
        };
        let too_small = || Error::InvalidArgument {
            operation: "conv_transpose2d",
            what: format!("the padding {:?} leaves nothing of the result", conv.padding),
            origin,
        };
        let (p, q) = (extent(0, h, r).ok_or_else(too_small)?, extent(1, w, s).ok_or_else(too_small)?);
        let input = Shape::nhwc(n, p, q, c * conv.groups);
        self.apply(Op::ConvBackwardData { conv, input }, &[filters], origin)
    }
}
