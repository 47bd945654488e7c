//! Loaded kernels, and the table of those a device has loaded.

use std::collections::HashMap;
use std::ffi::CString;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys;

use super::cache::KernelCache;
use super::{Function, KernelSource};
use crate::context::{CaptureSafe, Context};
use crate::driver::cu;
use crate::error::{Error, Result};

/// A cubin loaded on a device; unloaded when the last clone and the last [`Function`] of it are gone.
///
/// May be used from any thread: the driver's calls on modules are thread-safe.
#[derive(Clone, Debug)]
pub struct Module(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    raw: sys::CUmodule,
    name: String,
    context: Arc<Context>,
}

// SAFETY: the driver's calls on a module are thread-safe; it is unloaded once, with the last owner.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            let _allowed = CaptureSafe::enter();
            // SAFETY: last owner; that nothing of it is running is a promise of whoever launched.
            let _ = unsafe { cu!(cuModuleUnload(self.raw)) };
        }
    }
}

impl Module {
    fn load(context: &Arc<Context>, name: &str, cubin: &[u8]) -> Result<Module> {
        context.bind()?;
        let mut raw = ptr::null_mut();
        // SAFETY: a context is current; a cubin states its own length, and the driver copies it.
        unsafe { cu!(cuModuleLoadData(&mut raw, cubin.as_ptr().cast())) }?;
        Ok(Module(Arc::new(Inner { raw, name: name.to_owned(), context: context.clone() })))
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    /// The kernel called `name`, as `extern "C"` leaves it.
    ///
    /// # Errors
    /// [`Error::FunctionNotFound`] when the module has no such kernel.
    pub fn function(&self, name: &str) -> Result<Function> {
        let missing = || Error::FunctionNotFound { module: self.0.name.clone(), function: name.to_owned() };
        let symbol = CString::new(name).map_err(|_| missing())?;
        self.0.context.bind()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the module is loaded; the name ends in a zero byte.
        match unsafe { cu!(cuModuleGetFunction(&mut raw, self.0.raw, symbol.as_ptr())) } {
            Ok(()) => Ok(Function::new(raw, self.clone())),
            Err(Error::Driver { code, .. }) if code == sys::CUresult::CUDA_ERROR_NOT_FOUND as i32 => {
                Err(missing())
            }
            Err(error) => Err(error),
        }
    }
}

/// The modules a device has loaded, by source and options; they stay loaded as long as the device lives.
#[derive(Debug)]
pub(crate) struct ModuleCache {
    context: Arc<Context>,
    architecture: String,
    disk: KernelCache,
    loaded: Mutex<HashMap<KernelSource, Module>>,
}

impl ModuleCache {
    pub(crate) fn new(context: &Arc<Context>, architecture: String) -> ModuleCache {
        let disk = KernelCache::new(crate::paths::cache("kernels"));
        ModuleCache { context: context.clone(), architecture, disk, loaded: Mutex::new(HashMap::new()) }
    }

    /// Two threads that ask for one new source at once both compile it, rather than one waiting while others, who ask
    /// for something else, wait with it.
    pub(crate) fn get(&self, source: &KernelSource) -> Result<Module> {
        let loaded = || self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = loaded().get(source) {
            return Ok(module.clone());
        }
        let cubin = self.disk.cubin(source, &self.architecture)?;
        let module = Module::load(&self.context, &source.name, &cubin)?;
        Ok(loaded().entry(source.clone()).or_insert(module).clone())
    }
}
