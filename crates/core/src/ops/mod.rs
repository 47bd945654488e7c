//! The operations: for each its attributes, documentation, shape rule and gradient, in the file of its family.
//!
//! [`Op`] is one exhaustive enum, so that the compiler names every place that a new operation must reach:
//! [`Op::infer`] and [`Op::gradient`] here, lowering in `plan`, the host interpretation in the oracle.

pub mod conv;
pub mod cross_entropy;
pub mod dropout;
pub mod layout;
pub mod matmul;
pub mod norm;
pub mod optimizer;
pub mod pointwise;
pub mod pool;
pub mod ranking;
pub mod reduce;
pub mod softmax;
pub mod upsample;

use crate::autograd::Gradient;
use crate::error::{Error, Origin, Result};
use crate::graph::Leaf;
use crate::types::{DType, Real, Shape, TensorType};

pub use conv::{Conv2d, ConvFusion};
pub use cross_entropy::CrossEntropy;
pub use dropout::Dropout;
pub use layout::{ChannelPad, ChannelSlice, SpaceToDepth};
pub use matmul::{FusedMatmul, Matmul};
pub use norm::{BatchNorm, GroupNorm};
pub use optimizer::{AdamW, Sgd};
pub use pointwise::{Binary, Unary};
pub use pool::{AvgPool, MaxPool};
pub use reduce::SumTo;
pub use softmax::Softmax;
pub use upsample::{Upsample, UpsampleMode};

