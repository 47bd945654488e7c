//! What must hold of every graph; run after every pass in debug builds and tests.

use std::collections::HashSet;

use super::{Graph, Value};
use crate::error::{Error, Origin, Result};
use crate::ops::Op;
use crate::types::TensorType;

/// Checks that inputs precede their users, that stored types are the inferred ones, that every value exists, and that
/// each state is updated at most once with a value of the state's own type.
pub fn verify(graph: &Graph, pass: &'static str) -> Result<()> {
    let fail = |what: String| Err(Error::Plan { pass, what });
    for (id, node) in graph.nodes.iter().enumerate() {
        for &input in &node.inputs {
            if input.node as usize >= id || !exists(graph, input) {
                return fail(format!("%{id} ({}) reads {input}, which does not precede it", node.op.name()));
            }
        }
        if matches!(node.op, Op::Leaf(_)) {
            continue;
        }
        let types: Vec<TensorType> = node.inputs.iter().map(|&value| graph.ty(value)).collect();
        let inferred = node.op.infer(&types, Origin::caller())?;
        if *inferred != *node.outputs {
            return fail(format!("%{id} ({}) holds {:?}, not {inferred:?}", node.op.name(), node.outputs));
        }
    }
    if let Some(root) = graph.roots.iter().find(|&&root| !exists(graph, root)) {
        return fail(format!("the root {root} does not exist"));
    }
    let mut updated = HashSet::new();
    for update in &graph.updates {
        if !exists(graph, update.value) {
            return fail(format!("the update of state {} does not exist", update.state));
        }
        if !updated.insert(update.state) {
            return fail(format!("state {} is updated twice", update.state));
        }
    }
    Ok(())
}

fn exists(graph: &Graph, value: Value) -> bool {
    graph.nodes.get(value.node as usize).is_some_and(|node| (value.output as usize) < node.outputs.len())
}
