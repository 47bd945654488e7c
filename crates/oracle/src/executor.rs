//! The oracle as an executor: whole programs in `f64`, on any machine.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ocelli_core::{Buffer, Data, Device, Error, Executor, Result, TensorType, Work};

use crate::host_tensor::HostTensor;
use crate::interpret::{Bindings, Rounding, interpret};

/// Interprets what a device is asked to do. Buffers hold `f64` whatever their type, so that nothing is lost from step to
/// step unless [`Rounding::Stored`] asks for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Oracle {
    /// Whether values are rounded to their element types.
    pub rounding: Rounding,
}

/// A device whose plans the oracle interprets, without rounding.
pub fn device() -> Device {
    Device::with_executor(Box::new(Oracle::default()))
}

impl Executor for Oracle {
    fn upload(&self, ty: TensorType, bytes: &[u8]) -> Result<Buffer> {
        Ok(keep(HostTensor::from_bytes(ty, bytes)))
    }

    fn overwrite(&self, buffer: &Buffer, ty: TensorType, bytes: &[u8]) -> Result<()> {
        *contents(buffer)? = HostTensor::from_bytes(ty, bytes);
        Ok(())
    }

    fn duplicate(&self, buffer: &Buffer, _ty: TensorType) -> Result<Buffer> {
        Ok(keep(contents(buffer)?.clone()))
    }

    fn download(&self, buffer: &Buffer, _ty: TensorType) -> Result<Vec<u8>> {
        Ok(contents(buffer)?.to_bytes())
    }

    fn assign(&self, to: &Buffer, from: &Buffer, _ty: TensorType) -> Result<()> {
        let values = contents(from)?.clone();
        *contents(to)? = values;
        Ok(())
    }

    fn run(&self, work: &Work) -> Result<Vec<Buffer>> {
        let results = interpret(&work.key.expand()?, &bindings(work)?, self.rounding)?;
        for (state, value) in results.updates {
            *contents(work.states[state as usize].buffer())? = value;
        }
        Ok(results.roots.into_iter().map(keep).collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What the leaves of a piece of work are bound to at this moment.
pub(crate) fn bindings(work: &Work) -> Result<Bindings> {
    let data = |(ty, data): &(TensorType, Data)| match data {
        Data::Host(bytes) => Ok(HostTensor::from_bytes(*ty, bytes)),
        Data::Device { buffer, .. } => Ok(contents(buffer)?.clone()),
        Data::Input(_) => Err(Error::InputRead),
    };
    Ok(Bindings {
        data: work.data.iter().map(data).collect::<Result<_>>()?,
        states: work
            .states
            .iter()
            .map(|state| Ok(contents(state.buffer())?.clone()))
            .collect::<Result<_>>()?,
        scalars: work.scalars.iter().map(|&number| f64::from(number)).collect(),
        seed: work.seed,
        step: work.step,
    })
}

fn keep(tensor: HostTensor) -> Buffer {
    Arc::new(Mutex::new(tensor))
}

/// The contents of a buffer, which must be the oracle's.
fn contents(buffer: &Buffer) -> Result<MutexGuard<'_, HostTensor>> {
    match buffer.downcast_ref::<Mutex<HostTensor>>() {
        Some(contents) => Ok(contents.lock().unwrap_or_else(PoisonError::into_inner)),
        None => Err(Error::DeviceMismatch { operation: "oracle" }),
    }
}
