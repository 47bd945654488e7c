//! A bias, another tensor and ReLU in the epilogue of the convolution before them.
//!
//! ```text
//! conv2d(x, w) + bias                       fused_conv2d(x, w, bias)
//! conv2d(x, w) + bias + residual        ->  fused_conv2d(x, w, bias, residual)
//! relu(any of these)                        the same with ReLU
//! ```
//!
//! It spares reading and writing the result once. The bias is `[k]`, what is added is like the result, in any order; nobody
//! else reads what lies between. Nothing is gained, and nothing done, where all readers of the end are pointwise: they
//! make a pass of their own over it anyway, and take the bias along. In 16 bits the bias is rounded to them, as PyTorch
//! has it.

use std::collections::BTreeMap;

use super::{Chooser, Readers, Way, convolution_of, label};
use crate::error::Result;
use crate::graph::{Graph, NodeId, Value};
use crate::ops::{Binary, ConvFusion, Op, Unary};
use crate::plan::Convolution;
use crate::plan::cluster::is_fusible;

/// What follows a convolution and can move into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chain {
    bias: Option<Value>,
    residual: Option<Value>,
    relu: bool,
    /// The nodes after the convolution, in order; the last one's result is the chain's.
    nodes: Vec<NodeId>,
}

impl Chain {
    fn fusion(&self) -> ConvFusion {
        ConvFusion {
            bias: self.bias.is_some(),
            residual: self.residual.is_some(),
            relu: self.relu,
            ..ConvFusion::NONE
        }
    }
}

/// Fuses where it pays.
pub(super) fn fuse(graph: &Graph, chooser: &mut Chooser<'_>) -> Result<Graph> {
    let readers = Readers::new(graph);
    // The chains to fuse by the nodes at their ends, with their convolutions; and all nodes that are in one.
    let mut ends: BTreeMap<NodeId, (NodeId, Chain)> = BTreeMap::new();
    let mut taken = vec![false; graph.nodes.len()];
    let longest = |id: NodeId| {
        let chain = chain_after(graph, &readers, id, &taken)?;
        Some(Convolution { fusion: chain.fusion(), ..convolution_of(graph, id)? })
    };
    let convolutions = convolutions_in(graph);
    chooser.costs.announce(&convolutions.iter().filter_map(|&id| longest(id)).collect::<Vec<_>>())?;
    // From the last convolution back: where two are added, the later one takes the earlier one's result.
    for id in convolutions.into_iter().rev() {
        if let Some(chain) = chain_after(graph, &readers, id, &taken)
            && let Some(&end) = chain.nodes.last()
            && pays(graph, &readers, id, &chain, &taken, chooser)?
        {
            chain.nodes.iter().for_each(|&node| taken[node as usize] = true);
            ends.insert(end, (id, chain));
        }
    }
    graph.rewrite_with(|new, id, value| {
        let copied =
            |node: NodeId| graph.nodes[node as usize].inputs.iter().map(|&input| value(input)).collect();
        if let Some((convolution, chain)) = ends.get(&id)
            && let Op::Conv2d(conv) = graph.nodes[*convolution as usize].op
        {
            let mut inputs: Vec<Value> = copied(*convolution);
            let dtype = graph.nodes[id as usize].outputs[0].dtype;
            if let Some(bias) = chain.bias {
                inputs.push(new.cast(value(bias), dtype)?);
            }
            inputs.extend(chain.residual.map(value));
            return Ok(vec![new.push(Op::FusedConv { conv, fusion: chain.fusion() }, inputs)?]);
        }
        new.push_like(&graph.nodes[id as usize], copied(id))
    })
}

fn convolutions_in(graph: &Graph) -> Vec<NodeId> {
    let ids = 0..graph.nodes.len() as NodeId;
    ids.filter(|&id| matches!(graph.nodes[id as usize].op, Op::Conv2d(_))).collect()
}

