//! Softmax, by the calls that cuDNN has beside its graph API.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use ocelli_cudnn_sys::{self as sys, Functions};

use crate::error::check;
use crate::handle::Handle;
use crate::{DataType, Error, Result};

/// A softmax over the channels of an image, at each of its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SoftmaxSpec {
    /// The type of every tensor: [`F32`](DataType::F32), [`F16`](DataType::F16), [`BF16`](DataType::BF16) or
    /// [`F64`](DataType::F64).
    pub data_type: DataType,
    /// Images.
    pub n: i32,
    /// Height.
    pub h: i32,
    /// Width.
    pub w: i32,
    /// Channels, over which is normalised; innermost in memory (NHWC).
    pub c: i32,
    /// Whether the logarithm is computed.
    pub log: bool,
}

/// Owns one `cudnnTensorDescriptor_t`.
struct TensorDescriptor {
    raw: sys::TensorDescriptor,
    functions: &'static Functions,
}

impl TensorDescriptor {
    fn new(functions: &'static Functions, spec: &SoftmaxSpec) -> Result<TensorDescriptor> {
        let mut raw = null_mut();
        // SAFETY: `raw` is a valid place for the new descriptor.
        let status = unsafe { (functions.create_tensor_descriptor)(&mut raw) };
        check(functions, status, || "cudnnCreateTensorDescriptor".into())?;
        let descriptor = TensorDescriptor { raw, functions };
        // SAFETY: the descriptor is alive.
        let status = unsafe {
            (functions.set_tensor_4d_descriptor)(
                raw,
                sys::CUDNN_TENSOR_NHWC,
                spec.data_type.raw(),
                spec.n as c_int,
                spec.c as c_int,
                spec.h as c_int,
                spec.w as c_int,
            )
        };
        check(functions, status, || format!("cudnnSetTensor4dDescriptor ({spec:?})"))?;
        Ok(descriptor)
    }
}

impl Drop for TensorDescriptor {
    fn drop(&mut self) {
        // SAFETY: the descriptor is this value's own, and not used again. A failure leaves nothing to be done.
        unsafe { (self.functions.destroy_tensor_descriptor)(self.raw) };
    }
}

/// The factors of a result and of what was there before: cuDNN reads doubles for f64 tensors and floats for all others.
struct Factors {
    f64: [f64; 2],
    f32: [f32; 2],
    double: bool,
}

impl Factors {
    fn overwrite(spec: &SoftmaxSpec) -> Factors {
        Factors { f64: [1.0, 0.0], f32: [1.0, 0.0], double: spec.data_type == DataType::F64 }
    }

    fn pointers(&self) -> [*const c_void; 2] {
        match self.double {
            true => [(&raw const self.f64[0]).cast(), (&raw const self.f64[1]).cast()],
            false => [(&raw const self.f32[0]).cast(), (&raw const self.f32[1]).cast()],
        }
    }
}

fn algorithm(spec: &SoftmaxSpec) -> sys::SoftmaxAlgorithm {
    if spec.log { sys::CUDNN_SOFTMAX_LOG } else { sys::CUDNN_SOFTMAX_ACCURATE }
}

fn validate(spec: &SoftmaxSpec) -> Result<()> {
    let float = matches!(spec.data_type, DataType::F32 | DataType::F16 | DataType::BF16 | DataType::F64);
    if float && [spec.n, spec.h, spec.w, spec.c].into_iter().all(|size| size > 0) {
        return Ok(());
    }
    Err(Error::InvalidGraph {
        operation: format!("softmax({spec:?})"),
        problem: "needs a floating-point type and sizes of at least 1".into(),
    })
}

/// # Safety
/// As [`Cudnn::softmax`](crate::Cudnn::softmax).
pub(crate) unsafe fn forward(handle: &Handle, spec: &SoftmaxSpec, x: u64, y: u64) -> Result<()> {
    validate(spec)?;
    let functions = handle.functions();
    let tensor = TensorDescriptor::new(functions, spec)?;
    let factors = Factors::overwrite(spec);
    let [alpha, beta] = factors.pointers();
    let (raw, _guard) = handle.enqueue()?;
    // SAFETY: handle, descriptor and factors are alive; the caller answers for the addresses.
    let status = unsafe {
        (functions.softmax_forward)(
            raw,
            algorithm(spec),
            sys::CUDNN_SOFTMAX_MODE_CHANNEL,
            alpha,
            tensor.raw,
            x as *const c_void,
            beta,
            tensor.raw,
            y as *mut c_void,
        )
    };
    check(functions, status, || format!("cudnnSoftmaxForward ({spec:?})"))
}

/// # Safety
/// As [`Cudnn::softmax_backward`](crate::Cudnn::softmax_backward).
pub(crate) unsafe fn backward(handle: &Handle, spec: &SoftmaxSpec, y: u64, dy: u64, dx: u64) -> Result<()> {
    validate(spec)?;
    let functions = handle.functions();
    let tensor = TensorDescriptor::new(functions, spec)?;
    let factors = Factors::overwrite(spec);
    let [alpha, beta] = factors.pointers();
    let (raw, _guard) = handle.enqueue()?;
    // SAFETY: handle, descriptor and factors are alive; the caller answers for the addresses.
    let status = unsafe {
        (functions.softmax_backward)(
            raw,
            algorithm(spec),
            sys::CUDNN_SOFTMAX_MODE_CHANNEL,
            alpha,
            tensor.raw,
            y as *const c_void,
            tensor.raw,
            dy as *const c_void,
            beta,
            tensor.raw,
            dx as *mut c_void,
        )
    };
    check(functions, status, || format!("cudnnSoftmaxBackward ({spec:?})"))
}
