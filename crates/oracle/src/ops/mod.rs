//! The operations, from their formulas, one file a family as in `ocelli_core::ops`. Gradients are written out on their
//! own, so that a mistake is not made twice.

mod conv;
mod cross_entropy;
pub(crate) mod dropout;
mod layout;
mod matmul;
mod norm;
mod optimizer;
mod pointwise;
mod pool;
mod ranking;
mod reduce;
mod softmax;
mod upsample;

use ocelli_core::Result;
use ocelli_core::graph::Node;
use ocelli_core::ops::Op;

use crate::host_tensor::HostTensor;
use crate::interpret::Bindings;

/// The values of each output of a node for these inputs, whose types have been checked.
pub(crate) fn evaluate(node: &Node, inputs: &[&HostTensor], bindings: &Bindings) -> Result<Vec<Vec<f64>>> {
    // An optimizer that has nothing to train yields nothing.
    let Some(&ty) = node.outputs.first() else { return Ok(Vec::new()) };
    let shape = ty.shape;
    let x = |index: usize| inputs[index];
    let one = |values| vec![values];
    Ok(match &node.op {
        Op::Leaf(leaf) => one(bindings.leaf(*leaf, ty)?),
        Op::Constant(number) => one(vec![f64::from(number.0)]),
        Op::Unary(unary) => one(pointwise::unary(*unary, x(0))),
        Op::Binary(binary) => one(pointwise::binary(*binary, x(0), x(1), shape)),
        Op::AddN => one(pointwise::add_n(inputs)),
        Op::Cast(dtype) => one(pointwise::cast(*dtype, x(0))),
        Op::Dropout(mask) => one(dropout::dropout(mask, x(0), bindings)),
        Op::SumTo(_) => one(reduce::sum_to(x(0), shape)),
        Op::BroadcastTo(_) => one(reduce::broadcast_to(x(0), shape)),
        Op::Reshape(_) | Op::Detach => one(x(0).values.clone()),
        Op::Concat => one(layout::concat(inputs)),
        Op::ChannelSlice(slice) => one(layout::channel_slice(slice, x(0))),
        Op::ChannelPad(pad) => one(layout::channel_pad(pad, x(0))),
        Op::SpaceToDepth(blocks) => one(layout::space_to_depth(blocks, x(0))),
        Op::DepthToSpace { blocks, extents } => one(layout::depth_to_space(blocks, *extents, x(0))),
        Op::ChannelShuffle { groups } => one(layout::channel_shuffle(*groups, x(0))),
        Op::TakeRows => one(layout::take_rows(x(0), x(1))),
        Op::Conv2d(conv) => one(conv::conv2d(conv, x(0), x(1), shape)),
        Op::ConvBackwardData { conv, .. } => one(conv::backward_data(conv, x(0), x(1), shape)),
        Op::ConvBackwardFilter { conv, .. } => one(conv::backward_filter(conv, x(0), x(1), shape)),
        Op::FusedConv { conv, fusion } => conv::fused_conv2d(conv, fusion, inputs, shape),
        Op::FusedConvBackwardFilter { conv, .. } => {
            one(conv::backward_filter(conv, &conv::prologue(x(0), x(2), x(3)), x(1), shape))
        }
        Op::Matmul(matmul) => one(matmul::matmul(matmul, x(0), x(1), shape)),
        Op::FusedMatmul(fused) => one(matmul::fused_matmul(fused, x(0), x(1), x(2), shape)),
        Op::MaxPool(pool) => one(pool::max_pool(pool, x(0), shape)),
        Op::MaxPoolGrad(pool) => one(pool::max_pool_grad(pool, x(0), x(2))),
        Op::MaxPoolWithPlaces(pool) => pool::max_pool_with_places(pool, x(0), shape),
        Op::MaxPoolGradAtPlaces { pool, input } => {
            one(pool::max_pool_grad_at_places(pool, x(0), x(1), *input))
        }
        Op::AvgPool(pool) => one(pool::avg_pool(pool, x(0), shape)),
        Op::AvgPoolGrad { pool, .. } => one(pool::avg_pool_grad(pool, x(0), shape)),
        Op::BatchNorm(norm) => norm::batch_norm(norm, x(0), x(1), x(2)),
        Op::BatchNormGrad(norm) => norm::batch_norm_grad(norm, x(0), x(1), x(2), x(3), x(4)),
        Op::ChannelStats => norm::channel_stats(x(0)),
        Op::GroupNorm(norm) => norm::group_norm(norm, x(0), x(1), x(2)),
        Op::GroupNormGrad(norm) => norm::group_norm_grad(norm, x(0), x(1), x(2), x(3), x(4)),
        Op::Softmax(softmax) => one(softmax::softmax(softmax, x(0))),
        Op::SoftmaxGrad(softmax) => one(softmax::softmax_grad(softmax, x(0), x(1))),
        Op::CrossEntropy(loss) => cross_entropy::cross_entropy(loss, x(0), x(1)),
        Op::CrossEntropyGrad(loss) => one(cross_entropy::cross_entropy_grad(loss, x(0), x(1), x(2))),
        Op::Upsample(upsample) => one(upsample::upsample(upsample, x(0), shape)),
        Op::UpsampleGrad { upsample, .. } => one(upsample::upsample_grad(upsample, x(0), shape)),
        Op::Argmax => one(ranking::argmax(x(0))),
        Op::InTopK { k } => one(ranking::in_top_k(*k, x(0), x(1))),
        Op::GradientNorm => optimizer::gradient_norm(inputs),
        Op::Blend => optimizer::blend(inputs),
        Op::Sgd(sgd) => optimizer::sgd(sgd, inputs),
        Op::AdamW(adamw) => optimizer::adamw(adamw, inputs),
    })
}