/// An operation with its static attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A value from outside.
    Leaf(Leaf),
    /// A static number, `() -> f32[]`.
    Constant(Real),
    /// A function of one variable on each element, `x -> y`.
    Unary(Unary),
    /// A function of two variables on each pair of elements, `(a, b) -> y`, broadcasting.
    Binary(Binary),
    /// The sum of several tensors of one shape, `(a, b, ..) -> y`.
    AddN,
    /// Another element type, `x -> y`, rounding to nearest even.
    Cast(DType),
    /// Random zeroing, `x -> y`.
    Dropout(Dropout),
    /// Sums over extents, `x -> y`.
    SumTo(SumTo),
    /// Repeats over extents, `x -> y`.
    BroadcastTo(Shape),
    /// The same elements under another shape, `x -> y`.
    Reshape(Shape),
    /// The same tensor, with no gradient through it, `x -> y`.
    Detach,
    /// Tensors side by side along the channels, `(a, b, ..) -> y`.
    Concat,
    /// A range of channels, `x -> y`.
    ChannelSlice(ChannelSlice),
    /// Channels amid zeros, `x -> y`.
    ChannelPad(ChannelPad),
    /// Channels of `groups` groups interleaved, `x -> y`.
    ChannelShuffle {
        /// How many groups there are before the shuffle.
        groups: usize,
    },
    /// Blocks of pixels as channels, `x -> y`; the planner makes it for convolutions of few channels.
    SpaceToDepth(SpaceToDepth),
    /// The inverse of `SpaceToDepth`, `y -> x`.
    DepthToSpace {
        /// What is undone.
        blocks: SpaceToDepth,
        /// The rows and columns of `x`.
        extents: [usize; 2],
    },
    /// Rows picked by index, `(data, indices) -> y`.
    TakeRows,
    /// Cross-correlation, `(x, w) -> y`.
    Conv2d(Conv2d),
    /// The gradient of a convolution for its input, `(dy, w) -> dx`; also the transposed convolution.
    ConvBackwardData {
        /// The convolution.
        conv: Conv2d,
        /// The shape of `dx`, NHWC.
        input: Shape,
    },
    /// The gradient of a convolution for its filter, `(x, dy) -> dw`.
    ConvBackwardFilter {
        /// The convolution.
        conv: Conv2d,
        /// The shape of `dw`, KRSC.
        filter: Shape,
    },
    /// A convolution with work before and after it; see [`ConvFusion`] for what it takes and yields.
    FusedConv {
        /// The convolution.
        conv: Conv2d,
        /// The work before and after it.
        fusion: ConvFusion,
    },
    /// The gradient of a convolution of `z = relu(x scale + shift)` for its filter, `(x, dy, scale, shift) -> dw`, with
    /// scale and shift as [`ConvFusion`] has them.
    FusedConvBackwardFilter {
        /// The convolution.
        conv: Conv2d,
        /// The shape of `dw`, KRSC.
        filter: Shape,
    },
    /// Matrix product, `(a, b) -> y`.
    Matmul(Matmul),
    /// Matrix product with a bias, `(a, b, bias) -> y`.
    FusedMatmul(FusedMatmul),
    /// Largest value of each window, `x -> y`.
    MaxPool(MaxPool),
    /// Gradient of `MaxPool`, `(x, y, dy) -> dx`.
    MaxPoolGrad(MaxPool),
    /// `MaxPool` that notes where it found each value, `x -> (y, places)`; the planner makes it of a `MaxPool` whose
    /// gradient is wanted.
    MaxPoolWithPlaces(MaxPool),
    /// Gradient of `MaxPoolWithPlaces`, `(dy, places) -> dx`.
    MaxPoolGradAtPlaces {
        /// The pooling.
        pool: MaxPool,
        /// The shape of `dx`.
        input: Shape,
    },
    /// Mean of each window, `x -> y`.
    AvgPool(AvgPool),
    /// Gradient of `AvgPool`, `dy -> dx`.
    AvgPoolGrad {
        /// The pooling.
        pool: AvgPool,
        /// The shape of `dx`.
        input: Shape,
    },
    /// Batch normalisation with the batch's statistics, `(x, gamma, beta) -> (y, mean, variance)`.
    BatchNorm(BatchNorm),
    /// Gradient of `BatchNorm`, `(x, gamma, mean, variance, dy) -> (dx, dgamma, dbeta)`.
    BatchNormGrad(BatchNorm),
    /// Mean and biased variance of each channel, `x -> (mean, variance)`.
    ChannelStats,
    /// Group normalisation, `(x, gamma, beta) -> (y, mean, inverse deviation)`.
    GroupNorm(GroupNorm),
    /// Gradient of `GroupNorm`, `(x, gamma, mean, inverse deviation, dy) -> (dx, dgamma, dbeta)`.
    GroupNormGrad(GroupNorm),
    /// Softmax or log-softmax over the last extent, `x -> y`.
    Softmax(Softmax),
    /// Gradient of `Softmax`, `(y, dy) -> dx`.
    SoftmaxGrad(Softmax),
    /// Cross entropy of logits and class labels, row by row, `(logits, labels) -> (loss, counted)`.
    CrossEntropy(CrossEntropy),
    /// Gradient of `CrossEntropy`, `(logits, labels, dloss) -> dlogits`.
    CrossEntropyGrad(CrossEntropy),
    /// Enlarges or shrinks images, `x -> y`.
    Upsample(Upsample),
    /// Gradient of `Upsample`, `dy -> dx`.
    UpsampleGrad {
        /// The resampling.
        upsample: Upsample,
        /// The shape of `dx`.
        input: Shape,
    },
    /// The index of the largest element of each row, `x -> i32`.
    Argmax,
    /// Whether the label is among the `k` largest of its row, `(logits, labels) -> f32`.
    InTopK {
        /// How many candidates each row may name.
        k: usize,
    },
    /// The norm of all gradients and whether one of them is not finite, `(g, g, ..) -> (norm, not finite)`.
    GradientNorm,
    /// Weighted sums of many pairs of tensors, `(keep, take, a, b, a, b, ..) -> (y, y, ..)`.
    Blend,
    /// Stochastic gradient descent on all parameters at once.
    Sgd(Sgd),
    /// AdamW on all parameters at once.
    AdamW(AdamW),
}

