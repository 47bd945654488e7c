//! What keeps a value from run to run: parameters, running statistics, the optimizers' buffers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::device::{Buffer, Device};
use crate::error::{Error, Result};
use crate::graph::StateId;
use crate::tensor::{Element, Tensor, WeakTensor};
use crate::types::TensorType;

/// A value that lives on the device and changes only when a plan that updates it has run. Cloning clones the handle.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    id: StateId,
    name: String,
    ty: TensorType,
    device: Device,
    buffer: Buffer,
    trainable: AtomicBool,
    version: AtomicU64,
    /// The traced value that will replace this one; weak, so that a trace that is never run is forgotten.
    pending: Mutex<Option<WeakTensor>>,
}

impl State {
    /// A state with these initial values.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when their number is not that of the shape; a failure to allocate.
    pub fn new<T: Element>(
        device: &Device,
        name: impl Into<String>,
        ty: TensorType,
        values: &[T],
    ) -> Result<State> {
        if T::DTYPE != ty.dtype {
            return Err(Error::ReadType { found: ty.dtype, wanted: T::DTYPE });
        }
        if values.len() != ty.shape.elements() {
            return Err(Error::LengthMismatch { count: values.len(), shape: ty.shape });
        }
        let buffer = device.executor().upload(ty, bytemuck::cast_slice(values))?;
        Ok(State::with_buffer(device, name.into(), ty, buffer))
    }

    /// Another state, of its own, whose value is this one's at this moment; it is copied on the device.
    ///
    /// # Errors
    /// A failure to allocate.
    pub fn copy(&self, name: impl Into<String>) -> Result<State> {
        let buffer = self.device().executor().duplicate(self.buffer(), self.ty())?;
        Ok(State::with_buffer(self.device(), name.into(), self.ty(), buffer))
    }

    fn with_buffer(device: &Device, name: String, ty: TensorType, buffer: Buffer) -> State {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        State(Arc::new(Inner {
            id: StateId(NEXT.fetch_add(1, Ordering::Relaxed)),
            name,
            ty,
            device: device.clone(),
            buffer,
            trainable: AtomicBool::new(false),
            version: AtomicU64::new(0),
            pending: Mutex::new(None),
        }))
    }

    /// The same state, marked as one that gradients are wanted for.
    pub fn trainable(self) -> State {
        self.set_trainable(true);
        self
    }

    /// The identity.
    pub fn id(&self) -> StateId {
        self.0.id
    }

    /// The full name, such as `layer1.0.conv1.weight`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The element type and the shape.
    pub fn ty(&self) -> TensorType {
        self.0.ty
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Where the value lies; the place does not change.
    pub fn buffer(&self) -> &Buffer {
        &self.0.buffer
    }

    /// Whether gradients are wanted for it.
    pub fn is_trainable(&self) -> bool {
        self.0.trainable.load(Ordering::Relaxed)
    }

    /// Freezes or thaws a parameter: a frozen one gets no gradient nodes.
    pub fn set_trainable(&self, trainable: bool) {
        self.0.trainable.store(trainable, Ordering::Relaxed);
    }

    /// How often the value has changed.
    pub(crate) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// Notes that a run has changed the value.
    pub(crate) fn advance(&self) {
        self.0.version.fetch_add(1, Ordering::AcqRel);
        *self.0.pending.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The value as a tensor: the traced new one if there is one, so that updates within a step chain.
    pub fn tensor(&self) -> Tensor {
        let pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.as_ref().and_then(WeakTensor::upgrade).unwrap_or_else(|| Tensor::of_state(self))
    }

    /// Notes the traced value that will replace this one.
    pub(crate) fn set_pending(&self, value: &Tensor) {
        *self.0.pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(value.downgrade());
    }

    /// Overwrites the value, in place, as loading a checkpoint does.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] or [`Error::ReadType`] when the values do not fit.
    pub fn set<T: Element>(&self, values: &[T]) -> Result<()> {
        if T::DTYPE != self.0.ty.dtype {
            return Err(Error::ReadType { found: self.0.ty.dtype, wanted: T::DTYPE });
        }
        if values.len() != self.0.ty.shape.elements() {
            return Err(Error::LengthMismatch { count: values.len(), shape: self.0.ty.shape });
        }
        self.0.device.executor().overwrite(&self.0.buffer, self.0.ty, bytemuck::cast_slice(values))?;
        self.advance();
        Ok(())
    }

    /// The value, copied to the host.
    ///
    /// # Errors
    /// [`Error::ReadType`] when `T` is not its element type.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        Tensor::of_state(self).to_vec()
    }
}
