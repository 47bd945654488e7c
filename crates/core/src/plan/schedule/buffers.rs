//! Which buffer holds which value.

use std::collections::HashMap;

use crate::graph::{Graph, Leaf, Update, Value};
use crate::ops::Op;
use crate::plan::cluster::source;
use crate::plan::memory::{Interval, place};
use crate::plan::{BufferClass, BufferId, BufferSpec, Launch, PlanOptions};
use crate::types::TensorType;

pub(super) struct Buffers<'a> {
    graph: &'a Graph,
    /// The state that each of these values is made in.
    in_place: HashMap<Value, u32>,
    ids: HashMap<BufferKey, BufferId>,
    specs: Vec<BufferSpec>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum BufferKey {
    Value(Value),
    State(u32),
    Kept(u32),
}

impl<'a> Buffers<'a> {
    pub(super) fn new(graph: &'a Graph, in_place: &[Update]) -> Buffers<'a> {
        Buffers {
            graph,
            in_place: in_place.iter().map(|update| (update.value, update.state)).collect(),
            ids: HashMap::new(),
            specs: Vec::new(),
        }
    }

    /// The buffer that holds a value.
    pub(super) fn of(&mut self, value: Value) -> BufferId {
        let value = source(self.graph, value);
        let ty = self.graph.ty(value);
        if let Some(&state) = self.in_place.get(&value) {
            return self.of_state(state, ty);
        }
        let class = match self.graph.node(value).op {
            Op::Leaf(Leaf::State { index, .. }) => return self.of_state(index, ty),
            Op::Leaf(Leaf::Data { index, resident }) => BufferClass::Data { index, resident },
            Op::Leaf(Leaf::Scalar { slot }) => BufferClass::Scalar(slot),
            _ => BufferClass::Arena(0),
        };
        self.get(BufferKey::Value(value), class, ty)
    }

    /// The buffer of a state.
    pub(super) fn of_state(&mut self, state: u32, ty: TensorType) -> BufferId {
        self.get(BufferKey::State(state), BufferClass::State(state), ty)
    }

    /// The buffer that keeps the old value of a state.
    pub(super) fn of_kept(&mut self, state: u32, ty: TensorType) -> BufferId {
        self.get(BufferKey::Kept(state), BufferClass::Arena(0), ty)
    }

    /// The size of a buffer.
    pub(super) fn bytes(&self, buffer: BufferId) -> usize {
        self.specs[buffer as usize].ty.bytes()
    }

    fn get(&mut self, key: BufferKey, class: BufferClass, ty: TensorType) -> BufferId {
        let specs = &mut self.specs;
        *self.ids.entry(key).or_insert_with(|| {
            specs.push(BufferSpec { class, ty, first: 0, last: 0 });
            specs.len() as BufferId - 1
        })
    }

    /// Finds out when each buffer lives, and places those of the arena.
    pub(super) fn place(
        mut self,
        launches: &[Launch],
        roots: &[BufferId],
        options: PlanOptions,
    ) -> (Vec<BufferSpec>, usize) {
        let end = launches.len().saturating_sub(1);
        let mut seen = vec![false; self.specs.len()];
        for (position, launch) in launches.iter().enumerate() {
            for &buffer in launch.reads.iter().chain(&launch.writes) {
                let spec = &mut self.specs[buffer as usize];
                if !std::mem::replace(&mut seen[buffer as usize], true) {
                    spec.first = position;
                }
                spec.last = position;
            }
        }
        for &root in roots {
            self.specs[root as usize].last = end;
        }
        let in_arena: Vec<usize> = (0..self.specs.len())
            .filter(|&id| matches!(self.specs[id].class, BufferClass::Arena(_)))
            .collect();
        let interval = |&id: &usize| {
            let spec = &self.specs[id];
            let (first, last) = if options.share_memory { (spec.first, spec.last) } else { (0, end) };
            Interval { first, last, bytes: spec.ty.bytes() }
        };
        let intervals: Vec<Interval> = in_arena.iter().map(interval).collect();
        let (offsets, arena_bytes) = place(&intervals);
        for (id, offset) in in_arena.into_iter().zip(offsets) {
            self.specs[id].class = BufferClass::Arena(offset);
        }
        (self.specs, arena_bytes)
    }
}
