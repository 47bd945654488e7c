//! The self-test's launches, all of the program's unsafe code: each checks that its buffers hold what it touches. It
//! stands here because the self-test asks the libraries without a plan of `ocelli-core`, to tell which part fails: only
//! the caller knows how large its operands are.
//!
//! All work is on the device's compute stream, in whose order the memory of a buffer that is let go is reused.

use ocelli_cuda::cublaslt::MatmulPlan;
use ocelli_cuda::{Device, DeviceBuffer, Error, KernelArgs, KernelSource, Result};
use ocelli_cudnn::{Cudnn, SoftmaxSpec};

use super::random::FILL;

/// Fills `buffer` with random bf16 numbers; up to three bytes at its end are left.
pub(super) fn fill(device: &Device, buffer: &DeviceBuffer, seed: u64) -> Result<()> {
    let source = KernelSource { name: "doctor".to_owned(), source: FILL.to_owned(), options: Vec::new() };
    let function = device.compile(&source)?.function("fill")?;
    let mut arguments = KernelArgs::new();
    arguments.push_ptr(buffer.ptr()).push_u64(buffer.len() as u64 / 4).push_u64(seed);
    let blocks = 8 * device.properties().multiprocessors;
    // SAFETY: a pointer and two 64-bit numbers, as the kernel declares; it writes as many words as the buffer holds. The
    // device keeps the module loaded.
    unsafe { function.launch(device.stream(), [blocks, 1, 1], [256, 1, 1], 0, &arguments) }
}

/// Enqueues `y = softmax(x)`.
pub(super) fn softmax(
    cudnn: &Cudnn,
    spec: &SoftmaxSpec,
    x: &DeviceBuffer,
    y: &DeviceBuffer,
) -> ocelli_cudnn::Result<()> {
    let elements: usize =
        [spec.n, spec.h, spec.w, spec.c].into_iter().map(|size| size.max(0) as usize).product();
    for buffer in [x, y] {
        holds(buffer, elements * spec.data_type.bytes())?;
    }
    // SAFETY: both buffers hold the tensor.
    unsafe { cudnn.softmax(spec, x.ptr(), y.ptr()) }
}

/// Enqueues `d = a b`, where `plan` is for one product without bias.
pub(super) fn matmul(plan: &MatmulPlan, device: &Device, operands: &Operands) -> Result<()> {
    let spec = plan.spec();
    let Operands { a, b, d, workspace } = operands;
    holds(a, spec.batch * spec.m * spec.k * spec.a_type.bytes())?;
    holds(b, spec.batch * spec.k * spec.n * spec.b_type.bytes())?;
    holds(d, spec.batch * spec.m * spec.n * spec.d_type.bytes())?;
    holds(workspace, plan.workspace_bytes())?;
    let (a, b, d, workspace) = (a.ptr(), b.ptr(), d.ptr(), workspace.ptr());
    // SAFETY: the buffers hold the matrices and the workspace, and buffers are aligned to 256 bytes.
    unsafe { plan.execute(device.stream(), a, b, d, d, 0, workspace, 1.0, 0.0) }
}

/// The memory of a matrix product.
pub(super) struct Operands {
    pub(super) a: DeviceBuffer,
    pub(super) b: DeviceBuffer,
    pub(super) d: DeviceBuffer,
    pub(super) workspace: DeviceBuffer,
}

fn holds(buffer: &DeviceBuffer, bytes: usize) -> Result<()> {
    if buffer.len() >= bytes {
        return Ok(());
    }
    Err(Error::OutOfBounds { what: "device buffer", offset: 0, bytes, len: buffer.len() })
}
