//! NVIDIA's libraries found and opened at run time; device, stream, memory, kernels, graphs

mod connections;
mod context;
pub mod cublaslt;
mod device;
mod driver;
mod error;
mod graph;
pub mod kernel;
pub mod library;
mod memory;
pub mod nvtx;
pub mod paths;
pub mod stack;
mod stream;

pub use connections::{MOST_CONNECTIONS, connections};
pub use device::{Device, DeviceProperties};
pub use error::{Error, Result};
pub use graph::{Capture, CapturedGraph, ReplayGraph};
pub use kernel::{Function, FunctionAttributes, KernelArgs, KernelSource, Module};
pub use memory::{DeviceBuffer, MemoryStats, PinnedBuffer};
pub use stream::{Event, Stream};