/// The longest chain after a convolution that cuDNN has a form for: one with a bias.
fn chain_after(graph: &Graph, readers: &Readers, id: NodeId, taken: &[bool]) -> Option<Chain> {
    let like = graph.nodes[id as usize].outputs[0];
    let is_bias = |value: Value| {
        let ty = graph.ty(value);
        ty.dtype.is_float() && ty.shape.dims() == [like.shape.channels()]
    };
    let (mut chain, mut longest) = (Chain::default(), None);
    let mut last = id;
    while let Some(reader) = readers.only(last).filter(|&reader| !taken[reader as usize] && !chain.relu) {
        let node = &graph.nodes[reader as usize];
        let added = node.inputs.iter().copied().find(|input| input.node != last);
        match (&node.op, added) {
            (Op::Binary(Binary::Add), Some(added)) if chain.bias.is_none() && is_bias(added) => {
                chain.bias = Some(added);
            }
            (Op::Binary(Binary::Add), Some(added)) if chain.residual.is_none() && graph.ty(added) == like => {
                chain.residual = Some(added);
            }
            (Op::Unary(Unary::Relu), None) => chain.relu = true,
            _ => break,
        }
        chain.nodes.push(reader);
        last = reader;
        if chain.bias.is_some() {
            longest = Some(chain.clone());
        }
    }
    longest
}

