//! Convolutions of few channels with a stride, such as the first one of a network, as convolutions of more channels with
//! stride 1 over blocks of pixels.
//!
//! ```text
//! y = conv2d(x, w, stride 2)            y = conv2d(space_to_depth(x), space_to_depth(w))
//! dw = backward_filter(x, dy)      ->   dw = depth_to_space(backward_filter(space_to_depth(x), dy))
//! ```
//!
//! With `x[i b + t - p]` under tap `t` of output `i`, a filter that begins with `f` zeros more, `p + f` a multiple of the
//! stride `b`, has each of its taps `t + f = a b + e` in block `i + a`, at pixel `e`. Tensor cores like 16 channels better
//! than 4, and statistics in the epilogue need multiples of 8. It costs one pass over the image, for which a cast of it
//! that is made anyway is taken.

use std::collections::{BTreeSet, HashMap};

use super::{Chooser, Way, convolution_of, label};
use crate::error::Result;
use crate::graph::{Graph, NodeId, Value};
use crate::ops::{Conv2d, Op, SpaceToDepth};
use crate::plan::Convolution;
use crate::types::{DType, Shape, TensorType};

/// More channels are enough for tensor cores.
const FEW: usize = 4;

/// Rewrites where it pays.
pub(super) fn fuse(graph: &Graph, chooser: &mut Chooser<'_>) -> Result<Graph> {
    let mut chosen: BTreeSet<NodeId> = BTreeSet::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        let Op::Conv2d(conv) = node.op else { continue };
        let (x, w) = (graph.ty(node.inputs[0]), graph.ty(node.inputs[1]).shape);
        if Blocks::of(&conv, x, w, node.outputs[0].shape).is_none() {
            continue;
        }
        let gradients = graph.nodes.iter().enumerate().filter(|(_, other)| {
            let same =
                matches!(other.op, Op::ConvBackwardFilter { conv: of, filter } if of == conv && filter == w);
            same && other.inputs[0] == node.inputs[0]
        });
        // The filter's gradient may be a kernel of ours, which reads the image as it is.
        let group: Vec<NodeId> = std::iter::once(id)
            .chain(gradients.map(|(id, _)| id))
            .map(|id| id as NodeId)
            .filter(|&id| convolution_of(graph, id).is_some())
            .collect();
        if pays(graph, &group, chooser)? {
            chosen.extend(group);
        }
    }
    if chosen.is_empty() {
        return Ok(graph.clone());
    }
    let mut images: HashMap<Value, Value> = HashMap::new();
    graph.rewrite_with(|new, id, value| {
        let node = &graph.nodes[id as usize];
        let inputs: Vec<Value> = node.inputs.iter().map(|&input| value(input)).collect();
        let Some(blocks) = chosen.contains(&id).then(|| Blocks::at(graph, id)).flatten() else {
            return new.push_like(node, inputs);
        };
        let image = match images.get(&inputs[0]) {
            Some(&image) => image,
            None => {
                let image = spread(new, inputs[0], blocks.image)?;
                images.insert(inputs[0], image);
                image
            }
        };
        Ok(vec![match node.op {
            Op::ConvBackwardFilter { filter, .. } => {
                let shape = blocks.filter_shape(filter);
                let gradient = Op::ConvBackwardFilter { conv: Conv2d::default(), filter: shape };
                let gradient = new.push(gradient, vec![image, inputs[1]])?;
                let [_, r, s, _] = filter.aligned();
                new.push(Op::DepthToSpace { blocks: blocks.filter, extents: [r, s] }, vec![gradient])?
            }
            _ => {
                let filter = spread(new, inputs[1], blocks.filter)?;
                new.push(Op::Conv2d(Conv2d::default()), vec![image, filter])?
            }
        }])
    })
}

/// The blocks of the image and of the filter.
#[derive(Clone, Copy)]
struct Blocks {
    image: SpaceToDepth,
    filter: SpaceToDepth,
}

impl Blocks {
    /// Those of a convolution, if it is one of few channels with a stride.
    fn of(conv: &Conv2d, x: TensorType, w: Shape, y: Shape) -> Option<Blocks> {
        let ([_, r, s, c], [_, p, q, _]) = (w.aligned(), y.aligned());
        let block = conv.stride;
        let strided = block.iter().all(|&stride| stride > 1) && r > block[0] && s > block[1];
        if !strided || conv.groups != 1 || conv.dilation != [1, 1] || c > FEW || x.shape.as_nhwc().is_none() {
            return None;
        }
        let front = [0, 1].map(|axis| (block[axis] - conv.padding[axis] % block[axis]) % block[axis]);
        let taps = [0, 1].map(|axis| ([r, s][axis] + front[axis]).div_ceil(block[axis]));
        let before = [0, 1].map(|axis| conv.padding[axis] + front[axis]);
        let output = [p + taps[0] - 1, q + taps[1] - 1];
        Some(Blocks {
            image: SpaceToDepth { block, before, output },
            filter: SpaceToDepth { block, before: front, output: taps },
        })
    }

    /// Those of a convolution or of its filter's gradient.
    fn at(graph: &Graph, id: NodeId) -> Option<Blocks> {
        let node = &graph.nodes[id as usize];
        let ty = |index: usize| graph.ty(node.inputs[index]);
        match &node.op {
            Op::Conv2d(conv) => Blocks::of(conv, ty(0), ty(1).shape, node.outputs[0].shape),
            Op::ConvBackwardFilter { conv, filter } => Blocks::of(conv, ty(0), *filter, ty(1).shape),
            _ => None,
        }
    }

