//! Scale, shift and ReLU of a batch normalisation in the prologue of the convolutions that read them.
//!
//! ```text
//! z = relu((x - mean) scale + beta)             shift = beta - mean scale
//! y, sum, squares = fused_conv2d(z, w)      ->  y, sum, squares = fused_conv2d(x, w, scale, shift)
//! dw = conv2d_backward_filter(z, dy)            dw = fused_conv2d_backward_filter(x, dy, scale, shift)
//! ```
//!
//! Then `z` is neither written nor read. All readers of `z` must be such convolutions, with statistics, and their filters'
//! gradients; pointwise work that is left, as the gradient of ReLU, makes `z` again from `x`, which it reads anyway. The
//! convolutions compute `z` once for each window that a pixel is in, and are slower: whether it pays is for measured
//! times to say, and it spares the memory of `z` besides.
//!
//! cuDNN takes scale and shift in 16 bits. Where a channel's mean is many times its deviation, `x scale + shift` cancels,
//! and loses as many times what rounding to 16 bits loses.

use std::collections::BTreeMap;

use super::{Chooser, Readers, Way, convolution_of, label};
use crate::error::Result;
use crate::graph::{Graph, NodeId, Value};
use crate::ops::{Binary, ConvFusion, Op, Unary};
use crate::plan::Convolution;
use crate::types::DType;

/// The share of the time that a prologue must be able to save to be tried: below it, none of ResNet-50's paid on an H200,
/// and each costs two measurements in the first step.
const SHARE: f32 = 0.2;

/// `relu((x - mean) scale + beta)`, the last three one number a channel.
#[derive(Clone, Copy)]
struct Apply {
    x: Value,
    mean: Value,
    scale: Value,
    beta: Value,
}

/// Fuses where it pays.
pub(super) fn fuse(graph: &Graph, chooser: &mut Chooser<'_>) -> Result<Graph> {
    let readers = Readers::new(graph);
    let mut applies: BTreeMap<NodeId, Apply> = BTreeMap::new();
    for id in 0..graph.nodes.len() as NodeId {
        if let Some(apply) = Apply::at(graph, id)
            && let Some(convolutions) = convolutions_of(graph, &readers, id)
            && pays(graph, id, &convolutions, chooser)?
        {
            applies.insert(id, apply);
        }
    }
    // Scale and shift in 16 bits, made where they are first read.
    let mut made: BTreeMap<NodeId, [Value; 2]> = BTreeMap::new();
    graph.rewrite_with(|new, id, value| {
        let node = &graph.nodes[id as usize];
        let mut inputs: Vec<Value> = node.inputs.iter().map(|&input| value(input)).collect();
        let z = node.inputs.first().map_or(id, |input| input.node);
        let Some(apply) = applies.get(&z).filter(|_| prologue_of(&node.op).is_some()) else {
            return new.push_like(node, inputs);
        };
        let [scale, shift] = match made.get(&z) {
            Some(&made) => made,
            None => {
                let both = scale_and_shift(new, apply, value)?;
                made.insert(z, both);
                both
            }
        };
        inputs[0] = value(apply.x);
        inputs.extend([scale, shift]);
        let op = prologue_of(&node.op).unwrap_or_else(|| node.op.clone());
        let first = new.push(op, inputs)?;
        Ok((0..node.outputs.len() as u16).map(|output| first.output(output)).collect())
    })
}

impl Apply {
    /// What a node applies, if it is the ReLU of a normalisation.
    fn at(graph: &Graph, id: NodeId) -> Option<Apply> {
        let relu = &graph.nodes[id as usize];
        if relu.op != Op::Unary(Unary::Relu) || relu.outputs[0].shape.as_nhwc().is_none() {
            return None;
        }
        let (scaled, beta) = with_channels(graph, relu.inputs[0], Binary::Add)?;
        let (centred, scale) = with_channels(graph, scaled, Binary::Mul)?;
        let difference = graph.node(centred);
        let (x, mean) = match (&difference.op, &difference.inputs[..]) {
            (Op::Binary(Binary::Sub), &[x, mean]) if is_channels(graph, mean, x) => (x, mean),
            _ => return None,
        };
        (graph.ty(x) == relu.outputs[0]).then_some(Apply { x, mean, scale, beta })
    }
}

/// The operands of `x op c` or `c op x`, where `c` is one number a channel.
fn with_channels(graph: &Graph, value: Value, op: Binary) -> Option<(Value, Value)> {
    let node = graph.node(value);
    match (&node.op, &node.inputs[..]) {
        (Op::Binary(found), &[x, c]) if *found == op && is_channels(graph, c, x) => Some((x, c)),
        (Op::Binary(found), &[c, x]) if *found == op && is_channels(graph, c, x) => Some((x, c)),
        _ => None,
    }
}

fn is_channels(graph: &Graph, value: Value, x: Value) -> bool {
    let (ty, channels) = (graph.ty(value), graph.ty(x).shape.channels());
    ty.dtype == DType::F32 && ty.shape.dims() == [channels] && graph.ty(x).shape.rank() == 4
}

