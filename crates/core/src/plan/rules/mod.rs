//! Rewrites of the graph that know what several operations mean together, one file each: batch normalisation folded into
//! weights, and convolutions that take over the work around them.
//!
//! A rule of the latter kind finds its pattern, asks [`Costs`] for the time of the two ways, and takes the faster one; each
//! choice is written down as a [`Decision`]. What cuDNN refuses stays as it was.

mod epilogue;
pub mod fold_batch_norm;
mod matmul_bias;
mod prologue;
pub mod rematerialise;
mod space_to_depth;
mod statistics;
pub mod sums;

use serde::Serialize;

use super::Convolution;
use super::costs::{Cost, Costs};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::types::{Real, TensorType};

/// A choice of the planner's, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What it is about: the operation and its result.
    pub label: String,
    /// The rule.
    pub pattern: &'static str,
    /// Whether the work is done in the convolution's launch.
    pub fused: bool,
    /// Microseconds with the work in the convolution's launch; `None` when it is refused or was not asked for.
    pub fused_microseconds: Option<Real>,
    /// Microseconds with the work in launches of its own, its share of them alone.
    pub apart_microseconds: Option<Real>,
    /// Why.
    pub reason: String,
}

/// Lets convolutions and matrix products take over the work around them where that is faster.
///
/// # Errors
/// [`crate::Error::Plan`] for a defect of a rule; what `costs` fails with.
pub fn fuse_convolutions(graph: &Graph, costs: &dyn Costs) -> Result<(Graph, Vec<Decision>)> {
    let mut chooser = Chooser { costs, decisions: Vec::new() };
    let ids = 0..graph.nodes.len() as NodeId;
    let mut expected: Vec<Convolution> = ids.filter_map(|id| convolution_of(graph, id)).collect();
    expected.extend(statistics::candidates(graph).into_iter().filter_map(|id| statistics::fused(graph, id)));
    costs.announce(&expected)?;
    let graph = space_to_depth::fuse(graph, &mut chooser)?;
    let graph = statistics::fuse(&graph.without_dead_code()?, &mut chooser)?;
    let graph = prologue::fuse(&graph.without_dead_code()?, &mut chooser)?;
    let graph = epilogue::fuse(&graph.without_dead_code()?, &mut chooser)?;
    let graph = matmul_bias::fuse(&graph.without_dead_code()?, &mut chooser)?;
    Ok((graph.without_dead_code()?, chooser.decisions))
}

/// One way to do some work: launches of convolutions, and bytes that others move.
#[derive(Clone, Debug, Default)]
struct Way {
    convolutions: Vec<Convolution>,
    bytes: usize,
}

/// Chooses between two ways, and remembers why.
struct Chooser<'a> {
    costs: &'a dyn Costs,
    decisions: Vec<Decision>,
}

