//! Max and average pooling.

use super::{Call, Op};
use crate::autograd::Gradient;
use crate::error::{Origin, Result};
use crate::tensor::Tensor;
use crate::types::{DType, Shape, TensorType};

/// Where the windows of a pooling lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    /// Extents of a window, down and across.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// How far windows may start outside of the image; at most half the kernel.
    pub padding: [usize; 2],
    /// Round the number of windows up instead of down; a window always starts inside of the image or its left padding.
    pub ceil_mode: bool,
}

impl Windows {
    /// The number of windows along one axis, or `None` when not even one fits. PyTorch's rule.
    pub fn count(&self, axis: usize, input: usize) -> Option<usize> {
        let span = (input + 2 * self.padding[axis]).checked_sub(self.kernel[axis])?;
        let stride = self.stride[axis];
        let mut count = if self.ceil_mode { span.div_ceil(stride) } else { span / stride } + 1;
        if self.ceil_mode && (count - 1) * stride >= input + self.padding[axis] {
            count -= 1;
        }
        Some(count)
    }

    fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        let (dtype, [n, h, w, c]) = call.images(0)?;
        call.positive("kernel", &self.kernel)?;
        call.positive("stride", &self.stride)?;
        if (0..2).any(|axis| self.padding[axis] * 2 > self.kernel[axis]) {
            let what = format!("padding {:?} is more than half the kernel {:?}", self.padding, self.kernel);
            return Err(call.invalid(what));
        }
        match (self.count(0, h), self.count(1, w)) {
            (Some(p), Some(q)) => Ok(TensorType::new(dtype, Shape::nhwc(n, p, q, c))),
            _ => {
                let what =
                    format!("the kernel {:?} does not fit into the padded image {h} x {w}", self.kernel);
                Err(call.invalid(what))
            }
        }
    }
}

/// The largest value of each window; padding never wins. Of equal values the first in reading order takes the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaxPool(pub Windows);

impl MaxPool {
    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        self.0.infer(call)
    }

    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dy) = at.output_gradient(0) else { return Ok(()) };
        let (x, y) = (at.input(0), at.output(0));
        let dx = at.graph.push(Op::MaxPoolGrad(*self), vec![x, y, dy])?;
        at.give(0, dx)
    }
}

/// Taps of a window whose number fits the `u8` of [`Op::MaxPoolWithPlaces`].
const MOST_PLACES: usize = 256;

impl MaxPool {
    /// Whether the place of a window's largest element can be kept in a `u8`.
    pub(crate) fn has_places(&self) -> bool {
        self.0.kernel[0] * self.0.kernel[1] <= MOST_PLACES
    }

    /// `x -> (y, places)`: like the pooling, and for each window which of its elements is the largest, counted in
    /// reading order.
    pub(crate) fn infer_with_places(&self, call: &Call<'_>) -> Result<Vec<TensorType>> {
        if !self.has_places() {
            return Err(
                call.invalid(format!("a window of {:?} has more than {MOST_PLACES} places", self.0.kernel))
            );
        }
        let y = self.0.infer(call)?;
        Ok(vec![y, TensorType::new(DType::U8, y.shape)])
    }

    /// `(dy, places) -> dx`: each `dy` goes to the element that its window chose.
    pub(crate) fn infer_grad_at_places(&self, input: Shape, call: &Call<'_>) -> Result<TensorType> {
        let (dy, places) = (call.float(0)?, call.input(1)?);
        if places != TensorType::new(DType::U8, dy.shape) {
            return Err(call.wrong_type(places, "the places are u8, one for each dy"));
        }
        Ok(TensorType::new(dy.dtype, input))
    }
}

/// The mean of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AvgPool {
    /// Windows of one size. The divisor is the window's area, with the padding's part of it (clipped to the padded image)
    /// when `count_include_pad`, without it otherwise.
    Windows {
        /// Where the windows lie.
        windows: Windows,
        /// Whether padding counts into the mean, as PyTorch's default has it.
        count_include_pad: bool,
    },
    /// As many windows as asked for: window `i` of `out` spans `floor(i * in / out) .. ceil((i + 1) * in / out)`.
    Adaptive {
        /// The extents of the output, down and across.
        output: [usize; 2],
    },
}

