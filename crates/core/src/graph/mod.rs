//! The planner's graph: nodes in topological order, numbered canonically.
//!
//! A [`Graph`] is plain data. A node's inputs have smaller ids than the node, so a pass is one sweep; no pass edits a
//! graph in place, each builds a new one. Values, not nodes, are what flows: a node with several outputs needs no
//! tuple nodes.

mod build;
mod text;
mod verify;

use smallvec::{SmallVec, smallvec};

use crate::error::{Error, Origin, Result};
use crate::ops::Op;
use crate::types::TensorType;

pub use verify::verify;

/// The index of a node in [`Graph::nodes`].
pub type NodeId = u32;

/// One output of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    /// The node.
    pub node: NodeId,
    /// Which of its outputs.
    pub output: u16,
}

/// The identity of a state: a parameter, a running statistic or an optimizer's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateId(pub u64);

/// What a leaf stands for. The numbers behind it are bound when the plan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leaf {
    /// A tensor given from outside: a batch, or an earlier result. `resident` tensors are read where they lie; others
    /// are copied into the plan's input slot before each run.
    Data {
        /// Its position in the list of tensors that is bound.
        index: u32,
        /// Whether the tensor keeps its place in memory from run to run.
        resident: bool,
    },
    /// The value that a state has before the run.
    State {
        /// Which state, by its position in the list that is bound.
        index: u32,
        /// Whether gradients are wanted for it.
        trainable: bool,
    },
    /// A number that may change from run to run without a new plan: a slot in the block of scalars.
    Scalar {
        /// Its position in the block.
        slot: u32,
    },
}

/// An operation, what it reads and what it yields.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// The operation with its static attributes.
    pub op: Op,
    /// What it reads, in the operation's order.
    pub inputs: SmallVec<[Value; 3]>,
    /// The types of what it yields.
    pub outputs: SmallVec<[TensorType; 1]>,
}

/// A new value for a state, which takes effect when the whole run is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Update {
    /// The state, by its position in the list that is bound.
    pub state: u32,
    /// Its new value.
    pub value: Value,
}

/// Operations in topological order, with what is wanted of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Graph {
    /// The nodes; inputs precede users.
    pub nodes: Vec<Node>,
    /// The values to keep.
    pub roots: Vec<Value>,
    /// The new values of states; at most one a state. All reads of a state see the old value.
    pub updates: Vec<Update>,
}

impl Graph {
    /// Appends an operation, checking shapes and types, and returns its first output.
    #[track_caller]
    pub fn push(&mut self, op: Op, inputs: Vec<Value>) -> Result<Value> {
        let types: Vec<TensorType> = inputs.iter().map(|&value| self.ty(value)).collect();
        let outputs = op.infer(&types, Origin::caller())?;
        Ok(self.push_typed(Node { op, inputs: inputs.into(), outputs: outputs.into() }))
    }

    /// Appends a node whose types are already known and returns its first output.
    pub fn push_typed(&mut self, node: Node) -> Value {
        self.nodes.push(node);
        Value { node: self.nodes.len() as NodeId - 1, output: 0 }
    }

    /// Appends a leaf of this type.
    pub fn push_leaf(&mut self, leaf: Leaf, ty: TensorType) -> Value {
        self.push_typed(Node { op: Op::Leaf(leaf), inputs: smallvec![], outputs: smallvec![ty] })
    }

    /// The node that yields a value.
    pub fn node(&self, value: Value) -> &Node {
        &self.nodes[value.node as usize]
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> TensorType {
        self.nodes[value.node as usize].outputs[value.output as usize]
    }

    /// How often each node's outputs are read, roots and updates included.
    pub fn uses(&self) -> Vec<u32> {
        let mut uses = vec![0; self.nodes.len()];
        let read = self.nodes.iter().flat_map(|node| &node.inputs);
        for value in read.chain(&self.roots).chain(self.updates.iter().map(|update| &update.value)) {
            uses[value.node as usize] += 1;
        }
        uses
    }

    /// Builds a new graph by visiting every node that is still needed, in order. `rewrite` appends what stands for the
    /// node (its inputs already translated) and returns the values that stand for its outputs.
    pub fn rewrite(
        &self,
        mut rewrite: impl FnMut(&mut Graph, &Node, Vec<Value>) -> Result<Vec<Value>>,
    ) -> Result<Graph> {
        self.rewrite_with(|new, id, value| {
            let node = &self.nodes[id as usize];
            let inputs = node.inputs.iter().map(|&input| value(input)).collect();
            rewrite(new, node, inputs)
        })
    }

    /// The same for a pass that has decided beforehand what becomes of which node: `rewrite` gets the node's id, and a
    /// function to what stands for each earlier value.
    pub fn rewrite_with(
        &self,
        mut rewrite: impl FnMut(&mut Graph, NodeId, &dyn Fn(Value) -> Value) -> Result<Vec<Value>>,
    ) -> Result<Graph> {
        let needed = self.needed();
        let mut new = Graph::default();
        let mut map: Vec<Vec<Value>> = vec![Vec::new(); self.nodes.len()];
        let translate = |map: &[Vec<Value>], value: Value| map[value.node as usize][value.output as usize];
        for (id, node) in self.nodes.iter().enumerate() {
            if !needed[id] {
                continue;
            }
            let outputs = rewrite(&mut new, id as NodeId, &|value| translate(&map, value))?;
            if outputs.len() != node.outputs.len() {
                let what = format!("{} was rewritten to {} values", node.op.name(), outputs.len());
                return Err(Error::Plan { pass: "rewrite", what });
            }
            map[id] = outputs;
        }
        new.roots = self.roots.iter().map(|&value| translate(&map, value)).collect();
        new.updates = self
            .updates
            .iter()
            .map(|update| Update { state: update.state, value: translate(&map, update.value) })
            .collect();
        Ok(new)
    }

    /// A copy of a node with other inputs, for [`Graph::rewrite`]: types are inferred anew (a leaf keeps its type).
    pub fn push_like(&mut self, node: &Node, inputs: Vec<Value>) -> Result<Vec<Value>> {
        let first = match node.op {
            Op::Leaf(leaf) => self.push_leaf(leaf, node.outputs[0]),
            _ => self.push(node.op.clone(), inputs)?,
        };
        Ok((0..node.outputs.len() as u16).map(|output| Value { node: first.node, output }).collect())
    }

    /// The same graph without what nothing needs.
    pub fn without_dead_code(&self) -> Result<Graph> {
        self.rewrite(|new, node, inputs| new.push_like(node, inputs))
    }

    /// Which nodes a root or an update needs.
    pub fn needed(&self) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        for value in self.roots.iter().chain(self.updates.iter().map(|update| &update.value)) {
            needed[value.node as usize] = true;
        }
        for id in (0..self.nodes.len()).rev() {
            if needed[id] {
                for value in &self.nodes[id].inputs {
                    needed[value.node as usize] = true;
                }
            }
        }
        needed
    }
}

impl Value {
    /// Another output of the same node.
    pub const fn output(self, output: u16) -> Value {
        Value { node: self.node, output }
    }
}
