//! From the trace to the planner's graph: an explicit-stack post-order walk from the roots.
//!
//! The order is topological and the numbering canonical: the same program traced again gives an equal graph, which is
//! what plans are looked up by. Dead code never enters.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::Tensor;
use super::node::{Data, Source, TraceNode};
use crate::error::{Error, Result};
use crate::graph::{Graph, Leaf, Node, Update, Value};
use crate::ops::{Dropout, Op};
use crate::state::State;
use crate::types::TensorType;

/// What the graph will be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Values are wanted: what has been computed before is read.
    Evaluate,
    /// Gradients are wanted: what a trainable parameter leads to is computed again, so that they can flow through it.
    Differentiate,
}

/// A trace in the planner's form, with what its leaves are bound to.
#[derive(Default)]
pub(crate) struct Linearised {
    /// The graph; `roots` in the order asked for.
    pub(crate) graph: Graph,
    /// What the data leaves are bound to, by index.
    pub(crate) data: Vec<(TensorType, Data)>,
    /// The states that leaves and updates refer to by index.
    pub(crate) states: Vec<State>,
    /// The scalars, by slot.
    pub(crate) scalars: Vec<f32>,
    /// The traced tensor of each node, where they were asked for.
    pub(crate) tensors: Vec<Tensor>,
    /// The number that each dropout had while it was traced, by its number in the graph.
    pub(crate) dropouts: Vec<u32>,
    /// The tensors whose effects are among the updates.
    pub(crate) effects: Vec<Tensor>,
}

impl Linearised {
    /// Marks the effects as done, and the updated states as changed, after a run.
    pub(crate) fn finish(&self) {
        for tensor in &self.effects {
            tensor.node.applied.store(true, Ordering::Relaxed);
        }
        for update in &self.graph.updates {
            self.states[update.state as usize].advance();
        }
    }
}

/// A step of the walk: a node is left when its inputs have been visited.
enum Step {
    Enter(Tensor),
    Leave(Tensor),
}

/// What a leaf stands for: a node, or one of its outputs.
enum Visited {
    Whole(Value),
    Output(Value),
}

struct Walk {
    out: Linearised,
    /// The number of this walk, the upper half of the marks that it leaves: a visited node bears the value that stands for
    /// its first output, so that finding it costs one load.
    number: u32,
    /// Nodes that were read as computed, output by output.
    computed: FxHashMap<(*const TraceNode, u16), Value>,
    /// The index of each state, and its leaf once there is one.
    states: FxHashMap<u64, (u32, Option<Value>)>,
    mode: Mode,
    keep_tensors: bool,
    pending: Vec<Tensor>,
}

/// Linearises what these tensors need; `keep_tensors` fills [`Linearised::tensors`].
///
/// # Errors
/// [`Error::StaleState`] when a parameter that a tensor was traced from has changed since.
pub(crate) fn linearise<'a>(
    roots: impl Iterator<Item = &'a Tensor> + Clone,
    mode: Mode,
    keep_tensors: bool,
) -> Result<Linearised> {
    // One walk at a time: two would overwrite each other's marks.
    static LAST: Mutex<u32> = Mutex::new(0);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    *last = last.wrapping_add(1).max(1);
    let mut walk = Walk {
        out: Linearised::default(),
        number: *last,
        computed: FxHashMap::default(),
        states: FxHashMap::default(),
        mode,
        keep_tensors,
        pending: Vec::new(),
    };
    let device = roots.clone().next().map(|root| root.device().clone());
    if let Some(device) = &device {
        let expected = device.trace_nodes().load(Ordering::Relaxed);
        walk.out.graph.nodes.reserve(expected);
    }
    for root in roots.clone() {
        walk.visit(root)?;
    }
    walk.out.graph.roots = roots.map(|root| walk.value(root)).collect();
    walk.collect_updates()?;
    if let Some(device) = &device {
        device.trace_nodes().store(walk.out.graph.nodes.len(), Ordering::Relaxed);
    }
    Ok(walk.out)
}

impl Walk {
    fn visit(&mut self, root: &Tensor) -> Result<()> {
        let mut stack = vec![Step::Enter(root.clone())];
        while let Some(step) = stack.pop() {
            match step {
                Step::Enter(tensor) => {
                    if self.find(&tensor).is_some() {
                        continue;
                    }
                    if let Some(ready) = self.leaf(&tensor)? {
                        match ready {
                            Visited::Whole(value) => self.mark(&tensor.node, value),
                            Visited::Output(value) => {
                                self.computed.insert((Arc::as_ptr(&tensor.node), tensor.output), value);
                            }
                        }
                        continue;
                    }
                    let links = tensor.node.links();
                    stack.push(Step::Leave(tensor.clone()));
                    stack.extend(links.inputs.iter().rev().cloned().map(Step::Enter));
                }
                // Between a node's two steps only what leads to it is visited, so it was not appended meanwhile.
                Step::Leave(tensor) => self.append(&tensor)?,
            }
        }
        Ok(())
    }

    /// The value of a tensor that has been visited.
    fn find(&self, tensor: &Tensor) -> Option<Value> {
        let mark = tensor.node.mark.load(Ordering::Relaxed);
        if (mark >> 32) as u32 == self.number {
            let (node, first) = (mark as u32 & (MOST_NODES - 1), (mark as u32 >> MOST_NODES.ilog2()) as u16);
            return Some(Value { node, output: first + tensor.output });
        }
        if self.computed.is_empty() {
            return None;
        }
        self.computed.get(&(Arc::as_ptr(&tensor.node), tensor.output)).copied()
    }

