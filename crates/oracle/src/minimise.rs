//! Making a graph that shows a fault smaller, while it still shows it.

use ocelli_core::Result;
use ocelli_core::graph::{Graph, Leaf, Value};
use ocelli_core::ops::Op;

use crate::interpret::{Bindings, Rounding, interpret};

/// A smaller graph that still `fails`, with its bindings: roots and updates are dropped, or give way to what they were
/// computed from, and nodes are replaced by leaves that hold what they yielded, until nothing more can go. Its text (`Display`) is the report.
///
/// # Errors
/// What interpreting can fail with.
pub fn minimise(
    graph: &Graph,
    bindings: &Bindings,
    fails: impl Fn(&Graph, &Bindings) -> bool,
) -> Result<(Graph, Bindings)> {
    let mut smallest = (graph.without_dead_code()?, bindings.clone());
    'again: loop {
        let (graph, bindings) = &smallest;
        let wants = 0..graph.roots.len() + graph.updates.len();
        let dropped = wants.clone().map(|want| Ok((without_want(graph, want, false)?, bindings.clone())));
        let earlier = wants.map(|want| Ok((without_want(graph, want, true)?, bindings.clone())));
        // From the end, because what is replaced there takes most with it.
        let cut = (0..graph.nodes.len()).rev().map(|node| with_leaf(graph, bindings, node));
        for candidate in dropped.chain(earlier).chain(cut) {
            let candidate = candidate?;
            if computed(&candidate.0) < computed(graph) && fails(&candidate.0, &candidate.1) {
                smallest = candidate;
                continue 'again;
            }
        }
        return Ok(smallest);
    }
}

/// How many nodes compute something, and how many values are wanted: what is to become less, in this order.
fn computed(graph: &Graph) -> (usize, usize) {
    let nodes = graph.nodes.iter().filter(|node| !matches!(node.op, Op::Leaf(_))).count();
    (nodes, graph.roots.len() + graph.updates.len())
}

/// The graph without one of its roots, or after them its updates; `earlier` wants instead what its node reads.
fn without_want(graph: &Graph, want: usize, earlier: bool) -> Result<Graph> {
    let mut graph = graph.clone();
    let value = if want < graph.roots.len() {
        graph.roots.remove(want)
    } else {
        graph.updates.remove(want - graph.roots.len()).value
    };
    if earlier {
        let mut inputs = graph.node(value).inputs.clone();
        inputs.retain(|input| !matches!(graph.node(*input).op, Op::Leaf(_)));
        graph.roots.extend(inputs);
        graph.roots.sort_unstable();
        graph.roots.dedup();
    }
    graph.without_dead_code()
}

/// The graph with leaves in the place of a node, bound to what it yields. The graph has no dead code.
fn with_leaf(graph: &Graph, bindings: &Bindings, replaced: usize) -> Result<(Graph, Bindings)> {
    let mut bindings = bindings.clone();
    let mut only = graph.clone();
    only.updates.clear();
    let outputs = 0..graph.nodes[replaced].outputs.len() as u16;
    only.roots = outputs.map(|output| Value { node: replaced as u32, output }).collect();
    let values = interpret(&only.without_dead_code()?, &bindings, Rounding::None)?.roots;
    let first = bindings.data.len() as u32;
    bindings.data.extend(values);
    let mut id = 0;
    let graph = graph.rewrite(|new, node, inputs| {
        id += 1;
        if id != replaced + 1 {
            return new.push_like(node, inputs);
        }
        let leaf = |index| Leaf::Data { index, resident: false };
        Ok((first..).zip(&node.outputs).map(|(index, &ty)| new.push_leaf(leaf(index), ty)).collect())
    })?;
    Ok((graph.without_dead_code()?, bindings))
}