impl AvgPool {
    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        match self {
            AvgPool::Windows { windows, .. } => windows.infer(call),
            AvgPool::Adaptive { output } => {
                let (dtype, [n, _, _, c]) = call.images(0)?;
                call.positive("output", output)?;
                Ok(TensorType::new(dtype, Shape::nhwc(n, output[0], output[1], c)))
            }
        }
    }

    /// Window `index` along `axis` of an image of `input` rows or columns: its pixels `start..end` and the extent that it
    /// counts for in the divisor.
    pub fn window(&self, axis: usize, index: usize, input: usize) -> (usize, usize, usize) {
        match self {
            AvgPool::Windows { windows, count_include_pad } => {
                let padding = windows.padding[axis];
                let first = index * windows.stride[axis];
                let last = (first + windows.kernel[axis]).min(input + 2 * padding);
                let (start, end) = (first.saturating_sub(padding), last.saturating_sub(padding).min(input));
                (start, end, if *count_include_pad { last - first } else { end - start })
            }
            AvgPool::Adaptive { output } => {
                let start = index * input / output[axis];
                let end = ((index + 1) * input).div_ceil(output[axis]);
                (start, end, end - start)
            }
        }
    }

    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dy) = at.output_gradient(0) else { return Ok(()) };
        let op = Op::AvgPoolGrad { pool: *self, input: at.input_type(0).shape };
        let dx = at.graph.push(op, vec![dy])?;
        at.give(0, dx)
    }
}

impl Windows {
    /// Square windows side by side: `max_pool2d(2)`'s.
    pub const fn square(size: usize) -> Windows {
        Windows { kernel: [size; 2], stride: [size; 2], padding: [0; 2], ceil_mode: false }
    }

    /// The same with another stride.
    pub const fn stride(self, stride: usize) -> Windows {
        Windows { stride: [stride; 2], ..self }
    }

    /// The same with padding.
    pub const fn padding(self, padding: usize) -> Windows {
        Windows { padding: [padding; 2], ..self }
    }

    /// The same, rounding the number of windows up.
    pub const fn ceil_mode(self) -> Windows {
        Windows { ceil_mode: true, ..self }
    }
}

impl From<usize> for Windows {
    fn from(size: usize) -> Windows {
        Windows::square(size)
    }
}

impl Tensor {
    /// The largest value of each window of `[n, h, w, c]`.
    #[track_caller]
    pub fn max_pool2d(&self, windows: impl Into<Windows>) -> Result<Tensor> {
        self.apply(Op::MaxPool(MaxPool(windows.into())), &[], Origin::caller())
    }

    /// The mean of each window of `[n, h, w, c]`, padding included.
    #[track_caller]
    pub fn avg_pool2d(&self, windows: impl Into<Windows>) -> Result<Tensor> {
        let pool = AvgPool::Windows { windows: windows.into(), count_include_pad: true };
        self.apply(Op::AvgPool(pool), &[], Origin::caller())
    }

    /// The mean of each window of `[n, h, w, c]`, padding left out.
    #[track_caller]
    pub fn avg_pool2d_without_pad(&self, windows: impl Into<Windows>) -> Result<Tensor> {
        let pool = AvgPool::Windows { windows: windows.into(), count_include_pad: false };
        self.apply(Op::AvgPool(pool), &[], Origin::caller())
    }

    /// The means of as many windows as asked for, down and across.
    #[track_caller]
    pub fn adaptive_avg_pool2d(&self, output: [usize; 2]) -> Result<Tensor> {
        if output == [1, 1] {
            return self.mean_images();
        }
        self.apply(Op::AvgPool(AvgPool::Adaptive { output }), &[], Origin::caller())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted_as_pytorch_does() {
        let windows = |kernel, stride, padding, ceil_mode| Windows {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            ceil_mode,
        };
        assert_eq!(windows(3, 2, 1, false).count(0, 112), Some(56));
        assert_eq!(windows(3, 2, 0, false).count(0, 6), Some(2));
        assert_eq!(windows(3, 2, 0, true).count(0, 6), Some(3));
        // The last window would start in the right padding, so it is dropped.
        assert_eq!(windows(2, 2, 1, true).count(0, 3), Some(2));
        assert_eq!(windows(8, 1, 0, false).count(0, 7), None);
    }

    #[test]
    fn adaptive_windows_cover_the_image() {
        let pool = AvgPool::Adaptive { output: [3, 3] };
        let windows: Vec<_> = (0..3).map(|i| pool.window(0, i, 7)).collect();
        assert_eq!(windows, [(0, 3, 3), (2, 5, 3), (4, 7, 3)]);
    }
}
