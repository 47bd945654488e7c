//! A training step as a graph: gradients, loss scale, clipping, accumulation, the optimizer's node, averages.
//!
//! All that a step decides on the device stays there: whether gradients overflowed is a number that the optimizer's kernel
//! reads, the loss scale and the counts of steps are states like any other, and nothing waits for the host. A step that is
//! skipped leaves the bits of weights, buffers, running statistics and averages as they were.

use crate::autograd::differentiate;
use crate::error::Result;
use crate::graph::{Graph, Leaf, Update, Value};
use crate::ops::{Binary, Op, Unary};
use crate::types::{DType, TensorType};
use crate::work::{Rule, Step};

/// The largest loss scale: doubling it again would leave `f32`.
const LARGEST_SCALE: f32 = 8.507_059e37;

/// Added to a gradient's norm before it divides, as PyTorch does.
const CLIP_EPSILON: f32 = 1e-6;

/// The scalars that every step is given, by slot after those of the trace; those of the optimizer's groups follow.
#[derive(Clone, Copy, Debug)]
enum Control {
    One,
    Zero,
    KeepAccumulated,
    MaxNorm,
    AverageKeep,
    AverageTake,
    Growth,
    Backoff,
    Interval,
    Floor,
}

/// What a step is given besides the settings of its groups.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Controls {
    /// Earlier micro-batches count.
    pub(crate) keep_accumulated: bool,
    /// The largest norm that gradients may have.
    pub(crate) max_norm: f32,
    /// The share of the averages that stays.
    pub(crate) decay: f32,
    /// What the loss scale grows by, what it is multiplied with after an overflow, after how many good steps it grows, and
    /// below what it never falls.
    pub(crate) growth: f32,
    pub(crate) backoff: f32,
    pub(crate) interval: f32,
    pub(crate) floor: f32,
}

impl Controls {
    const COUNT: usize = Control::Floor as usize + 1;

    /// The scalars, in the order of [`Control`].
    pub(crate) fn scalars(&self) -> [f32; Controls::COUNT] {
        let mut scalars = [0.0; Controls::COUNT];
        for (control, value) in [
            (Control::One, 1.0),
            (Control::Zero, 0.0),
            (Control::KeepAccumulated, f32::from(u8::from(self.keep_accumulated))),
            (Control::MaxNorm, self.max_norm),
            (Control::AverageKeep, self.decay),
            (Control::AverageTake, 1.0 - self.decay),
            (Control::Growth, self.growth),
            (Control::Backoff, self.backoff),
            // Steps are counted in whole numbers: between two of them no rounding can matter.
            (Control::Interval, self.interval - 0.5),
            (Control::Floor, self.floor),
        ] {
            scalars[control as usize] = value;
        }
        scalars
    }
}

/// Where the states lie that a step brings, by index after those of the trace: in the order of `optim::Training::states`.
struct Places {
    buffers: u32,
    accumulated: u32,
    averages: u32,
    norm: u32,
    scaling: u32,
    corrections: u32,
}

/// The states of a loss scale.
pub(crate) const SCALING_STATES: usize = 4;

impl Places {
    fn new(step: &Step, first: u32, trainable: usize, moved: usize) -> Places {
        let mut next = first;
        let mut take = |count: usize| {
            let first = next;
            next += count as u32;
            first
        };
        let rule = step.rule.as_ref();
        Places {
            buffers: take(trainable * rule.map_or(0, Rule::buffers)),
            accumulated: take(if step.accumulate { trainable } else { 0 }),
            averages: take(if step.average { trainable + moved } else { 0 }),
            norm: take(usize::from(step.measures())),
            scaling: take(if step.scaled { SCALING_STATES } else { 0 }),
            corrections: take(rule.map_or(0, |rule| rule.corrections() * rule.group_count())),
        }
    }
}

/// A parameter and its gradient.
struct Trained {
    state: u32,
    weight: Value,
    gradient: Value,
}

/// What the gradients' norm decides.
struct Verdict {
    /// 1 where the step is skipped, else 0.
    skip: Value,
    /// What gradients are multiplied with.
    multiplier: Value,
}

