//! Values that a launch computes again instead of reading.
//!
//! Two cases. A launch that reads all that a value is made of anyway need not read the value: the mask of a ReLU's
//! gradient, say, where batch normalisation's input is read beside it. And a value that is made in one launch only for
//! others to read need not be written if each of them can make it from as much: a masked gradient that is summed by one
//! launch and used by a second. Bytes decide; what is computed twice costs no time where memory is the limit.

use std::collections::BTreeSet;

use super::cluster::{Clusters, MAX_INPUTS, Place, is_gather, source, space_of};
use crate::graph::{Graph, Value};
use crate::ops::Op;

/// At most this many operations are repeated for one value.
const MAX_NODES: usize = 24;

/// Marks, in each unit, the nodes that it computes again, and drops the units that nothing needs any more.
pub(super) fn recompute(graph: &Graph, clusters: &mut Clusters) {
    let mut pass = Pass::new(graph, clusters);
    for value in pass.candidates() {
        pass.decide(value);
    }
    pass.drop_unused();
}

struct Pass<'a> {
    graph: &'a Graph,
    clusters: &'a mut Clusters,
    /// What each unit reads from memory.
    inputs: Vec<BTreeSet<Value>>,
    /// The values that a root, a state or an operation of its own wants in memory.
    wanted: BTreeSet<Value>,
}

/// How a unit would make a value itself.
struct Expansion {
    /// The nodes that it repeats.
    nodes: BTreeSet<u32>,
    /// What these read from memory.
    leaves: BTreeSet<Value>,
}

impl<'a> Pass<'a> {
    fn new(graph: &'a Graph, clusters: &'a mut Clusters) -> Pass<'a> {
        let inputs: Vec<BTreeSet<Value>> =
            (0..clusters.units.len()).map(|unit| clusters.reads(graph, unit)).collect();
        let updates = graph.updates.iter().map(|update| update.value);
        let mut wanted: BTreeSet<Value> =
            graph.roots.iter().copied().chain(updates).map(|value| source(graph, value)).collect();
        for (unit, inputs) in clusters.units.iter().zip(&inputs) {
            if unit.space.is_none() {
                wanted.extend(inputs);
            }
        }
        Pass { graph, clusters, inputs, wanted }
    }

    /// The values that are made by pointwise work of several units' inputs, in order.
    fn candidates(&self) -> Vec<Value> {
        let read: BTreeSet<Value> = self.inputs.iter().flatten().copied().collect();
        read.into_iter().filter(|value| self.is_repeatable(value.node)).collect()
    }

    /// Whether a node may be computed again: it belongs to a map, sums nothing, and needs no random numbers.
    fn is_repeatable(&self, id: u32) -> bool {
        let op = &self.graph.nodes[id as usize].op;
        let in_unit = matches!(self.clusters.places[id as usize], Place::Unit(unit) if self.clusters.units[unit].space.is_some());
        in_unit && (op.is_repeatable() || is_gather(op))
    }

    /// Lets the readers of a value compute it where that moves fewer bytes.
    fn decide(&mut self, value: Value) {
        let readers: Vec<usize> =
            (0..self.inputs.len()).filter(|&unit| self.inputs[unit].contains(&value)).collect();
        let bytes = self.graph.ty(value).bytes();
        let mut others = Vec::new();
        for unit in readers {
            match self.expand(value, unit) {
                Some(expansion) if self.extra_bytes(&expansion, unit) * 16 <= bytes => {
                    self.apply(value, unit, expansion);
                }
                expansion => others.push((unit, expansion)),
            }
        }
        if others.is_empty() || self.wanted.contains(&value) {
            return;
        }
        let mut cost = 0;
        for (unit, expansion) in &others {
            let Some(expansion) = expansion else { return };
            cost += self.extra_bytes(expansion, *unit);
        }
        if cost < (1 + others.len()) * bytes {
            for (unit, expansion) in others {
                if let Some(expansion) = expansion {
                    self.apply(value, unit, expansion);
                }
            }
        }
    }

    fn apply(&mut self, value: Value, unit: usize, expansion: Expansion) {
        self.clusters.recomputed[unit].extend(expansion.nodes);
        self.inputs[unit].remove(&value);
        self.inputs[unit].extend(expansion.leaves);
    }

    /// Bytes that a unit would read only for an expansion.
    fn extra_bytes(&self, expansion: &Expansion, unit: usize) -> usize {
        let new = expansion.leaves.difference(&self.inputs[unit]);
        new.map(|&leaf| self.graph.ty(leaf).bytes()).sum()
    }

    /// How a unit would make a value itself, if it can.
    fn expand(&self, value: Value, unit: usize) -> Option<Expansion> {
        if self.clusters.needs_in_memory(self.graph, unit, value) {
            return None;
        }
        let mut expansion = Expansion { nodes: BTreeSet::new(), leaves: BTreeSet::new() };
        let mut stack = vec![value];
        while let Some(value) = stack.pop() {
            if !expansion.nodes.insert(value.node) {
                continue;
            }
            if expansion.nodes.len() > MAX_NODES || !self.repeats_in(value.node, unit) {
                return None;
            }
            let node = &self.graph.nodes[value.node as usize];
            for &input in &node.inputs {
                let direct = source(self.graph, input) == input;
                if is_gather(&node.op) || !direct {
                    let input = source(self.graph, input);
                    let inside = self.clusters.places[input.node as usize] == Place::Unit(unit);
                    if inside || self.clusters.computes(unit, input.node) {
                        return None;
                    }
                    expansion.leaves.insert(input);
                    continue;
                }
                match self.clusters.places[input.node as usize] {
                    Place::Inline => self.add_leaves_of_inlined(input, &mut expansion.leaves),
                    Place::Unit(own) if own == unit => {}
                    _ if self.inputs[unit].contains(&input) => _ = expansion.leaves.insert(input),
                    _ if self.is_cheaper_made(input, value, unit) => stack.push(input),
                    _ => _ = expansion.leaves.insert(input),
                }
            }
        }
        let inputs = self.inputs[unit].union(&expansion.leaves).count();
        (inputs <= MAX_INPUTS).then_some(expansion)
    }

    /// Whether a node's work can be repeated in a unit: over the same space.
    fn repeats_in(&self, id: u32, unit: usize) -> bool {
        self.is_repeatable(id) && self.clusters.units[unit].space == Some(space_of(self.graph, id as usize))
    }

    /// Whether an operand of an expanded node is made as well rather than read: nobody writes it, or the unit that makes
    /// the node makes it again too, or it takes no more than what is read anyway.
    fn is_cheaper_made(&self, operand: Value, user: Value, unit: usize) -> bool {
        if !self.repeats_in(operand.node, unit) {
            return false;
        }
        let written =
            self.wanted.contains(&operand) || self.inputs.iter().any(|inputs| inputs.contains(&operand));
        let Place::Unit(home) = self.clusters.places[user.node as usize] else { return false };
        let again = self.clusters.recomputed[home].contains(&operand.node);
        !written || again || self.is_made_of_inputs(operand, unit)
    }

    /// Whether a unit reads all that a value is made of.
    fn is_made_of_inputs(&self, value: Value, unit: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut stack = vec![value];
        while let Some(value) = stack.pop() {
            if !seen.insert(value.node) {
                continue;
            }
            if seen.len() > MAX_NODES || !self.repeats_in(value.node, unit) {
                return false;
            }
            let others = self.graph.nodes[value.node as usize].inputs.iter().filter(|input| {
                let own =
                    matches!(self.clusters.places[input.node as usize], Place::Unit(own) if own == unit);
                let inline = self.clusters.places[input.node as usize] == Place::Inline;
                !(own || inline || self.inputs[unit].contains(input))
            });
            stack.extend(others);
        }
        true
    }

    fn add_leaves_of_inlined(&self, value: Value, leaves: &mut BTreeSet<Value>) {
        for &input in &self.graph.nodes[value.node as usize].inputs {
            let input = source(self.graph, input);
            match self.clusters.places[input.node as usize] {
                Place::Inline => self.add_leaves_of_inlined(input, leaves),
                _ => _ = leaves.insert(input),
            }
        }
    }

    /// Drops the units of pointwise work whose results nothing reads any more; who computes them again goes on to.
    fn drop_unused(&mut self) {
        loop {
            let read: BTreeSet<Value> = self.inputs.iter().flatten().copied().collect();
            let is_unused = |unit: &usize| {
                let nodes = &self.clusters.units[*unit].nodes;
                !nodes.is_empty()
                    && self.clusters.units[*unit].space.is_some()
                    && nodes.iter().all(|&id| {
                        let value = Value { node: id, output: 0 };
                        let is_sum = matches!(self.graph.nodes[id as usize].op, Op::SumTo(_));
                        !is_sum && !read.contains(&value) && !self.wanted.contains(&value)
                    })
            };
            let Some(unit) = (0..self.inputs.len()).find(is_unused) else { return };
            for id in std::mem::take(&mut self.clusters.units[unit].nodes) {
                self.clusters.places[id as usize] = Place::Inline;
            }
            self.inputs[unit].clear();
        }
    }
}