impl Op {
    /// The operation's name in messages and labels.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Leaf(_) => "leaf",
            Op::Constant(_) => "constant",
            Op::Unary(unary) => unary.name(),
            Op::Binary(binary) => binary.name(),
            Op::AddN => "add_n",
            Op::Cast(_) => "cast",
            Op::Dropout(_) => "dropout",
            Op::SumTo(_) => "sum",
            Op::BroadcastTo(_) => "broadcast_to",
            Op::Reshape(_) => "reshape",
            Op::Detach => "detach",
            Op::Concat => "concat",
            Op::ChannelSlice(_) => "channel_slice",
            Op::ChannelPad(_) => "channel_pad",
            Op::ChannelShuffle { .. } => "channel_shuffle",
            Op::SpaceToDepth(_) => "space_to_depth",
            Op::DepthToSpace { .. } => "depth_to_space",
            Op::TakeRows => "take_rows",
            Op::Conv2d(_) => "conv2d",
            Op::ConvBackwardData { .. } => "conv2d_backward_data",
            Op::ConvBackwardFilter { .. } => "conv2d_backward_filter",
            Op::FusedConv { .. } => "fused_conv2d",
            Op::FusedConvBackwardFilter { .. } => "fused_conv2d_backward_filter",
            Op::Matmul(_) => "matmul",
            Op::FusedMatmul(_) => "fused_matmul",
            Op::MaxPool(_) => "max_pool2d",
            Op::MaxPoolGrad(_) => "max_pool2d_grad",
            Op::MaxPoolWithPlaces(_) => "max_pool2d_with_places",
            Op::MaxPoolGradAtPlaces { .. } => "max_pool2d_grad_at_places",
            Op::AvgPool(_) => "avg_pool2d",
            Op::AvgPoolGrad { .. } => "avg_pool2d_grad",
            Op::BatchNorm(_) => "batch_norm",
            Op::BatchNormGrad(_) => "batch_norm_grad",
            Op::ChannelStats => "channel_stats",
            Op::GroupNorm(_) => "group_norm",
            Op::GroupNormGrad(_) => "group_norm_grad",
            Op::Softmax(softmax) => softmax.name(),
            Op::SoftmaxGrad(_) => "softmax_grad",
            Op::CrossEntropy(_) => "cross_entropy",
            Op::CrossEntropyGrad(_) => "cross_entropy_grad",
            Op::Upsample(_) => "upsample",
            Op::UpsampleGrad { .. } => "upsample_grad",
            Op::Argmax => "argmax",
            Op::InTopK { .. } => "in_top_k",
            Op::GradientNorm => "gradient_norm",
            Op::Blend => "blend",
            Op::Sgd(_) => "sgd",
            Op::AdamW(_) => "adamw",
        }
    }

    /// The types of what the operation yields for inputs of these types; the shape rule of each operation stands in
    /// the file of its family.
    pub fn infer(&self, inputs: &[TensorType], origin: Origin) -> Result<Vec<TensorType>> {
        let call = Call { operation: self.name(), inputs, origin };
        Ok(match self {
            Op::Leaf(_) => return Err(call.invalid("a leaf's type is given, not inferred")),
            Op::Constant(_) => vec![TensorType::scalar()],
            Op::Unary(_) => vec![pointwise::infer_unary(&call)?],
            Op::Binary(binary) => vec![pointwise::infer_binary(*binary, &call)?],
            Op::AddN => vec![pointwise::infer_add_n(&call)?],
            Op::Cast(dtype) => vec![TensorType::new(*dtype, call.input(0)?.shape)],
            Op::Dropout(dropout) => vec![dropout.infer(&call)?],
            Op::SumTo(sum) => vec![sum.infer(&call)?],
            Op::BroadcastTo(shape) => vec![reduce::infer_broadcast(*shape, &call)?],
            Op::Reshape(shape) => vec![layout::infer_reshape(*shape, &call)?],
            Op::Detach => vec![call.input(0)?],
            Op::Concat => vec![layout::infer_concat(&call)?],
            Op::ChannelSlice(slice) => vec![slice.infer(&call)?],
            Op::ChannelPad(pad) => vec![pad.infer(&call)?],
            Op::ChannelShuffle { groups } => vec![layout::infer_shuffle(*groups, &call)?],
            Op::SpaceToDepth(blocks) => vec![blocks.infer(&call)?],
            Op::DepthToSpace { blocks, extents } => vec![blocks.infer_back(*extents, &call)?],
            Op::TakeRows => vec![layout::infer_take_rows(&call)?],
            Op::Conv2d(conv) => vec![conv.infer(&call)?],
            Op::ConvBackwardData { conv, input } => vec![conv.infer_backward_data(*input, &call)?],
            Op::ConvBackwardFilter { conv, filter } => vec![conv.infer_backward_filter(*filter, &call)?],
            Op::FusedConv { conv, fusion } => fusion.infer(conv, &call)?,
            Op::FusedConvBackwardFilter { conv, filter } => {
                vec![conv.infer_fused_backward_filter(*filter, &call)?]
            }
            Op::Matmul(matmul) => vec![matmul.infer(&call)?],
            Op::FusedMatmul(fused) => vec![fused.infer(&call)?],
            Op::MaxPool(pool) => vec![pool.infer(&call)?],
            Op::MaxPoolGrad(_) => vec![call.input(0)?],
            Op::MaxPoolWithPlaces(pool) => pool.infer_with_places(&call)?,
            Op::MaxPoolGradAtPlaces { pool, input } => vec![pool.infer_grad_at_places(*input, &call)?],
            Op::AvgPool(pool) => vec![pool.infer(&call)?],
            Op::AvgPoolGrad { input, .. } => vec![TensorType::new(call.input(0)?.dtype, *input)],
            Op::BatchNorm(_) => norm::infer_batch_norm(&call)?,
            Op::BatchNormGrad(_) => norm::infer_norm_grad(&call)?,
            Op::ChannelStats => norm::infer_channel_stats(&call)?,
            Op::GroupNorm(norm) => norm.infer(&call)?,
            Op::GroupNormGrad(_) => norm::infer_norm_grad(&call)?,
            Op::Softmax(_) => vec![call.float(0)?],
            Op::SoftmaxGrad(_) => vec![call.float(0)?],
            Op::CrossEntropy(loss) => loss.infer(&call)?,
            Op::CrossEntropyGrad(_) => vec![call.float(0)?],
            Op::Upsample(upsample) => vec![upsample.infer(&call)?],
            Op::UpsampleGrad { input, .. } => vec![TensorType::new(call.input(0)?.dtype, *input)],
            Op::Argmax => vec![ranking::infer_argmax(&call)?],
            Op::InTopK { k } => vec![ranking::infer_in_top_k(*k, &call)?],
            Op::GradientNorm => optimizer::infer_gradient_norm(&call)?,
            Op::Blend => optimizer::infer_blend(&call)?,
            Op::Sgd(sgd) => sgd.infer(&call)?,
            Op::AdamW(adamw) => adamw.infer(&call)?,
        })
    }

    /// Appends the nodes of this operation's gradient: from the gradients of its outputs to those of its inputs.
    pub fn gradient(&self, at: &mut Gradient<'_>) -> Result<()> {
        match self {
            Op::Leaf(_) | Op::Constant(_) | Op::Detach => Ok(()),
            Op::Unary(unary) => unary.gradient(at),
            Op::Binary(binary) => binary.gradient(at),
            Op::AddN => pointwise::gradient_of_add_n(at),
            Op::Cast(_) => pointwise::gradient_of_cast(at),
            Op::Dropout(dropout) => dropout.gradient(at),
            Op::SumTo(_) => reduce::gradient_of_sum(at),
            Op::BroadcastTo(_) => reduce::gradient_of_broadcast(at),
            Op::Reshape(_) => layout::gradient_of_reshape(at),
            Op::Concat => layout::gradient_of_concat(at),
            Op::ChannelSlice(slice) => slice.gradient(at),
            Op::ChannelPad(pad) => pad.gradient(at),
            Op::ChannelShuffle { groups } => layout::gradient_of_shuffle(*groups, at),
            Op::Conv2d(conv) => conv.gradient(at),
            Op::ConvBackwardData { conv, .. } => conv.gradient_of_backward_data(at),
            Op::Matmul(matmul) => matmul.gradient(at),
            Op::MaxPool(pool) => pool.gradient(at),
            Op::AvgPool(pool) => pool.gradient(at),
            Op::BatchNorm(norm) => norm.gradient(at),
            Op::GroupNorm(norm) => norm.gradient(at),
            Op::Softmax(softmax) => softmax.gradient(at),
            Op::CrossEntropy(loss) => loss.gradient(at),
            Op::Upsample(upsample) => upsample.gradient(at),
            Op::TakeRows
            | Op::SpaceToDepth(_)
            | Op::DepthToSpace { .. }
            | Op::ConvBackwardFilter { .. }
            | Op::FusedConv { .. }
            | Op::FusedConvBackwardFilter { .. }
            | Op::FusedMatmul(_)
            | Op::MaxPoolGrad(_)
            | Op::MaxPoolWithPlaces(_)
            | Op::MaxPoolGradAtPlaces { .. }
            | Op::AvgPoolGrad { .. }
            | Op::BatchNormGrad(_)
            | Op::ChannelStats
            | Op::GroupNormGrad(_)
            | Op::SoftmaxGrad(_)
            | Op::CrossEntropyGrad(_)
            | Op::UpsampleGrad { .. }
            | Op::Argmax
            | Op::InTopK { .. }
            | Op::GradientNorm
            | Op::Blend
            | Op::Sgd(_)
            | Op::AdamW(_) => Err(Error::NoGradient { operation: self.name() }),
        }
    }

    /// Whether it is pointwise work that may be done twice: without random numbers, which take long to draw.
    pub fn is_repeatable(&self) -> bool {
        self.is_pointwise() && !matches!(self, Op::Dropout(_))
    }

    /// Whether each element of the output depends on the same element of each (broadcast) input alone.
    pub fn is_pointwise(&self) -> bool {
        matches!(
            self,
            Op::Constant(_)
                | Op::Unary(_)
                | Op::Binary(_)
                | Op::AddN
                | Op::Cast(_)
                | Op::Dropout(_)
                | Op::BroadcastTo(_)
        )
    }
}

