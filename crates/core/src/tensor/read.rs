//! Reading values: evaluates what is not known yet, and copies it to the host.

use super::{Data, Element, Linearised, Mode, Tensor, linearise, node::Source};
use crate::device::Buffer;
use crate::error::{Error, Result};
use crate::types::DType;
use crate::work::{Request, Work};

impl Tensor {
    /// The values, in row-major order.
    ///
    /// # Errors
    /// [`Error::ReadType`] when `T` is not the tensor's element type, or what can go wrong in planning and running.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if T::DTYPE != self.dtype() {
            return Err(Error::ReadType { found: self.dtype(), wanted: T::DTYPE });
        }
        let bytes = self.to_bytes()?;
        let mut values = vec![T::zeroed(); self.shape().elements()];
        bytemuck::cast_slice_mut(&mut values).copy_from_slice(&bytes);
        Ok(values)
    }

    /// The one value of an `f32` scalar: a loss, an accuracy. It waits for that value alone, not for what was launched
    /// after it.
    pub fn value(&self) -> Result<f32> {
        match self.to_vec::<f32>()?[..] {
            [value] => Ok(value),
            _ => Err(Error::NotScalar { found: self.ty() }),
        }
    }

    /// The values of any floating-point or integer tensor as `f32`.
    pub fn to_f32_vec(&self) -> Result<Vec<f32>> {
        Ok(match self.dtype() {
            DType::F32 => self.to_vec::<f32>()?,
            DType::F16 => self.to_vec::<half::f16>()?.into_iter().map(half::f16::to_f32).collect(),
            DType::BF16 => self.to_vec::<half::bf16>()?.into_iter().map(half::bf16::to_f32).collect(),
            DType::I32 => self.to_vec::<i32>()?.into_iter().map(|value| value as f32).collect(),
            DType::U8 => self.to_vec::<u8>()?.into_iter().map(f32::from).collect(),
        })
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        if let Source::Data(Data::Host(bytes)) = &self.node.source {
            return Ok(bytes.to_vec());
        }
        let buffer = self.realise()?;
        self.device().executor().download(&buffer, self.ty())
    }

    /// The buffer that holds the value; it is computed if need be.
    pub(crate) fn realise(&self) -> Result<Buffer> {
        if let Source::Data(Data::Host(bytes)) = &self.node.source {
            return self.device().executor().upload(self.ty(), bytes);
        }
        if let Source::State { state, version } = &self.node.source
            && *version == state.version()
        {
            return self.device().executor().duplicate(state.buffer(), self.ty());
        }
        match self.buffer() {
            Some(buffer) => Ok(buffer),
            None => {
                evaluate(&[self])?;
                self.buffer()
                    .ok_or_else(|| Error::Plan { pass: "evaluate", what: "a root has no value".into() })
            }
        }
    }
}

/// Computes these tensors in one plan; their values are kept with them.
///
/// # Errors
/// What can go wrong in planning and running; [`Error::DeviceMismatch`] when they belong to several devices.
pub fn evaluate(tensors: &[&Tensor]) -> Result<()> {
    let Some(first) = tensors.first() else { return Ok(()) };
    let device = first.device();
    if tensors.iter().any(|tensor| tensor.device() != device) {
        return Err(Error::DeviceMismatch { operation: "evaluate" });
    }
    let unknown: Vec<&Tensor> = tensors.iter().copied().filter(|tensor| tensor.buffer().is_none()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let mut linearised = linearise(unknown.iter().copied(), Mode::Evaluate, false)?;
    run(&mut linearised, Request::Evaluate, &unknown)
}

/// Runs a linearised trace and hands the roots' values to their tensors.
pub(crate) fn run(linearised: &mut Linearised, request: Request, roots: &[&Tensor]) -> Result<()> {
    let Some(first) = roots.first() else { return Ok(()) };
    if linearised.data.iter().any(|(_, data)| matches!(data, Data::Input(_))) {
        return Err(Error::InputRead);
    }
    let work = Work::new(first.device(), linearised, request);
    let buffers = first.device().executor().run(&work)?;
    linearised.graph = work.key.graph;
    linearised.finish();
    for (root, buffer) in roots.iter().zip(buffers) {
        root.set_realised(buffer);
    }
    Ok(())
}
