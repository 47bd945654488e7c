//! The statistics of a batch normalisation in the epilogue of the convolution before it.
//!
//! ```text
//! y = conv2d(x, w)                 y, sum, squares = fused_conv2d(x, w)
//! mean, variance = stats(y)   ->   mean = sum / m
//!                                  variance = max(squares / m - mean^2, 0)
//! ```
//!
//! It spares reading `y` once. `y` may have any other readers. The difference of two squares loses what the rounding of
//! `y` to 16 bits has lost before: an error of `mean^2 2^-24` in the variance, as `f32` sums make, is what an error of
//! `mean 2^-12` in each value of `y` makes. That is why the rule is for 16 bits alone.

use std::collections::BTreeSet;

use super::{Chooser, Way, convolution_of, label};
use crate::error::Result;
use crate::graph::{Graph, NodeId, Value};
use crate::ops::{ConvFusion, Op, Unary};
use crate::plan::Convolution;

/// The convolutions whose statistics are wanted.
pub(super) fn candidates(graph: &Graph) -> BTreeSet<NodeId> {
    let statistics = graph.nodes.iter().filter(|node| matches!(node.op, Op::ChannelStats));
    let read = statistics.map(|node| node.inputs[0].node);
    read.filter(|&id| matches!(graph.nodes[id as usize].op, Op::Conv2d(_))).collect()
}

/// The launch of a convolution with its statistics.
pub(super) fn fused(graph: &Graph, id: NodeId) -> Option<Convolution> {
    let plain = convolution_of(graph, id)?;
    Some(Convolution { fusion: ConvFusion { statistics: true, ..plain.fusion }, ..plain })
}

/// Fuses where it pays.
pub(super) fn fuse(graph: &Graph, chooser: &mut Chooser<'_>) -> Result<Graph> {
    let mut chosen: BTreeSet<NodeId> = BTreeSet::new();
    for id in candidates(graph) {
        if pays(graph, id, chooser)? {
            chosen.insert(id);
        }
    }
    graph.rewrite_with(|new, id, value| {
        let node = &graph.nodes[id as usize];
        let inputs: Vec<Value> = node.inputs.iter().map(|&input| value(input)).collect();
        match node.op {
            Op::Conv2d(conv) if chosen.contains(&id) => {
                let fusion = ConvFusion { statistics: true, ..ConvFusion::NONE };
                Ok(vec![new.push(Op::FusedConv { conv, fusion }, inputs)?])
            }
            Op::ChannelStats if chosen.contains(&node.inputs[0].node) => moments(new, inputs[0]),
            _ => new.push_like(node, inputs),
        }
    })
}

fn pays(graph: &Graph, id: NodeId, chooser: &mut Chooser<'_>) -> Result<bool> {
    let (Some(plain), Some(fused)) = (convolution_of(graph, id), fused(graph, id)) else { return Ok(false) };
    let read = plain.y.elements() * plain.x.dtype.bytes();
    chooser.choose(
        label(graph, id),
        "statistics",
        &Way { convolutions: vec![fused], bytes: 0 },
        &Way { convolutions: vec![plain], bytes: read },
    )
}

/// Mean and biased variance from the sums that a convolution yields beside `y`.
fn moments(new: &mut Graph, y: Value) -> Result<Vec<Value>> {
    let shape = new.ty(y).shape;
    let count = new.constant((shape.elements() / shape.channels().max(1)) as f32)?;
    let mean = new.div(y.output(1), count)?;
    let mean_of_squares = new.div(y.output(2), count)?;
    let squared = new.mul(mean, mean)?;
    let difference = new.sub(mean_of_squares, squared)?;
    Ok(vec![mean, new.unary(Unary::Relu, difference)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Conv2d;
    use crate::plan::costs::{Analytic, Cost, Costs};
    use crate::plan::rules::{
        Decision, fuse_convolutions,
        testing::{image, weights},
    };
    use crate::types::{DType, Shape};

    /// A convolution and its statistics, both wanted.
    fn graph(dtype: DType, [c, k, window]: [usize; 3], conv: Conv2d) -> Graph {
        let mut graph = Graph::default();
        let x = image(&mut graph, 0, dtype, [4, 14, 14, c]);
        let w = weights(&mut graph, 0, dtype, Shape::nhwc(k, window, window, c / conv.groups));
        let y = graph.push(Op::Conv2d(conv), vec![x, w]).unwrap();
        let mean = graph.push(Op::ChannelStats, vec![y]).unwrap();
        let normal = graph.sub(y, mean).unwrap();
        graph.roots = vec![normal, mean.output(1)];
        graph
    }

    fn fuse(graph: &Graph) -> (bool, Vec<Decision>) {
        let (fused, decisions) = fuse_convolutions(graph, &Analytic::default()).unwrap();
        let has = |wanted: fn(&Op) -> bool| fused.nodes.iter().any(|node| wanted(&node.op));
        let (made, left) =
            (has(|op| matches!(op, Op::FusedConv { .. })), has(|op| matches!(op, Op::ChannelStats)));
        assert_ne!(made, left, "{fused}");
        (made, decisions)
    }

    #[test]
    fn statistics_move_into_the_convolution() {
        let (made, decisions) = fuse(&graph(DType::F16, [64, 64, 3], Conv2d::default()));
        assert!(made);
        assert!(decisions.len() == 1 && decisions[0].fused && decisions[0].pattern == "statistics");
        assert!(decisions[0].fused_microseconds.unwrap().0 <= decisions[0].apart_microseconds.unwrap().0);
        let strided = Conv2d { stride: [2, 2], padding: [1, 1], ..Conv2d::default() };
        assert!(fuse(&graph(DType::F16, [64, 128, 3], strided)).0);
    }

    #[test]
    fn what_is_refused_stays_and_is_explained() {
        let plain = Conv2d::default();
        let grouped = Conv2d { groups: 4, ..plain };
        for (dtype, extents, conv) in [
            (DType::F32, [64, 64, 3], plain),
            (DType::BF16, [64, 64, 3], plain),
            (DType::F16, [12, 64, 3], plain),
            (DType::F16, [64, 12, 3], plain),
            (DType::F16, [64, 64, 3], grouped),
            (DType::F16, [8, 64, 7], plain),
        ] {
            let (made, decisions) = fuse(&graph(dtype, extents, conv));
            assert!(!made, "{dtype} {extents:?}");
            assert!(decisions.len() == 1 && !decisions[0].fused && !decisions[0].reason.is_empty());
            assert_eq!(decisions[0].fused_microseconds, None);
        }
    }

    /// Fused convolutions take three times as long.
    struct Slow;

    impl Costs for Slow {
        fn convolution(&self, convolution: &Convolution) -> Result<Cost> {
            let times = if convolution.fusion.statistics { 3.0 } else { 1.0 };
            Ok(Cost::Microseconds(100.0 * times))
        }

        fn bytes(&self, _: usize) -> Result<f32> {
            Ok(10.0)
        }
    }

    #[test]
    fn what_is_slower_stays() {
        let graph = graph(DType::F16, [64, 64, 3], Conv2d::default());
        let (fused, decisions) = fuse_convolutions(&graph, &Slow).unwrap();
        assert_eq!(fused, graph);
        assert_eq!(decisions[0].fused_microseconds.map(|time| time.0), Some(300.0));
        assert_eq!(decisions[0].apart_microseconds.map(|time| time.0), Some(110.0));
    }
}
