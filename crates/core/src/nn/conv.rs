//! Convolution layers.

use super::{Module, Params};
use crate::error::Result;
use crate::init::{Fans, Init};
use crate::ops;
use crate::state::State;
use crate::tensor::Tensor;
use crate::types::Shape;

/// How a convolution layer looks. The default is a 3x3 window with stride 1, no padding, and a bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dConfig {
    /// Rows and columns of the window.
    pub kernel: usize,
    /// Steps between windows.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: usize,
    /// Steps between a window's taps.
    pub dilation: usize,
    /// Groups of channels that are convolved apart.
    pub groups: usize,
    /// Add a bias to each output channel.
    pub bias: bool,
    /// Initial values of the weight; PyTorch's default unless set. The bias follows PyTorch's rule always.
    pub init: Init,
}

impl Default for Conv2dConfig {
    fn default() -> Conv2dConfig {
        Conv2dConfig {
            kernel: 3,
            stride: 1,
            padding: 0,
            dilation: 1,
            groups: 1,
            bias: true,
            init: Init::FanInUniform,
        }
    }
}

impl Conv2dConfig {
    fn operation(&self) -> ops::Conv2d {
        ops::Conv2d {
            stride: [self.stride; 2],
            padding: [self.padding; 2],
            dilation: [self.dilation; 2],
            groups: self.groups,
        }
    }
}

/// A convolution with its filters: `weight` `[out, kernel, kernel, in / groups]` and `bias` `[out]`.
pub struct Conv2d {
    weight: State,
    bias: Option<State>,
    operation: ops::Conv2d,
}

impl Conv2d {
    /// A layer from `inputs` to `outputs` channels.
    ///
    /// # Errors
    /// A name that is taken; a failure to allocate.
    pub fn new(
        params: impl AsRef<Params>,
        inputs: usize,
        outputs: usize,
        config: Conv2dConfig,
    ) -> Result<Conv2d> {
        let params = params.as_ref();
        let window = config.kernel * config.kernel;
        let per_group = inputs / config.groups.max(1);
        // PyTorch counts all outputs, of all groups, as those that an input leads to.
        let fans = Fans { fan_in: per_group * window, fan_out: outputs * window };
        let shape = Shape::nhwc(outputs, config.kernel, config.kernel, per_group);
        Ok(Conv2d {
            weight: params.parameter("weight", shape, fans, config.init)?,
            bias: bias(params, config.bias, outputs, fans)?,
            operation: config.operation(),
        })
    }
}

impl Module for Conv2d {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        add_bias(x.conv2d(&self.weight.tensor(), self.operation)?, self.bias.as_ref())
    }
}

/// How a transposed convolution layer looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ConvTranspose2dConfig {
    /// The convolution that it transposes.
    pub conv: Conv2dConfig,
    /// Rows and columns added to the result at the bottom and the right; less than the stride.
    pub output_padding: usize,
}

/// A transposed convolution: `weight` `[in, kernel, kernel, out / groups]` and `bias` `[out]`.
pub struct ConvTranspose2d {
    weight: State,
    bias: Option<State>,
    operation: ops::Conv2d,
    output_padding: usize,
}

impl ConvTranspose2d {
    /// A layer from `inputs` to `outputs` channels.
    ///
    /// # Errors
    /// A name that is taken; a failure to allocate.
    pub fn new(
        params: impl AsRef<Params>,
        inputs: usize,
        outputs: usize,
        config: ConvTranspose2dConfig,
    ) -> Result<ConvTranspose2d> {
        let (params, conv) = (params.as_ref(), config.conv);
        let window = conv.kernel * conv.kernel;
        let per_group = outputs / conv.groups.max(1);
        // PyTorch counts the fans of a transposed filter as of a plain one: the second extent leads in.
        let fans = Fans { fan_in: per_group * window, fan_out: inputs * window };
        let shape = Shape::nhwc(inputs, conv.kernel, conv.kernel, per_group);
        Ok(ConvTranspose2d {
            weight: params.parameter("weight", shape, fans, conv.init)?,
            bias: bias(params, conv.bias, outputs, fans)?,
            operation: conv.operation(),
            output_padding: config.output_padding,
        })
    }
}

impl Module for ConvTranspose2d {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.conv_transpose2d(&self.weight.tensor(), self.operation, [self.output_padding; 2])?;
        add_bias(y, self.bias.as_ref())
    }
}

/// A bias with PyTorch's initial values, if there is to be one.
pub(super) fn bias(params: &Params, wanted: bool, outputs: usize, fans: Fans) -> Result<Option<State>> {
    let make = || params.parameter("bias", Shape::vector(outputs), fans, Init::FanInUniform);
    wanted.then(make).transpose()
}

#[track_caller]
pub(super) fn add_bias(y: Tensor, bias: Option<&State>) -> Result<Tensor> {
    bias.map_or(Ok(y.clone()), |bias| y.add(&bias.tensor()))
}
