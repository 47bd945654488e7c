//! The handle that user code holds: a value of the graph that the program builds as it runs.
//!
//! Calling an operation appends a node and checks shapes and types at once; nothing is computed. Reading a value
//! ([`Tensor::to_vec`], [`Tensor::value`]) evaluates what it needs, as one plan. The methods stand with their
//! operations, in [`crate::ops`].

mod linearise;
mod node;
mod read;

use std::fmt;
use std::sync::{Arc, Weak};

use bytemuck::Pod;
use half::{bf16, f16};
use ocelli_cuda::DeviceBuffer;
use smallvec::smallvec;

use crate::device::{Buffer, Device};
use crate::error::{Error, Origin, Result};
use crate::execute::Gpu;
use crate::graph::Value;
use crate::ops::Op;
use crate::state::State;
use crate::types::{DType, Shape, TensorType};

pub(crate) use linearise::{Linearised, Mode, linearise};
pub use node::Data;
pub(crate) use node::Effect;
use node::{Source, TraceNode};
pub use read::evaluate;
pub(crate) use read::run;

/// A value of the traced graph: an operation's output, data, a parameter. Cloning clones the handle.
#[derive(Clone)]
pub struct Tensor {
    node: Arc<TraceNode>,
    output: u16,
}

/// A tensor that is not kept alive.
pub(crate) struct WeakTensor {
    node: Weak<TraceNode>,
    output: u16,
}

impl WeakTensor {
    pub(crate) fn upgrade(&self) -> Option<Tensor> {
        Some(Tensor { node: self.node.upgrade()?, output: self.output })
    }
}

/// A Rust type that tensors can be made of and read as.
pub trait Element: Pod + Send + Sync {
    /// The element type that it corresponds to.
    const DTYPE: DType;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}
impl Element for f16 {
    const DTYPE: DType = DType::F16;
}
impl Element for bf16 {
    const DTYPE: DType = DType::BF16;
}
impl Element for i32 {
    const DTYPE: DType = DType::I32;
}
impl Element for u8 {
    const DTYPE: DType = DType::U8;
}

impl Tensor {
    /// A tensor of these values, in row-major order. They are copied to the device when something is computed from them.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when the number of values is not that of the shape.
    #[track_caller]
    pub fn from_slice<T: Element>(device: &Device, values: &[T], shape: &[usize]) -> Result<Tensor> {
        let shape = checked_shape("from_slice", shape)?;
        if values.len() != shape.elements() {
            return Err(Error::LengthMismatch { count: values.len(), shape });
        }
        let data = Data::Host(Arc::new(bytemuck::cast_slice(values).to_vec()));
        Ok(Tensor::data(device, TensorType::new(T::DTYPE, shape), data))
    }

    /// A tensor of values that lie on this GPU already, in row-major order, such as a batch of a loader: the first bytes of
    /// `memory`. A plan that needs them copies them within the GPU, on the compute stream; work of other streams that
    /// writes them must have been joined to it. The memory is let go when the tensor is, and the plans that need it have
    /// been submitted.
    ///
    /// # Errors
    /// [`Error::Plan`] when the device is no GPU, [`Error::LengthMismatch`] when the memory is too small.
    #[track_caller]
    pub fn from_device_memory(
        device: &Device,
        memory: DeviceBuffer,
        dtype: DType,
        shape: &[usize],
    ) -> Result<Tensor> {
        if device.gpu().is_none() {
            let what = "memory of a GPU was given to a device that is none".into();
            return Err(Error::Plan { pass: "from_device_memory", what });
        }
        let ty = TensorType::new(dtype, checked_shape("from_device_memory", shape)?);
        if memory.len() < ty.bytes() {
            return Err(Error::LengthMismatch { count: memory.len() / dtype.bytes(), shape: ty.shape });
        }
        let data = Data::Device { buffer: Gpu::hold_memory(memory), resident: false };
        Ok(Tensor::data(device, ty, data))
    }

