//! What an executor is asked to do: a traced graph, what its leaves are bound to, and what is wanted of it.
//!
//! [`WorkKey`] is all that a plan depends on; learning rates, the step, seeds, addresses and names are not in it. A plan
//! is looked up by the *forward* trace and the request, before anything is differentiated: [`WorkKey::expand`] runs only
//! when a plan is made.

use crate::device::{Device, Precision};
use crate::error::Result;
use crate::graph::{Graph, Leaf, Update, Value};
use crate::ops::{AdamW, Op, Sgd};
use crate::plan::PlanOptions;
use crate::plan::precision::mixed_precision;
use crate::plan::rules::fold_batch_norm::fold_batch_norm;
use crate::state::State;
use crate::tensor::{Data, Linearised};
use crate::types::TensorType;

/// What is wanted of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// The roots' values.
    Evaluate,
    /// The roots' values, and a step of an optimizer that makes the first root smaller.
    Minimize(Rule),
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

    /// Scalars a group.
    pub fn scalars(&self) -> usize {
        match self {
            Rule::Sgd(_) => Sgd::SCALARS,
            Rule::AdamW(_) => AdamW::SCALARS,
        }
    }

    fn groups(&self) -> &[u32] {
        match self {
            Rule::Sgd(sgd) => &sgd.groups,
            Rule::AdamW(adamw) => &adamw.groups,
        }
    }
}

/// What is wanted, with the numbers of the moment.
pub enum Request {
    /// The roots' values.
    Evaluate,
    /// A step of an optimizer.
    Minimize {
        /// The rule.
        rule: Rule,
        /// The scalars of each group, one group after the other.
        scalars: Vec<f32>,
        /// The buffers of each trainable state, one state after the other.
        buffers: Vec<State>,
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
    /// The states, by index: those of the trace, then the optimizer's buffers.
    pub states: Vec<State>,
    /// The scalars, by slot: those of the trace, the loss scale, then those of the optimizer's groups.
    pub scalars: Vec<f32>,
    /// The key of this run's random numbers.
    pub seed: u64,
    /// The number of this run.
    pub step: u32,
}

impl Work {
    /// Takes the graph and the bindings out of `linearised`.
    pub(crate) fn new(device: &Device, linearised: &mut Linearised, request: Request) -> Work {
        let mut states = linearised.states.clone();
        let mut scalars = std::mem::take(&mut linearised.scalars);
        let precision = device.precision();
        let task = match request {
            Request::Evaluate => Task::Evaluate,
            Request::Minimize { rule, scalars: settings, buffers } => {
                scalars.push(precision.loss_scale());
                scalars.extend(settings);
                states.extend(buffers);
                Task::Minimize(rule)
            }
        };
        let key = WorkKey {
            graph: std::mem::take(&mut linearised.graph),
            task,
            precision,
            deterministic: device.deterministic(),
        };
        let data = std::mem::take(&mut linearised.data);
        Work { key, data, states, scalars, seed: device.seed(), step: device.next_step() }
    }

    /// The names of the layers that these states belong to, each once: `layer1.0.conv1` for `layer1.0.conv1.weight`.
    pub fn layer_names(&self, states: &[u32]) -> Vec<String> {
        let mut names = Vec::new();
        for name in states.iter().filter_map(|&index| self.states.get(index as usize)).map(State::name) {
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

    /// The whole graph as it is planned: after the rewrites that must see the forward trace alone, such as those that only
    /// graphs without gradients allow. It means what [`WorkKey::expand`]'s does.
    pub fn expand_for(&self, options: PlanOptions) -> Result<Graph> {
        match &self.task {
            Task::Evaluate if options.fold_batch_norm => {
                expand(&fold_batch_norm(&self.graph)?, &self.task, self.precision)
            }
            _ => self.expand(),
        }
    }
}

fn expand(forward: &Graph, task: &Task, precision: Precision) -> Result<Graph> {
    match task {
        Task::Expanded => Ok(forward.clone()),
        Task::Evaluate => mixed_precision(forward, precision),
        Task::Minimize(rule) => {
            let mut graph = mixed_precision(forward, precision)?;
            append_step(&mut graph, rule)?;
            Ok(graph)
        }
    }
}

/// Appends the gradients of the first root for the trainable states, and the optimizer's node.
fn append_step(graph: &mut Graph, rule: &Rule) -> Result<()> {
    let mut slots = 0;
    let mut state_count = 0;
    let mut trainable: Vec<(u32, Value)> = Vec::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        match node.op {
            Op::Leaf(Leaf::Scalar { slot }) => slots = slots.max(slot + 1),
            Op::Leaf(Leaf::State { index, trainable: wanted }) => {
                state_count = state_count.max(index + 1);
                if wanted {
                    trainable.push((index, Value { node: id as u32, output: 0 }));
                }
            }
            _ => {}
        }
    }
    for update in &graph.updates {
        state_count = state_count.max(update.state + 1);
    }
    trainable.sort_unstable_by_key(|&(index, _)| index);

    let scalar = |graph: &mut Graph, slot| graph.push_leaf(Leaf::Scalar { slot }, TensorType::scalar());
    let scale = scalar(graph, slots);
    let targets: Vec<Value> = trainable.iter().map(|&(_, value)| value).collect();
    let loss = graph.roots[0];
    let gradients = crate::autograd::differentiate(graph, loss, &targets, scale)?;

    let groups = rule.groups();
    let group_count = crate::ops::optimizer::group_count(groups);
    let mut inputs: Vec<Value> =
        (0..(group_count * rule.scalars()) as u32).map(|offset| scalar(graph, slots + 1 + offset)).collect();
    let mut updated = Vec::new();
    for (position, (&(index, weight), gradient)) in trainable.iter().zip(gradients).enumerate() {
        let ty = graph.ty(weight);
        let gradient = match gradient {
            Some(gradient) => gradient,
            None => {
                let zero = graph.constant(0.0)?;
                graph.broadcast_to(zero, ty.shape)?
            }
        };
        inputs.extend([weight, gradient]);
        updated.push(index);
        for buffer in 0..rule.buffers() {
            let index = state_count + (position * rule.buffers() + buffer) as u32;
            inputs.push(graph.push_leaf(Leaf::State { index, trainable: false }, ty));
            updated.push(index);
        }
    }
    let op = match rule {
        Rule::Sgd(sgd) => Op::Sgd(sgd.clone()),
        Rule::AdamW(adamw) => Op::AdamW(adamw.clone()),
    };
    let first = graph.push(op, inputs)?;
    for (output, state) in updated.into_iter().enumerate() {
        graph.updates.push(Update { state, value: first.output(output as u16) });
    }
    Ok(())
}
