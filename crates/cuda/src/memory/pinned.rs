//! Page-locked host memory, which the GPU copies from and to without the host's help.

use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cudarc::driver::sys;

use crate::context::{CaptureSafe, Context};
use crate::driver::cu;
use crate::error::Result;
use crate::stream::{Event, Stream, check_range};

/// Page-locked host memory: the only kind that is copied asynchronously.
///
/// Cached rather than write-combined, so that the host may read it. The slices wait for the last copy that
/// [`Stream::copy_to_device`] or [`Stream::copy_to_pinned`] submitted, and so does dropping the buffer; what a graph
/// replay or another library copies through [`ptr`](PinnedBuffer::ptr) is for the caller to wait for. A copy that
/// starts while a slice is held changes, or reads, the bytes under it.
#[derive(Debug)]
pub struct PinnedBuffer {
    address: NonNull<u8>,
    bytes: usize,
    last_copy: Event,
    copied: AtomicBool,
    context: Arc<Context>,
}

// SAFETY: owns its memory, which no thread is bound to.
unsafe impl Send for PinnedBuffer {}
// SAFETY: `&self` gives read access only; copies by the GPU are waited for before a read.
unsafe impl Sync for PinnedBuffer {}

impl PinnedBuffer {
    pub(crate) fn new(context: &Arc<Context>, bytes: usize) -> Result<PinnedBuffer> {
        let last_copy = Event::new(context, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)?;
        let mut address = ptr::null_mut();
        if bytes > 0 {
            let _allowed = CaptureSafe::enter();
            // SAFETY: a context is current (made so by `Event::new`); portable, so that any GPU may copy from it.
            unsafe { cu!(cuMemHostAlloc(&mut address, bytes, sys::CU_MEMHOSTALLOC_PORTABLE)) }?;
            // SAFETY: just allocated with this length; zeroed because a slice must not show uninitialised bytes.
            unsafe { ptr::write_bytes(address.cast::<u8>(), 0, bytes) };
        }
        let address = NonNull::new(address.cast()).unwrap_or(NonNull::dangling());
        Ok(PinnedBuffer {
            address,
            bytes,
            last_copy,
            copied: AtomicBool::new(false),
            context: context.clone(),
        })
    }

    /// The host address; dangling for an empty buffer.
    pub fn ptr(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether the length is zero.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The bytes, once the last asynchronous copy is done.
    pub fn as_slice(&self) -> &[u8] {
        self.wait();
        // SAFETY: initialised by `new`, alive as long as `self`, and no tracked copy is under way.
        unsafe { slice::from_raw_parts(self.address.as_ptr(), self.bytes) }
    }

    /// The bytes for writing, once the last asynchronous copy is done.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.wait();
        // SAFETY: as in `as_slice`, and borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.address.as_ptr(), self.bytes) }
    }

    pub(crate) fn range(&self, offset: usize, bytes: usize) -> Result<*mut u8> {
        check_range("pinned buffer", self.bytes, offset, bytes)?;
        Ok(self.address.as_ptr().wrapping_add(offset))
    }

    /// Remembers that `stream` has just been given a copy of this buffer.
    ///
    /// A captured copy has not been submitted, and an event recorded in a capture cannot be waited for: skipped.
    pub(crate) fn mark(&self, stream: &Stream) -> Result<()> {
        if stream.is_capturing()? {
            return Ok(());
        }
        // Order is of no account beyond this flag: submitting a copy and reading are ordered by whoever shares us.
        self.copied.store(true, Ordering::Release);
        self.last_copy.record_on(stream)
    }

    fn wait(&self) {
        if !self.copied.load(Ordering::Acquire) {
            return;
        }
        let _allowed = CaptureSafe::enter();
        if let Err(error) = self.last_copy.synchronize() {
            tracing::error!(%error, "a copy of a pinned buffer failed; its contents are undefined");
        }
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        self.wait();
        if self.bytes > 0 && self.context.bind().is_ok() {
            let _allowed = CaptureSafe::enter();
            // SAFETY: allocated by `new`, freed once, and no tracked copy is under way.
            let _ = unsafe { cu!(cuMemFreeHost(self.address.as_ptr().cast())) };
        }
    }
}
