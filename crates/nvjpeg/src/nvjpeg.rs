//! The library on a device.

use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::Arc;

use ocelli_cuda::Device;
use ocelli_nvjpeg_sys::{self as sys, Functions};

use crate::error::check;
use crate::{Backend, Error, Frame, NvjpegConfig, Result, Subsampling};

/// nvJPEG on a device, with a backend for batches; cloning shares it, and threads may.
#[derive(Clone, Debug)]
pub struct Nvjpeg(Arc<Handle>);

/// Owns an `nvjpegHandle_t`.
#[derive(Debug)]
struct Handle {
    raw: sys::Handle,
    functions: &'static Functions,
    backend: Backend,
    device: Device,
}

// SAFETY: a handle belongs to a context, not to a thread, and threads may share it (NVIDIA's nvJPEG reference, "Thread
// Safety"); it has no allocators of ours.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: the handle is this value's own and not used again; what was made with it keeps it, so is gone. A
            // failure leaves nothing to be done.
            unsafe { (self.functions.destroy)(self.raw) };
        }
    }
}

/// The JPEG engines of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Engines {
    /// How many there are.
    pub engines: u32,
    /// Cores of each.
    pub cores_per_engine: u32,
}

impl Engines {
    /// How many images they decode at once.
    pub fn images_at_once(&self) -> u32 {
        self.engines.saturating_mul(self.cores_per_engine)
    }
}

impl Nvjpeg {
    /// Opens the library, once in a process, and makes a handle. Keep it: making one takes long.
    ///
    /// # Errors
    /// [`Error::NoEngines`] where the backend is the hardware's and the GPU has none; [`Error::NoDriver`];
    /// [`Error::Cuda`] where no nvJPEG is found, or it is older than 12.0; [`Error::Status`].
    pub fn new(device: &Device, backend: Backend, config: NvjpegConfig) -> Result<Nvjpeg> {
        let functions = sys::functions()?;
        device.bind()?;
        let raw = create(functions, backend, config)?;
        Ok(Nvjpeg(Arc::new(Handle { raw, functions, backend, device: device.clone() })))
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Who decodes batches.
    pub fn backend(&self) -> Backend {
        self.0.backend
    }

    /// The GPU's JPEG engines that decode; `None` where it has none.
    ///
    /// # Errors
    /// [`Error::Status`]; [`Error::Cuda`].
    pub fn hardware_engines(&self) -> Result<Option<Engines>> {
        self.bind()?;
        let (mut engines, mut cores_per_engine) = (0, 0);
        // SAFETY: the handle is alive; the call writes two numbers.
        let status = unsafe {
            (self.0.functions.get_hardware_decoder_info)(
                self.0.raw,
                &raw mut engines,
                &raw mut cores_per_engine,
            )
        };
        match check("nvjpegGetHardwareDecoderInfo", status) {
            Ok(()) if engines == 0 => Ok(None),
            Ok(()) => Ok(Some(Engines { engines, cores_per_engine })),
            Err(Error::NoEngines { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The frame that a file's header states. Cheap, and for any thread; the rest of the file is not looked at.
    ///
    /// # Errors
    /// [`Error::BadImage`]; [`Error::UnsupportedImage`]; [`Error::Dimensions`]; [`Error::Status`]; [`Error::Cuda`].
    pub fn read_frame(&self, bytes: &[u8]) -> Result<Frame> {
        const CALL: &str = "nvjpegGetImageInfo";
        if bytes.is_empty() {
            return Err(Error::BadImage { call: CALL, truncated: true });
        }
        self.bind()?;
        const MOST: usize = sys::NVJPEG_MAX_COMPONENT;
        let (mut components, mut subsampling) = (0, sys::NVJPEG_CSS_UNKNOWN);
        let (mut widths, mut heights) = ([0 as c_int; MOST], [0 as c_int; MOST]);
        // SAFETY: the bytes are borrowed for the call, which writes two numbers and two arrays of four.
        let status = unsafe {
            (self.0.functions.get_image_info)(
                self.0.raw,
                bytes.as_ptr(),
                bytes.len(),
                &raw mut components,
                &raw mut subsampling,
                widths.as_mut_ptr(),
                heights.as_mut_ptr(),
            )
        };
        check(CALL, status)?;
        // A negative size is as good as none.
        let side = |value: c_int| u32::try_from(value).unwrap_or(0);
        let sizes: Vec<(u32, u32)> = widths
            .iter()
            .zip(&heights)
            .take(usize::try_from(components).unwrap_or(0))
            .map(|(&width, &height)| (side(width), side(height)))
            .collect();
        Frame::of_components(&sizes, Subsampling::from_raw(subsampling))
    }

    pub(crate) fn functions(&self) -> &'static Functions {
        self.0.functions
    }

    pub(crate) fn raw(&self) -> sys::Handle {
        self.0.raw
    }

    /// Makes the device's context current on this thread, which every call needs.
    pub(crate) fn bind(&self) -> Result<()> {
        Ok(self.0.device.bind()?)
    }
}

/// Makes a handle for the context that is current.
fn create(functions: &Functions, backend: Backend, config: NvjpegConfig) -> Result<sys::Handle> {
    const CALL: &str = "nvjpegCreateEx";
    let mut raw = null_mut();
    // SAFETY: null allocators are CUDA's; the call writes a handle, on success only.
    let status =
        unsafe { (functions.create_ex)(backend.raw(), null_mut(), null_mut(), config.flags(), &raw mut raw) };
    match status {
        sys::NVJPEG_STATUS_EXECUTION_FAILED => Err(Error::NoDriver { call: CALL }),
        status => check(CALL, status).map(|()| raw),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg_attr(any(not(ocelli_nvjpeg), ocelli_gpu), ignore = "needs nvJPEG and no NVIDIA GPU")]
    fn a_handle_without_a_driver_is_an_error_to_match_on() {
        use super::*;

        let functions = sys::functions().unwrap();
        for backend in [Backend::Default, Backend::Hybrid, Backend::GpuHybrid, Backend::Hardware] {
            for fancy_upsampling in [false, true] {
                let error = create(functions, backend, NvjpegConfig { fancy_upsampling }).unwrap_err();
                assert!(matches!(error, Error::NoDriver { call: "nvjpegCreateEx" }), "{error}");
            }
        }
    }
}
