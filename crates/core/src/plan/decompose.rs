//! Operations that are one node through autograd, taken apart so that their pieces can join other work.

use std::collections::HashMap;

use crate::error::Result;
use crate::graph::{Graph, Node, Value};
use crate::ops::{BatchNorm, ChannelPad, MaxPool, Op, Unary};
use crate::types::DType;

/// The same graph with batch normalisation and concatenation in pieces.
///
/// Batch normalisation becomes [`Op::ChannelStats`] and a scale and a bias for each channel; its gradient two sums for
/// each channel and one pointwise formula. Max pooling that is differentiated notes where it found each value, so that
/// its gradient need not look for it, and joins whatever reads it. A concatenation becomes a sum of its inputs amid
/// zeros, which is one launch.
pub fn decompose(graph: &Graph) -> Result<Graph> {
    let mut scales = HashMap::new();
    let mut places = HashMap::new();
    let differentiated = |pool: &MaxPool, x: Value| {
        graph.nodes.iter().any(|node| node.op == Op::MaxPoolGrad(*pool) && node.inputs[0] == x)
    };
    graph.rewrite(|new, node, inputs| match &node.op {
        Op::MaxPool(pool) if pool.has_places() && differentiated(pool, node.inputs[0]) => {
            let y = new.push(Op::MaxPoolWithPlaces(*pool), inputs)?;
            places.insert(y, y.output(1));
            Ok(vec![y])
        }
        Op::MaxPoolGrad(pool) => match places.get(&inputs[1]) {
            Some(&places) => {
                let input = new.ty(inputs[0]);
                let grad = Op::MaxPoolGradAtPlaces { pool: *pool, input: input.shape };
                let dx = new.push(grad, vec![inputs[2], places])?;
                Ok(vec![new.cast(dx, input.dtype)?])
            }
            None => new.push_like(node, inputs),
        },
        Op::BatchNorm(norm) => batch_norm(new, *norm, &inputs, &mut scales),
        Op::BatchNormGrad(norm) => batch_norm_gradient(new, *norm, &inputs, &scales),
        Op::Concat => concat(new, node, inputs),
        _ => new.push_like(node, inputs),
    })
}

/// What the gradient of a batch normalisation takes over from it.
#[derive(Clone, Copy)]
struct Scale {
    /// `1 / sqrt(variance + eps)`.
    inverse: Value,
    /// `gamma` times that.
    scale: Value,
}

/// The scale of a normalisation with this variance.
fn scale_of(new: &mut Graph, norm: BatchNorm, gamma: Value, variance: Value) -> Result<Scale> {
    let shifted = new.shift(variance, norm.eps.0)?;
    let inverse = new.unary(Unary::Rsqrt, shifted)?;
    Ok(Scale { inverse, scale: new.mul(gamma, inverse)? })
}

fn batch_norm(
    new: &mut Graph,
    norm: BatchNorm,
    inputs: &[Value],
    scales: &mut HashMap<Value, Scale>,
) -> Result<Vec<Value>> {
    let [x, gamma, beta] = [inputs[0], inputs[1], inputs[2]];
    let mean = new.push(Op::ChannelStats, vec![x])?;
    let variance = mean.output(1);
    let scale = scale_of(new, norm, gamma, variance)?;
    scales.insert(variance, scale);
    // (x - mean) scale + beta, not x scale + (beta - mean scale): the latter cancels when the mean is large.
    let centred = new.sub(x, mean)?;
    let scaled = new.mul(centred, scale.scale)?;
    let y = new.add(scaled, beta)?;
    // Where there is one value a channel, statistics are as large as the images, and wider.
    let dtype = new.ty(x).dtype;
    Ok(vec![new.cast(y, dtype)?, mean, variance])
}

/// `dx = scale (dy - sum(dy) / m - (x - mean) k)` with `k = inverse^2 sum(dy (x - mean)) / m`;
/// `dgamma = inverse sum(dy (x - mean))`, `dbeta = sum(dy)`. The factors that belong to a channel stay out of the sums.
fn batch_norm_gradient(
    new: &mut Graph,
    norm: BatchNorm,
    inputs: &[Value],
    scales: &HashMap<Value, Scale>,
) -> Result<Vec<Value>> {
    let [x, gamma, mean, variance, dy] = [inputs[0], inputs[1], inputs[2], inputs[3], inputs[4]];
    let (x_type, channels) = (new.ty(x), new.ty(gamma).shape);
    let share = 1.0 / (x_type.shape.elements() / channels.elements().max(1)).max(1) as f32;
    let Scale { inverse, scale } = match scales.get(&variance) {
        Some(&scale) => scale,
        None => scale_of(new, norm, gamma, variance)?,
    };
    let centred = new.sub(x, mean)?;
    let product = new.mul(dy, centred)?;
    let dbeta = new.sum_to(dy, channels, DType::F32)?;
    let along = new.sum_to(product, channels, DType::F32)?;
    let dgamma = new.mul(along, inverse)?;
    let k = new.mul(dgamma, inverse)?;
    let k = new.scale(k, share)?;
    let mean_dy = new.scale(dbeta, share)?;
    // Once more, from x: what is computed twice need not be written and read.
    let centred = new.sub(x, mean)?;
    let along = new.mul(centred, k)?;
    let left = new.sub(dy, mean_dy)?;
    let left = new.sub(left, along)?;
    let dx = new.mul(left, scale)?;
    Ok(vec![new.cast(dx, x_type.dtype)?, dgamma, dbeta])
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
