//! Launches bound to memory.
//!
//! This is the one place of this crate with `unsafe` code: a launch hands bare addresses to a kernel or a library, and
//! whether they are valid is known where the plan is bound to memory, here, and nowhere below: the crates `cuda` and
//! `cudnn` see numbers, and a safe function of theirs would promise what it cannot know. What makes it sound: the
//! planner gives each buffer the bytes of its type and a place that no other live buffer overlaps (held by tests),
//! [`super::bind`] keeps all memory that addresses point into for as long as the plan, and the stream runs launches in
//! order.

use ocelli_cuda::cublaslt::MatmulPlan;
use ocelli_cuda::{Device, DeviceBuffer, Function, KernelArgs, Stream};
use ocelli_cudnn::{BoundPlan as BoundEngine, Plan as Engine};

use crate::error::Result;

/// A launch whose operands lie at known addresses.
pub(super) enum BoundLaunch {
    /// A kernel of ours; `ahead` of the end of the launch before it or after that.
    Kernel {
        function: Function,
        grid: [u32; 3],
        block: [u32; 3],
        shared_bytes: u32,
        args: KernelArgs,
        ahead: bool,
    },
    /// A convolution.
    Convolution(BoundEngine),
    /// A matrix product.
    Matmul { plan: MatmulPlan, operands: MatmulOperands, workspace: u64 },
    /// A copy between two places that are kept, from and to with their offsets.
    Copy { from: (DeviceBuffer, usize), to: (DeviceBuffer, usize), bytes: usize },
}

/// Addresses of a matrix product's operands.
#[derive(Clone, Copy)]
pub(super) struct MatmulOperands {
    pub(super) a: u64,
    pub(super) b: u64,
    /// What is added to the product, if anything is.
    pub(super) addend: Option<u64>,
    pub(super) d: u64,
    /// The epilogue's bias; anything if it has none.
    pub(super) bias: u64,
}

impl MatmulOperands {
    /// # Safety
    /// As [`MatmulPlan::execute`].
    unsafe fn execute(&self, plan: &MatmulPlan, stream: &Stream, workspace: u64) -> ocelli_cuda::Result<()> {
        let MatmulOperands { a, b, addend, d, bias } = *self;
        let beta = if addend.is_some() { 1.0 } else { 0.0 };
        // SAFETY: the caller's promise.
        unsafe { plan.execute(stream, a, b, addend.unwrap_or(d), d, bias, workspace, 1.0, beta) }
    }
}

impl BoundLaunch {
    /// Enqueues the launch on the compute stream. Allocates nothing, so that it can be captured.
    pub(super) fn enqueue(&self, device: &Device) -> Result<()> {
        let stream = device.stream();
        match self {
            BoundLaunch::Kernel { function, grid, block, shared_bytes, args, ahead: false } => {
                // SAFETY: the arguments were made from the kernel's own description, in its order; the memory that they
                // point into is kept by the bound plan that owns this launch, and is as large as the planner's types say.
                unsafe { function.launch(stream, *grid, *block, *shared_bytes, args)? };
            }
            BoundLaunch::Kernel { function, grid, block, shared_bytes, args, ahead: true } => {
                // SAFETY: as above; all kernels that are generated wait before they touch memory.
                unsafe { function.launch_ahead(stream, *grid, *block, *shared_bytes, args)? };
            }
            BoundLaunch::Convolution(engine) => {
                // SAFETY: as above; the workspace is at least as large as the engine asked for.
                unsafe { engine.execute()? };
            }
            BoundLaunch::Matmul { plan, operands, workspace } => {
                // SAFETY: as above.
                unsafe { operands.execute(plan, stream, *workspace)? };
            }
            BoundLaunch::Copy { from, to, bytes } => {
                stream.copy_device(&to.0, to.1, &from.0, from.1, *bytes)?;
            }
        }
        Ok(())
    }
}

/// Runs an engine once, on operands that the caller keeps until the stream is done.
pub(super) fn convolve_once(
    engine: &Engine,
    pointers: &[(i64, u64)],
    workspace: u64,
) -> ocelli_cudnn::Result<()> {
    // SAFETY: the caller made the operands from the engine's own description and waits for the stream before it drops them.
    unsafe { engine.execute(pointers, workspace) }
}

/// Runs a matrix product once, likewise.
pub(super) fn multiply_once(
    plan: &MatmulPlan,
    stream: &Stream,
    operands: &MatmulOperands,
    workspace: u64,
) -> ocelli_cuda::Result<()> {
    // SAFETY: as above.
    unsafe { operands.execute(plan, stream, workspace) }
}

/// Launches a kernel that tuning needs, with arguments that the caller made for it.
pub(super) fn run_helper(
    function: &Function,
    stream: &Stream,
    blocks: u32,
    args: &KernelArgs,
) -> ocelli_cuda::Result<()> {
    let threads = if blocks == 1 { 1 } else { 256 };
    // SAFETY: the arguments are what the kernel declares, and the buffer among them, if there is one, is as large as they
    // say and freed in stream order.
    unsafe { function.launch(stream, [blocks, 1, 1], [threads, 1, 1], 0, args) }
}
