//! The primary context of a GPU, shared by everything that lives on it.

use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys;

use crate::driver::cu;
use crate::error::Result;

/// Owner of one reference to a GPU's primary context; released on drop.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) device: sys::CUdevice,
    raw: sys::CUcontext,
}

// SAFETY: a context may be used from any thread; the driver locks internally, and `bind` makes it current first.
unsafe impl Send for Context {}
// SAFETY: as above; no method hands out mutable state.
unsafe impl Sync for Context {}

impl Context {
    /// Retains the primary context of `device` and makes it current here.
    pub(crate) fn new(device: sys::CUdevice) -> Result<Arc<Context>> {
        let mut raw = ptr::null_mut();
        // SAFETY: the driver is initialised, as whoever has a `CUdevice` got it from there.
        unsafe { cu!(cuDevicePrimaryCtxRetain(&mut raw, device)) }?;
        let context = Arc::new(Context { device, raw });
        context.bind()?;
        Ok(context)
    }

    /// Makes this context current on the calling thread; a thread-local read when it is already.
    pub(crate) fn bind(&self) -> Result<()> {
        let mut current = ptr::null_mut();
        // SAFETY: the driver is initialised, and `raw` is retained for as long as `self` lives.
        unsafe {
            cu!(cuCtxGetCurrent(&mut current))?;
            if current != self.raw { cu!(cuCtxSetCurrent(self.raw)) } else { Ok(()) }
        }
    }

    /// Waits for all work of this context, other users' of the primary context included.
    pub(crate) fn synchronize(&self) -> Result<()> {
        self.bind()?;
        // SAFETY: a context is current.
        unsafe { cu!(cuCtxSynchronize()) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: gives back the one reference that `new` took; a failure at this point has no remedy.
        let _ = unsafe { cu!(cuDevicePrimaryCtxRelease_v2(self.device)) };
    }
}

/// Lets this thread make calls that the driver forbids while the thread captures (allocation, freeing).
///
/// They are harmless to a capture, as they put nothing on the capturing stream; the driver's default is a
/// precaution against code that relies on their implicit synchronisation. The old mode returns on drop.
pub(crate) struct CaptureSafe {
    previous: sys::CUstreamCaptureMode,
}

impl CaptureSafe {
    pub(crate) fn enter() -> CaptureSafe {
        let mut previous = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: swaps this thread's mode with `previous`; on failure `previous` is left as it is.
        let _ = unsafe { cu!(cuThreadExchangeStreamCaptureMode(&mut previous)) };
        CaptureSafe { previous }
    }
}

impl Drop for CaptureSafe {
    fn drop(&mut self) {
        // SAFETY: restores the mode that `enter` found.
        let _ = unsafe { cu!(cuThreadExchangeStreamCaptureMode(&mut self.previous)) };
    }
}
