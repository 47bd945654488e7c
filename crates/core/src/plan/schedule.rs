//! From units to launches: their order, the buffers that they read and write, and what each does.
//!
//! Launches keep the order of the program where they can. All reads of a state see its old value, so whatever writes a
//! state in place comes after its last reader; where that is impossible, the new value is made elsewhere and copied.

mod buffers;
mod direction;
mod map;

use std::collections::BTreeSet;

use super::cluster::{Clusters, Place, is_gather, source};
use super::purpose::{Purpose, Purposes};
use super::{BufferId, Convolution, Launch, LaunchKind, MatmulLaunch, Plan, PlanOptions};
use crate::codegen::KernelSpec;
use crate::error::{Error, Result};
use crate::graph::{Graph, Leaf, Update, Value};
use crate::ops::Op;
use crate::types::TensorType;
use buffers::Buffers;

/// Orders the launches of a clustered graph and places its buffers.
///
/// # Errors
/// [`Error::Plan`] when no order exists: a defect of this library.
pub fn schedule(
    graph: &Graph,
    clusters: &Clusters,
    options: PlanOptions,
    origins: &[Option<u32>],
) -> Result<Plan> {
    let scheduler = Scheduler::new(graph, clusters);
    let order = scheduler.order()?;
    let purposes = Purposes::new(graph, origins);
    let mut buffers = Buffers::new(graph, &scheduler.in_place);
    let mut launches = Vec::with_capacity(order.len());
    for task in order {
        launches.push(match task {
            Task::Unit(unit) => {
                let launch = scheduler.launch(unit, &mut buffers)?;
                Launch { purpose: purposes.of(&clusters.units[unit].nodes), ..launch }
            }
            Task::Keep(state, ty) => {
                let (reads, writes) = (vec![buffers.of_state(state, ty)], vec![buffers.of_kept(state, ty)]);
                copy(state, ty, reads, writes, "keep a state's old value")
            }
            Task::Copy(update) => {
                let ty = graph.ty(update.value);
                let reads = vec![scheduler.lasting(update.value, &mut buffers)];
                let writes = vec![buffers.of_state(update.state, ty)];
                copy(update.state, ty, reads, writes, "copy to state")
            }
        });
    }
    let roots: Vec<_> = graph.roots.iter().map(|&root| scheduler.lasting(root, &mut buffers)).collect();
    if options.alternate {
        direction::alternate(&mut launches, |buffer| buffers.bytes(buffer));
    }
    let (buffers, arena_bytes) = buffers.place(&launches, &roots, options);
    Ok(Plan { launches, buffers, arena_bytes, roots, decisions: Vec::new() })
}

/// A copy on behalf of a state.
fn copy(state: u32, ty: TensorType, reads: Vec<BufferId>, writes: Vec<BufferId>, label: &str) -> Launch {
    let purpose = Purpose { layers: vec![state], pattern: label.into() };
    Launch { kind: LaunchKind::Copy(ty.bytes()), reads, writes, label: label.into(), purpose }
}

/// Something to launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Unit(usize),
    /// Copies a state's old value aside, for those who want it when the state has its new one.
    Keep(u32, TensorType),
    /// Copies a value to the state that it updates.
    Copy(Update),
}

struct Scheduler<'a> {
    graph: &'a Graph,
    clusters: &'a Clusters,
    /// The values in memory that each unit reads.
    reads: Vec<BTreeSet<Value>>,
    /// The values that somebody reads who does not make them.
    needed: BTreeSet<Value>,
    /// The units, then what keeps old values, then the copies.
    tasks: Vec<Task>,
    /// Tasks that must come before each task.
    before: Vec<BTreeSet<usize>>,
    /// Updates whose value is made in the state's own place.
    in_place: Vec<Update>,
}

