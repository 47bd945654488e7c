//! The operations, from their formulas, one file a family as in `ocelli_core::ops`. Gradients are written out on their
//! own, so that a mistake is not made twice.

mod conv;
mod cross_entropy;
mod dropout;
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

use ocelli_core::graph::Node;
use ocelli_core::ops::Op;

use crate::host_tensor::HostTensor;

/// The values of each output of a node (not a leaf) for these inputs, whose types have been checked.
pub(crate) fn evaluate(node: &Node, inputs: &[&HostTensor], seed: u64, step: u32) -> Vec<Vec<f64>> {
    let shape = node.outputs[0].shape;
    let one = |values| vec![values];
    match (&node.op, inputs) {
        (Op::Constant(number), []) => one(vec![f64::from(number.0)]),
        (Op::Unary(unary), [x]) => one(pointwise::unary(*unary, x)),
        (Op::Binary(binary), [a, b]) => one(pointwise::binary(*binary, a, b, shape)),
        (Op::AddN, terms) => one(pointwise::add_n(terms)),
        (Op::Cast(dtype), [x]) => one(pointwise::cast(*dtype, x)),
        (Op::Dropout(mask), [x]) => one(dropout::dropout(mask, x, seed, step)),
        (Op::SumTo(_), [x]) => one(reduce::sum_to(x, shape)),
        (Op::BroadcastTo(_), [x]) => one(reduce::broadcast_to(x, shape)),
        (Op::Reshape(_) | Op::Detach, [x]) => one(x.values.clone()),
        (Op::Concat, parts) => one(layout::concat(parts)),
        (Op::ChannelSlice(slice), [x]) => one(layout::channel_slice(slice, x)),
        (Op::ChannelPad(pad), [x]) => one(layout::channel_pad(pad, x)),
        (Op::ChannelShuffle { groups }, [x]) => one(layout::channel_shuffle(*groups, x)),
        (Op::TakeRows, [data, indices]) => one(layout::take_rows(data, indices)),
        (Op::Conv2d(conv), [x, w]) => one(conv::conv2d(conv, x, w, shape)),
        (Op::ConvBackwardData { conv, input }, [dy, w]) => one(conv::backward_data(conv, dy, w, *input)),
        (Op::ConvBackwardFilter { conv, filter }, [x, dy]) => {
            one(conv::backward_filter(conv, x, dy, *filter))
        }
        (Op::Matmul(matmul), [a, b]) => one(matmul::matmul(matmul, a, b, shape)),
        (Op::MaxPool(pool), [x]) => one(pool::max_pool(pool, x, shape)),
        (Op::MaxPoolGrad(pool), [x, _, dy]) => one(pool::max_pool_grad(pool, x, dy)),
        (Op::AvgPool(pool), [x]) => one(pool::avg_pool(pool, x, shape)),
        (Op::AvgPoolGrad { pool, input }, [dy]) => one(pool::avg_pool_grad(pool, dy, *input)),
        (Op::BatchNorm(batch_norm), [x, gamma, beta]) => norm::batch_norm(batch_norm, x, gamma, beta),
        (Op::BatchNormGrad(batch_norm), [x, gamma, mean, variance, dy]) => {
            norm::batch_norm_grad(batch_norm, x, gamma, mean, variance, dy)
        }
        (Op::ChannelStats, [x]) => norm::channel_stats(x),
        (Op::GroupNorm(group_norm), [x, gamma, beta]) => norm::group_norm(group_norm, x, gamma, beta),
        (Op::GroupNormGrad(group_norm), [x, gamma, mean, inverse, dy]) => {
            norm::group_norm_grad(group_norm, x, gamma, mean, inverse, dy)
        }
        (Op::Softmax(softmax), [x]) => one(softmax::softmax(softmax, x)),
        (Op::SoftmaxGrad(softmax), [y, dy]) => one(softmax::softmax_grad(softmax, y, dy)),
        (Op::CrossEntropy(loss), [logits, labels]) => cross_entropy::cross_entropy(loss, logits, labels),
        (Op::CrossEntropyGrad(loss), [logits, labels, dloss]) => {
            one(cross_entropy::cross_entropy_grad(loss, logits, labels, dloss))
        }
        (Op::Upsample(upsample), [x]) => one(upsample::upsample(upsample, x, shape)),
        (Op::UpsampleGrad { upsample, input }, [dy]) => one(upsample::upsample_grad(upsample, dy, *input)),
        (Op::Argmax, [x]) => one(ranking::argmax(x)),
        (Op::InTopK { k }, [logits, labels]) => one(ranking::in_top_k(*k, logits, labels)),
        (Op::Sgd(sgd), inputs) => optimizer::sgd(sgd, inputs),
        (Op::AdamW(adamw), inputs) => optimizer::adamw(adamw, inputs),
        (op, inputs) => unreachable!("{} of {} inputs", op.name(), inputs.len()),
    }
}