impl Chooser<'_> {
    /// Whether the work of the launch `label` should be fused.
    fn choose(&mut self, label: String, pattern: &'static str, fused: &Way, apart: &Way) -> Result<bool> {
        let (fused, apart) = (self.time(fused)?, self.time(apart)?);
        self.decide(label, pattern, fused, apart)
    }

    /// The same where trying takes time, and is spared when all that moves bytes is less than this share of the time
    /// apart: more cannot be saved.
    fn choose_from(
        &mut self,
        share: f32,
        label: String,
        pattern: &'static str,
        fused: &Way,
        apart: &Way,
    ) -> Result<bool> {
        let whole = self.time(apart)?;
        let saved = self.costs.bytes(apart.bytes)?;
        let fused = match whole {
            Cost::Microseconds(time) if saved < share * time && !self.costs.at_any_price() => {
                Cost::Refused(format!("it could save {saved:.1} us of {time:.1}, which has not paid"))
            }
            _ => self.time(fused)?,
        };
        self.decide(label, pattern, fused, whole)
    }

    fn decide(&mut self, label: String, pattern: &'static str, fused: Cost, apart: Cost) -> Result<bool> {
        let (chosen, reason) = match (&fused, &apart) {
            (Cost::Refused(reason), _) => (false, reason.clone()),
            _ if self.costs.at_any_price() => (true, "it was asked for at any price".into()),
            (_, Cost::Refused(reason)) => (true, format!("the other way is refused: {reason}")),
            (Cost::Microseconds(fused), Cost::Microseconds(apart)) if fused < apart => {
                (true, "it is faster".into())
            }
            _ => (false, "it is no faster".into()),
        };
        if !chosen {
            tracing::debug!(label, pattern, reason, "a convolution is left as it is");
        }
        let microseconds = |cost| match cost {
            Cost::Microseconds(time) => Some(Real(time)),
            Cost::Refused(_) => None,
        };
        self.decisions.push(Decision {
            label,
            pattern,
            fused: chosen,
            fused_microseconds: microseconds(fused),
            apart_microseconds: microseconds(apart),
            reason,
        });
        Ok(chosen)
    }

    /// The time of all launches of a way.
    fn time(&self, way: &Way) -> Result<Cost> {
        let mut sum = if way.bytes > 0 { self.costs.bytes(way.bytes)? } else { 0.0 };
        for convolution in &way.convolutions {
            match self.costs.convolution(convolution)? {
                Cost::Microseconds(time) => sum += time,
                refused => return Ok(refused),
            }
        }
        Ok(Cost::Microseconds(sum))
    }
}

/// Who reads what.
struct Readers {
    readers: Vec<Vec<NodeId>>,
    uses: Vec<u32>,
}

impl Readers {
    fn new(graph: &Graph) -> Readers {
        let mut readers = vec![Vec::new(); graph.nodes.len()];
        for (id, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|input| readers[input.node as usize].push(id as NodeId));
        }
        Readers { readers, uses: graph.uses() }
    }

    /// The nodes that read a node's results, once for each time.
    fn of(&self, id: NodeId) -> &[NodeId] {
        &self.readers[id as usize]
    }

    /// Whether a root or an update is among a node's results.
    fn is_wanted(&self, id: NodeId) -> bool {
        self.uses[id as usize] as usize > self.of(id).len()
    }

    /// The one node that reads a node's result, once, if nothing else does.
    fn only(&self, id: NodeId) -> Option<NodeId> {
        match self.of(id) {
            &[reader] if !self.is_wanted(id) => Some(reader),
            _ => None,
        }
    }
}

/// The launch that a node is, if cuDNN runs it.
fn convolution_of(graph: &Graph, id: NodeId) -> Option<Convolution> {
    let node = &graph.nodes[id as usize];
    let inputs: Vec<TensorType> = node.inputs.iter().map(|&input| graph.ty(input)).collect();
    Convolution::of(&node.op, &inputs, *node.outputs.first()?)
}

/// A node and its result in words.
fn label(graph: &Graph, id: NodeId) -> String {
    let node = &graph.nodes[id as usize];
    node.outputs.first().map_or_else(|| node.op.name().into(), |ty| format!("{} {ty}", node.op.name()))
}

/// Leaves for the rules' tests.
#[cfg(test)]
mod testing {
    use crate::graph::{Graph, Leaf, Value};
    use crate::types::{DType, Shape, TensorType};

    pub(super) fn image(graph: &mut Graph, index: u32, dtype: DType, [n, h, w, c]: [usize; 4]) -> Value {
        let ty = TensorType::new(dtype, Shape::nhwc(n, h, w, c));
        graph.push_leaf(Leaf::Data { index, resident: false }, ty)
    }

    pub(super) fn weights(graph: &mut Graph, index: u32, dtype: DType, shape: Shape) -> Value {
        graph.push_leaf(Leaf::State { index, trainable: false }, TensorType::new(dtype, shape))
    }
}
