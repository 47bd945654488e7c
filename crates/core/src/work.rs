//! What an executor is asked to do: a traced graph, what its leaves are bound to, and what is wanted of it.
//!
//! [`WorkKey`] is all that a plan depends on; learning rates, the step, seeds, addresses and names are not in it. A plan
//! is looked up by the *forward* trace and the request, before anything is differentiated: [`WorkKey::expand`] runs only
//! when a plan is made.

use crate::device::{Device, Precision};
use crate::error::Result;
use crate::graph::Graph;
use crate::ops::optimizer::group_count;
use crate::ops::{AdamW, Op, Sgd};
use crate::plan::PlanOptions;
use crate::plan::Source;
use crate::plan::precision::mixed_precision;
use crate::plan::rules::fold_batch_norm::fold_batch_norm;
use crate::plan::rules::sums::absorb;
use crate::state::State;
use crate::tensor::{Data, Linearised};
use crate::training::append_step;
use crate::types::TensorType;

/// What is wanted of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// The roots' values.
    Evaluate,
    /// The roots' values, and a step of an optimizer that makes the first root smaller.
    Minimize(Step),
    /// The roots' values of a graph that [`WorkKey::expand_for`] has made already: nothing is left to expand.
    Expanded,
}

/// An optimizer's rule, without the settings that may change from step to step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Stochastic gradient descent. `groups` holds the group of each trainable state, in the order of
    /// [`Work::states`].
    Sgd(Sgd),
    /// AdamW; `groups` likewise.
    AdamW(AdamW),
}

impl Rule {
    /// Buffers a parameter.
    pub fn buffers(&self) -> usize {
        match self {
            Rule::Sgd(_) => Sgd::BUFFERS,
            Rule::AdamW(_) => AdamW::BUFFERS,
        }
    }

    /// Settings a group: the scalars of the operation that come first.
    pub(crate) fn settings(&self) -> usize {
        match self {
            Rule::Sgd(_) => 3,
            Rule::AdamW(_) => 5,
        }
    }

    /// Scalars a group that follow the settings and correct the bias of a mean; their rates are the settings from the
    /// second on.
    pub(crate) fn corrections(&self) -> usize {
        match self {
            Rule::Sgd(_) => 0,
            Rule::AdamW(_) => 2,
        }
    }

    /// How many groups there are.
    pub(crate) fn group_count(&self) -> usize {
        group_count(match self {
            Rule::Sgd(sgd) => &sgd.groups,
            Rule::AdamW(adamw) => &adamw.groups,
        })
    }

    /// The operation.
    pub(crate) fn op(&self) -> Op {
        match self {
            Rule::Sgd(sgd) => Op::Sgd(sgd.clone()),
            Rule::AdamW(adamw) => Op::AdamW(adamw.clone()),
        }
    }
}

/// The parts of a training step, without the numbers that may change from step to step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// The optimizer's rule; none where gradients are only added to those of other micro-batches.
    pub rule: Option<Rule>,
    /// The loss is scaled before it is differentiated, and a step whose gradients overflow is skipped.
    pub scaled: bool,
    /// The gradients of earlier micro-batches are added.
    pub accumulate: bool,
    /// The norm of all gradients together is limited.
    pub clip: bool,
    /// The weights and the running statistics are averaged.
    pub average: bool,
}

impl Step {
    /// The plain step by this rule.
    pub fn new(rule: Rule) -> Step {
        Step { rule: Some(rule), scaled: false, accumulate: false, clip: false, average: false }
    }

    /// Whether the norm of the gradients is wanted.
    pub(crate) fn measures(&self) -> bool {
        self.rule.is_some() && (self.scaled || self.clip)
    }
}

/// What is wanted, with the numbers of the moment.
pub enum Request {
    /// The roots' values.
    Evaluate,
    /// A step of an optimizer.
    Minimize {
        /// Its parts.
        step: Step,
        /// Its scalars: those that every step has, then the settings of each group, one group after the other.
        scalars: Vec<f32>,
        /// Its states: the buffers of each trainable state, one state after the other; then what its parts bring.
        states: Vec<State>,
    },
}

