//! Which pointwise operations and sums share a launch.
//!
//! A cluster is a set of nodes over one iteration space that can run at once: no path leaves it and comes back. A value
//! with users outside is no barrier, it is written as one more output. Nodes join, in topological order, the clusters
//! of their producers and of nodes that read the same tensor. Values much smaller than the space of all their users (a
//! per-channel bias as another type, say) are not materialised if they are cheap: each user computes them again in
//! registers. What takes several channels' worth of operands, or a root or a quotient, is made once, in a launch of its
//! own: every thread of a large launch would repeat it for each of its channels, which takes longer.

use std::collections::BTreeSet;

use super::{PlanOptions, recompute};
use crate::graph::{Graph, Leaf, Value};
use crate::ops::{Binary, Op};

/// At most this many tensors are read by a launch.
pub(super) const MAX_INPUTS: usize = 16;
/// At most this many sums are made in a launch.
const MAX_SUMS: usize = 6;
/// Writing so many elements costs less than a launch.
const SMALL: usize = 1 << 12;

/// What becomes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is a value from outside, or another view of one: nothing is launched.
    None,
    /// Its users compute it.
    Inline,
    /// It belongs to the unit of this index.
    Unit(usize),
}

/// Nodes that share a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The nodes, ascending.
    pub nodes: Vec<u32>,
    /// The iteration space, for pointwise work and sums; `None` for an operation of its own, and for casts of several
    /// states.
    pub space: Option<[usize; 4]>,
}

/// The division of a graph into launches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clusters {
    /// What becomes of each node.
    pub places: Vec<Place>,
    /// The launches, in no particular order.
    pub units: Vec<Unit>,
    /// The nodes of other units that each unit computes again.
    pub recomputed: Vec<BTreeSet<u32>>,
}

/// The value that a value is another view of: reshapes move nothing.
pub fn source(graph: &Graph, mut value: Value) -> Value {
    while let Op::Reshape(_) | Op::Detach = graph.node(value).op {
        value = graph.node(value).inputs[0];
    }
    value
}

/// Whether a node can share a launch with others: pointwise work, sums, and loads by another index.
pub fn is_fusible(op: &Op) -> bool {
    op.is_pointwise() || is_gather(op) || matches!(op, Op::SumTo(_))
}

/// Whether a node reads elements of another index than it writes: its input must lie in memory.
pub fn is_gather(op: &Op) -> bool {
    matches!(
        op,
        Op::ChannelSlice(_)
            | Op::ChannelPad(_)
            | Op::ChannelShuffle { .. }
            | Op::SpaceToDepth(_)
            | Op::DepthToSpace { .. }
            | Op::TakeRows
            | Op::MaxPoolGradAtPlaces { .. }
    )
}

/// The iteration space of a fusible node: that of its result, or of what it sums.
pub fn space_of(graph: &Graph, id: usize) -> [usize; 4] {
    let node = &graph.nodes[id];
    match node.op {
        Op::SumTo(_) => graph.ty(node.inputs[0]).shape.aligned(),
        _ => node.outputs[0].shape.aligned(),
    }
}

/// Whether every thread may compute a small value again: a function of one tensor and of single numbers that takes an
/// instruction or two. Single numbers are cheap whatever they take.
fn is_cheap(graph: &Graph, id: usize) -> bool {
    let node = &graph.nodes[id];
    if node.outputs[0].shape.elements() == 1 {
        return true;
    }
    let tensors = node.inputs.iter().filter(|&&input| graph.ty(input).shape.elements() > 1).count();
    let quick = match node.op {
        Op::Unary(unary) => unary.is_quick(),
        Op::Binary(binary) => matches!(
            binary,
            Binary::Add
                | Binary::Sub
                | Binary::Mul
                | Binary::Max
                | Binary::Min
                | Binary::Greater
                | Binary::Equal
        ),
        _ => true,
    };
    quick && tensors <= 1
}

/// Whether a node is a cast of a state's value.
fn casts_a_state(graph: &Graph, id: usize) -> bool {
    let node = &graph.nodes[id];
    matches!(node.op, Op::Cast(_)) && matches!(graph.node(node.inputs[0]).op, Op::Leaf(Leaf::State { .. }))
}

