//! Operation graphs as plain data: what is planned, and the key under which plans are kept.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DataType, Error, PointwiseMode, Result, TensorSpec};

/// How a convolution's filter moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConvolutionSpec {
    /// Zeros added on each side, along H and W.
    pub padding: [i64; 2],
    /// Steps, along H and W.
    pub stride: [i64; 2],
    /// Distances between taps, along H and W.
    pub dilation: [i64; 2],
    /// The type in which products are summed.
    pub compute: DataType,
}

impl Default for ConvolutionSpec {
    fn default() -> Self {
        ConvolutionSpec { padding: [0; 2], stride: [1; 2], dilation: [1; 2], compute: DataType::F32 }
    }
}

/// How a reduction combines values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReductionMode {
    /// Sum.
    Sum,
    /// Mean.
    Mean,
    /// Largest.
    Max,
    /// Smallest.
    Min,
}

/// An operation of cuDNN's graph API.
///
/// Formulas and limits are on [NVIDIA's page](https://docs.nvidia.com/deeplearning/cudnn/backend/latest/developer/graph-api.html).
/// Convolutions are cross-correlations, as everywhere in deep learning; their groups are the input's channels over the
/// filter's.
#[allow(
    clippy::large_enum_variant,
    reason = "a graph has a handful of operations; boxes would only blur them"
)]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// `y = x * w`.
    ConvolutionForward {
        /// Input `[n, c, h, w]`.
        x: TensorSpec,
        /// Filter `[k, c / groups, r, s]`.
        w: TensorSpec,
        /// Output `[n, k, p, q]`.
        y: TensorSpec,
        /// How the filter moves.
        spec: ConvolutionSpec,
    },
    /// The gradient of a convolution's input.
    ConvolutionBackwardData {
        /// Gradient of the output.
        dy: TensorSpec,
        /// Filter.
        w: TensorSpec,
        /// Gradient of the input, written.
        dx: TensorSpec,
        /// The forward's.
        spec: ConvolutionSpec,
    },
    /// The gradient of a convolution's filter.
    ConvolutionBackwardFilter {
        /// Input.
        x: TensorSpec,
        /// Gradient of the output.
        dy: TensorSpec,
        /// Gradient of the filter, written.
        dw: TensorSpec,
        /// The forward's.
        spec: ConvolutionSpec,
    },
    /// `y = mode(x, b)`, each size of `b` either `x`'s or 1. Gradients (`ReluBackward`, ...) take the forward's input as
    /// `x` and the gradient of its output as `b`, and write the gradient of its input to `y`.
    Pointwise {
        /// What is computed.
        mode: PointwiseMode,
        /// First operand.
        x: TensorSpec,
        /// Second operand, where the mode has one.
        b: Option<TensorSpec>,
        /// Result.
        y: TensorSpec,
        /// Constants of the mode.
        parameters: PointwiseParameters,
        /// The type of the arithmetic.
        compute: DataType,
    },
    /// Combines `x` along each dimension in which `y` has size 1.
    Reduction {
        /// How.
        mode: ReductionMode,
        /// Input.
        x: TensorSpec,
        /// Result.
        y: TensorSpec,
        /// The type of the arithmetic.
        compute: DataType,
    },
    /// `c = a b`, for each matrix of the batch.
    Matmul {
        /// `[batch, m, k]`.
        a: TensorSpec,
        /// `[batch, k, n]`.
        b: TensorSpec,
        /// `[batch, m, n]`.
        c: TensorSpec,
        /// The type in which products are summed.
        compute: DataType,
    },
    /// Sums of each channel's values and of their squares: batch norm's statistics.
    GenStats {
        /// Input `[n, c, h, w]`.
        x: TensorSpec,
        /// Sums, `[1, c, 1, 1]`, f32.
        sum: TensorSpec,
        /// Sums of squares, `[1, c, 1, 1]`, f32.
        sqsum: TensorSpec,
        /// The type of the arithmetic.
        compute: DataType,
    },
    /// The gradients of batch norm's scale and bias, and the coefficients with which the gradient of its input is
    /// `eq_dy_scale dy + eq_x_scale x + eq_bias`. All but `x` and `dy` are `[1, c, 1, 1]`, f32.
    BatchNormBackwardWeights {
        /// Batch norm's input.
        x: TensorSpec,
        /// Gradient of its output.
        dy: TensorSpec,
        /// Batch mean.
        mean: TensorSpec,
        /// One over the batch's standard deviation.
        inv_std: TensorSpec,
        /// Batch norm's scale.
        scale: TensorSpec,
        /// Gradient of the scale, written.
        dscale: TensorSpec,
        /// Gradient of the bias, written.
        dbias: TensorSpec,
        /// Coefficient of `dy`, written.
        eq_dy_scale: TensorSpec,
        /// Coefficient of `x`, written.
        eq_x_scale: TensorSpec,
        /// Constant, written.
        eq_bias: TensorSpec,
        /// The type of the arithmetic.
        compute: DataType,
    },
}

/// A constant of an operation: an f32 that is equal to another, and hashes like it, when its bits are the same.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Constant(pub f32);

