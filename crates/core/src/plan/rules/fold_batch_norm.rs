//! Batch normalisation with fixed statistics, folded into the weights before it.
//!
//! In evaluation, [`Tensor::batch_norm_with`](crate::Tensor::batch_norm_with) multiplies each channel with `scale = gamma /
//! sqrt(variance + eps)` and adds `bias = beta - mean scale`. A convolution or a matrix product before it is linear in its
//! weights, so `(conv(x, w) + b) scale + bias = conv(x, w scale) + (b scale + bias)`: two passes over the activations
//! become a product of the size of the weights. Scale, weights and their product stay `f32` here; mixed precision, which
//! comes after this rule, rounds the product once.
//!
//! What is folded is any such chain of factors and terms that are one number a channel and follow from states and
//! constants alone, after a node whose result nobody else reads. What is left is `Conv2d -> Add(bias)`.

use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::graph::{Graph, Leaf, Value};
use crate::ops::{Binary, Matmul, Op, Unary};
use crate::types::{DType, Shape};

/// The same graph with factors and terms that are one number a channel folded into the weights before them.
///
/// It is for graphs that are not differentiated afterwards: the gradient of the product that it makes would be summed
/// from the whole filter's.
///
/// # Errors
/// [`crate::Error::Plan`] when the graph breaks what must hold of it: a defect of this library.
pub fn fold_batch_norm(graph: &Graph) -> Result<Graph> {
    // Without dead code, so that a node's number is that of its visit, and nobody counts as a reader who does not read.
    let graph = graph.without_dead_code()?;
    let uses = graph.uses();
    let mut visits = uses.iter();
    let mut settled = Settled::default();
    let mut linear: FxHashMap<Value, Linear> = FxHashMap::default();
    let folded = graph.rewrite(|new, node, inputs| {
        let one_reader = visits.next() == Some(&1);
        settled.follow(new);
        let found = match node.op {
            Op::Binary(binary) => fold(new, &linear, &settled, binary, [inputs[0], inputs[1]])?,
            _ => Linear::of(new, &settled, &node.op, &inputs),
        };
        let Some(found) = found else { return new.push_like(node, inputs) };
        let value = found.append(new)?;
        if one_reader {
            linear.insert(value, found);
        }
        Ok(vec![value])
    })?;
    folded.without_dead_code()
}

/// `op(x, weight) + bias`.
#[derive(Clone)]
struct Linear {
    op: Op,
    x: Value,
    weight: Value,
    bias: Option<Value>,
}

impl Linear {
    /// A node that is linear in weights, if it is one and its weights follow from states.
    fn of(graph: &Graph, settled: &Settled, op: &Op, inputs: &[Value]) -> Option<Linear> {
        let foldable = match op {
            Op::Conv2d(_) | Op::Matmul(_) => true,
            // A channel of a group is a column of several filters.
            Op::ConvBackwardData { conv, .. } => conv.groups == 1,
            _ => false,
        };
        let &[x, weight] = inputs else { return None };
        let fits = foldable && settled.is(weight) && graph.ty(weight).dtype == DType::F32;
        fits.then(|| Linear { op: op.clone(), x, weight, bias: None })
    }

    /// The weights with each output channel's multiplied by its factor.
    fn scaled_weight(&self, graph: &mut Graph, scale: Value) -> Result<Value> {
        let channels = graph.ty(scale).shape.elements();
        let scale = match self.op {
            Op::Conv2d(_) => graph.reshape(scale, Shape::nhwc(channels, 1, 1, 1))?,
            Op::Matmul(Matmul { transpose_b: true, .. }) => {
                graph.reshape(scale, Shape::matrix(channels, 1))?
            }
            _ => scale,
        };
        graph.mul(self.weight, scale)
    }

    fn append(&self, graph: &mut Graph) -> Result<Value> {
        let product = graph.push(self.op.clone(), vec![self.x, self.weight])?;
        match self.bias {
            Some(bias) => graph.add(product, bias),
            None => Ok(product),
        }
    }
}

/// What a factor or a term makes of the linear node that it follows.
fn fold(
    graph: &mut Graph,
    linear: &FxHashMap<Value, Linear>,
    settled: &Settled,
    binary: Binary,
    [a, b]: [Value; 2],
) -> Result<Option<Linear>> {
    let (before, y, other, in_order) = match (linear.get(&a), linear.get(&b)) {
        (Some(before), _) if settled.is(b) => (before, a, b, true),
        (_, Some(before)) if settled.is(a) => (before, b, a, false),
        _ => return Ok(None),
    };
    let channels = graph.ty(y).shape.channels();
    let (shape, dtype) = (graph.ty(other).shape, graph.ty(other).dtype);
    if dtype != DType::F32
        || shape.rank() > graph.ty(y).shape.rank()
        || shape.aligned() != [1, 1, 1, channels]
    {
        return Ok(None);
    }
    let mut after = before.clone();
    match binary {
        Binary::Mul => {
            let scale = graph.reshape(other, Shape::vector(channels))?;
            after.weight = before.scaled_weight(graph, scale)?;
            after.bias = before.bias.map(|bias| graph.mul(bias, scale)).transpose()?;
        }
        Binary::Add | Binary::Sub if binary == Binary::Add || in_order => {
            let term = graph.reshape(other, Shape::vector(channels))?;
            after.bias = Some(match before.bias {
                Some(bias) => graph.binary(binary, bias, term)?,
                None if binary == Binary::Add => term,
                None => graph.unary(Unary::Neg, term)?,
            });
        }
        _ => return Ok(None),
    }
    Ok(Some(after))
}

/// Which nodes follow from states and constants alone.
#[derive(Default)]
struct Settled(Vec<bool>);

impl Settled {
    /// Looks at the nodes that have been appended since the last time.
    fn follow(&mut self, graph: &Graph) {
        for node in &graph.nodes[self.0.len()..] {
            let settled = match node.op {
                Op::Leaf(leaf) => matches!(leaf, Leaf::State { .. }),
                Op::Dropout(_) => false,
                _ => node.inputs.iter().all(|&input| self.is(input)),
            };
            self.0.push(settled);
        }
    }

    fn is(&self, value: Value) -> bool {
        self.0.get(value.node as usize).copied().unwrap_or(false)
    }
}