    /// One `f32` whose value may change from run to run without a new plan, unlike that of a static number: a weight of a
    /// loss that is annealed, say.
    pub fn scalar(device: &Device, value: f32) -> Tensor {
        Tensor::leaf(device, TensorType::scalar(), Source::Scalar(value))
    }

    /// A static number; it is part of the graph, so that another value is another plan.
    pub fn constant(device: &Device, value: f32) -> Result<Tensor> {
        Tensor::trace(device, Op::Constant(crate::types::Real(value)), &[], Origin::caller())
    }

    /// The same values in a place of their own on the device, where plans read them without copying: for what is used
    /// again and again, such as a data set from which batches are taken by [`Tensor::take_rows`].
    pub fn to_device(&self) -> Result<Tensor> {
        let buffer = self.realise()?;
        Ok(Tensor::data(self.device(), self.ty(), Data::Device { buffer, resident: true }))
    }

    pub(crate) fn data(device: &Device, ty: TensorType, data: Data) -> Tensor {
        Tensor::leaf(device, ty, Source::Data(data))
    }

    pub(crate) fn of_state(state: &State) -> Tensor {
        let source = Source::State { state: state.clone(), version: state.version() };
        Tensor::leaf(state.device(), state.ty(), source)
    }

    /// The same value, whose evaluation also gives states new values.
    pub(crate) fn with_effects(&self, effects: Vec<Effect>) -> Tensor {
        let node = TraceNode::new(
            self.device(),
            Source::Effects(effects),
            smallvec![self.clone()],
            smallvec![self.ty()],
        );
        Tensor { node: Arc::new(node), output: 0 }
    }

    fn leaf(device: &Device, ty: TensorType, source: Source) -> Tensor {
        Tensor { node: Arc::new(TraceNode::new(device, source, smallvec![], smallvec![ty])), output: 0 }
    }

    /// Traces an operation and returns its first output.
    pub(crate) fn trace(device: &Device, op: Op, inputs: &[&Tensor], origin: Origin) -> Result<Tensor> {
        if inputs.iter().any(|input| input.device() != device) {
            return Err(Error::DeviceMismatch { operation: op.name() });
        }
        let mut types = [TensorType::scalar(); 8];
        let outputs = if inputs.len() <= types.len() {
            for (ty, input) in types.iter_mut().zip(inputs) {
                *ty = input.ty();
            }
            op.infer(&types[..inputs.len()], origin)?
        } else {
            let types: Vec<TensorType> = inputs.iter().map(|input| input.ty()).collect();
            op.infer(&types, origin)?
        };
        let inputs = inputs.iter().map(|&input| input.clone()).collect();
        let node = TraceNode::new(device, Source::Operation(op), inputs, outputs.into());
        Ok(Tensor { node: Arc::new(node), output: 0 })
    }

    /// Traces an operation on this tensor and others.
    pub(crate) fn apply(&self, op: Op, others: &[&Tensor], origin: Origin) -> Result<Tensor> {
        match others {
            [] => Tensor::trace(self.device(), op, &[self], origin),
            [other] => Tensor::trace(self.device(), op, &[self, other], origin),
            _ => {
                let inputs: Vec<&Tensor> = std::iter::once(self).chain(others.iter().copied()).collect();
                Tensor::trace(self.device(), op, &inputs, origin)
            }
        }
    }

    pub(crate) fn downgrade(&self) -> WeakTensor {
        WeakTensor { node: Arc::downgrade(&self.node), output: self.output }
    }

