//! Resampling of images to another size.

use super::{Call, Op};
use crate::autograd::Gradient;
use crate::error::{Origin, Result};
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType};

/// How the value between pixels is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpsampleMode {
    /// The pixel `floor(i * in / out)`, PyTorch's `nearest`.
    Nearest,
    /// Linear between the four neighbours. Pixel centres lie at half integers, or the corner pixels' centres coincide when
    /// `align_corners`.
    Bilinear {
        /// Map corner centres onto corner centres.
        align_corners: bool,
    },
}

/// Resamples `[n, h, w, c]` to `[n, output, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Upsample {
    /// The extents of the result, down and across.
    pub output: [usize; 2],
    /// How values are found.
    pub mode: UpsampleMode,
}

impl Upsample {
    pub(crate) fn infer(&self, call: &Call<'_>) -> Result<TensorType> {
        let (dtype, [n, h, w, c]) = call.images(0)?;
        call.positive("the image's extents and the output", &[h, w, self.output[0], self.output[1]])?;
        Ok(TensorType::new(dtype, Shape::nhwc(n, self.output[0], self.output[1], c)))
    }

    /// The neighbours of output `index` along `axis`, and the weight of the second: `(first, second, weight)`. Arithmetic
    /// is in `f32`, as the kernels do it.
    pub fn neighbours(&self, axis: usize, index: usize, input: usize) -> (usize, usize, f32) {
        let output = self.output[axis];
        match self.mode {
            UpsampleMode::Nearest => {
                let source = (index * input / output).min(input - 1);
                (source, source, 0.0)
            }
            UpsampleMode::Bilinear { align_corners } => {
                let position = if align_corners {
                    let scale = if output > 1 { (input - 1) as f32 / (output - 1) as f32 } else { 0.0 };
                    scale * index as f32
                } else {
                    let scale = input as f32 / output as f32;
                    (scale * (index as f32 + 0.5) - 0.5).max(0.0)
                };
                let first = (position as usize).min(input - 1);
                (first, (first + 1).min(input - 1), position - first as f32)
            }
        }
    }

    pub(crate) fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dy) = at.output_gradient(0) else { return Ok(()) };
        let op = Op::UpsampleGrad { upsample: *self, input: at.input_type(0).shape };
        let dx = at.graph.push(op, vec![dy])?;
        at.give(0, dx)
    }
}

impl Tensor {
    /// Resamples images to `output` rows and columns.
    #[track_caller]
    pub fn upsample(&self, output: [usize; 2], mode: UpsampleMode) -> Result<Tensor> {
        self.apply(Op::Upsample(Upsample { output, mode }), &[], Origin::caller())
    }
}
