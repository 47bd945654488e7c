//! What a training step does besides the optimizer's rule, and the states that go with it.

use std::collections::{BTreeMap, HashMap, btree_map, hash_map};

use super::{AverageConfig, LossScale};
use crate::device::{Device, Precision};
use crate::error::{Error, Origin, Result};
use crate::graph::StateId;
use crate::state::State;
use crate::tensor::{Effect, Tensor, WeakTensor, evaluate};
use crate::training::{Controls, SCALING_STATES};
use crate::types::TensorType;
use crate::work::{Rule, Step};

/// After so many skipped steps in a row the loss scale, halved as often, is not the reason.
const STUCK: f32 = 32.0;

/// Loss scale, clipping, accumulation, averages: their settings, and their states on the device.
pub struct Training {
    device: Device,
    loss_scale: LossScale,
    max_norm: Option<f32>,
    average: Option<AverageConfig>,
    decay_of_vectors: bool,
    /// Steps so far, those that were skipped too.
    steps: u64,
    /// Micro-batches since the last step.
    pending: u64,
    accumulated: HashMap<StateId, State>,
    /// Each averaged state and its average.
    averages: BTreeMap<StateId, (State, State)>,
    swapped: bool,
    norm: Option<State>,
    scaling: Option<[State; SCALING_STATES]>,
    corrections: Vec<State>,
    /// The steps of the losses that are still held.
    losses: Vec<(WeakTensor, u64)>,
}

impl Training {
    pub(super) fn new(device: &Device) -> Training {
        Training {
            device: device.clone(),
            loss_scale: LossScale::default(),
            max_norm: None,
            average: None,
            decay_of_vectors: true,
            steps: 0,
            pending: 0,
            accumulated: HashMap::new(),
            averages: BTreeMap::new(),
            swapped: false,
            norm: None,
            scaling: None,
            corrections: Vec::new(),
            losses: Vec::new(),
        }
    }

    /// Scales losses in `f16` this way from now on, beginning with the initial scale.
    pub fn set_loss_scale(&mut self, loss_scale: LossScale) {
        (self.loss_scale, self.scaling) = (loss_scale, None);
    }

    /// Limits the norm of all gradients together from now on, or no longer.
    pub fn set_max_norm(&mut self, max_norm: Option<f32>) {
        self.max_norm = max_norm;
    }

    /// Averages weights and running statistics from now on, or no longer; averages so far are kept.
    pub fn set_average(&mut self, config: Option<AverageConfig>) {
        self.average = config;
    }

    /// Whether parameters of at most one extent decay as their group does, or not at all.
    pub fn set_decay_of_vectors(&mut self, decay: bool) {
        self.decay_of_vectors = decay;
    }

    /// Steps so far, those that were skipped too.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The averages so far: each averaged state, and the state that holds its average.
    pub fn averages(&self) -> impl Iterator<Item = (&State, &State)> {
        self.averages.values().map(|(state, average)| (state, average))
    }

    pub(super) fn decays_vectors(&self) -> bool {
        self.decay_of_vectors
    }

    /// The parts of a step by this rule, or of a micro-batch's accumulation.
    pub(super) fn parts(&self, rule: Option<Rule>) -> Step {
        Step {
            scaled: self.device.precision() == Precision::mixed_f16(),
            accumulate: rule.is_none() || self.pending > 0,
            clip: rule.is_some() && self.max_norm.is_some(),
            average: rule.is_some() && self.average.is_some(),
            rule,
        }
    }

    /// The numbers that a step gets besides its groups' settings.
    pub(super) fn controls(&self) -> Controls {
        let controls = Controls {
            keep_accumulated: self.pending > 0,
            max_norm: self.max_norm.unwrap_or(0.0),
            decay: self.average.map_or(0.0, |average| average.decay_at(self.steps)),
            ..Controls::default()
        };
        self.loss_scale.controls(controls)
    }