/// Which extents of its space a sum keeps; one of a single element counts as summed.
pub fn kept(graph: &Graph, id: usize) -> [bool; 4] {
    graph.nodes[id].outputs[0].shape.aligned().map(|extent| extent != 1)
}

/// Divides a graph into launches.
pub fn cluster(graph: &Graph, options: PlanOptions) -> Clusters {
    let mut building = Building::new(graph);
    building.mark_inline();
    for id in 0..graph.nodes.len() {
        let op = &graph.nodes[id].op;
        if matches!(op, Op::Leaf(_) | Op::Reshape(_) | Op::Detach) || building.places[id] == Place::Inline {
            continue;
        }
        let unit = building.add(id);
        if options.fuse && is_fusible(op) {
            building.join(unit, id);
        }
    }
    if options.fuse {
        building.join_readers();
        building.gather_casts();
    }
    let mut clusters = building.finish();
    if options.fuse && options.recompute {
        recompute::recompute(graph, &mut clusters);
        clusters = clusters.without_empty_units();
    }
    clusters
}

struct Building<'a> {
    graph: &'a Graph,
    places: Vec<Place>,
    units: Vec<Unit>,
    /// The units that each unit reads from.
    reads: Vec<BTreeSet<usize>>,
    /// The tensors that each unit reads from memory.
    inputs: Vec<BTreeSet<Value>>,
    /// Users of each node's views, by node.
    readers: Vec<Vec<usize>>,
}

impl<'a> Building<'a> {
    fn new(graph: &'a Graph) -> Building<'a> {
        let count = graph.nodes.len();
        let mut readers = vec![Vec::new(); count];
        for (id, node) in graph.nodes.iter().enumerate() {
            for &input in &node.inputs {
                readers[source(graph, input).node as usize].push(id);
            }
        }
        Building {
            graph,
            places: vec![Place::None; count],
            units: Vec::new(),
            reads: Vec::new(),
            inputs: Vec::new(),
            readers,
        }
    }

    /// Finds the values that every user computes again: pointwise, of no more elements than a quarter of each user's
    /// space, and wanted by nothing but such users.
    fn mark_inline(&mut self) {
        let mut wanted = vec![false; self.graph.nodes.len()];
        let updates = self.graph.updates.iter().map(|update| &update.value);
        for &value in self.graph.roots.iter().chain(updates) {
            wanted[source(self.graph, value).node as usize] = true;
        }
        for id in (0..self.graph.nodes.len()).rev() {
            let node = &self.graph.nodes[id];
            if !node.op.is_repeatable() || wanted[id] {
                continue;
            }
            let elements = node.outputs[0].shape.elements();
            let fits = |&user: &usize| {
                let op = &self.graph.nodes[user].op;
                let space: usize = space_of(self.graph, user).iter().product();
                let reads_directly = self.graph.nodes[user].inputs.iter().all(|input| {
                    source(self.graph, *input).node as usize != id || source(self.graph, *input) == *input
                });
                let joins = op.is_pointwise() || matches!(op, Op::SumTo(_));
                joins && reads_directly && (elements * 4 <= space || self.places[user] == Place::Inline)
            };
            let is_read = !self.readers[id].is_empty();
            if is_read && is_cheap(self.graph, id) && self.readers[id].iter().all(fits) {
                self.places[id] = Place::Inline;
            }
        }
    }

    /// Makes a unit of one node.
    fn add(&mut self, id: usize) -> usize {
        let unit = self.units.len();
        self.places[id] = Place::Unit(unit);
        let space = is_fusible(&self.graph.nodes[id].op).then(|| space_of(self.graph, id));
        self.units.push(Unit { nodes: vec![id as u32], space });
        let inputs = self.materialised_inputs(id);
        self.reads.push(inputs.iter().filter_map(|value| self.unit_of(*value)).collect());
        self.inputs.push(inputs);
        unit
    }

    /// The values in memory that a node reads, looking through inlined ones.
    fn materialised_inputs(&self, id: usize) -> BTreeSet<Value> {
        let mut found = BTreeSet::new();
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            for &input in &self.graph.nodes[id].inputs {
                let input = source(self.graph, input);
                if self.places[input.node as usize] == Place::Inline {
                    stack.push(input.node as usize);
                } else {
                    found.insert(input);
                }
            }
        }
        found
    }

