//! A bias, ReLU and the step up to `f32` in the epilogue of the matrix product before them.
//!
//! ```text
//! matmul(a, b) + bias                       fused_matmul(a, b, bias)
//! relu(matmul(a, b) + bias)             ->  the same with ReLU
//! f32(any of these), 16 bits before         the same, written in f32
//! ```
//!
//! The bias is `[n]`, and nobody else reads what lies between. Nothing is gained, and nothing done, where all readers of
//! the end are pointwise: they make a pass over it anyway. Written in `f32` nothing is rounded to 16 bits at all; else
//! the bias is, as PyTorch has it.

use std::collections::BTreeMap;

use super::{Chooser, Decision, Readers, label};
use crate::error::Result;
use crate::graph::{Graph, NodeId, Value};
use crate::ops::{Binary, FusedMatmul, Matmul, Op, Unary};
use crate::plan::MatmulLaunch;
use crate::plan::cluster::is_fusible;
use crate::types::{DType, TensorType};

/// What follows a matrix product and can move into it.
#[derive(Clone, Copy, Debug)]
struct Chain {
    bias: Value,
    relu: bool,
    /// The node whose result is the chain's.
    end: NodeId,
}

/// Fuses where there is a launch to save.
pub(super) fn fuse(graph: &Graph, chooser: &mut Chooser<'_>) -> Result<Graph> {
    let readers = Readers::new(graph);
    let mut ends: BTreeMap<NodeId, (NodeId, FusedMatmul, Value)> = BTreeMap::new();
    for id in 0..graph.nodes.len() as NodeId {
        let Op::Matmul(matmul) = graph.nodes[id as usize].op else { continue };
        let Some(chain) = chain_after(graph, &readers, id) else { continue };
        let pointwise = |&reader: &NodeId| is_fusible(&graph.nodes[reader as usize].op);
        if !readers.is_wanted(chain.end) && readers.of(chain.end).iter().all(pointwise) {
            continue;
        }
        let dtype = graph.nodes[chain.end as usize].outputs[0].dtype;
        let fused = FusedMatmul { matmul, relu: chain.relu, dtype };
        if is_possible(graph, id, fused, chooser)? {
            ends.insert(chain.end, (id, fused, chain.bias));
        }
    }
    graph.rewrite_with(|new, id, value| {
        let node = &graph.nodes[id as usize];
        let Some((matmul, fused, bias)) = ends.get(&id) else {
            let inputs = node.inputs.iter().map(|&input| value(input)).collect();
            return new.push_like(node, inputs);
        };
        let factors = &graph.nodes[*matmul as usize].inputs;
        let bias = new.cast(value(*bias), fused.dtype)?;
        let inputs = vec![value(factors[0]), value(factors[1]), bias];
        Ok(vec![new.push(Op::FusedMatmul(*fused), inputs)?])
    })
}

/// Whether there is a kernel; the answer is written down.
fn is_possible(graph: &Graph, id: NodeId, fused: FusedMatmul, chooser: &mut Chooser<'_>) -> Result<bool> {
    let inputs: Vec<TensorType> =
        graph.nodes[id as usize].inputs.iter().map(|&input| graph.ty(input)).collect();
    let launch = MatmulLaunch { epilogue: Some(fused.epilogue()), ..MatmulLaunch::of(fused.matmul, &inputs) };
    let refused = chooser.costs.refuses_matmul(&launch)?;
    let fused = refused.is_none();
    chooser.decisions.push(Decision {
        label: label(graph, id),
        pattern: "epilogue",
        fused,
        fused_microseconds: None,
        apart_microseconds: None,
        reason: refused.unwrap_or_else(|| "it saves a launch".into()),
    });
    Ok(fused)
}

/// The longest chain after a matrix product: one with a bias.
fn chain_after(graph: &Graph, readers: &Readers, id: NodeId) -> Option<Chain> {
    let product = graph.nodes[id as usize].outputs[0];
    let mut longest: Option<Chain> = None;
    let mut last = id;
    while let Some(reader) = readers.only(last) {
        let node = &graph.nodes[reader as usize];
        let ty = node.outputs[0];
        if ty.shape != product.shape {
            break;
        }
        let other = node.inputs.iter().copied().find(|input| input.node != last);
        let chain = match (&node.op, other, longest) {
            (Op::Binary(Binary::Add), Some(bias), None) if is_bias(graph.ty(bias), product) => {
                Chain { bias, relu: false, end: reader }
            }
            (Op::Unary(Unary::Relu), None, Some(chain)) if !chain.relu => {
                Chain { relu: true, end: reader, ..chain }
            }
            (Op::Cast(DType::F32), None, Some(chain)) => Chain { end: reader, ..chain },
            _ => break,
        };
        longest = Some(chain);
        last = reader;
    }
    longest
}

fn is_bias(ty: TensorType, product: TensorType) -> bool {
    ty.dtype.is_float() && ty.shape.dims() == [product.shape.channels()]
}