    /// Whether both are the same value of the trace.
    pub(crate) fn is(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.node, &other.node) && self.output == other.output
    }

    /// Another output of the same operation.
    pub(crate) fn sibling(&self, output: u16) -> Tensor {
        Tensor { node: Arc::clone(&self.node), output }
    }

    /// The element type and the shape.
    pub fn ty(&self) -> TensorType {
        self.node.outputs[self.output as usize]
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.ty().dtype
    }

    /// The extents.
    pub fn shape(&self) -> Shape {
        self.ty().shape
    }

    /// The extents as a slice, slowest first.
    pub fn dims(&self) -> &[usize] {
        self.node.outputs[self.output as usize].shape.dims()
    }

    /// The device that the tensor belongs to.
    pub fn device(&self) -> &Device {
        &self.node.device
    }

    /// Whether a trainable parameter lies upstream.
    pub fn requires_grad(&self) -> bool {
        self.node.differentiable
    }
}

/// The gradients of `loss` for each of `targets`, as tensors of the same graph. Any tensors may be targets, parameters or
/// not. Where dropout lies on the way, loss and gradients must be evaluated together: each run draws other masks.
///
/// # Errors
/// [`Error::NotScalar`] when the loss is not one floating-point number, [`Error::NoGradient`] when an operation on the
/// way has none, [`Error::Unrelated`] when no path leads from a target to the loss.
pub fn gradients(loss: &Tensor, targets: &[&Tensor]) -> Result<Vec<Tensor>> {
    let device = loss.device();
    let Linearised { mut graph, mut tensors, dropouts, .. } =
        linearise(std::iter::once(loss).chain(targets.iter().copied()), Mode::Differentiate, true)?;
    let (root, wanted) = (graph.roots[0], graph.roots[1..].to_vec());
    let first_new = graph.nodes.len();
    for (&target, tensor) in wanted.iter().zip(targets) {
        if !crate::autograd::leads_to(&graph, target, root) {
            return Err(Error::Unrelated { target: tensor.ty() });
        }
    }
    let seed = graph.constant(1.0)?;
    let found = crate::autograd::differentiate(&mut graph, root, &wanted, seed)?;
    let mut values = Vec::with_capacity(found.len());
    for (gradient, &target) in found.into_iter().zip(&wanted) {
        values.push(match gradient {
            Some(value) => value,
            None => {
                let ty = graph.ty(target);
                let zero = graph.constant(0.0)?;
                let zero = graph.cast(zero, ty.dtype)?;
                graph.broadcast_to(zero, ty.shape)?
            }
        });
    }
    for node in &graph.nodes[first_new..] {
        let input = |value: &Value| tensors[value.node as usize].sibling(value.output);
        let inputs = node.inputs.iter().map(input).collect();
        let op = match node.op {
            Op::Dropout(dropout) => {
                let ordinal = dropouts.get(dropout.ordinal as usize).copied().unwrap_or(dropout.ordinal);
                Op::Dropout(crate::ops::Dropout { ordinal, ..dropout })
            }
            ref other => other.clone(),
        };
        let node = TraceNode::new(device, Source::Operation(op), inputs, node.outputs.clone());
        tensors.push(Tensor { node: Arc::new(node), output: 0 });
    }
    Ok(values.into_iter().map(|value| tensors[value.node as usize].sibling(value.output)).collect())
}

/// The shape with these extents, or an error that names the operation.
#[track_caller]
pub(crate) fn checked_shape(operation: &'static str, extents: &[usize]) -> Result<Shape> {
    let origin = Origin::caller();
    Shape::new(extents).ok_or_else(|| Error::InvalidArgument {
        operation,
        what: format!("{extents:?} is no shape: at most four extents, and their product must fit a usize"),
        origin,
    })
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({})", self.ty())
    }
}

impl Tensor {
    /// The buffer that holds the value, if it has been computed.
    pub(crate) fn buffer(&self) -> Option<Buffer> {
        self.node.realised(self.output)
    }

    /// Forgets how a computed value was computed, and with it what it was computed from: no gradient can be asked of it any
    /// more.
    pub(crate) fn forget(&self) {
        self.node.forget();
    }

    /// Remembers the computed value, and forgets how it was computed where no gradient can be asked of it.
    pub(crate) fn set_realised(&self, buffer: Buffer) {
        self.node.set_realised(self.output, buffer);
    }
}