/// An operation about to be added: what its shape rule looks at, and what its errors say.
pub(crate) struct Call<'a> {
    pub(crate) operation: &'static str,
    pub(crate) inputs: &'a [TensorType],
    pub(crate) origin: Origin,
}

impl Call<'_> {
    /// The type of an input.
    pub(crate) fn input(&self, index: usize) -> Result<TensorType> {
        let missing = || self.invalid(format!("input {index} is missing; {} were given", self.inputs.len()));
        self.inputs.get(index).copied().ok_or_else(missing)
    }

    /// The type of an input that must hold floating-point numbers.
    pub(crate) fn float(&self, index: usize) -> Result<TensorType> {
        let ty = self.input(index)?;
        if ty.dtype.is_float() {
            Ok(ty)
        } else {
            Err(self.wrong_type(ty, "it takes floating-point numbers; cast first"))
        }
    }

    /// The extents of an input that must be a batch of images of floating-point numbers, NHWC.
    pub(crate) fn images(&self, index: usize) -> Result<(DType, [usize; 4])> {
        let ty = self.float(index)?;
        match ty.shape.as_nhwc() {
            Some((n, h, w, c)) => Ok((ty.dtype, [n, h, w, c])),
            None => Err(self.wrong_type(ty, "it takes images of shape [n, h, w, c]")),
        }
    }

    /// The type of an input of class labels or indices.
    pub(crate) fn indices(&self, index: usize) -> Result<TensorType> {
        let ty = self.input(index)?;
        if ty.dtype == DType::I32 {
            Ok(ty)
        } else {
            Err(self.wrong_type(ty, "it takes i32 labels or indices"))
        }
    }

    /// Checks that an input is of this very type.
    pub(crate) fn exactly(&self, index: usize, wanted: TensorType, rule: &'static str) -> Result<()> {
        match self.input(index)? {
            found if found == wanted => Ok(()),
            found if found.shape != wanted.shape => Err(self.mismatch(wanted.shape, found.shape, rule)),
            found => Err(self.wrong_type(found, rule)),
        }
    }

    pub(crate) fn wrong_type(&self, found: TensorType, rule: &'static str) -> Error {
        Error::TypeMismatch { operation: self.operation, found, rule, origin: self.origin }
    }

    pub(crate) fn mismatch(&self, left: Shape, right: Shape, rule: &'static str) -> Error {
        Error::ShapeMismatch { operation: self.operation, left, right, rule, origin: self.origin }
    }

    pub(crate) fn invalid(&self, what: impl Into<String>) -> Error {
        Error::InvalidArgument { operation: self.operation, what: what.into(), origin: self.origin }
    }

    /// Refuses an argument that must not be zero.
    pub(crate) fn positive(&self, what: &'static str, extents: &[usize]) -> Result<()> {
        if extents.contains(&0) {
            Err(self.invalid(format!("{what} must be at least 1, got {extents:?}")))
        } else {
            Ok(())
        }
    }
}