/// Appends the gradients of the first root for the trainable states, and what is done with them.
pub(crate) fn append_step(graph: &mut Graph, step: &Step) -> Result<()> {
    let mut slots = 0;
    let mut states = 0;
    let mut trainable: Vec<(u32, Value)> = Vec::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        match node.op {
            Op::Leaf(Leaf::Scalar { slot }) => slots = slots.max(slot + 1),
            Op::Leaf(Leaf::State { index, trainable: wanted }) => {
                states = states.max(index + 1);
                if wanted {
                    trainable.push((index, Value { node: id as u32, output: 0 }));
                }
            }
            _ => {}
        }
    }
    for update in &graph.updates {
        states = states.max(update.state + 1);
    }
    trainable.sort_unstable_by_key(|&(index, _)| index);
    let moved = (0..graph.updates.len()).filter(|&at| can_blend(graph, at)).collect::<Vec<usize>>();
    let places = Places::new(step, states, trainable.len(), moved.len());
    Expansion { graph, step, slots, places, moved }.append(&trainable)
}

/// Whether an update's state can be kept or averaged: it is `f32`, as running statistics are.
pub(crate) fn can_blend(graph: &Graph, update: usize) -> bool {
    graph.ty(graph.updates[update].value).dtype == DType::F32
}

struct Expansion<'a> {
    graph: &'a mut Graph,
    step: &'a Step,
    /// The first slot that is the step's own.
    slots: u32,
    places: Places,
    /// The updates of the trace that can be kept and averaged: running statistics.
    moved: Vec<usize>,
}