/// The same operation with a prologue, where there is one.
fn prologue_of(op: &Op) -> Option<Op> {
    match *op {
        Op::FusedConv { conv, fusion } if !fusion.prologue => {
            Some(Op::FusedConv { conv, fusion: ConvFusion { prologue: true, ..fusion } })
        }
        Op::ConvBackwardFilter { conv, filter } => Some(Op::FusedConvBackwardFilter { conv, filter }),
        _ => None,
    }
}

/// The launches of the convolutions that read a node's result as their images, if there is one with statistics among
/// them and whatever else reads it is pointwise work.
fn convolutions_of(graph: &Graph, readers: &Readers, id: NodeId) -> Option<Vec<Convolution>> {
    if readers.is_wanted(id) {
        return None;
    }
    let mut convolutions = Vec::new();
    for &reader in readers.of(id) {
        let node = &graph.nodes[reader as usize];
        let as_images = node.inputs.iter().position(|input| input.node == id) == Some(0)
            && node.inputs.iter().filter(|input| input.node == id).count() == 1;
        match node.op {
            Op::FusedConv { .. } | Op::ConvBackwardFilter { .. } if as_images => {
                convolutions.push(convolution_of(graph, reader)?);
            }
            ref op if op.is_pointwise() => {}
            _ => return None,
        }
    }
    convolutions.iter().any(|convolution| convolution.fusion.statistics).then_some(convolutions)
}

fn pays(graph: &Graph, id: NodeId, convolutions: &[Convolution], chooser: &mut Chooser<'_>) -> Result<bool> {
    let with_prologue = |convolution: &Convolution| {
        let fusion = ConvFusion { prologue: true, ..convolution.fusion };
        Convolution { fusion, ..*convolution }
    };
    let z = graph.nodes[id as usize].outputs[0].bytes();
    chooser.choose_from(
        SHARE,
        label(graph, id),
        "prologue",
        &Way { convolutions: convolutions.iter().map(with_prologue).collect(), bytes: 0 },
        // The pass that makes z: it reads x and writes z.
        &Way { convolutions: convolutions.to_vec(), bytes: 2 * z },
    )
}

