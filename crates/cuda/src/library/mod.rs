//! NVIDIA's libraries, found and opened at run time.
//!
//! # Which file serves
//!
//! [`candidates`] lists the files that could, the preferred one first:
//!
//! 1. the library's environment variable, such as `OCELLI_CUDNN` (a file or a directory),
//! 2. the chosen stack: `OCELLI_STACK`, else the one that `ocelli stack use` marked,
//! 3. a copy that the process has loaded already, as when it runs inside a Python program,
//! 4. `CUDA_HOME`, then `CUDA_PATH`,
//! 5. the Conda environment of `CONDA_PREFIX`,
//! 6. the Python environment of `VIRTUAL_ENV`, or the one whose `python3` comes first on `PATH`,
//! 7. `LD_LIBRARY_PATH`, then the loader's cache and standard directories, and those where container runtimes and WSL
//!    put the driver,
//! 8. `/usr/local/cuda`, then `/usr/local/cuda-*`, the newest first,
//! 9. wheels installed for the user or the system's Python.
//!
//! libcuda belongs to the driver: only 1, 3 and 7 apply to it, and a toolkit's stub of it is never taken. A file that is
//! made for a newer CUDA than the driver runs is passed over.
//!
//! [`open`] takes the first that opens. What somebody chose by name (1 and 2) is never passed over: if it cannot serve,
//! that is the error.
//!
//! # Side by side
//!
//! Each library is opened by its absolute path, so that the loader searches nothing. Some of them look for further files
//! by bare name at run time; `companions` says how those are kept together, and [`mapped`] shows what came of it.

mod companions;
mod driver_fit;
mod elf;
mod environment;
mod found;
mod loader;
mod mapped;
mod open;
mod search;
mod version;

use std::fmt;

pub(crate) use driver_fit::cuda_of_driver;
pub use environment::{Environment, VARIABLES};
pub use found::{Found, Origin};
pub use mapped::mapped;
pub use open::{Opened, open, open_in};
pub(crate) use search::wheels;
pub use search::{candidates, candidates_in};

/// A library of NVIDIA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Library {
    /// The driver's library.
    Cuda,
    /// Deep-learning primitives.
    Cudnn,
    /// The run-time compiler.
    Nvrtc,
    /// Matrix products.
    CublasLt,
    /// JPEG decoding.
    Nvjpeg,
    /// Communication between GPUs.
    Nccl,
}

impl Library {
    /// Every library.
    pub const ALL: [Library; 6] =
        [Library::Cuda, Library::Cudnn, Library::Nvrtc, Library::CublasLt, Library::Nvjpeg, Library::Nccl];

    /// The environment variable that names the library's file or directory.
    pub const fn variable(self) -> &'static str {
        match self {
            Library::Cuda => "OCELLI_CUDA",
            Library::Cudnn => "OCELLI_CUDNN",
            Library::Nvrtc => "OCELLI_NVRTC",
            Library::CublasLt => "OCELLI_CUBLASLT",
            Library::Nvjpeg => "OCELLI_NVJPEG",
            Library::Nccl => "OCELLI_NCCL",
        }
    }

    /// The library's file names, those of the versions that can serve, the newest first.
    pub const fn file_names(self) -> &'static [&'static str] {
        match self {
            Library::Cuda => &["libcuda.so.1"],
            Library::Cudnn => &["libcudnn.so.9"],
            Library::Nvrtc => &["libnvrtc.so.13", "libnvrtc.so.12"],
            Library::CublasLt => &["libcublasLt.so.13", "libcublasLt.so.12"],
            Library::Nvjpeg => &["libnvjpeg.so.13", "libnvjpeg.so.12"],
            Library::Nccl => &["libnccl.so.2"],
        }
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Library::Cuda => "libcuda",
            Library::Cudnn => "cuDNN",
            Library::Nvrtc => "NVRTC",
            Library::CublasLt => "cuBLASLt",
            Library::Nvjpeg => "nvJPEG",
            Library::Nccl => "NCCL",
        })
    }
}