    /// The states that a step needs after the buffers of its rule, made when they are first needed, in the order of the
    /// step's graph. `moved` are the running statistics that it changes.
    pub(super) fn states(&mut self, step: &Step, trained: &[State], moved: &[State]) -> Result<Vec<State>> {
        let mut states = Vec::new();
        if step.accumulate {
            for state in trained {
                states.push(match self.accumulated.entry(state.id()) {
                    hash_map::Entry::Occupied(known) => known.get().clone(),
                    hash_map::Entry::Vacant(new) => {
                        new.insert(state.copy(format!("{}.accumulated", state.name()))?).clone()
                    }
                });
            }
        }
        if step.average {
            for state in trained.iter().chain(moved) {
                let (_, average) = match self.averages.entry(state.id()) {
                    btree_map::Entry::Occupied(known) => known.into_mut(),
                    btree_map::Entry::Vacant(new) => {
                        new.insert((state.clone(), state.copy(format!("ema.{}", state.name()))?))
                    }
                };
                states.push(average.clone());
            }
        }
        let number = |name: &str, value| State::new(&self.device, name, TensorType::scalar(), &[value]);
        if step.measures() {
            if self.norm.is_none() {
                self.norm = Some(number("gradient_norm", 0.0)?);
            }
            states.extend(self.norm.clone());
        }
        if step.scaled {
            if self.scaling.is_none() {
                self.scaling = Some([
                    number("loss_scale", self.loss_scale.initial())?,
                    number("loss_scale.good_steps", 0.0)?,
                    number("loss_scale.skipped_steps", 0.0)?,
                    number("loss_scale.skipped_in_a_row", 0.0)?,
                ]);
            }
            states.extend(self.scaling.iter().flatten().cloned());
        }
        let corrections = step.rule.as_ref().map_or(0, |rule| rule.corrections() * rule.group_count());
        while self.corrections.len() < corrections {
            self.corrections.push(number("bias_correction", 0.0)?);
        }
        states.extend(self.corrections[..corrections].iter().cloned());
        Ok(states)
    }

    /// Refuses to train what is swapped out.
    pub(super) fn refuse_if_swapped(&self) -> Result<()> {
        if !self.swapped {
            return Ok(());
        }
        Err(Error::InvalidArgument {
            operation: "minimize",
            what: "the averages stand in the weights' place; call swap_average() again before training"
                .into(),
            origin: Origin::caller(),
        })
    }

    /// Notes that a micro-batch was added.
    pub(super) fn added(&mut self) {
        self.pending += 1;
    }

    /// Notes that a step was made with this loss.
    pub(super) fn stepped(&mut self, loss: &Tensor) {
        self.pending = 0;
        self.steps += 1;
        self.losses.retain(|(held, _)| held.upgrade().is_some());
        self.losses.push((loss.downgrade(), self.steps));
    }

    pub(super) fn check(&self, loss: &Tensor) -> Result<f32> {
        let is_this = |held: &WeakTensor| held.upgrade().is_some_and(|held| held.is(loss));
        let step =
            self.losses.iter().rev().find(|(held, _)| is_this(held)).map_or(self.steps, |(_, step)| *step);
        let value = loss.value()?;
        let (scale, in_a_row) = match &self.scaling {
            Some([scale, _, _, in_a_row]) => (read(scale)?, read(in_a_row)?),
            None => (1.0, 0.0),
        };
        if !value.is_finite() {
            let mut what = format!(
                "the loss is {value}; look for such numbers in the input, for labels outside of the classes, and for weights \
                 that grew too large"
            );
            if let Some([_, _, skipped, _]) = &self.scaling {
                let skipped = read(skipped)?;
                what.push_str(&format!(
                    " (the loss scale is {scale}, and {skipped} steps were skipped so far)"
                ));
            }
            return Err(Error::NotFinite { step, what });
        }
        if in_a_row >= STUCK {
            let what = format!(
                "the gradients of the last {in_a_row} steps were not finite, with a loss scale of {scale} at last, though the \
                 loss is {value}; look for a function whose derivative is infinite, or train in bf16"
            );
            return Err(Error::NotFinite { step, what });
        }
        Ok(value)
    }

    pub(super) fn loss_scale(&self) -> Result<f32> {
        if self.device.precision() != Precision::mixed_f16() {
            return Ok(1.0);
        }
        self.scaling.as_ref().map_or(Ok(self.loss_scale.initial()), |[scale, ..]| read(scale))
    }

    pub(super) fn skipped_steps(&self) -> Result<u64> {
        self.scaling.as_ref().map_or(Ok(0), |[_, _, skipped, _]| Ok(read(skipped)? as u64))
    }

    pub(super) fn gradient_norm(&self) -> Result<Option<f32>> {
        self.norm.as_ref().map(read).transpose()
    }

    pub(super) fn swap_average(&mut self) -> Result<()> {
        let effects: Vec<Effect> = self
            .averages
            .values()
            .flat_map(|(state, average)| {
                let becomes = |state: &State, other: &State| Effect {
                    state: state.clone(),
                    value: Tensor::of_state(other),
                };
                [becomes(state, average), becomes(average, state)]
            })
            .collect();
        if effects.is_empty() {
            return Ok(());
        }
        evaluate(&[&Tensor::scalar(&self.device, 0.0).with_effects(effects)])?;
        self.swapped = !self.swapped;
        Ok(())
    }
}

/// The number that a state holds.
fn read(state: &State) -> Result<f32> {
    Ok(state.to_vec::<f32>()?.first().copied().unwrap_or(0.0))
}
