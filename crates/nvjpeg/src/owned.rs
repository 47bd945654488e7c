use std::ffi::c_void;
use std::ptr::null_mut;

use ocelli_nvjpeg_sys::{self as sys, Functions};

use crate::error::check;
use crate::{Nvjpeg, Result};

/// The function that destroys a kind of raw handle.
pub(crate) type Destroy = unsafe extern "C" fn(*mut c_void) -> sys::Status;

/// Owns a raw handle of any kind that is made with an [`Nvjpeg`], which it keeps: a decoder, a state, a buffer, a
/// bitstream, parameters.
///
/// Sent between threads, but used by one at a time, which `&mut` and the lack of `Sync` see to.
#[derive(Debug)]
pub(crate) struct Owned {
    raw: *mut c_void,
    destroy: Destroy,
    library: Nvjpeg,
}

// SAFETY: nvJPEG's handles belong to a context, not to a thread: they must not be used by two threads at once, which the
// lack of `Sync` rules out.
unsafe impl Send for Owned {}

impl Owned {
    /// Makes a handle by `call`, which is `create`, to be destroyed by the function that `destroy` picks.
    pub(crate) fn new(
        library: &Nvjpeg,
        call: &'static str,
        create: impl FnOnce(&Functions, sys::Handle, *mut *mut c_void) -> sys::Status,
        destroy: impl FnOnce(&Functions) -> Destroy,
    ) -> Result<Owned> {
        library.bind()?;
        let mut raw = null_mut();
        check(call, create(library.functions(), library.raw(), &raw mut raw))?;
        Ok(Owned { raw, destroy: destroy(library.functions()), library: library.clone() })
    }

    /// The handle, valid as long as `self`.
    pub(crate) fn raw(&self) -> *mut c_void {
        self.raw
    }

    pub(crate) fn library(&self) -> &Nvjpeg {
        &self.library
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.library.bind().is_ok() {
            // SAFETY: the handle is this value's own and not used again. A failure leaves nothing to be done.
            unsafe { (self.destroy)(self.raw) };
        }
    }
}
