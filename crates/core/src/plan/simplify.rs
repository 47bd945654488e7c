//! Small rewrites that never lose: casts that change nothing, identities, one reshape for several.

use crate::error::Result;
use crate::graph::{Graph, Node, Value};
use crate::ops::{Op, Unary};
use crate::types::DType;

/// The same graph without work that changes nothing.
pub fn simplify(graph: &Graph) -> Result<Graph> {
    graph.rewrite(|new, node, inputs| match shorter(new, node, &inputs)? {
        Some(value) => Ok(vec![value]),
        None => {
            let inputs = match node.op {
                Op::Sgd(_) | Op::AdamW(_) | Op::Blend | Op::GradientNorm => {
                    inputs.into_iter().map(|input| without_widening(new, input)).collect()
                }
                _ => inputs,
            };
            new.push_like(node, inputs)
        }
    })
}

/// What stands for a node that need not be there.
fn shorter(new: &mut Graph, node: &Node, inputs: &[Value]) -> Result<Option<Value>> {
    let Some(&x) = inputs.first() else { return Ok(None) };
    let ty = node.outputs[0];
    Ok(match node.op {
        Op::Detach => Some(x),
        Op::Cast(_) | Op::Reshape(_) | Op::BroadcastTo(_) | Op::SumTo(_) if new.ty(x) == ty => Some(x),
        // Every number of 16 bits is one of f32, so that the way over f32 is no other than the straight one.
        Op::Cast(to) => match new.node(x).op {
            Op::Cast(DType::F32) => {
                let source = new.node(x).inputs[0];
                if new.ty(source).dtype.is_half() { Some(new.cast(source, to)?) } else { None }
            }
            _ => None,
        },
        Op::Reshape(shape) => match &new.node(x).op {
            Op::Reshape(_) => {
                let source = new.node(x).inputs[0];
                Some(new.reshape(source, shape)?)
            }
            _ => None,
        },
        Op::Unary(Unary::MulScalar(factor)) if factor.0 == 1.0 => Some(x),
        Op::Unary(Unary::AddScalar(term)) if term.0 == 0.0 => Some(x),
        Op::Unary(Unary::MulScalar(outer)) => match new.node(x).op {
            // One multiplication for two, where the product of the factors is exact enough to be the same number.
            Op::Unary(Unary::MulScalar(inner)) if is_power_of_two(outer.0) || is_power_of_two(inner.0) => {
                let source = new.node(x).inputs[0];
                Some(new.scale(source, outer.0 * inner.0)?)
            }
            _ => None,
        },
        _ => None,
    })
}

/// The value before a cast from 16 bits to `f32`: the optimizers read gradients of any type.
fn without_widening(graph: &Graph, value: Value) -> Value {
    let node = graph.node(value);
    match node.op {
        Op::Cast(_) if graph.ty(node.inputs[0]).dtype.is_half() => node.inputs[0],
        _ => value,
    }
}

fn is_power_of_two(value: f32) -> bool {
    value.is_normal() && value.to_bits() & 0x007f_ffff == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Leaf;
    use crate::types::{Shape, TensorType};

    #[test]
    fn identities_vanish() {
        let mut graph = Graph::default();
        let x = graph.push_leaf(
            Leaf::Data { index: 0, resident: false },
            TensorType::new(DType::F32, Shape::nhwc(2, 3, 3, 4)),
        );
        let y = graph.push(Op::Detach, vec![x]).unwrap();
        let y = graph.push(Op::Reshape(Shape::matrix(2, 36)), vec![y]).unwrap();
        let y = graph.push(Op::Reshape(Shape::nhwc(2, 3, 3, 4)), vec![y]).unwrap();
        let y = graph.scale(y, 1.0).unwrap();
        graph.roots.push(y);
        let simple = simplify(&simplify(&graph).unwrap()).unwrap().without_dead_code().unwrap();
        assert_eq!(simple.nodes.len(), 1, "{simple}");
    }

    #[test]
    fn casts_over_f32_vanish_where_they_lose_nothing() {
        let through = |from: DType, over: DType| {
            let mut graph = Graph::default();
            let x = graph
                .push_leaf(Leaf::Data { index: 0, resident: false }, TensorType::new(from, Shape::vector(8)));
            let wide = graph.push(Op::Cast(over), vec![x]).unwrap();
            let back = graph.push(Op::Cast(from), vec![wide]).unwrap();
            graph.roots.push(back);
            simplify(&graph).unwrap().without_dead_code().unwrap().nodes.len()
        };
        assert_eq!(through(DType::F16, DType::F32), 1);
        assert_eq!(through(DType::BF16, DType::F32), 1);
        assert_eq!(through(DType::F32, DType::F16), 3);
    }
}