    fn unit_of(&self, value: Value) -> Option<usize> {
        match self.places[value.node as usize] {
            Place::Unit(unit) => Some(unit),
            _ => None,
        }
    }

    /// Joins a new unit with those of its producers and, when it ends in a sum or is small, with those that read what it
    /// reads. A large pointwise node joins no such unit: its users may be able to compute it themselves, and then it need
    /// not be written; what is small costs a launch rather than bytes.
    fn join(&mut self, mut unit: usize, id: usize) {
        let inputs: Vec<Value> = self.inputs[unit].iter().copied().collect();
        for &input in inputs.iter().rev() {
            if let Some(producer) = self.unit_of(input) {
                unit = self.try_merge(producer, unit);
            }
        }
        let ends_in_sum = matches!(self.graph.nodes[id].op, Op::SumTo(_));
        if !ends_in_sum && space_of(self.graph, id).iter().product::<usize>() > SMALL {
            return;
        }
        for &input in &inputs {
            let siblings: Vec<usize> = self.readers[input.node as usize]
                .iter()
                .filter_map(|&reader| match self.places[reader] {
                    Place::Unit(sibling) => Some(sibling),
                    _ => None,
                })
                .collect();
            for sibling in siblings {
                if self.graph.ty(input).shape.aligned() == self.units[unit].space.unwrap_or_default() {
                    unit = self.try_merge(sibling, unit);
                }
            }
        }
    }

    /// Merges two units if they may run at once, and returns the unit that `b`'s nodes are in.
    fn try_merge(&mut self, a: usize, b: usize) -> usize {
        if a == b
            || !self.compatible(a, b)
            || self.path_through_others(a, b)
            || self.path_through_others(b, a)
        {
            return b;
        }
        let moved = std::mem::take(&mut self.units[b].nodes);
        for &id in &moved {
            self.places[id as usize] = Place::Unit(a);
        }
        self.units[a].nodes.extend(moved);
        self.units[a].nodes.sort_unstable();
        let (reads, inputs) = (std::mem::take(&mut self.reads[b]), std::mem::take(&mut self.inputs[b]));
        self.reads[a].extend(reads);
        self.inputs[a].extend(inputs);
        for reads in &mut self.reads {
            if reads.remove(&b) {
                reads.insert(a);
            }
        }
        self.reads[a].remove(&a);
        let places = &self.places;
        self.inputs[a].retain(|value| places[value.node as usize] != Place::Unit(a));
        a
    }

    /// Whether two units may be one launch, as far as their own nodes go.
    fn compatible(&self, a: usize, b: usize) -> bool {
        let (first, second) = (&self.units[a], &self.units[b]);
        if first.space.is_none() || first.space != second.space {
            return false;
        }
        let members = || first.nodes.iter().chain(&second.nodes).map(|&id| id as usize);
        let mut keep = None;
        let mut sums = 0;
        for id in members().filter(|&id| matches!(self.graph.nodes[id].op, Op::SumTo(_))) {
            sums += 1;
            let own = kept(self.graph, id);
            if *keep.get_or_insert(own) != own {
                return false;
            }
        }
        // A sum is complete only when its launch is over, and a gather's input must lie in memory.
        let inside = |value: Value| matches!(self.places[value.node as usize], Place::Unit(unit) if unit == a || unit == b);
        for id in members() {
            let gathers = is_gather(&self.graph.nodes[id].op);
            for input in self.materialised_inputs(id) {
                let sum = matches!(self.graph.nodes[input.node as usize].op, Op::SumTo(_));
                if inside(input) && (sum || gathers || self.reads_view(id, input)) {
                    return false;
                }
            }
        }
        let inputs: BTreeSet<&Value> =
            self.inputs[a].iter().chain(&self.inputs[b]).filter(|value| !inside(**value)).collect();
        sums <= MAX_SUMS && inputs.len() <= MAX_INPUTS
    }

