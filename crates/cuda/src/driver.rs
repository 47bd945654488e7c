//! The driver API behind every other module: initialised once, its statuses turned into errors.

use std::ffi::{CStr, c_char};
use std::ptr;

use cudarc::driver::sys;

use crate::error::{Error, Result};
use crate::library::{self, Library};

/// The oldest driver whose symbols and graph behaviour this crate relies on (CUDA 12.0, driver 525).
const OLDEST_DRIVER: i32 = 12000;

/// Calls a driver function and turns its status into a [`Result`].
///
/// Expands to an unsafe call: the caller writes the `unsafe` block and says why it is sound.
macro_rules! cu {
    ($name:ident($($argument:expr),* $(,)?)) => {
        $crate::driver::check(stringify!($name), cudarc::driver::sys::$name($($argument),*))
    };
}
pub(crate) use cu;

/// Turns a driver status into a result that carries the driver's own name and text of it.
pub(crate) fn check(call: &'static str, status: sys::CUresult) -> Result<()> {
    if status == sys::CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    let mut name: *const c_char = ptr::null();
    let mut message: *const c_char = ptr::null();
    // SAFETY: both calls only write a pointer to a static string, or leave null for an unknown status.
    unsafe {
        let _ = sys::cuGetErrorName(status, &mut name);
        let _ = sys::cuGetErrorString(status, &mut message);
    }
    Err(Error::Driver { call, code: status as i32, name: text(name), message: text(message) })
}

/// Copies a static C string of one of NVIDIA's libraries; null gives "unknown".
pub(crate) fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return "unknown".to_owned();
    }
    // SAFETY: not null, and NVIDIA's status strings are static and end in a zero byte.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// Opens libcuda and initialises it; returns its version as major * 1000 + minor * 10.
///
/// Must succeed before any other driver call: cudarc panics when the library is missing.
pub(crate) fn initialise() -> Result<i32> {
    library::open(Library::Cuda)?;
    let mut version = 0;
    // SAFETY: libcuda is open; the version may be read before cuInit, which may run any number of times.
    unsafe { cu!(cuDriverGetVersion(&mut version)) }?;
    if version < OLDEST_DRIVER {
        return Err(Error::DriverTooOld { found: version, needed: OLDEST_DRIVER });
    }
    // SAFETY: libcuda is open.
    unsafe { cu!(cuInit(0)) }?;
    Ok(version)
}
