//! The linear layer.

use super::conv::{add_bias, bias};
use super::{Module, Params};
use crate::error::Result;
use crate::init::{Fans, Init};
use crate::state::State;
use crate::tensor::Tensor;
use crate::types::Shape;

/// `y = x W' + b` on features `[n, in]`: `weight` `[out, in]` and `bias` `[out]`.
pub struct Linear {
    weight: State,
    bias: Option<State>,
}

impl Linear {
    /// A layer from `inputs` to `outputs` features, with a bias and PyTorch's initial values.
    ///
    /// # Errors
    /// A name that is taken; a failure to allocate.
    pub fn new(params: impl AsRef<Params>, inputs: usize, outputs: usize) -> Result<Linear> {
        Linear::with(params, inputs, outputs, true, Init::FanInUniform)
    }

    /// The same, with or without a bias, and with other initial values of the weight.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn with(
        params: impl AsRef<Params>,
        inputs: usize,
        outputs: usize,
        with_bias: bool,
        init: Init,
    ) -> Result<Linear> {
        let params = params.as_ref();
        let fans = Fans { fan_in: inputs, fan_out: outputs };
        Ok(Linear {
            weight: params.parameter("weight", Shape::matrix(outputs, inputs), fans, init)?,
            bias: bias(params, with_bias, outputs, fans)?,
        })
    }
}

impl Module for Linear {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        add_bias(x.linear(&self.weight.tensor())?, self.bias.as_ref())
    }
}