    /// Notes the value that stands for a node's first output.
    fn mark(&self, node: &TraceNode, first: Value) {
        let value = u64::from(first.output) << MOST_NODES.ilog2() | u64::from(first.node);
        node.mark.store(u64::from(self.number) << 32 | value, Ordering::Relaxed);
    }

    fn value(&self, tensor: &Tensor) -> Value {
        self.find(tensor).unwrap_or(Value { node: u32::MAX, output: 0 })
    }

    /// Appends a leaf for a tensor that is one, or that has been computed and may be read.
    fn leaf(&mut self, tensor: &Tensor) -> Result<Option<Visited>> {
        let node = &tensor.node;
        let (leaf, ty) = match &node.source {
            Source::Data(data) => {
                let resident = matches!(data, Data::Device { resident: true, .. });
                (self.data(tensor.ty(), data.clone(), resident), tensor.ty())
            }
            Source::State { state, version } => {
                if *version != state.version() {
                    return Err(Error::StaleState { name: state.name().to_string() });
                }
                let (index, known) = self.state_index(state);
                let value = known.unwrap_or_else(|| {
                    let leaf = Leaf::State { index, trainable: state.is_trainable() };
                    self.push_leaf(leaf, state.ty(), tensor)
                });
                self.states.insert(state.id().0, (index, Some(value)));
                return Ok(Some(Visited::Whole(value)));
            }
            Source::Scalar(number) => {
                let slot = self.out.scalars.len() as u32;
                self.out.scalars.push(*number);
                (Leaf::Scalar { slot }, tensor.ty())
            }
            Source::Operation(_) | Source::Effects(_) => {
                if self.mode == Mode::Differentiate && node.differentiable {
                    return if node.links().forgotten { Err(Error::Forgotten) } else { Ok(None) };
                }
                let Some(buffer) = node.realised(tensor.output) else { return Ok(None) };
                let leaf = self.data(tensor.ty(), Data::Device { buffer, resident: false }, false);
                return Ok(Some(Visited::Output(self.push_leaf(leaf, tensor.ty(), tensor))));
            }
        };
        Ok(Some(Visited::Whole(self.push_leaf(leaf, ty, tensor))))
    }

    fn data(&mut self, ty: TensorType, data: Data, resident: bool) -> Leaf {
        self.out.data.push((ty, data));
        Leaf::Data { index: self.out.data.len() as u32 - 1, resident }
    }

    fn push_leaf(&mut self, leaf: Leaf, ty: TensorType, tensor: &Tensor) -> Value {
        if self.keep_tensors {
            self.out.tensors.push(tensor.clone());
        }
        self.out.graph.push_leaf(leaf, ty)
    }

    /// Appends an operation whose inputs have been visited.
    fn append(&mut self, tensor: &Tensor) -> Result<()> {
        let node = &tensor.node;
        let links = node.links();
        // Another thread may have forgotten them since they were visited.
        if links.forgotten {
            return Err(Error::Forgotten);
        }
        let inputs = links.inputs.iter().map(|input| self.value(input)).collect::<SmallVec<[Value; 3]>>();
        drop(links);
        let value = match &node.source {
            Source::Effects(_) => {
                if !node.applied.load(Ordering::Relaxed) {
                    self.pending.push(tensor.clone());
                }
                inputs[0]
            }
            Source::Operation(op) => {
                let op = match op {
                    Op::Dropout(dropout) => Op::Dropout(self.count_dropout(*dropout)),
                    other => other.clone(),
                };
                if self.keep_tensors {
                    self.out.tensors.push(tensor.sibling(0));
                }
                self.out.graph.push_typed(Node { op, inputs, outputs: node.outputs.clone() })
            }
            _ => return Ok(()),
        };
        if value.node >= MOST_NODES {
            return Err(Error::Plan {
                pass: "linearise",
                what: format!("a trace of over {MOST_NODES} nodes"),
            });
        }
        self.mark(node, value);
        Ok(())
    }

    /// The same dropout, numbered within this graph; its gradient, traced later, has its number.
    fn count_dropout(&mut self, dropout: Dropout) -> Dropout {
        let known = &mut self.out.dropouts;
        let position = known.iter().position(|&traced| traced == dropout.ordinal);
        let ordinal = position.unwrap_or_else(|| {
            known.push(dropout.ordinal);
            known.len() - 1
        });
        Dropout { ordinal: ordinal as u32, ..dropout }
    }

    /// The index of a state, and its leaf if there is one yet.
    fn state_index(&mut self, state: &State) -> (u32, Option<Value>) {
        let states = &mut self.out.states;
        *self.states.entry(state.id().0).or_insert_with(|| {
            states.push(state.clone());
            (states.len() as u32 - 1, None)
        })
    }

    /// Visits the effects met on the way (their values may carry effects in turn); of two updates of one state the later
    /// counts, which was traced from the earlier.
    fn collect_updates(&mut self) -> Result<()> {
        let mut latest: FxHashMap<u32, (u64, Value)> = FxHashMap::default();
        while let Some(carrier) = self.pending.pop() {
            let Source::Effects(effects) = &carrier.node.source else { continue };
            for effect in effects {
                self.visit(&effect.value)?;
                let value = self.value(&effect.value);
                let (index, _) = self.state_index(&effect.state);
                let sequence = carrier.node.sequence;
                let entry = latest.entry(index).or_insert((sequence, value));
                if sequence >= entry.0 {
                    *entry = (sequence, value);
                }
            }
            self.out.effects.push(carrier);
        }
        let mut updates: Vec<Update> =
            latest.into_iter().map(|(state, (_, value))| Update { state, value }).collect();
        updates.sort_unstable_by_key(|update| update.state);
        self.out.graph.updates = updates;
        Ok(())
    }
}

/// At most this many nodes, so that a node's number and an output's fit half a mark.
const MOST_NODES: u32 = 1 << 24;
