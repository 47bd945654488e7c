//! Kernels in CUDA C: compiled by NVRTC to a cubin, cached in memory and on disk, loaded and launched.
//!
//! A cubin is made for one architecture, so that the driver has nothing left to compile and an older driver does not
//! refuse the instruction set of a newer NVRTC. Compiling needs no GPU:
//!
//! ```no_run
//! use ocelli_cuda::kernel::{KernelSource, compile_cubin};
//!
//! let source = KernelSource {
//!     name: "double".into(),
//!     source: r#"extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2.0f; }"#.into(),
//!     options: vec![],
//! };
//! let cubin = compile_cubin(&source, "sm_90")?;
//! # Ok::<(), ocelli_cuda::Error>(())
//! ```

mod arguments;
mod cache;
mod function;
mod module;
mod nvrtc;

pub use arguments::KernelArgs;
pub use cache::KernelCache;
pub use function::{Function, FunctionAttributes};
pub use module::Module;
pub(crate) use module::ModuleCache;
pub use nvrtc::{compile_cubin, nvrtc_version};

/// The text of one or more kernels, and how to compile it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KernelSource {
    /// What errors and profilers call it; no part of the cache key.
    pub name: String,
    /// CUDA C++ without includes; `extern "C"` keeps a kernel's name as it is written.
    pub source: String,
    /// Options for NVRTC besides the architecture, such as `--use_fast_math`.
    pub options: Vec<String>,
}