impl Clusters {
    /// The nodes that a unit computes: its own, and what it makes of others.
    fn computed(&self, graph: &Graph, unit: usize) -> BTreeSet<u32> {
        let mut found: BTreeSet<u32> = BTreeSet::new();
        let mut stack: Vec<u32> = self.units[unit].nodes.clone();
        while let Some(id) = stack.pop() {
            if found.insert(id) {
                let inputs = graph.nodes[id as usize].inputs.iter().map(|&input| source(graph, input).node);
                stack.extend(inputs.filter(|&input| self.computes(unit, input)));
            }
        }
        found
    }

    /// The values in memory that a unit reads.
    pub(super) fn reads(&self, graph: &Graph, unit: usize) -> BTreeSet<Value> {
        let computed = self.computed(graph, unit);
        let inputs = computed.iter().flat_map(|&id| &graph.nodes[id as usize].inputs);
        let sources = inputs.map(|&input| source(graph, input));
        sources.filter(|input| !computed.contains(&input.node)).collect()
    }

    /// Whether a unit reads other elements of a value than those that it works on: it must lie in memory then.
    fn needs_in_memory(&self, graph: &Graph, unit: usize, value: Value) -> bool {
        self.computed(graph, unit).iter().any(|&id| {
            let node = &graph.nodes[id as usize];
            let reads = |&input: &Value| source(graph, input) == value;
            node.inputs.iter().any(|input| reads(input) && (is_gather(&node.op) || *input != value))
        })
    }

    /// Whether a unit computes a node itself that is none of its own.
    pub(super) fn computes(&self, unit: usize, node: u32) -> bool {
        self.places[node as usize] == Place::Inline || self.recomputed[unit].contains(&node)
    }
}
