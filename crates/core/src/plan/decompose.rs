//! Operations that are one node through autograd, taken apart so that their pieces can join other work.

use crate::error::Result;
use crate::graph::{Graph, Node, Value};
use crate::ops::{BatchNorm, ChannelPad, Op, Unary};
use crate::types::DType;

/// The same graph with batch normalisation and concatenation in pieces.
///
/// Batch normalisation becomes [`Op::ChannelStats`] and a scale and a bias for each channel; its gradient two sums for
/// each channel and one pointwise formula. A concatenation becomes a sum of its inputs amid zeros, which is one launch.
pub fn decompose(graph: &Graph) -> Result<Graph> {
    graph.rewrite(|new, node, inputs| match &node.op {
        Op::BatchNorm(norm) => batch_norm(new, *norm, &inputs),
        Op::BatchNormGrad(norm) => batch_norm_gradient(new, *norm, &inputs),
        Op::Concat => concat(new, node, inputs),
        _ => new.push_like(node, inputs),
    })
}

fn batch_norm(new: &mut Graph, norm: BatchNorm, inputs: &[Value]) -> Result<Vec<Value>> {
    let [x, gamma, beta] = [inputs[0], inputs[1], inputs[2]];
    let mean = new.push(Op::ChannelStats, vec![x])?;
    let variance = mean.output(1);
    let inverse = inverse_deviation(new, norm, variance)?;
    let scale = new.mul(gamma, inverse)?;
    // (x - mean) scale + beta, not x scale + (beta - mean scale): the latter cancels when the mean is large.
    let centred = new.sub(x, mean)?;
    let scaled = new.mul(centred, scale)?;
    let y = new.add(scaled, beta)?;
    // Where there is one value a channel, statistics are as large as the images, and wider.
    let dtype = new.ty(x).dtype;
    Ok(vec![new.cast(y, dtype)?, mean, variance])
}

/// `dx = gamma inverse (dy - sum(dy) / m - xhat sum(dy xhat) / m)`, `dgamma = sum(dy xhat)`, `dbeta = sum(dy)`.
fn batch_norm_gradient(new: &mut Graph, norm: BatchNorm, inputs: &[Value]) -> Result<Vec<Value>> {
    let [x, gamma, mean, variance, dy] = [inputs[0], inputs[1], inputs[2], inputs[3], inputs[4]];
    let (x_type, channels) = (new.ty(x), new.ty(gamma).shape);
    let samples = new.constant((x_type.shape.elements() / channels.elements().max(1)) as f32)?;
    let inverse = inverse_deviation(new, norm, variance)?;
    let normalised = |new: &mut Graph| {
        let centred = new.sub(x, mean)?;
        new.mul(centred, inverse)
    };
    let normal = normalised(new)?;
    let product = new.mul(dy, normal)?;
    let dbeta = new.sum_to(dy, channels, DType::F32)?;
    let dgamma = new.sum_to(product, channels, DType::F32)?;
    let mean_dy = new.div(dbeta, samples)?;
    let mean_product = new.div(dgamma, samples)?;
    // Once more, from x: what is computed twice need not be written and read.
    let normal = normalised(new)?;
    let along = new.mul(normal, mean_product)?;
    let left = new.sub(dy, mean_dy)?;
    let left = new.sub(left, along)?;
    let scale = new.mul(gamma, inverse)?;
    let dx = new.mul(left, scale)?;
    Ok(vec![new.cast(dx, x_type.dtype)?, dgamma, dbeta])
}

fn inverse_deviation(new: &mut Graph, norm: BatchNorm, variance: Value) -> Result<Value> {
    let shifted = new.shift(variance, norm.eps.0)?;
    new.unary(Unary::Rsqrt, shifted)
}

fn concat(new: &mut Graph, node: &Node, inputs: Vec<Value>) -> Result<Vec<Value>> {
    let total = node.outputs[0].shape.channels();
    let mut before = 0;
    let mut padded = Vec::with_capacity(inputs.len());
    for input in inputs {
        let channels = new.ty(input).shape.channels();
        padded.push(new.push(Op::ChannelPad(ChannelPad { before, total }), vec![input])?);
        before += channels;
    }
    Ok(vec![new.add_n(padded)?])
}