impl MatmulLaunch {
    /// A plain product of operands of these types.
    pub(in crate::plan) fn of(matmul: Matmul, inputs: &[TensorType]) -> MatmulLaunch {
        MatmulLaunch { matmul, a: inputs[0], b: inputs[1].shape, epilogue: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Leaf;
    use crate::plan::costs::Analytic;
    use crate::plan::rules::fuse_convolutions;
    use crate::plan::rules::testing::weights;
    use crate::types::Shape;

    /// `a b'` of `rows` rows, and a bias.
    fn start(dtype: DType, rows: usize) -> (Graph, Value, Value) {
        let mut graph = Graph::default();
        let ty = TensorType::new(dtype, Shape::matrix(rows, 8));
        let a = graph.push_leaf(Leaf::Data { index: 0, resident: false }, ty);
        let b = weights(&mut graph, 0, dtype, Shape::matrix(5, 8));
        let bias = weights(&mut graph, 1, DType::F32, Shape::vector(5));
        let matmul = Matmul { transpose_b: true, ..Matmul::default() };
        let y = graph.push(Op::Matmul(matmul), vec![a, b]).unwrap();
        (graph, y, bias)
    }

    /// The fused products of the graph with this root, and the names of all other nodes but leaves.
    fn fused(mut graph: Graph, root: Value) -> (Vec<FusedMatmul>, Vec<&'static str>) {
        graph.roots.push(root);
        let wanted = graph.ty(root);
        let (graph, _) = fuse_convolutions(&graph, &Analytic::default()).unwrap();
        crate::graph::verify(&graph, "test").unwrap();
        let last = graph.roots.len() - 1;
        assert_eq!(graph.ty(graph.roots[last]), wanted);
        let (mut products, mut others) = (Vec::new(), Vec::new());
        for node in &graph.nodes {
            match node.op {
                Op::FusedMatmul(fused) => products.push(fused),
                Op::Leaf(_) => {}
                ref op => others.push(op.name()),
            }
        }
        (products, others)
    }

    #[test]
    fn a_bias_and_what_follows_are_one_launch() {
        for (dtype, rows) in [(DType::F32, 3), (DType::F16, 3), (DType::BF16, 3), (DType::F16, 1)] {
            for relu in [false, true] {
                let (mut graph, y, bias) = start(dtype, rows);
                let mut y = graph.add(bias, y).unwrap();
                if relu {
                    y = graph.unary(Unary::Relu, y).unwrap();
                }
                let y = graph.cast(y, DType::F32).unwrap();
                let (products, others) = fused(graph, y);
                let matmul = Matmul { transpose_b: true, ..Matmul::default() };
                assert_eq!(products, [FusedMatmul { matmul, relu, dtype: DType::F32 }]);
                assert!(others.is_empty(), "{others:?}");
            }
        }
        // Written in 16 bits, the bias is cast once.
        let (mut graph, y, bias) = start(DType::F16, 3);
        let y = graph.add(y, bias).unwrap();
        let (products, others) = fused(graph, y);
        assert_eq!((products[0].dtype, &others[..]), (DType::F16, &["cast"][..]));
    }

    #[test]
    fn near_misses_stay() {
        // Somebody else reads the product.
        let (mut graph, y, bias) = start(DType::F32, 3);
        graph.roots.push(y);
        let sum = graph.add(y, bias).unwrap();
        assert_eq!(fused(graph, sum), (vec![], vec!["matmul", "add"]));
        // What follows makes a pass of its own.
        let (mut graph, y, bias) = start(DType::F32, 3);
        let sum = graph.add(y, bias).unwrap();
        let root = graph.unary(Unary::Tanh, sum).unwrap();
        assert_eq!(fused(graph, root), (vec![], vec!["matmul", "add", "tanh"]));
        // ReLU before the bias, a bias for each row, a difference, a bias that makes the result larger.
        let (mut graph, y, bias) = start(DType::F32, 3);
        let y = graph.unary(Unary::Relu, y).unwrap();
        let root = graph.add(y, bias).unwrap();
        assert_eq!(fused(graph, root), (vec![], vec!["matmul", "relu", "add"]));
        let (mut graph, y, bias) = start(DType::F32, 5);
        let rows = graph.reshape(bias, Shape::matrix(5, 1)).unwrap();
        let root = graph.add(y, rows).unwrap();
        assert_eq!(fused(graph, root).0, []);
        let (mut graph, y, bias) = start(DType::F32, 3);
        let root = graph.sub(y, bias).unwrap();
        assert_eq!(fused(graph, root).0, []);
        let (mut graph, y, _) = start(DType::F32, 1);
        let many = weights(&mut graph, 2, DType::F32, Shape::matrix(4, 5));
        let root = graph.add(y, many).unwrap();
        assert_eq!(fused(graph, root).0, []);
        // The product twice.
        let (mut graph, y, _) = start(DType::F32, 3);
        let root = graph.add(y, y).unwrap();
        assert_eq!(fused(graph, root).0, []);
    }
}
