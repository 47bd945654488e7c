//! What follows a sum and can be done in its launch.
//!
//! A sum is complete when its launch is over, so that whatever reads it costs a launch of its own, however small. A factor
//! can come before it, where it is one more multiplication in registers; a cast is what the sum writes.
//!
//! ```text
//! factor * sum(x)                        sum(factor * x), where x is f32
//! cast(sum(x))                      ->   sum(x), written in that type
//! cast(reshape(x))                       reshape(cast(x)), so that views stand in nobody's way
//! ```
//!
//! Global average pooling is one launch by them, with the activation before it and the cast after it. They are for graphs
//! without gradients: where an optimizer divides by what is left of terms that cancel, another order of rounding shows.

use rustc_hash::FxHashSet;

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Op, SumTo, Unary};
use crate::types::{DType, Real};

/// The same graph with factors before sums and casts in them, where nobody else reads what lies between.
///
/// # Errors
/// [`crate::Error::Plan`] when the graph breaks what must hold of it: a defect of this library.
pub fn absorb(graph: &Graph) -> Result<Graph> {
    let graph = graph.without_dead_code()?;
    let uses = graph.uses();
    let mut read_once: FxHashSet<Value> = FxHashSet::default();
    let absorbed = graph.rewrite_with(|new, id, value| {
        let node = &graph.nodes[id as usize];
        let inputs: Vec<Value> = node.inputs.iter().map(|&input| value(input)).collect();
        let shorter = match node.op {
            Op::Unary(Unary::MulScalar(factor)) => scale(new, &read_once, inputs[0], factor)?,
            Op::Cast(dtype) => cast(new, &read_once, inputs[0], dtype)?,
            _ => None,
        };
        let outputs = match shorter {
            Some(value) => vec![value],
            None => new.push_like(node, inputs)?,
        };
        if let (&[only], 1) = (&outputs[..], uses[id as usize]) {
            read_once.insert(only);
        }
        Ok(outputs)
    })?;
    absorbed.without_dead_code()
}

/// `factor * x` where `x` is a sum.
fn scale(graph: &mut Graph, read_once: &FxHashSet<Value>, x: Value, factor: Real) -> Result<Option<Value>> {
    let Op::SumTo(sum) = graph.node(x).op else { return Ok(None) };
    let summed = graph.node(x).inputs[0];
    // In 16 bits the factor would cost range and precision of each term.
    if !read_once.contains(&x) || sum.dtype != DType::F32 || graph.ty(summed).dtype != DType::F32 {
        return Ok(None);
    }
    let scaled = graph.scale(summed, factor.0)?;
    Ok(Some(graph.push(Op::SumTo(sum), vec![scaled])?))
}

/// `x` as another type, where `x` is a sum or another view of something.
fn cast(graph: &mut Graph, read_once: &FxHashSet<Value>, x: Value, dtype: DType) -> Result<Option<Value>> {
    if !read_once.contains(&x) {
        return Ok(None);
    }
    let node = graph.node(x);
    match node.op {
        Op::SumTo(sum) if sum.dtype == DType::F32 && dtype.is_half() => {
            let summed = node.inputs[0];
            Ok(Some(graph.push(Op::SumTo(SumTo { dtype, ..sum }), vec![summed])?))
        }
        Op::Reshape(shape) => {
            let source = node.inputs[0];
            let converted = match cast(graph, read_once, source, dtype)? {
                Some(converted) => converted,
                None => graph.cast(source, dtype)?,
            };
            Ok(Some(graph.reshape(converted, shape)?))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::rules::testing::image;
    use crate::types::Shape;

    fn names(graph: &Graph) -> Vec<&'static str> {
        graph.nodes.iter().map(|node| node.op.name()).collect()
    }

    /// The mean over each image in this type, as features in 16 bits.
    fn pooled(dtype: DType) -> (Graph, [Value; 4]) {
        let mut graph = Graph::default();
        let x = image(&mut graph, 0, dtype, [2, 7, 7, 16]);
        let x = graph.unary(Unary::Relu, x).unwrap();
        let sum = graph.sum_to(x, Shape::nhwc(2, 1, 1, 16), DType::F32).unwrap();
        let mean = graph.scale(sum, 1.0 / 49.0).unwrap();
        let features = graph.reshape(mean, Shape::matrix(2, 16)).unwrap();
        let half = graph.cast(features, DType::F16).unwrap();
        (graph, [sum, mean, features, half])
    }

    #[test]
    fn average_pooling_is_one_sum() {
        let (mut graph, [.., half]) = pooled(DType::F32);
        graph.roots.push(half);
        let absorbed = absorb(&graph).unwrap();
        assert_eq!(names(&absorbed), ["leaf", "relu", "mul_scalar", "sum", "reshape"]);
        assert_eq!(absorbed.ty(absorbed.roots[0]), graph.ty(half));
        assert_eq!(absorb(&absorbed).unwrap(), absorbed);
    }

    #[test]
    fn a_sum_of_16_bits_is_scaled_afterwards() {
        let (mut graph, [.., half]) = pooled(DType::F16);
        graph.roots.push(half);
        assert_eq!(names(&absorb(&graph).unwrap()), ["leaf", "relu", "sum", "mul_scalar", "cast", "reshape"]);
    }

    #[test]
    fn what_others_read_stays() {
        for other in 0..3 {
            let (mut graph, values) = pooled(DType::F32);
            graph.roots.extend([values[3], values[other]]);
            let absorbed = absorb(&graph).unwrap();
            let expected: &[&str] = match other {
                0 => &["leaf", "relu", "sum", "mul_scalar", "cast", "reshape"],
                1 => &["leaf", "relu", "mul_scalar", "sum", "cast", "reshape"],
                _ => &["leaf", "relu", "mul_scalar", "sum", "reshape", "cast"],
            };
            assert_eq!(names(&absorbed), expected, "{other}");
        }
    }
}