fn pays(
    graph: &Graph,
    readers: &Readers,
    id: NodeId,
    chain: &Chain,
    taken: &[bool],
    chooser: &mut Chooser<'_>,
) -> Result<bool> {
    let (Some(plain), Some(&end)) = (convolution_of(graph, id), chain.nodes.last()) else { return Ok(false) };
    let read_anyway = !readers.is_wanted(end)
        && readers
            .of(end)
            .iter()
            .all(|&reader| !taken[reader as usize] && is_fusible(&graph.nodes[reader as usize].op));
    let tensors = if chain.residual.is_some() { 3 } else { 2 };
    let bytes = if read_anyway { 0 } else { tensors * plain.y.elements() * plain.x.dtype.bytes() };
    let fused = Convolution { fusion: chain.fusion(), ..plain };
    chooser.choose(
        label(graph, id),
        "epilogue",
        &Way { convolutions: vec![fused], bytes: 0 },
        &Way { convolutions: vec![plain], bytes },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Conv2d;
    use crate::plan::costs::Analytic;
    use crate::plan::rules::testing::{image, weights};
    use crate::plan::rules::{Decision, fuse_convolutions};
    use crate::types::{DType, Shape};

    const TYPES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

    /// A convolution of 16 channels to 16, the bias and a tensor like the result.
    fn start(dtype: DType) -> (Graph, [Value; 3]) {
        let mut graph = Graph::default();
        let x = image(&mut graph, 0, dtype, [2, 9, 9, 16]);
        let residual = image(&mut graph, 1, dtype, [2, 9, 9, 16]);
        let w = weights(&mut graph, 0, dtype, Shape::nhwc(16, 1, 1, 16));
        let bias = weights(&mut graph, 1, DType::F32, Shape::vector(16));
        let y = graph.push(Op::Conv2d(Conv2d::default()), vec![x, w]).unwrap();
        (graph, [y, bias, residual])
    }

    /// The fused convolutions of the graph with this root, in order, the nodes left beside them, and the decisions.
    fn fused(mut graph: Graph, root: Value) -> (Vec<ConvFusion>, Vec<&'static str>, Vec<Decision>) {
        graph.roots.push(root);
        let (graph, decisions) = fuse_convolutions(&graph, &Analytic::default()).unwrap();
        let fusion = |op: &Op| match op {
            Op::FusedConv { fusion, .. } => Some(*fusion),
            _ => None,
        };
        let fusions = graph.nodes.iter().filter_map(|node| fusion(&node.op)).collect();
        let others = graph.nodes.iter().map(|node| &node.op);
        let others = others.filter(|op| fusion(op).is_none() && !matches!(op, Op::Leaf(_) | Op::Cast(_)));
        (fusions, others.map(Op::name).collect(), decisions)
    }

    const BIAS: ConvFusion = ConvFusion { bias: true, ..ConvFusion::NONE };

    #[test]
    fn every_form_is_one_launch_in_every_type() {
        for dtype in TYPES {
            for (residual, relu) in [(false, false), (false, true), (true, false), (true, true)] {
                for bias_first in [false, true] {
                    let (mut graph, [mut y, bias, other]) = start(dtype);
                    if bias_first {
                        y = graph.add(bias, y).unwrap();
                    }
                    if residual {
                        y = graph.add(y, other).unwrap();
                    }
                    if !bias_first {
                        y = graph.add(y, bias).unwrap();
                    }
                    if relu {
                        y = graph.unary(Unary::Relu, y).unwrap();
                    }
                    let (fusions, others, decisions) = fused(graph, y);
                    assert_eq!(fusions, [ConvFusion { residual, relu, ..BIAS }]);
                    assert!(others.is_empty(), "{others:?}");
                    assert!(decisions.len() == 1 && decisions[0].fused);
                }
            }
        }
    }

    #[test]
    fn of_two_convolutions_that_are_added_one_takes_the_other() {
        let (mut graph, [y, bias, other]) = start(DType::F16);
        let w = weights(&mut graph, 2, DType::F16, Shape::nhwc(16, 1, 1, 16));
        let shortcut = graph.push(Op::Conv2d(Conv2d::default()), vec![other, w]).unwrap();
        let (a, b) = (graph.add(y, bias).unwrap(), graph.add(shortcut, bias).unwrap());
        let sum = graph.add(a, b).unwrap();
        let root = graph.unary(Unary::Relu, sum).unwrap();
        let (fusions, others, _) = fused(graph, root);
        assert_eq!(fusions, [BIAS, ConvFusion { residual: true, relu: true, ..BIAS }]);
        assert!(others.is_empty(), "{others:?}");
    }

    #[test]
    fn what_others_read_stays() {
        let (mut graph, [y, bias, _]) = start(DType::F16);
        graph.roots.push(y);
        let sum = graph.add(y, bias).unwrap();
        assert_eq!(fused(graph, sum).0, []);

        let (mut graph, [y, bias, _]) = start(DType::F16);
        let sum = graph.add(y, bias).unwrap();
        graph.roots.push(sum);
        let root = graph.unary(Unary::Relu, sum).unwrap();
        let (fusions, others, _) = fused(graph, root);
        assert_eq!((fusions, others), (vec![BIAS], vec!["relu"]));
    }

    #[test]
    fn near_misses_stay() {
        // Another function.
        let (mut graph, [y, bias, _]) = start(DType::F16);
        let sum = graph.add(y, bias).unwrap();
        let root = graph.unary(Unary::Silu, sum).unwrap();
        let (fusions, _, decisions) = fused(graph, root);
        assert!(fusions.is_empty() && decisions.len() == 1, "the bias goes with what follows");
        assert!(!decisions[0].fused);
        // No bias.
        let (mut graph, [y, _, other]) = start(DType::F16);
        let sum = graph.add(y, other).unwrap();
        let root = graph.unary(Unary::Relu, sum).unwrap();
        assert_eq!(fused(graph, root).0, []);
        // The convolution twice.
        let (mut graph, [y, _, _]) = start(DType::F16);
        let root = graph.add(y, y).unwrap();
        assert_eq!(fused(graph, root).0, []);
        // A number for each pixel, and another type.
        for (shape, dtype) in [([2, 9, 9, 1], DType::F16), ([2, 9, 9, 16], DType::F32)] {
            let (mut graph, [y, bias, _]) = start(DType::F16);
            let other = image(&mut graph, 2, dtype, shape);
            let sum = graph.add(y, other).unwrap();
            let root = graph.add(sum, bias).unwrap();
            assert_eq!(fused(graph, root).0, []);
        }
        // A difference.
        let (mut graph, [y, bias, _]) = start(DType::F16);
        let root = graph.sub(y, bias).unwrap();
        assert_eq!(fused(graph, root).0, []);
    }
}