    fn image_shape(&self, x: Shape) -> Shape {
        let [n, _, _, c] = x.aligned();
        let [rows, columns] = self.image.output;
        Shape::nhwc(n, rows, columns, c * self.image.block[0] * self.image.block[1])
    }

    fn filter_shape(&self, w: Shape) -> Shape {
        let [k, _, _, c] = w.aligned();
        let [rows, columns] = self.filter.output;
        Shape::nhwc(k, rows, columns, c * self.filter.block[0] * self.filter.block[1])
    }
}

/// Whether a convolution and its filter's gradients are faster over blocks.
fn pays(graph: &Graph, group: &[NodeId], chooser: &mut Chooser<'_>) -> Result<bool> {
    let (mut over_blocks, mut plain) = (Way::default(), Way::default());
    for &id in group {
        let (Some(convolution), Some(blocks)) = (convolution_of(graph, id), Blocks::at(graph, id)) else {
            return Ok(false);
        };
        let x = TensorType::new(convolution.x.dtype, blocks.image_shape(convolution.x.shape));
        let mut other =
            Convolution { conv: Conv2d::default(), x, w: blocks.filter_shape(convolution.w), ..convolution };
        if over_blocks.convolutions.is_empty() {
            let image = graph.nodes[id as usize].inputs[0];
            let is_cast = matches!(graph.node(image).op, Op::Cast(_));
            let kept = convolution.x.bytes();
            over_blocks.bytes += if is_cast { x.bytes().saturating_sub(kept) } else { x.bytes() + kept };
            // The statistics of the result may come with it then; without blocks they take a pass of their own.
            let read_by_statistics =
                graph.nodes.iter().any(|node| node.op == Op::ChannelStats && node.inputs[0].node == id);
            if read_by_statistics && x.dtype == DType::F16 {
                other.fusion.statistics = true;
                plain.bytes += convolution.y.elements() * x.dtype.bytes();
            }
        }
        over_blocks.convolutions.push(other);
        plain.convolutions.push(convolution);
    }
    chooser.choose(label(graph, group[0]), "space to depth", &over_blocks, &plain)
}

/// A value in blocks; below a cast where there is one, which then is made of the blocks.
fn spread(new: &mut Graph, value: Value, blocks: SpaceToDepth) -> Result<Value> {
    let node = new.node(value);
    match node.op {
        Op::Cast(dtype) if new.ty(node.inputs[0]).dtype.is_float() => {
            let source = node.inputs[0];
            let spread = new.push(Op::SpaceToDepth(blocks), vec![source])?;
            new.cast(spread, dtype)
        }
        _ => new.push(Op::SpaceToDepth(blocks), vec![value]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{image, weights};
    use super::*;
    use crate::plan::costs::{Analytic, AtAnyPrice};

    fn rewritten(conv: Conv2d, x: [usize; 4], w: [usize; 4]) -> Graph {
        let mut graph = Graph::default();
        let x = image(&mut graph, 0, DType::F32, x);
        let w = weights(&mut graph, 0, DType::F32, Shape::nhwc(w[0], w[1], w[2], w[3]));
        let y = graph.push(Op::Conv2d(conv), vec![x, w]).unwrap();
        let filter = graph.ty(w).shape;
        let dw = graph.push(Op::ConvBackwardFilter { conv, filter }, vec![x, y]).unwrap();
        graph.roots.extend([y, dw]);
        let costs = Analytic::default();
        let mut chooser = Chooser { costs: &AtAnyPrice(&costs), decisions: Vec::new() };
        fuse(&graph, &mut chooser).unwrap()
    }

    #[test]
    fn the_first_convolution_of_a_residual_network_works_on_blocks() {
        let conv = Conv2d { stride: [2, 2], padding: [3, 3], ..Conv2d::default() };
        let graph = rewritten(conv, [2, 224, 224, 4], [64, 7, 7, 4]);
        let convolution = graph.nodes.iter().find(|node| matches!(node.op, Op::Conv2d(_))).unwrap();
        assert_eq!(graph.ty(convolution.inputs[0]).shape, Shape::nhwc(2, 115, 115, 16));
        assert_eq!(graph.ty(convolution.inputs[1]).shape, Shape::nhwc(64, 4, 4, 16));
        assert_eq!(convolution.outputs[0].shape, Shape::nhwc(2, 112, 112, 64));
        let blocks = graph.nodes.iter().filter(|node| matches!(node.op, Op::SpaceToDepth(_)));
        assert_eq!(blocks.count(), 2, "the image's blocks are made once: {graph}");
        assert_eq!(graph.ty(graph.roots[1]).shape, Shape::nhwc(64, 7, 7, 4));
    }

    #[test]
    fn other_convolutions_stay_as_they_are() {
        let conv = |stride, groups| Conv2d { stride: [stride; 2], groups, ..Conv2d::default() };
        for (conv, x, w) in [
            (conv(1, 1), [1, 9, 9, 3], [8, 3, 3, 3]),
            (conv(2, 1), [1, 9, 9, 8], [8, 3, 3, 8]),
            (conv(2, 2), [1, 9, 9, 4], [8, 3, 3, 2]),
            (conv(2, 1), [1, 9, 9, 3], [8, 2, 2, 3]),
        ] {
            let graph = rewritten(conv, x, w);
            assert!(!graph.nodes.iter().any(|node| matches!(node.op, Op::SpaceToDepth(_))), "{conv:?}");
        }
    }
}