impl Expansion<'_> {
    fn append(&mut self, trainable: &[(u32, Value)]) -> Result<()> {
        let scale = self.step.scaled.then(|| self.scalar_state(self.places.scaling));
        let seed = match scale {
            Some(scale) => scale,
            None => self.control(Control::One),
        };
        let targets: Vec<Value> = trainable.iter().map(|&(_, value)| value).collect();
        let loss = self.graph.roots[0];
        let gradients = differentiate(self.graph, loss, &targets, seed)?;
        let mut trained = Vec::with_capacity(trainable.len());
        for (&(state, weight), gradient) in trainable.iter().zip(gradients) {
            let gradient = match gradient {
                Some(gradient) => gradient,
                None => {
                    let zero = self.graph.constant(0.0)?;
                    self.graph.broadcast_to(zero, self.graph.ty(weight).shape)?
                }
            };
            trained.push(Trained { state, weight, gradient });
        }
        let Some(rule) = &self.step.rule else {
            // What a later skip will not undo is decided by this micro-batch's own gradients.
            if scale.is_some() {
                let verdict = self.gradient_norm(&trained)?;
                self.keep_moved(verdict.output(1))?;
            }
            return self.accumulate(&mut trained);
        };
        if self.step.accumulate {
            self.accumulate(&mut trained)?;
        }
        let verdict = self.verdict(&trained, scale)?;
        if scale.is_some() {
            self.keep_moved(verdict.skip)?;
        }
        let updated = self.update(rule, &trained, &verdict)?;
        if self.step.average { self.average(&updated, &verdict) } else { Ok(()) }
    }

    /// Sums the gradients of earlier micro-batches and these, which are those sums from now on.
    fn accumulate(&mut self, trained: &mut [Trained]) -> Result<()> {
        let (keep, take) = (self.control(Control::KeepAccumulated), self.control(Control::One));
        let first = self.places.accumulated;
        let pairs = (first..).zip(trained.iter());
        let pairs: Vec<(u32, Value)> = pairs.map(|(state, tensor)| (state, tensor.gradient)).collect();
        let sums = self.blend(keep, take, &pairs)?;
        for (tensor, sum) in trained.iter_mut().zip(sums) {
            tensor.gradient = sum;
        }
        Ok(())
    }

    fn gradient_norm(&mut self, trained: &[Trained]) -> Result<Value> {
        let gradients = trained.iter().map(|tensor| tensor.gradient).collect();
        self.graph.push(Op::GradientNorm, gradients)
    }

    /// Measures the gradients where that is wanted, and lets the loss scale follow.
    fn verdict(&mut self, trained: &[Trained], scale: Option<Value>) -> Result<Verdict> {
        if !self.step.measures() {
            return Ok(Verdict { skip: self.control(Control::Zero), multiplier: self.control(Control::One) });
        }
        let measured = self.gradient_norm(trained)?;
        let (mut multiplier, mut norm) = (None, measured);
        if let Some(scale) = scale {
            let unscale = self.graph.unary(Unary::Reciprocal, scale)?;
            norm = self.graph.mul(norm, unscale)?;
            multiplier = Some(unscale);
        }
        self.set(self.places.norm, norm);
        if self.step.clip {
            let divisor = self.graph.shift(norm, CLIP_EPSILON)?;
            let most = self.control(Control::MaxNorm);
            let ratio = self.graph.div(most, divisor)?;
            let one = self.control(Control::One);
            let factor = self.graph.binary(Binary::Min, ratio, one)?;
            multiplier = Some(match multiplier {
                Some(unscale) => self.graph.mul(unscale, factor)?,
                None => factor,
            });
        }
        let skip = match scale {
            Some(scale) => {
                let overflow = measured.output(1);
                self.follow(scale, overflow)?;
                overflow
            }
            None => self.control(Control::Zero),
        };
        let multiplier = multiplier.unwrap_or_else(|| self.control(Control::One));
        Ok(Verdict { skip, multiplier })
    }

    /// The loss scale's own step: PyTorch's, but that it never falls below its floor.
    fn follow(&mut self, scale: Value, overflow: Value) -> Result<()> {
        let first = self.places.scaling;
        let fine = self.unless(overflow)?;
        let good = self.scalar_state(first + 1);
        let good = self.graph.shift(good, 1.0)?;
        let good = self.graph.mul(good, fine)?;
        let interval = self.control(Control::Interval);
        let grows = self.graph.binary(Binary::Greater, good, interval)?;
        let stays = self.unless(grows)?;
        let good = self.graph.mul(good, stays)?;
        let (growth, backoff) = (self.control(Control::Growth), self.control(Control::Backoff));
        let grown = self.graph.mul(grows, growth)?;
        let factor = self.graph.add(grown, stays)?;
        let up = self.graph.mul(factor, fine)?;
        let down = self.graph.mul(backoff, overflow)?;
        let factor = self.graph.add(up, down)?;
        let next = self.graph.mul(scale, factor)?;
        let floor = self.control(Control::Floor);
        let next = self.graph.binary(Binary::Max, next, floor)?;
        let most = self.graph.constant(LARGEST_SCALE)?;
        let next = self.graph.binary(Binary::Min, next, most)?;
        let skipped = self.scalar_state(first + 2);
        let skipped = self.graph.add(skipped, overflow)?;
        let in_a_row = self.scalar_state(first + 3);
        let in_a_row = self.graph.shift(in_a_row, 1.0)?;
        let in_a_row = self.graph.mul(in_a_row, overflow)?;
        for (offset, value) in (0..).zip([next, good, skipped, in_a_row]) {
            self.set(first + offset, value);
        }
        Ok(())
    }

    /// Lets running statistics keep their old values where a step is skipped.
    fn keep_moved(&mut self, skip: Value) -> Result<()> {
        if self.moved.is_empty() {
            return Ok(());
        }
        let take = self.unless(skip)?;
        let updates: Vec<Update> = self.moved.iter().map(|&at| self.graph.updates[at]).collect();
        let mut inputs = vec![skip, take];
        for update in updates {
            let ty = self.graph.ty(update.value);
            let old = self.graph.push_leaf(Leaf::State { index: update.state, trainable: false }, ty);
            inputs.extend([old, update.value]);
        }
        let first = self.graph.push(Op::Blend, inputs)?;
        for (output, &at) in (0..).zip(&self.moved) {
            self.graph.updates[at].value = first.output(output);
        }
        Ok(())
    }

    /// The optimizer's node; yields the new weights.
    fn update(&mut self, rule: &Rule, trained: &[Trained], verdict: &Verdict) -> Result<Vec<Value>> {
        let mut inputs = Vec::new();
        // Read by all corrections, so that they share a launch.
        let one = self.control(Control::One);
        for group in 0..rule.group_count() {
            let first = self.slots + (Controls::COUNT + group * rule.settings()) as u32;
            let settings: Vec<Value> =
                (0..rule.settings() as u32).map(|setting| self.slot(first + setting)).collect();
            inputs.extend(&settings);
            // One minus the product of the rates so far: `c = beta c + (1 - beta)`, from 0.
            for correction in 0..rule.corrections() {
                let state = self.places.corrections + (group * rule.corrections() + correction) as u32;
                let (old, beta) = (self.scalar_state(state), settings[1 + correction]);
                let kept = self.graph.mul(beta, old)?;
                let missing = self.graph.sub(one, beta)?;
                let new = self.graph.add(kept, missing)?;
                inputs.push(new);
                let next = if self.step.scaled { self.choose(verdict.skip, old, new)? } else { new };
                self.set(state, next);
            }
            inputs.extend([verdict.multiplier, verdict.skip]);
        }
        let mut updated = Vec::new();
        for (position, tensor) in trained.iter().enumerate() {
            let ty = self.graph.ty(tensor.weight);
            inputs.extend([tensor.weight, tensor.gradient]);
            updated.push(tensor.state);
            for buffer in 0..rule.buffers() {
                let index = self.places.buffers + (position * rule.buffers() + buffer) as u32;
                inputs.push(self.graph.push_leaf(Leaf::State { index, trainable: false }, ty));
                updated.push(index);
            }
        }
        let first = self.graph.push(rule.op(), inputs)?;
        for (output, state) in (0..).zip(updated) {
            self.set(state, first.output(output));
        }
        let stride = 1 + rule.buffers() as u16;
        Ok((0..trained.len() as u16).map(|position| first.output(position * stride)).collect())
    }

    /// Moves the averages towards the new weights and the new running statistics.
    fn average(&mut self, weights: &[Value], verdict: &Verdict) -> Result<()> {
        let (mut keep, mut take) = (self.control(Control::AverageKeep), self.control(Control::AverageTake));
        if self.step.scaled {
            let fine = self.unless(verdict.skip)?;
            keep = self.graph.mul(keep, fine)?;
            keep = self.graph.add(keep, verdict.skip)?;
            take = self.graph.mul(take, fine)?;
        }
        let moved = self.moved.iter().map(|&at| self.graph.updates[at].value);
        let values = weights.iter().copied().chain(moved);
        let pairs: Vec<(u32, Value)> = (self.places.averages..).zip(values).collect();
        self.blend(keep, take, &pairs).map(drop)
    }

    /// Gives each state `keep` of itself and `take` of a value, in one launch.
    fn blend(&mut self, keep: Value, take: Value, pairs: &[(u32, Value)]) -> Result<Vec<Value>> {
        let mut inputs = vec![keep, take];
        for &(index, value) in pairs {
            let ty = TensorType::new(DType::F32, self.graph.ty(value).shape);
            inputs.extend([self.graph.push_leaf(Leaf::State { index, trainable: false }, ty), value]);
        }
        let first = self.graph.push(Op::Blend, inputs)?;
        let outputs: Vec<Value> = (0..pairs.len() as u16).map(|output| first.output(output)).collect();
        for (&(state, _), &value) in pairs.iter().zip(&outputs) {
            self.set(state, value);
        }
        Ok(outputs)
    }

    /// `1 - x`.
    fn unless(&mut self, x: Value) -> Result<Value> {
        let negated = self.graph.scale(x, -1.0)?;
        self.graph.shift(negated, 1.0)
    }

    /// `a` where `flag` is 1, `b` where it is 0; both finite.
    fn choose(&mut self, flag: Value, a: Value, b: Value) -> Result<Value> {
        let not = self.unless(flag)?;
        let (a, b) = (self.graph.mul(a, flag)?, self.graph.mul(b, not)?);
        self.graph.add(a, b)
    }

    fn set(&mut self, state: u32, value: Value) {
        self.graph.updates.push(Update { state, value });
    }

    fn control(&mut self, control: Control) -> Value {
        self.slot(self.slots + control as u32)
    }

    fn slot(&mut self, slot: u32) -> Value {
        self.graph.push_leaf(Leaf::Scalar { slot }, TensorType::scalar())
    }

    fn scalar_state(&mut self, index: u32) -> Value {
        self.graph.push_leaf(Leaf::State { index, trainable: false }, TensorType::scalar())
    }
}
