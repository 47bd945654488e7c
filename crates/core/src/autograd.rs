//! Differentiation as a transformation of the graph: appends to a graph the nodes of a loss's gradients.
//!
//! Only nodes that lie between a wanted leaf and the loss get gradients. A value used several times collects its
//! contributions in a list, and one node adds them, so that the order of the sum is fixed and the pattern is visible to
//! the planner. Rules name logical values, never "saved" ones: what is stored and what is computed again is the planner's
//! choice. A missing gradient means zero.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::ops::Op;
use crate::types::{Shape, TensorType};

/// What a gradient rule sees: the graph to append to, one node, and the gradients of its outputs.
pub struct Gradient<'a> {
    /// The graph; rules append to it.
    pub graph: &'a mut Graph,
    node: u32,
    outputs: Vec<Option<Value>>,
    wanted: &'a [bool],
    given: Vec<(Value, Value)>,
}

impl Gradient<'_> {
    /// An input of the node.
    pub fn input(&self, index: usize) -> Value {
        self.graph.nodes[self.node as usize].inputs[index]
    }

    /// How many inputs the node has.
    pub fn input_count(&self) -> usize {
        self.graph.nodes[self.node as usize].inputs.len()
    }

    /// The type of an input.
    pub fn input_type(&self, index: usize) -> TensorType {
        self.graph.ty(self.input(index))
    }

    /// An output of the node.
    pub fn output(&self, index: u16) -> Value {
        Value { node: self.node, output: index }
    }

    /// The gradient of an output, or `None` when it is zero.
    pub fn output_gradient(&self, index: usize) -> Option<Value> {
        self.outputs[index]
    }

    /// Whether the gradient of an input is wanted.
    pub fn wants(&self, index: usize) -> bool {
        self.wanted[self.input(index).node as usize]
    }

    /// Contributes to the gradient of an input. Broadcasting is undone and the element type restored here, so that rules
    /// need not: the contribution is summed to the input's shape.
    pub fn give(&mut self, index: usize, gradient: Value) -> Result<()> {
        if self.wants(index) {
            let input = self.input(index);
            let ty = self.graph.ty(input);
            let gradient = self.graph.sum_to(gradient, ty.shape, ty.dtype)?;
            self.given.push((input, gradient));
        }
        Ok(())
    }
}

/// Appends the gradients of `loss` (a floating-point scalar) for each of `targets`, and returns them; `None` where the
/// loss does not depend on the target. `seed` is the gradient of the loss itself: 1, or the loss scale.
pub fn differentiate(
    graph: &mut Graph,
    loss: Value,
    targets: &[Value],
    seed: Value,
) -> Result<Vec<Option<Value>>> {
    let ty = graph.ty(loss);
    if ty.shape != Shape::SCALAR || !ty.dtype.is_float() {
        return Err(Error::NotScalar { found: ty });
    }
    let count = graph.nodes.len();
    let wanted = depends_on(graph, targets);
    let mut reaches = vec![false; count];
    reaches[loss.node as usize] = true;
    let mut contributions: Vec<Vec<(u16, Value)>> = vec![Vec::new(); count];
    let seed = graph.cast(seed, ty.dtype)?;
    contributions[loss.node as usize].push((loss.output, seed));
    let mut gradients = vec![None; targets.len()];
    for id in (0..count).rev() {
        if !(wanted[id] && reaches[id]) {
            continue;
        }
        let node = &graph.nodes[id];
        let op = node.op.clone();
        let output_count = node.outputs.len();
        let mut outputs = vec![None; output_count];
        for (output, slot) in outputs.iter_mut().enumerate() {
            let parts: Vec<Value> = contributions[id]
                .iter()
                .filter(|(of, _)| usize::from(*of) == output)
                .map(|&(_, gradient)| gradient)
                .collect();
            if !parts.is_empty() {
                *slot = Some(graph.add_n(parts)?);
            }
        }
        for (target, gradient) in targets.iter().zip(&mut gradients) {
            if target.node as usize == id {
                *gradient = outputs[target.output as usize];
            }
        }
        if matches!(op, Op::Leaf(_) | Op::Detach) || outputs.iter().all(Option::is_none) {
            continue;
        }
        let mut at = Gradient { graph, node: id as u32, outputs, wanted: &wanted, given: Vec::new() };
        op.gradient(&mut at)?;
        for (input, gradient) in at.given {
            reaches[input.node as usize] = true;
            contributions[input.node as usize].push((input.output, gradient));
        }
    }
    Ok(gradients)
}

/// Whether a path leads from a value to another one.
pub fn leads_to(graph: &Graph, from: Value, to: Value) -> bool {
    let mut reached = vec![false; graph.nodes.len()];
    reached[from.node as usize] = true;
    for id in from.node as usize + 1..=to.node as usize {
        reached[id] = graph.nodes[id].inputs.iter().any(|input| reached[input.node as usize]);
    }
    reached.get(to.node as usize).copied().unwrap_or(false)
}

/// Which nodes depend on one of `targets` by a path that gradients may take.
fn depends_on(graph: &Graph, targets: &[Value]) -> Vec<bool> {
    let mut depends = vec![false; graph.nodes.len()];
    for target in targets {
        depends[target.node as usize] = true;
    }
    for (id, node) in graph.nodes.iter().enumerate() {
        if !matches!(node.op, Op::Detach) && node.inputs.iter().any(|input| depends[input.node as usize]) {
            depends[id] = true;
        }
    }
    depends
}