/// `scale` and `beta - mean scale`, in the type of `x`.
fn scale_and_shift(new: &mut Graph, apply: &Apply, value: &dyn Fn(Value) -> Value) -> Result<[Value; 2]> {
    let [x, mean, scale, beta] = [apply.x, apply.mean, apply.scale, apply.beta].map(value);
    let dtype = new.ty(x).dtype;
    let moved = new.mul(mean, scale)?;
    let shift = new.sub(beta, moved)?;
    Ok([new.cast(scale, dtype)?, new.cast(shift, dtype)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::differentiate;
    use crate::ops::{BatchNorm, Conv2d};
    use crate::plan::costs::{Analytic, AtAnyPrice, Cost, Costs};
    use crate::plan::rules::testing::{image, weights};
    use crate::plan::rules::{Decision, fuse_convolutions};
    use crate::plan::{PlanOptions, passes};
    use crate::types::{Real, Shape};

    /// `conv, batch norm, ReLU, conv, batch norm`, differentiated for the weights of both convolutions; `more` may add
    /// readers of the ReLU.
    fn training(dtype: DType, [c, k, window, stride]: [usize; 4], more: impl Fn(&mut Graph, Value)) -> Graph {
        let mut graph = Graph::default();
        let x = image(&mut graph, 0, dtype, [2, 8, 8, 8]);
        let weight = |graph: &mut Graph, index, dtype, shape| {
            let value = weights(graph, index, dtype, shape);
            graph.nodes[value.node as usize].op =
                Op::Leaf(crate::graph::Leaf::State { index, trainable: true });
            value
        };
        let norm = |graph: &mut Graph, y: Value, index| {
            let shape = Shape::vector(graph.ty(y).shape.channels());
            let gamma = weight(graph, index, DType::F32, shape);
            let beta = weight(graph, index + 1, DType::F32, shape);
            graph.push(Op::BatchNorm(BatchNorm { eps: Real(1e-5) }), vec![y, gamma, beta]).unwrap()
        };
        let w1 = weight(&mut graph, 0, dtype, Shape::nhwc(c, 1, 1, 8));
        let w2 = weight(&mut graph, 1, dtype, Shape::nhwc(k, window, window, c));
        let y = graph.push(Op::Conv2d(Conv2d::default()), vec![x, w1]).unwrap();
        let normal = norm(&mut graph, y, 2);
        let z = graph.unary(Unary::Relu, normal).unwrap();
        more(&mut graph, z);
        let conv = Conv2d { stride: [stride; 2], padding: [window / 2; 2], ..Conv2d::default() };
        let y = graph.push(Op::Conv2d(conv), vec![z, w2]).unwrap();
        let y = norm(&mut graph, y, 4);
        let squared = graph.mul(y, y).unwrap();
        let loss = graph.sum_to(squared, Shape::SCALAR, DType::F32).unwrap();
        let one = graph.constant(1.0).unwrap();
        let gradients = differentiate(&mut graph, loss, &[w1, w2], one).unwrap();
        graph.roots.push(loss);
        graph.roots.extend(gradients.into_iter().flatten());
        graph
    }

    fn fuse(graph: &Graph) -> (Graph, Vec<Decision>) {
        let graph = passes(graph).unwrap();
        let (graph, decisions) = fuse_convolutions(&graph, &AtAnyPrice(&Analytic::default())).unwrap();
        (graph, decisions.into_iter().filter(|decision| decision.pattern == "prologue").collect())
    }

    fn has_prologue(graph: &Graph) -> bool {
        graph.nodes.iter().any(|node| match node.op {
            Op::FusedConv { fusion, .. } => fusion.prologue,
            Op::FusedConvBackwardFilter { .. } => true,
            _ => false,
        })
    }

    #[test]
    fn a_convolution_and_its_filters_gradient_take_the_normalisation() {
        for layer in [[16, 8, 3, 1], [16, 24, 1, 1], [8, 16, 3, 2]] {
            let (graph, decisions) = fuse(&training(DType::F16, layer, |_, _| {}));
            assert!(decisions.len() == 1 && decisions[0].fused, "{decisions:?}");
            let filters =
                graph.nodes.iter().filter(|node| matches!(node.op, Op::FusedConvBackwardFilter { .. }));
            assert_eq!(filters.count(), 1, "{graph}");
            // Nothing but pointwise work is left for the ReLU.
            for (id, node) in graph.nodes.iter().enumerate() {
                let reads_relu = |value: &Value| {
                    let ty = graph.ty(*value);
                    graph.node(*value).op == Op::Unary(Unary::Relu) && ty.shape.rank() == 4
                };
                assert!(!node.inputs.iter().any(reads_relu) || node.op.is_pointwise(), "%{id} of {graph}");
            }
        }
    }

    #[test]
    fn what_is_refused_or_read_by_others_stays() {
        for (dtype, layer) in
            [(DType::BF16, [16, 8, 3, 1]), (DType::F16, [12, 8, 3, 1]), (DType::F16, [16, 12, 3, 1])]
        {
            let (graph, decisions) = fuse(&training(dtype, layer, |_, _| {}));
            assert!(!has_prologue(&graph) && decisions.iter().all(|decision| !decision.fused), "{graph}");
        }
        // Wanted as a result; read by a convolution without statistics.
        let (graph, _) = fuse(&training(DType::F16, [16, 8, 3, 1], |graph, z| graph.roots.push(z)));
        assert!(!has_prologue(&graph), "{graph}");
        let (graph, _) = fuse(&training(DType::F16, [16, 8, 3, 1], |graph, z| {
            let w = weights(graph, 6, DType::F16, Shape::nhwc(8, 1, 1, 16));
            let other = graph.push(Op::Conv2d(Conv2d::default()), vec![z, w]).unwrap();
            graph.roots.push(other);
        }));
        assert!(!has_prologue(&graph), "{graph}");
    }

    /// Convolutions that take this long, and passes of one microsecond.
    struct Constant(f32);

    impl Costs for Constant {
        fn convolution(&self, convolution: &Convolution) -> Result<Cost> {
            assert!(self.0 < 10.0 || !convolution.fusion.prologue, "it was measured for nothing");
            Ok(Cost::Microseconds(self.0))
        }

        fn bytes(&self, _: usize) -> Result<f32> {
            Ok(1.0)
        }
    }

    #[test]
    fn what_can_save_little_is_not_tried() {
        let graph = passes(&training(DType::F16, [16, 8, 3, 1], |_, _| {})).unwrap();
        assert!(has_prologue(&fuse_convolutions(&graph, &Constant(1.0)).unwrap().0));
        let (graph, decisions) = fuse_convolutions(&graph, &Constant(10.0)).unwrap();
        assert!(!has_prologue(&graph));
        let decision = decisions.iter().find(|decision| decision.pattern == "prologue").unwrap();
        assert_eq!(decision.apart_microseconds, Some(Real(21.0)));
        assert!(decision.reason.contains("1.0 us of 21.0"), "{}", decision.reason);
    }

    #[test]
    fn nothing_is_written_for_the_normalisation_any_more() {
        let graph = training(DType::F16, [16, 16, 3, 1], |_, _| {});
        let bytes = |fuse: bool| {
            let (fuse_convolutions, fuse_at_any_price) = (fuse, fuse);
            let options = PlanOptions { fuse_convolutions, fuse_at_any_price, ..PlanOptions::default() };
            let plan = crate::plan::plan(&graph, options).unwrap();
            let written = plan.launches.iter().flat_map(|launch| &launch.writes);
            written.map(|&buffer| plan.buffers[buffer as usize].ty.bytes()).sum::<usize>()
        };
        // Scale, shift and sums are written instead: a few numbers a channel.
        let (z, few) = (2 * 8 * 8 * 16 * 2, 16 * 16 * 4);
        assert!(bytes(true) + z <= bytes(false) + few, "{} and {}", bytes(true), bytes(false));
    }
}
