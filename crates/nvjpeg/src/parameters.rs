use std::ffi::c_int;

use ocelli_nvjpeg_sys as sys;

use crate::error::check;
use crate::owned::Owned;
use crate::{Nvjpeg, OutputFormat, Region, Result};

/// Owns an `nvjpegDecodeParams_t`: what is asked of a decoder for one image.
#[derive(Debug)]
pub(crate) struct DecodeParameters(Owned);

impl DecodeParameters {
    /// Parameters for whole images in a format.
    pub(crate) fn new(library: &Nvjpeg, format: OutputFormat) -> Result<DecodeParameters> {
        let parameters = Owned::new(
            library,
            "nvjpegDecodeParamsCreate",
            // SAFETY: the handle is alive; the call writes one handle.
            |functions, handle, raw| unsafe { (functions.decode_params_create)(handle, raw) },
            |functions| functions.decode_params_destroy,
        )?;
        // SAFETY: the parameters are alive.
        let status =
            unsafe { (library.functions().decode_params_set_output_format)(parameters.raw(), format.raw()) };
        check("nvjpegDecodeParamsSetOutputFormat", status)?;
        Ok(DecodeParameters(parameters))
    }

    pub(crate) fn raw(&self) -> sys::DecodeParams {
        self.0.raw()
    }

    /// Allows images of four components, or not.
    pub(crate) fn set_allow_cmyk(&mut self, allow: bool) -> Result<()> {
        self.0.library().bind()?;
        // SAFETY: the parameters are alive, and this thread's alone.
        let status = unsafe {
            (self.0.library().functions().decode_params_set_allow_cmyk)(self.raw(), c_int::from(allow))
        };
        check("nvjpegDecodeParamsSetAllowCMYK", status)
    }

    /// Sets the region, which lies within a frame, or the whole image.
    pub(crate) fn set_region(&mut self, region: Option<Region>) -> Result<()> {
        // A frame's sides are at most 65535.
        let [x, y, width, height] = region.map_or([0, 0, -1, -1], |region| {
            [region.x, region.y, region.width, region.height].map(|side| side as c_int)
        });
        self.0.library().bind()?;
        // SAFETY: as above.
        let status =
            unsafe { (self.0.library().functions().decode_params_set_roi)(self.raw(), x, y, width, height) };
        check("nvjpegDecodeParamsSetROI", status)
    }
}