    /// Whether a node reads a value under another shape than it has: the index maps differ then.
    fn reads_view(&self, id: usize, value: Value) -> bool {
        let inputs = &self.graph.nodes[id].inputs;
        inputs.iter().any(|&input| input != value && source(self.graph, input) == value)
    }

    /// Whether a path leads from `from` to `to` through a third unit.
    fn path_through_others(&self, from: usize, to: usize) -> bool {
        let mut stack: Vec<usize> = self.reads[to].iter().copied().filter(|&unit| unit != from).collect();
        let mut seen: BTreeSet<usize> = stack.iter().copied().collect();
        while let Some(unit) = stack.pop() {
            if unit == from {
                return true;
            }
            stack.extend(self.reads[unit].iter().copied().filter(|&next| seen.insert(next)));
        }
        false
    }

    /// Joins large pointwise units that wait for the same tensor, so that it is read once: the gradients of the two
    /// normalisations that a sum has, say.
    fn join_readers(&mut self) {
        for id in 0..self.graph.nodes.len() {
            let value = Value { node: id as u32, output: 0 };
            if self.graph.nodes[id].outputs[0].shape.elements() <= SMALL {
                continue;
            }
            let waiting: BTreeSet<usize> = self.readers[id]
                .iter()
                .filter_map(|&reader| match self.places[reader] {
                    Place::Unit(unit) if self.waits_for(unit, value) => Some(unit),
                    _ => None,
                })
                .collect();
            let mut units = waiting.into_iter();
            let Some(first) = units.next() else { continue };
            units.for_each(|unit| _ = self.try_merge(first, unit));
        }
    }

    /// Whether a unit is pointwise work, and of what it reads elsewhere than per channel this tensor is made last.
    fn waits_for(&self, unit: usize, value: Value) -> bool {
        let Some(space) = self.units[unit].space else { return false };
        let large =
            |input: &&Value| self.graph.ty(**input).shape.elements() * 4 > space.iter().product::<usize>();
        let pointwise =
            self.units[unit].nodes.iter().all(|&id| self.graph.nodes[id as usize].op.is_pointwise());
        pointwise && self.inputs[unit].iter().filter(large).max() == Some(&value)
    }

    /// Makes one unit of all units that only cast a state: with mixed precision every parameter has one.
    fn gather_casts(&mut self) {
        let casts: Vec<usize> = (0..self.units.len())
            .filter(|&unit| match self.units[unit].nodes[..] {
                [id] => casts_a_state(self.graph, id as usize),
                _ => false,
            })
            .collect();
        let Some((&first, others)) = casts.split_first() else { return };
        for &unit in others {
            let moved = std::mem::take(&mut self.units[unit].nodes);
            moved.iter().for_each(|&id| self.places[id as usize] = Place::Unit(first));
            self.units[first].nodes.extend(moved);
        }
        self.units[first].space = None;
    }

    fn finish(self) -> Clusters {
        let recomputed = vec![BTreeSet::new(); self.units.len()];
        Clusters { places: self.places, units: self.units, recomputed }.without_empty_units()
    }
}

impl Clusters {
    /// The same without the units that lost all their nodes to others.
    fn without_empty_units(self) -> Clusters {
        let mut renumbered = vec![usize::MAX; self.units.len()];
        let (mut units, mut recomputed) = (Vec::new(), Vec::new());
        for (index, (unit, again)) in self.units.into_iter().zip(self.recomputed).enumerate() {
            if !unit.nodes.is_empty() {
                renumbered[index] = units.len();
                units.push(unit);
                recomputed.push(again);
            }
        }
        let renumber = |place| match place {
            Place::Unit(unit) => Place::Unit(renumbered[unit]),
            other => other,
        };
        Clusters { places: self.places.into_iter().map(renumber).collect(), units, recomputed }
    }
}
