//! Mixed precision as a pass over the forward trace, before it is differentiated.
//!
//! Convolutions and matrix products take their operands in 16 bits and yield 16 bits; pointwise work, pooling and
//! normalisation follow their operands (see [`crate::ops::pointwise`] for mixed ones); softmax, losses and what follows
//! them are `f32`. Roots and the new values of states keep the types that they were traced with.

use crate::device::Precision;
use crate::error::Result;
use crate::graph::{Graph, Node, Value};
use crate::ops::Op;
use crate::types::{DType, TensorType};

/// The same graph with casts where 16-bit work begins and ends.
pub fn mixed_precision(graph: &Graph, precision: Precision) -> Result<Graph> {
    let compute = precision.compute_type();
    if compute == DType::F32 {
        return Ok(graph.clone());
    }
    let mut new = graph.rewrite(|new, node, inputs| {
        let inputs = match node.op {
            Op::Conv2d(_) | Op::ConvBackwardData { .. } | Op::Matmul(_) => cast_all(new, inputs, compute)?,
            Op::Softmax(_) | Op::CrossEntropy(_) | Op::SumTo(_) => widen(new, node, inputs)?,
            Op::Unary(op) if is_wide(op) => widen(new, node, inputs)?,
            Op::AddN | Op::Concat => agree(new, inputs)?,
            _ => inputs,
        };
        new.push_like(node, inputs)
    })?;
    let wanted: Vec<TensorType> = graph.roots.iter().map(|&root| graph.ty(root)).collect();
    for (position, ty) in wanted.into_iter().enumerate() {
        let root = new.roots[position];
        new.roots[position] = new.cast(root, ty.dtype)?;
    }
    for (position, update) in graph.updates.iter().enumerate() {
        let value = new.updates[position].value;
        new.updates[position].value = new.cast(value, graph.ty(update.value).dtype)?;
    }
    Ok(new)
}

/// Functions whose results leave the range or the precision of 16 bits easily.
fn is_wide(op: crate::ops::Unary) -> bool {
    use crate::ops::Unary::{Exp, Log, PowScalar, Reciprocal, Rsqrt, SmoothL1, Softplus};
    matches!(op, Exp | Log | PowScalar(_) | Reciprocal | Rsqrt | Softplus | SmoothL1(_))
}

fn cast_all(graph: &mut Graph, inputs: Vec<Value>, dtype: DType) -> Result<Vec<Value>> {
    inputs.into_iter().map(|input| graph.cast(input, dtype)).collect()
}

/// Casts 16-bit inputs back to `f32` where they were traced as `f32`.
fn widen(graph: &mut Graph, node: &Node, inputs: Vec<Value>) -> Result<Vec<Value>> {
    let traced_wide = node.outputs[0].dtype == DType::F32;
    let cast = |input: Value| {
        if graph.ty(input).dtype.is_half() && traced_wide { graph.cast(input, DType::F32) } else { Ok(input) }
    };
    inputs.into_iter().map(cast).collect()
}

/// Gives all inputs one type, the widest among them.
fn agree(graph: &mut Graph, inputs: Vec<Value>) -> Result<Vec<Value>> {
    let first = graph.ty(inputs[0]).dtype;
    let one = inputs.iter().all(|&input| graph.ty(input).dtype == first);
    if one { Ok(inputs) } else { cast_all(graph, inputs, DType::F32) }
}
