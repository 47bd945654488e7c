//! Named ranges on a profiler's time line (NVTX); they cost one atomic load when no profiler listens.
//!
//! ```
//! let _range = ocelli_cuda::nvtx::range("forward");
//! // ... work to be seen under that name, until the range is dropped
//! ```

use std::ffi::{CString, c_char, c_int};
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// Set by Nsight Systems, Nsight Compute and other tools in the processes they start.
const LISTENERS: [&str; 3] =
    ["NVTX_INJECTION64_PATH", "NSYS_PROFILING_SESSION_ID", "NV_NSIGHT_INJECTION_TRANSPORT_TYPE"];
/// The library of CUDA 12 and before, and that of CUDA 13.
const LIBRARIES: [&str; 3] = ["libnvtx3interop.so.1", "libnvToolsExt.so.1", "libnvToolsExt.so"];

const UNKNOWN: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;
static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
static NVTX: OnceLock<Option<Nvtx>> = OnceLock::new();

struct Nvtx {
    push: unsafe extern "C" fn(*const c_char) -> c_int,
    pop: unsafe extern "C" fn() -> c_int,
}

/// A named range, open until dropped; it belongs to the thread that opened it.
#[derive(Debug)]
#[must_use = "the range ends when this is dropped"]
pub struct Range {
    open: bool,
    stays_on_its_thread: PhantomData<*mut ()>,
}

/// Opens a range called `name` on this thread's line; ranges nest.
#[inline]
pub fn range(name: &str) -> Range {
    let open = STATE.load(Ordering::Relaxed) != OFF && push(name);
    Range { open, stays_on_its_thread: PhantomData }
}

#[cold]
fn push(name: &str) -> bool {
    let nvtx = NVTX.get_or_init(load);
    STATE.store(if nvtx.is_some() { ON } else { OFF }, Ordering::Relaxed);
    let (Some(nvtx), Ok(name)) = (nvtx, CString::new(name)) else { return false };
    // SAFETY: a string that ends in a zero byte, which NVTX copies.
    unsafe { (nvtx.push)(name.as_ptr()) };
    true
}

fn load() -> Option<Nvtx> {
    if !LISTENERS.iter().any(|name| std::env::var_os(name).is_some()) {
        return None;
    }
    LIBRARIES.iter().find_map(|name| {
        // SAFETY: NVIDIA's library, whose initialisers have no requirements.
        let library = unsafe { libloading::Library::new(name) }.ok()?;
        // SAFETY: the prototypes of nvToolsExt.h.
        let nvtx = unsafe {
            Nvtx { push: *library.get(b"nvtxRangePushA\0").ok()?, pop: *library.get(b"nvtxRangePop\0").ok()? }
        };
        std::mem::forget(library);
        Some(nvtx)
    })
}

impl Drop for Range {
    #[inline]
    fn drop(&mut self) {
        if self.open
            && let Some(Some(nvtx)) = NVTX.get()
        {
            // SAFETY: closes the range that `range` opened on this thread.
            unsafe { (nvtx.pop)() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_listener_no_library_is_opened_and_ranges_are_closed() {
        if LISTENERS.iter().any(|name| std::env::var_os(name).is_some()) {
            return; // this run is being profiled
        }
        let outer = range("outer");
        let inner = range("name with a zero byte \0 in it");
        assert!(!outer.open && !inner.open);
        assert_eq!(STATE.load(Ordering::Relaxed), OFF);
    }
}