impl<'a> Scheduler<'a> {
    fn new(graph: &'a Graph, clusters: &'a Clusters) -> Scheduler<'a> {
        let tasks: Vec<Task> = (0..clusters.units.len()).map(Task::Unit).collect();
        let reads: Vec<BTreeSet<Value>> = (0..tasks.len()).map(|unit| clusters.reads(graph, unit)).collect();
        let updates = graph.updates.iter().map(|update| update.value);
        let wanted = graph.roots.iter().copied().chain(updates).map(|value| source(graph, value));
        let needed = reads.iter().flatten().copied().chain(wanted).collect();
        let (before, in_place) = (Vec::new(), Vec::new());
        let mut scheduler = Scheduler { graph, clusters, reads, needed, tasks, before, in_place };
        for unit in 0..clusters.units.len() {
            let producers = scheduler.reads[unit]
                .iter()
                .filter_map(|&value| scheduler.producer(value))
                .filter(|&other| other != unit);
            let producers = producers.collect();
            scheduler.before.push(producers);
        }
        scheduler.keep_old_values();
        for update in &graph.updates {
            let same = matches!(scheduler.old_value(update.value), Some((state, _)) if state == update.state);
            if !same && !scheduler.write_in_place(*update) {
                scheduler.copy_at_the_end(*update);
            }
        }
        scheduler
    }

    fn producer(&self, value: Value) -> Option<usize> {
        match self.clusters.places[value.node as usize] {
            Place::Unit(unit) => Some(unit),
            _ => None,
        }
    }

    /// The state whose old value a value is, if it is one.
    fn old_value(&self, value: Value) -> Option<(u32, TensorType)> {
        let node = self.graph.node(source(self.graph, value));
        match node.op {
            Op::Leaf(Leaf::State { index, .. }) => Some((index, node.outputs[0])),
            _ => None,
        }
    }

    /// Old values of updated states that roots and other states want outlive their place.
    fn keep_old_values(&mut self) {
        let others =
            self.graph.updates.iter().filter(|update| {
                self.old_value(update.value).is_some_and(|(state, _)| state != update.state)
            });
        let wanted = self.graph.roots.iter().copied().chain(others.map(|update| update.value));
        let is_updated = |state: u32| self.graph.updates.iter().any(|update| update.state == state);
        let mut kept: Vec<(u32, TensorType)> = wanted
            .filter_map(|value| self.old_value(value))
            .filter(|&(state, _)| is_updated(state))
            .collect();
        kept.sort_unstable_by_key(|&(state, _)| state);
        kept.dedup();
        for (state, ty) in kept {
            self.tasks.push(Task::Keep(state, ty));
            self.before.push(BTreeSet::new());
        }
    }

    /// The task that keeps a state's old value, if there is one.
    fn keeper(&self, state: u32) -> Option<usize> {
        self.tasks.iter().position(|task| matches!(task, Task::Keep(kept, _) if *kept == state))
    }

    /// The buffer that holds a value to the end, also when it is the old value of a state that has a new one then.
    fn lasting(&self, value: Value, buffers: &mut Buffers<'_>) -> BufferId {
        match self.old_value(value) {
            Some((state, ty)) if self.keeper(state).is_some() => buffers.of_kept(state, ty),
            _ => buffers.of(value),
        }
    }

    /// The tasks that read a state's old value.
    fn readers(&self, state: u32) -> BTreeSet<usize> {
        let is_leaf = |value: &Value| self.old_value(*value).is_some_and(|(read, _)| read == state);
        let reads = |task: &usize| match self.tasks[*task] {
            Task::Unit(unit) => self.reads[unit].iter().any(is_leaf),
            Task::Keep(kept, _) => kept == state,
            Task::Copy(update) => is_leaf(&update.value) && self.keeper(state).is_none(),
        };
        (0..self.tasks.len()).filter(reads).collect()
    }

    /// Lets the producer of a state's new value write over the old one, if all readers can come first.
    fn write_in_place(&mut self, update: Update) -> bool {
        let value = source(self.graph, update.value);
        let Some(unit) = self.producer(value) else { return false };
        let taken = self.in_place.iter().any(|other| source(self.graph, other.value) == value);
        let readers = self.readers(update.state);
        // A sum is written when other blocks may still read; an element of a map is read by the thread that writes it.
        let node = self.graph.node(value);
        let elementwise = node.op.is_pointwise() || node.op.updates_in_place();
        if taken || (readers.contains(&unit) && !elementwise) || self.gathers_from(unit, update.state) {
            return false;
        }
        let others: BTreeSet<usize> = readers.into_iter().filter(|&reader| reader != unit).collect();
        if others.iter().any(|&reader| self.comes_before(unit, reader)) {
            return false;
        }
        self.before[unit].extend(others);
        self.in_place.push(Update { state: update.state, value });
        true
    }

    /// Whether a unit reads elements of a state by another index than it writes: other threads may need what it overwrites.
    fn gathers_from(&self, unit: usize, state: u32) -> bool {
        self.clusters.units[unit].nodes.iter().any(|&id| {
            let node = &self.graph.nodes[id as usize];
            is_gather(&node.op)
                && node
                    .inputs
                    .iter()
                    .any(|&input| self.old_value(input).is_some_and(|(read, _)| read == state))
        })
    }

    fn copy_at_the_end(&mut self, update: Update) {
        let mut before = self.readers(update.state);
        before.extend(self.producer(source(self.graph, update.value)));
        before.extend(self.old_value(update.value).and_then(|(state, _)| self.keeper(state)));
        self.tasks.push(Task::Copy(update));
        self.before.push(before);
    }

    /// Whether `first` must come before `second`.
    fn comes_before(&self, first: usize, second: usize) -> bool {
        let mut stack = vec![second];
        let mut seen = BTreeSet::new();
        while let Some(task) = stack.pop() {
            if task == first {
                return true;
            }
            stack.extend(self.before[task].iter().copied().filter(|&task| seen.insert(task)));
        }
        false
    }

    /// A topological order, as near to the program's as it can be.
    fn order(&self) -> Result<Vec<Task>> {
        let count = self.tasks.len();
        let mut waiting: Vec<usize> = self.before.iter().map(BTreeSet::len).collect();
        let mut after = vec![Vec::new(); count];
        for (task, before) in self.before.iter().enumerate() {
            before.iter().for_each(|&earlier| after[earlier].push(task));
        }
        // A unit stands where its last node does: by then the program had everything that it needs.
        let position = |task: usize| match self.tasks[task] {
            Task::Unit(unit) => self.clusters.units[unit].nodes.last().copied().unwrap_or(0),
            Task::Keep(..) => 0,
            Task::Copy(_) => u32::MAX,
        };
        let mut ready: BTreeSet<(u32, usize)> =
            (0..count).filter(|&task| waiting[task] == 0).map(|task| (position(task), task)).collect();
        let mut order = Vec::with_capacity(count);
        while let Some((_, task)) = ready.pop_first() {
            order.push(self.tasks[task]);
            for &next in &after[task] {
                waiting[next] -= 1;
                if waiting[next] == 0 {
                    ready.insert((position(next), next));
                }
            }
        }
        if order.len() == count {
            Ok(order)
        } else {
            Err(Error::Plan { pass: "schedule", what: "the launches wait for each other".into() })
        }
    }

    /// One launch for the casts of several states.
    fn cast_many(&self, nodes: &[u32], buffers: &mut Buffers<'_>) -> Launch {
        let (mut tensors, mut reads, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        for &id in nodes {
            let node = &self.graph.nodes[id as usize];
            let (from, to) = (self.graph.ty(node.inputs[0]), node.outputs[0]);
            tensors.push((to.shape.elements(), from.dtype, to.dtype));
            reads.push(buffers.of(node.inputs[0]));
            writes.push(buffers.of(Value { node: id, output: 0 }));
        }
        let label = format!("cast of {} states", nodes.len());
        let kind = LaunchKind::Kernel(KernelSpec::CastMany { tensors });
        Launch { kind, reads, writes, label, purpose: Purpose::default() }
    }

    /// What a unit launches.
    fn launch(&self, unit: usize, buffers: &mut Buffers<'_>) -> Result<Launch> {
        if self.clusters.units[unit].space.is_some() {
            return map::launch(self.graph, self.clusters, &self.needed, unit, buffers);
        }
        let nodes = &self.clusters.units[unit].nodes;
        let id = nodes[0];
        let node = &self.graph.nodes[id as usize];
        if let Op::Cast(_) = node.op {
            return Ok(self.cast_many(nodes, buffers));
        }
        let output = node.outputs[0];
        let inputs: Vec<TensorType> = node.inputs.iter().map(|&input| self.graph.ty(input)).collect();
        let convolution = Convolution::of(&node.op, &inputs, output).map(LaunchKind::Convolution);
        let kind = convolution.unwrap_or_else(|| match &node.op {
            Op::Matmul(matmul) => LaunchKind::Matmul(MatmulLaunch::of(*matmul, &inputs)),
            Op::FusedMatmul(fused) => LaunchKind::Matmul(MatmulLaunch {
                epilogue: Some(fused.epilogue()),
                ..MatmulLaunch::of(fused.matmul, &inputs)
            }),
            op => LaunchKind::Kernel(KernelSpec::Operation {
                op: op.clone(),
                inputs: inputs.clone(),
                outputs: node.outputs.to_vec(),
            }),
        });
        Ok(Launch {
            kind,
            reads: node.inputs.iter().map(|&input| buffers.of(input)).collect(),
            writes: (0..node.outputs.len() as u16)
                .map(|output| buffers.of(Value { node: id, output }))
                .collect(),
            label: format!("{} {output}", node.op.name()),
            purpose: Purpose::default(),
        })
    }
}
