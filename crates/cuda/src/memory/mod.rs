//! Device memory from a caching pool, and page-locked host memory.

mod blocks;
mod pinned;
mod pool;

pub use pinned::PinnedBuffer;
pub(crate) use pool::MemoryPool;
pub use pool::{DeviceBuffer, MemoryStats};
