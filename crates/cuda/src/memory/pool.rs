//! The caching pool of a device and the buffers it hands out.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys;

use super::blocks::{Backing, BlockAllocator};
use crate::context::{CaptureSafe, Context};
use crate::driver::cu;
use crate::error::{Error, Result};
use crate::stream::{Stream, check_range};

/// Device memory, by bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Handed out by this device's pool and not returned, each buffer rounded up to 256 bytes.
    pub in_use: usize,
    /// The most that was in use at once since the start or the last reset.
    pub peak: usize,
    /// Taken from the driver by this device's pool: in use, or kept for reuse.
    pub reserved: usize,
    /// Free on the GPU, as the driver says; does not count what the pool keeps.
    pub free: usize,
    /// All memory of the GPU.
    pub total: usize,
}

/// Segments straight from the driver.
#[derive(Debug)]
struct DriverBacking {
    context: Arc<Context>,
}

impl Backing for DriverBacking {
    type Error = Error;

    fn acquire(&mut self, bytes: usize) -> Result<u64> {
        self.context.bind()?;
        let _allowed = CaptureSafe::enter();
        let mut address = 0;
        // SAFETY: a context is current; the driver checks the size.
        unsafe { cu!(cuMemAlloc_v2(&mut address, bytes)) }?;
        Ok(address)
    }

    fn release(&mut self, address: u64) {
        if self.context.bind().is_err() {
            return;
        }
        let _allowed = CaptureSafe::enter();
        // SAFETY: the allocator passes each address that `acquire` gave once, with no block of it in use.
        let _ = unsafe { cu!(cuMemFree_v2(address)) };
    }
}

/// Keeps freed memory for reuse, in the order of one compute stream.
///
/// A buffer that is dropped is free at once for the next request, while kernels that use it may still be running: the
/// next owner's work comes after theirs on the same stream.
#[derive(Debug)]
pub(crate) struct MemoryPool {
    blocks: Mutex<BlockAllocator<DriverBacking>>,
    compute: Stream,
}

impl MemoryPool {
    pub(crate) fn new(context: &Arc<Context>, compute: &Stream) -> Arc<MemoryPool> {
        let backing = DriverBacking { context: context.clone() };
        Arc::new(MemoryPool { blocks: Mutex::new(BlockAllocator::new(backing)), compute: compute.clone() })
    }

    fn blocks(&self) -> MutexGuard<'_, BlockAllocator<DriverBacking>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn alloc(self: &Arc<Self>, bytes: usize) -> Result<DeviceBuffer> {
        let address = if bytes == 0 { 0 } else { self.alloc_block(bytes)? };
        Ok(DeviceBuffer(Arc::new(Inner { address, bytes, home: Home::Pool(self.clone()) })))
    }

    fn alloc_block(&self, bytes: usize) -> Result<u64> {
        let mut blocks = self.blocks();
        let first = match blocks.alloc(bytes) {
            Err(error) if is_out_of_memory(&error) => error,
            other => return other,
        };
        // What the pool keeps may be too fragmented for this request, and give the driver enough when returned.
        self.compute.synchronize()?;
        let retried = if blocks.release_unused() > 0 { blocks.alloc(bytes) } else { Err(first) };
        match retried {
            Err(error) if is_out_of_memory(&error) => {
                let (free, total) = self.driver_memory()?;
                Err(Error::OutOfMemory { requested: bytes, free, total })
            }
            other => other,
        }
    }

    /// Free and total bytes of the GPU.
    fn driver_memory(&self) -> Result<(usize, usize)> {
        self.compute.context().bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: a context is current.
        unsafe { cu!(cuMemGetInfo_v2(&mut free, &mut total)) }?;
        Ok((free, total))
    }

    pub(crate) fn stats(&self) -> Result<MemoryStats> {
        let counts = self.blocks().counts();
        let (free, total) = self.driver_memory()?;
        Ok(MemoryStats { in_use: counts.in_use, peak: counts.peak, reserved: counts.reserved, free, total })
    }

    pub(crate) fn reset_peak(&self) {
        self.blocks().reset_peak();
    }

    pub(crate) fn release_unused(&self) -> Result<()> {
        let mut blocks = self.blocks();
        self.compute.synchronize()?;
        blocks.release_unused();
        Ok(())
    }
}

impl Drop for MemoryPool {
    fn drop(&mut self) {
        // No buffer is left, as each holds the pool; but its kernels may still be running.
        let _ = self.compute.synchronize();
        self.blocks().release_all();
    }
}

fn is_out_of_memory(error: &Error) -> bool {
    matches!(error, Error::Driver { code, .. } if *code == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY as i32)
}

/// A range of device memory; cloning shares it, and the last clone's drop returns it to the pool.
///
/// It returns in the order of the compute stream: work already submitted there may still use it. Work on any other
/// stream must be joined to the compute stream (by an [`Event`](crate::Event)) before the buffer is let go. May be
/// sent to and used from any thread, as it is an address and a length; who writes it when is the streams' affair.
#[derive(Clone, Debug)]
pub struct DeviceBuffer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: u64,
    bytes: usize,
    home: Home,
}

/// Where memory goes when nobody uses it any more.
enum Home {
    Pool(Arc<MemoryPool>),
    /// It stays the lender's, who is told.
    Lender {
        lent: Option<DeviceBuffer>,
        returned: Option<Box<dyn FnOnce(DeviceBuffer) + Send + Sync>>,
    },
}

impl fmt::Debug for Home {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Home::Pool(_) => formatter.write_str("Pool"),
            Home::Lender { .. } => formatter.write_str("Lender"),
        }
    }
}

impl DeviceBuffer {
    /// The device address, a multiple of 256; null for an empty buffer.
    pub fn ptr(&self) -> u64 {
        self.0.address
    }

    /// Length in bytes, as requested.
    pub fn len(&self) -> usize {
        self.0.bytes
    }

    /// Whether the length is zero.
    pub fn is_empty(&self) -> bool {
        self.0.bytes == 0
    }

    /// The first `bytes` bytes of this memory, lent: when the last clone of what this returns is dropped, `returned` is
    /// given the memory back, on the thread that drops it. Work that used it may still be under way then; a lender who
    /// writes from another stream records an event on the borrower's stream, and waits for it.
    ///
    /// Rings of buffers are made so, whose users need not know of the ring.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when there are fewer bytes; the memory is let go then, and `returned` never called.
    pub fn lend(
        self,
        bytes: usize,
        returned: impl FnOnce(DeviceBuffer) + Send + Sync + 'static,
    ) -> Result<DeviceBuffer> {
        check_range("device buffer", self.len(), 0, bytes)?;
        let address = self.ptr();
        let home = Home::Lender { lent: Some(self), returned: Some(Box::new(returned)) };
        Ok(DeviceBuffer(Arc::new(Inner { address, bytes, home })))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        match &mut self.home {
            Home::Pool(pool) if self.bytes > 0 => pool.blocks().free(self.address),
            Home::Pool(_) => {}
            Home::Lender { lent, returned } => {
                if let Some((returned, lent)) = returned.take().zip(lent.take()) {
                    returned(lent);
                }
            }
        }
    }
}