impl PartialEq for Constant {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Constant {}

impl std::hash::Hash for Constant {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// Constants of pointwise modes; `None` is cuDNN's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PointwiseParameters {
    /// ReLU: the slope below zero (default 0).
    pub relu_slope: Option<Constant>,
    /// ReLU: the largest result (default none; 6 for ReLU6).
    pub relu_upper_clip: Option<Constant>,
    /// ELU: alpha (default 1).
    pub elu_alpha: Option<Constant>,
    /// Swish: beta (default 1, which is SiLU).
    pub swish_beta: Option<Constant>,
    /// Softplus: beta (default 1).
    pub softplus_beta: Option<Constant>,
}

/// Operations that cuDNN runs as one: plain data, and with [`PlanOptions`](crate::PlanOptions) the key of every cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OperationGraph {
    /// The operations, each after those whose results it takes.
    pub operations: Vec<Operation>,
}

impl Operation {
    /// cuDNN's name for it.
    pub fn name(&self) -> &'static str {
        match self {
            Operation::ConvolutionForward { .. } => "convolution forward",
            Operation::ConvolutionBackwardData { .. } => "convolution backward data",
            Operation::ConvolutionBackwardFilter { .. } => "convolution backward filter",
            Operation::Pointwise { .. } => "pointwise",
            Operation::Reduction { .. } => "reduction",
            Operation::Matmul { .. } => "matmul",
            Operation::GenStats { .. } => "genstats",
            Operation::BatchNormBackwardWeights { .. } => "batch norm backward weights",
        }
    }

    /// The tensors it reads and writes, inputs first.
    pub fn tensors(&self) -> Vec<&TensorSpec> {
        match self {
            Operation::ConvolutionForward { x, w, y, .. } => vec![x, w, y],
            Operation::ConvolutionBackwardData { dy, w, dx, .. } => vec![dy, w, dx],
            Operation::ConvolutionBackwardFilter { x, dy, dw, .. } => vec![x, dy, dw],
            Operation::Pointwise { x, b, y, .. } => {
                [Some(x), b.as_ref(), Some(y)].into_iter().flatten().collect()
            }
            Operation::Reduction { x, y, .. } => vec![x, y],
            Operation::Matmul { a, b, c, .. } => vec![a, b, c],
            Operation::GenStats { x, sum, sqsum, .. } => vec![x, sum, sqsum],
            Operation::BatchNormBackwardWeights {
                x,
                dy,
                mean,
                inv_std,
                scale,
                dscale,
                dbias,
                eq_dy_scale,
                eq_x_scale,
                eq_bias,
                ..
            } => vec![x, dy, mean, inv_std, scale, dscale, dbias, eq_dy_scale, eq_x_scale, eq_bias],
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Pointwise { mode, .. } => write!(f, "{mode:?}")?,
            other => f.write_str(other.name())?,
        }
        f.write_str("(")?;
        for (i, tensor) in self.tensors().into_iter().enumerate() {
            write!(f, "{}{tensor}", if i == 0 { "" } else { ", " })?;
        }
        match self {
            Operation::ConvolutionForward { spec, .. }
            | Operation::ConvolutionBackwardData { spec, .. }
            | Operation::ConvolutionBackwardFilter { spec, .. } => write!(
                f,
                ", padding {:?}, stride {:?}, dilation {:?}",
                spec.padding, spec.stride, spec.dilation
            )?,
            _ => {}
        }
        f.write_str(")")
    }
}

impl OperationGraph {
    /// A graph of these operations.
    pub fn new(operations: Vec<Operation>) -> OperationGraph {
        OperationGraph { operations }
    }

    /// Each tensor once, in order of first use.
    ///
    /// # Errors
    /// [`Error::InvalidGraph`] when there is no operation, a tensor has not as many strides as sizes or a size below 1, or
    /// two different tensors share a `uid`.
    pub fn tensors(&self) -> Result<Vec<&TensorSpec>> {
        let mut tensors: Vec<&TensorSpec> = Vec::new();
        for operation in &self.operations {
            let invalid = |problem| Error::InvalidGraph { operation: operation.to_string(), problem };
            for tensor in operation.tensors() {
                if tensor.dims.len() != tensor.strides.len() || tensor.dims.iter().any(|&dim| dim < 1) {
                    return Err(invalid(format!(
                        "tensor {} has sizes {:?} and strides {:?}",
                        tensor.uid, tensor.dims, tensor.strides
                    )));
                }
                match tensors.iter().find(|known| known.uid == tensor.uid) {
                    None => tensors.push(tensor),
                    Some(known) if *known == tensor => {}
                    Some(known) => {
                        return Err(invalid(format!(
                            "tensor {} is {known} here and {tensor} there, or differs in strides, alignment or being virtual",
                            tensor.uid
                        )));
                    }
                }
            }
        }
        if tensors.is_empty() {
            return Err(Error::InvalidGraph {
                operation: "operation graph".into(),
                problem: "has no operation".into(),
            });
        }
        Ok(tensors)
    }
}

impl fmt::Display for OperationGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, operation) in self.operations.iter().enumerate() {
            write!(f, "{}{operation}", if i == 0 { "" } else { " + " })?;
        }
        Ok(())
    }
}