/// All that a plan depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WorkKey {
    /// The forward trace.
    pub graph: Graph,
    /// What is wanted of it.
    pub task: Task,
    /// The element types in which it is computed.
    pub precision: Precision,
    /// Only algorithms that give the same bits every time.
    pub deterministic: bool,
}

/// What an executor is asked to do.
pub struct Work {
    /// All that the plan depends on.
    pub key: WorkKey,
    /// What the data leaves are bound to, by index.
    pub data: Vec<(TensorType, Data)>,
    /// The states, by index: those of the trace, then those of the step.
    pub states: Vec<State>,
    /// The scalars, by slot: those of the trace, then those of the step.
    pub scalars: Vec<f32>,
    /// The key of this run's random numbers.
    pub seed: u64,
    /// The number of this run.
    pub step: u32,
    /// The names of the parameters that data leaves were made of, by index; of leaves beyond its end nothing is known.
    pub data_names: Vec<Option<String>>,
}

impl Work {
    /// Takes the graph and the bindings out of `linearised`.
    pub(crate) fn new(device: &Device, linearised: &mut Linearised, request: Request) -> Work {
        let mut states = linearised.states.clone();
        let mut scalars = std::mem::take(&mut linearised.scalars);
        let precision = device.precision();
        let task = match request {
            Request::Evaluate => Task::Evaluate,
            Request::Minimize { step, scalars: own, states: brought } => {
                scalars.extend(own);
                states.extend(brought);
                Task::Minimize(step)
            }
        };
        let key = WorkKey {
            graph: std::mem::take(&mut linearised.graph),
            task,
            precision,
            deterministic: device.deterministic(),
        };
        let data = std::mem::take(&mut linearised.data);
        Work {
            key,
            data,
            states,
            scalars,
            seed: device.seed(),
            step: device.next_step(),
            data_names: Vec::new(),
        }
    }

    /// The names of the layers that these parameters belong to, each once: `layer1.0.conv1` for `layer1.0.conv1.weight`.
    pub fn layer_names(&self, parameters: &[Source]) -> Vec<String> {
        let name = |source: &Source| match *source {
            Source::State(index) => self.states.get(index as usize).map(State::name),
            Source::Data(index) => self.data_names.get(index as usize)?.as_deref(),
        };
        let mut names = Vec::new();
        for name in parameters.iter().filter_map(name) {
            let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer);
            if !names.iter().any(|known| known == layer) {
                names.push(layer.to_owned());
            }
        }
        names
    }
}

impl WorkKey {
    /// The whole graph: element types chosen, differentiated, with the optimizer's step among the updates.
    pub fn expand(&self) -> Result<Graph> {
        expand(&self.graph, &self.task, self.precision)
    }

    /// The whole graph as it is planned: with the rewrites that only graphs without gradients allow, of which some must see
    /// the forward trace before element types are chosen. It means what [`WorkKey::expand`]'s does.
    pub fn expand_for(&self, options: PlanOptions) -> Result<Graph> {
        if self.task != Task::Evaluate {
            return self.expand();
        }
        let graph = match options.fold_batch_norm {
            true => expand(&fold_batch_norm(&self.graph)?, &self.task, self.precision)?,
            false => self.expand()?,
        };
        if options.fuse { absorb(&graph) } else { Ok(graph) }
    }
}

fn expand(forward: &Graph, task: &Task, precision: Precision) -> Result<Graph> {
    match task {
        Task::Expanded => Ok(forward.clone()),
        Task::Evaluate => mixed_precision(forward, precision),
        Task::Minimize(step) => {
            let mut graph = mixed_precision(forward, precision)?;
            append_step(&mut graph, step)?;
            Ok(graph)
        }
    }
}
