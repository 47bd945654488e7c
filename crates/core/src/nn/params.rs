//! The parameters and buffers of a network, by name.

use std::collections::BTreeMap;
use std::ops::Div;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::init::{Fans, Init};
use crate::state::State;
use crate::types::{DType, Shape, TensorType};

/// The seed of a network's initial values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

/// A place for parameters: a device, a seed, a path of names. `params / "layer1" / "conv1"` goes one step down; all
/// paths share one store.
#[derive(Clone)]
pub struct Params {
    store: Arc<Store>,
    path: String,
}

struct Store {
    device: Device,
    /// None where every parameter starts at zero.
    seed: Option<Seed>,
    states: Mutex<BTreeMap<String, State>>,
    training: AtomicBool,
}

impl Params {
    /// An empty store on a device, in training mode.
    pub fn new(device: &Device, seed: Seed) -> Params {
        Params::with(device, Some(seed))
    }

    /// The same, whose parameters and buffers are all zero: for a network whose weights are set next, so that none are
    /// drawn in vain.
    pub fn zeroed(device: &Device) -> Params {
        Params::with(device, None)
    }

    fn with(device: &Device, seed: Option<Seed>) -> Params {
        let store = Store {
            device: device.clone(),
            seed,
            states: Mutex::new(BTreeMap::new()),
            training: AtomicBool::new(true),
        };
        Params { store: Arc::new(store), path: String::new() }
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.store.device
    }

    /// The path of names that leads here, such as `backbone.layer1`; empty at the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Switches dropout on and lets batch normalisation use and follow the batches' statistics.
    pub fn train(&self) {
        self.store.training.store(true, Ordering::Relaxed);
    }

    /// Switches dropout off and lets batch normalisation use its running statistics.
    pub fn eval(&self) {
        self.store.training.store(false, Ordering::Relaxed);
    }

    /// Whether modules are in training mode.
    pub fn is_training(&self) -> bool {
        self.store.training.load(Ordering::Relaxed)
    }

    /// A new trainable `f32` parameter.
    ///
    /// # Errors
    /// [`Error::DuplicateName`] when the name is taken; a failure to allocate.
    pub fn parameter(&self, name: &str, shape: Shape, fans: Fans, init: Init) -> Result<State> {
        Ok(self.buffer(name, shape, fans, init)?.trainable())
    }

    /// A new `f32` state that is not trained, such as a running mean.
    ///
    /// # Errors
    /// As [`Params::parameter`].
    pub fn buffer(&self, name: &str, shape: Shape, fans: Fans, init: Init) -> Result<State> {
        let name = self.join(name);
        let values = match self.store.seed {
            Some(Seed(seed)) => init.values(shape.elements(), fans, seed, &name),
            None => vec![0.0; shape.elements()],
        };
        let mut states = self.states();
        if states.contains_key(&name) {
            return Err(Error::DuplicateName { name });
        }
        let state =
            State::new(&self.store.device, name.clone(), TensorType::new(DType::F32, shape), &values)?;
        states.insert(name, state.clone());
        Ok(state)
    }

    /// The parameter or buffer of this name below the path.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the most similar name.
    pub fn get(&self, name: &str) -> Result<State> {
        let name = self.join(name);
        let states = self.states();
        if let Some(state) = states.get(&name) {
            return Ok(state.clone());
        }
        let common = |known: &&String| known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        let nearest = states.keys().max_by_key(common).cloned();
        Err(Error::UnknownName { name, nearest })
    }

    /// All states below the path, sorted by name.
    pub fn all(&self) -> Vec<State> {
        let below = |name: &str| match name.strip_prefix(&self.path) {
            Some(rest) => self.path.is_empty() || rest.starts_with('.'),
            None => false,
        };
        self.states().iter().filter(|(name, _)| below(name)).map(|(_, state)| state.clone()).collect()
    }

    /// Freezes or thaws the parameters below the path.
    pub fn set_trainable(&self, trainable: bool) {
        for state in self.all() {
            state.set_trainable(trainable);
        }
    }

    /// How many numbers the trainable parameters below the path hold.
    pub fn count(&self) -> usize {
        let trainable = self.all().into_iter().filter(State::is_trainable);
        trainable.map(|state| state.ty().shape.elements()).sum()
    }

    fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.store.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<Params> for Params {
    fn as_ref(&self) -> &Params {
        self
    }
}

impl Div<&str> for &Params {
    type Output = Params;

    fn div(self, name: &str) -> Params {
        Params { store: Arc::clone(&self.store), path: self.join(name) }
    }
}

impl Div<&str> for Params {
    type Output = Params;

    fn div(self, name: &str) -> Params {
        &self / name
    }
}
