//! What follows from states alone, split from what depends on the inputs.
//!
//! A network that serves is run again and again with the same weights. What can be computed from them before the first
//! input arrives (folded filters, casts to 16 bits, normalisations' factors) belongs to the *preparation*, whose roots the
//! *rest* finds in memory as data leaves that keep their place.

use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::graph::{Graph, Leaf, Value};
use crate::ops::Op;

/// A graph without updates in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Computes what follows from states, scalars and other data than the inputs. States and scalars keep their numbers.
    pub preparation: Graph,
    /// What the data leaves of the preparation are: the numbers that they had.
    pub preparation_data: Vec<u32>,
    /// Computes the roots from the inputs, data leaves `0..inputs`, and from what is given, the data leaves after them.
    pub rest: Graph,
    /// What the other data leaves of the rest are, in their order.
    pub given: Vec<Given>,
    /// The state that each data leaf of the rest was computed from, inputs included; of several the one that its values
    /// are a multiple or a sum of.
    pub origins: Vec<Option<u32>>,
}

/// A value that the rest finds in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Given {
    /// The root of the preparation of this number.
    Prepared(usize),
    /// The resident data leaf that had this number.
    Resident(u32),
}

/// Splits a graph; `inputs` holds the number of the data leaf of each input, where the graph reads it.
///
/// Constants, and what repeats a prepared value over further extents, are computed in the rest: to read it would cost more.
///
/// # Errors
/// [`Error::Plan`] for a graph with updates.
pub fn split(graph: &Graph, inputs: &[Option<u32>]) -> Result<Split> {
    if !graph.updates.is_empty() {
        return Err(Error::Plan { pass: "split", what: "the graph updates states".into() });
    }
    let mut splitter = Splitter {
        graph,
        inputs,
        kinds: kinds(graph, inputs),
        split: Split {
            preparation: Graph::default(),
            preparation_data: Vec::new(),
            rest: Graph::default(),
            given: Vec::new(),
            origins: vec![None; inputs.len()],
        },
        prepared: FxHashMap::default(),
        rest: FxHashMap::default(),
    };
    let needed = graph.needed();
    for id in (0..graph.nodes.len() as u32).filter(|&id| needed[id as usize]) {
        if splitter.kinds[id as usize] == Kind::Moving {
            splitter.append_to_rest(id)?;
        }
    }
    for &root in &graph.roots {
        let root = splitter.in_rest(root)?;
        splitter.split.rest.roots.push(root);
    }
    Ok(splitter.split)
}

/// What a node depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// On constants alone.
    Constant,
    /// On states, scalars or data that is no input.
    Settled,
    /// On inputs, or on chance.
    Moving,
}

fn kinds(graph: &Graph, inputs: &[Option<u32>]) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let kind = match node.op {
            Op::Leaf(Leaf::Data { index, .. }) if inputs.contains(&Some(index)) => Kind::Moving,
            Op::Leaf(_) => Kind::Settled,
            Op::Dropout(_) => Kind::Moving,
            _ => node.inputs.iter().map(|input| kinds[input.node as usize]).max().unwrap_or(Kind::Constant),
        };
        kinds.push(kind);
    }
    kinds
}

struct Splitter<'a> {
    graph: &'a Graph,
    inputs: &'a [Option<u32>],
    kinds: Vec<Kind>,
    split: Split,
    /// The nodes of the preparation, by the node of the graph.
    prepared: FxHashMap<u32, u32>,
    /// The values of the rest, by that of the graph.
    rest: FxHashMap<Value, Value>,
}

impl Splitter<'_> {
    /// Appends a node to the rest, and what it reads there.
    fn append_to_rest(&mut self, id: u32) -> Result<()> {
        let node = &self.graph.nodes[id as usize];
        let inputs = node.inputs.iter().map(|&input| self.in_rest(input)).collect::<Result<Vec<_>>>()?;
        let mut node = node.clone();
        node.inputs = inputs.into();
        if let Op::Leaf(Leaf::Data { index, .. }) = node.op {
            let position = self.inputs.iter().position(|&input| input == Some(index)).unwrap_or(0) as u32;
            node.op = Op::Leaf(Leaf::Data { index: position, resident: false });
        }
        let outputs = node.outputs.len() as u16;
        let first = self.split.rest.push_typed(node);
        for output in 0..outputs {
            self.rest.insert(Value { node: id, output }, first.output(output));
        }
        Ok(())
    }

    /// A value of the graph in the rest, where it is made a leaf if it is prepared.
    fn in_rest(&mut self, value: Value) -> Result<Value> {
        if let Some(&known) = self.rest.get(&value) {
            return Ok(known);
        }
        let node = self.graph.node(value);
        let repeats = matches!(node.op, Op::BroadcastTo(_) | Op::Reshape(_) | Op::Detach);
        if repeats || self.kinds[value.node as usize] == Kind::Constant {
            self.append_to_rest(value.node)?;
            return self.in_rest(value);
        }
        let given = match node.op {
            Op::Leaf(Leaf::Data { index, resident: true }) => Given::Resident(index),
            _ => {
                let node = self.prepare(value.node);
                self.split.preparation.roots.push(Value { node, output: value.output });
                Given::Prepared(self.split.preparation.roots.len() - 1)
            }
        };
        let index = (self.inputs.len() + self.split.given.len()) as u32;
        self.split.given.push(given);
        self.split.origins.push(self.origin(value));
        let leaf = self.split.rest.push_leaf(Leaf::Data { index, resident: true }, self.graph.ty(value));
        self.rest.insert(value, leaf);
        Ok(leaf)
    }

    /// The state that a settled value was computed from.
    fn origin(&self, value: Value) -> Option<u32> {
        let mut id = value.node as usize;
        loop {
            match self.graph.nodes[id].op {
                Op::Leaf(Leaf::State { index, .. }) => return Some(index),
                _ => id = self.graph.nodes[id].inputs.first()?.node as usize,
            }
        }
    }

    /// The node of the preparation that stands for a settled node; all that it needs is appended before it.
    fn prepare(&mut self, id: u32) -> u32 {
        let mut stack = vec![(id, false)];
        while let Some((id, inputs_are_there)) = stack.pop() {
            if self.prepared.contains_key(&id) {
                continue;
            }
            let node = &self.graph.nodes[id as usize];
            if !inputs_are_there {
                stack.push((id, true));
                stack.extend(node.inputs.iter().rev().map(|input| (input.node, false)));
                continue;
            }
            let mut node = node.clone();
            for input in &mut node.inputs {
                input.node = self.prepared[&input.node];
            }
            if let Op::Leaf(Leaf::Data { index, resident }) = node.op {
                self.split.preparation_data.push(index);
                let index = self.split.preparation_data.len() as u32 - 1;
                node.op = Op::Leaf(Leaf::Data { index, resident });
            }
            let value = self.split.preparation.push_typed(node);
            self.prepared.insert(id, value.node);
        }
        self.prepared[&id]
    }
}
