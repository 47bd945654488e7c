use ocelli_nvjpeg_sys as sys;

/// Who decodes batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backend {
    /// The library chooses.
    #[default]
    Default,
    /// The host decodes the Huffman codes, the device the rest.
    Hybrid,
    /// The device also decodes the Huffman codes: of baseline files with an interleaved scan, and only where the batch is
    /// larger than 50.
    GpuHybrid,
    /// The device's JPEG engines: baseline files with a single scan, not 4:1:0 and 4:1:1. It ignores the order of streams
    /// on Hopper: see the crate's page.
    Hardware,
}

impl Backend {
    pub(crate) fn raw(self) -> sys::Backend {
        match self {
            Backend::Default => sys::NVJPEG_BACKEND_DEFAULT,
            Backend::Hybrid => sys::NVJPEG_BACKEND_HYBRID,
            Backend::GpuHybrid => sys::NVJPEG_BACKEND_GPU_HYBRID,
            Backend::Hardware => sys::NVJPEG_BACKEND_HARDWARE,
        }
    }
}

/// How images are decoded, by everything that an [`Nvjpeg`](crate::Nvjpeg) makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NvjpegConfig {
    /// Whether colour differences are interpolated, as libjpeg does by default, rather than repeated: pixels come nearer
    /// to those of other decoders. Needs nvJPEG 12.1.
    pub fancy_upsampling: bool,
}

impl Default for NvjpegConfig {
    fn default() -> NvjpegConfig {
        NvjpegConfig { fancy_upsampling: true }
    }
}

impl NvjpegConfig {
    pub(crate) fn flags(self) -> sys::Flags {
        if self.fancy_upsampling {
            sys::NVJPEG_FLAGS_UPSAMPLING_WITH_INTERPOLATION
        } else {
            sys::NVJPEG_FLAGS_DEFAULT
        }
    }
}
