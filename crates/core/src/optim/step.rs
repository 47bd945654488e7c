//! What all optimizers share: groups of parameters, the buffers that go with them, and the step itself.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::graph::StateId;
use crate::nn::Params;
use crate::ops::Op;
use crate::state::State;
use crate::tensor::{Mode, Tensor, linearise, run};
use crate::work::{Request, Rule};

/// A choice of parameters by name.
type Choice = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Parameters in groups with settings of their own, and their buffers.
pub(super) struct Groups<Settings> {
    params: Params,
    choices: Vec<Choice>,
    pub(super) settings: Vec<Settings>,
    /// The first group's learning rate: now, and when the optimizer was made.
    pub(super) lr: f32,
    initial_lr: f32,
    members: HashMap<StateId, Member>,
    buffers: usize,
}

struct Member {
    group: u32,
    buffers: Vec<State>,
}

impl<Settings> Groups<Settings> {
    /// All parameters in one group; each has `buffers` buffers of zeros.
    pub(super) fn new(params: &Params, settings: Settings, lr: f32, buffers: usize) -> Groups<Settings> {
        Groups {
            params: params.clone(),
            choices: vec![Box::new(|_| true)],
            settings: vec![settings],
            lr,
            initial_lr: lr,
            members: HashMap::new(),
            buffers,
        }
    }

    /// The present learning rate of a group that was given `lr`: its ratio to the first group's is kept.
    pub(super) fn lr_of(&self, lr: f32) -> f32 {
        if self.initial_lr == 0.0 { self.lr } else { self.lr * (lr / self.initial_lr) }
    }

    /// Puts the parameters whose name is chosen into a new group. The latest choice counts.
    pub(super) fn add(&mut self, choice: Choice, settings: Settings) {
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
            let buffers = (0..self.buffers).map(make).collect::<Result<Vec<State>>>()?;
            let member = Member { group: group(&self.choices), buffers };
            self.members.insert(state.id(), member);
        }
        let member = self.members.entry(state.id()).or_insert(Member { group: 0, buffers: Vec::new() });
        if member.group == u32::MAX {
            member.group = group(&self.choices);
        }
        Ok(member)
    }

    /// One step on a loss: `rule` gets the groups of the trainable parameters, `scalars` are those of all groups.
    pub(super) fn step(
        &mut self,
        loss: &Tensor,
        others: &[&Tensor],
        rule: impl FnOnce(Vec<u32>) -> Rule,
        scalars: Vec<f32>,
    ) -> Result<()> {
        let roots: Vec<&Tensor> = std::iter::once(loss).chain(others.iter().copied()).collect();
        let mut linearised = linearise(roots.iter().copied(), Mode::Differentiate, false)?;
        // Only what the trace reads is trained; a state that is merely updated (running statistics) is not.
        let mut read = vec![false; linearised.states.len()];
        for node in &linearised.graph.nodes {
            if let Op::Leaf(crate::graph::Leaf::State { index, trainable }) = node.op {
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
        let (mut groups, mut buffers) = (Vec::with_capacity(trained.len()), Vec::new());
        for state in &trained {
            let member = self.member(state)?;
            groups.push(member.group);
            buffers.extend(member.buffers.iter().cloned());
        }
        let request = Request::Minimize { rule: rule(groups), scalars, buffers: buffers.clone() };
        run(&mut linearised, request, &roots)?;
        trained.iter().chain(&buffers).for_each(State::advance);
        Ok(())
    }
}
