//! What all optimizers share: groups of parameters, the buffers that go with them, and the step itself.

use std::collections::HashMap;

use super::Training;
use crate::error::{Error, Result};
use crate::graph::{Leaf, StateId};
use crate::nn::Params;
use crate::ops::Op;
use crate::state::State;
use crate::tensor::{Mode, Tensor, linearise, run};
use crate::training::can_blend;
use crate::work::{Request, Rule};

/// A choice of parameters by name.
type Choice = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// The settings of a group.
pub(super) trait Settings: Copy {
    /// Buffers a parameter.
    const BUFFERS: usize;
    /// The learning rate that the group was given.
    fn lr(&self) -> f32;
    /// The same without weight decay.
    fn undecayed(self) -> Self;
    /// The scalars of the rule, with the present learning rate.
    fn scalars(&self, lr: f32) -> Vec<f32>;
    /// The rule of parameters in these groups, of which this is the first.
    fn rule(&self, groups: Vec<u32>) -> Rule;
}

/// Parameters in groups with settings of their own, and their buffers.
pub(super) struct Groups<S> {
    params: Params,
    choices: Vec<Choice>,
    settings: Vec<S>,
    pub(super) training: Training,
    /// The first group's learning rate: now, and when the optimizer was made.
    pub(super) lr: f32,
    initial_lr: f32,
    members: HashMap<StateId, Member>,
}

struct Member {
    group: u32,
    buffers: Vec<State>,
}

impl<S: Settings> Groups<S> {
    /// All parameters in one group; their buffers begin as zeros.
    pub(super) fn new(params: &Params, settings: S) -> Groups<S> {
        Groups {
            training: Training::new(params.device()),
            params: params.clone(),
            choices: vec![Box::new(|_| true)],
            settings: vec![settings],
            lr: settings.lr(),
            initial_lr: settings.lr(),
            members: HashMap::new(),
        }
    }

    /// The present learning rate of a group that was given `lr`: its ratio to the first group's is kept.
    fn lr_of(&self, lr: f32) -> f32 {
        if self.initial_lr == 0.0 { self.lr } else { self.lr * (lr / self.initial_lr) }
    }

    /// Puts the parameters whose name is chosen into a new group. The latest choice counts.
    pub(super) fn add(&mut self, choice: Choice, settings: S) {
        self.choices.push(choice);
        self.settings.push(settings);
        for member in self.members.values_mut() {
            member.group = u32::MAX;
        }
    }

    /// The group of a parameter, and its buffers, made when it is first trained.
    fn member(&mut self, state: &State) -> Result<&Member> {
        let group =
            |choices: &[Choice]| choices.iter().rposition(|choice| choice(state.name())).unwrap_or(0) as u32;
        if !self.members.contains_key(&state.id()) {
            let zeros = vec![0f32; state.ty().shape.elements()];
            let make = |index| {
                State::new(
                    self.params.device(),
                    format!("{}.buffer{index}", state.name()),
                    state.ty(),
                    &zeros,
                )
            };
            let buffers = (0..S::BUFFERS).map(make).collect::<Result<Vec<State>>>()?;
            let member = Member { group: group(&self.choices), buffers };
            self.members.insert(state.id(), member);
        }
        let member = self.members.entry(state.id()).or_insert(Member { group: 0, buffers: Vec::new() });
        if member.group == u32::MAX {
            member.group = group(&self.choices);
        }
        Ok(member)
    }

    /// The scalars of all groups; where norms and biases do not decay, of all groups without decay after them.
    fn scalars(&self) -> Vec<f32> {
        let undecayed = self.settings.iter().map(|settings| settings.undecayed());
        let undecayed = undecayed.filter(|_| !self.training.decays_vectors());
        let all = self.settings.iter().copied().chain(undecayed);
        all.flat_map(|settings| settings.scalars(self.lr_of(settings.lr()))).collect()
    }

    /// One step on a loss.
    pub(super) fn step(&mut self, loss: &Tensor, others: &[&Tensor]) -> Result<()> {
        self.run(loss, others, true)?;
        self.training.stepped(loss);
        Ok(())
    }

    /// Adds a loss's gradients to those of the next step.
    pub(super) fn accumulate(&mut self, loss: &Tensor) -> Result<()> {
        self.run(loss, &[], false)?;
        self.training.added();
        Ok(())
    }

    fn run(&mut self, loss: &Tensor, others: &[&Tensor], update: bool) -> Result<()> {
        self.training.refuse_if_swapped()?;
        let roots: Vec<&Tensor> = std::iter::once(loss).chain(others.iter().copied()).collect();
        let mut linearised = linearise(roots.iter().copied(), Mode::Differentiate, false)?;
        // Only what the trace reads is trained; a state that is merely updated (running statistics) is not.
        let mut read = vec![false; linearised.states.len()];
        for node in &linearised.graph.nodes {
            if let Op::Leaf(Leaf::State { index, trainable }) = node.op {
                read[index as usize] = trainable;
            }
        }
        let trained: Vec<State> = linearised
            .states
            .iter()
            .zip(read)
            .filter(|(_, read)| *read)
            .map(|(state, _)| state.clone())
            .collect();
        if trained.is_empty() {
            return Err(Error::NothingToTrain);
        }
        let (mut groups, mut states) = (Vec::with_capacity(trained.len()), Vec::new());
        let undecayed = if self.training.decays_vectors() { 0 } else { self.settings.len() as u32 };
        for state in trained.iter().filter(|_| update) {
            let member = self.member(state)?;
            groups.push(member.group + if state.ty().shape.rank() <= 1 { undecayed } else { 0 });
            states.extend(member.buffers.iter().cloned());
        }
        let graph = &linearised.graph;
        let moved = (0..graph.updates.len()).filter(|&at| can_blend(graph, at));
        let moved: Vec<State> =
            moved.map(|at| linearised.states[graph.updates[at].state as usize].clone()).collect();
        let step = self.training.parts(update.then(|| self.settings[0].rule(groups)));
        states.extend(self.training.states(&step, &trained, &moved)?);
        let mut scalars = self.training.controls().scalars().to_vec();
        if update {
            scalars.extend(self.scalars());
        }
        run(&mut linearised, Request::Minimize { step, scalars, states: states.clone() }, &roots)?;
        states.iter().chain(trained.iter().filter(|_| update)).for_each(State::advance);
        // A program that keeps its losses would else keep all batches.
        roots.iter().for_each(|root| root.forget());
        Ok(())
    }
}
