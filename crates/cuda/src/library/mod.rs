//! NVIDIA's libraries, opened at run time. Provisional: only what an environment variable names is opened.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::error::{Error, Result};

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

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A library that has been opened and stays so.
#[derive(Debug)]
pub struct Opened {
    library: Library,
    path: PathBuf,
    handle: libloading::Library,
}

/// Opens a library once per process.
///
/// # Errors
/// When the variable is not set or the file cannot be opened.
pub fn open(library: Library) -> Result<&'static Opened> {
    static OPENED: [OnceLock<Opened>; 6] = [const { OnceLock::new() }; 6];
    let (variable, file) = match library {
        Library::Cuda => ("OCELLI_CUDA", "libcuda.so.1"),
        Library::Cudnn => ("OCELLI_CUDNN", "libcudnn.so.9"),
        Library::Nvrtc => ("OCELLI_NVRTC", "libnvrtc.so.13"),
        Library::CublasLt => ("OCELLI_CUBLASLT", "libcublasLt.so.13"),
        Library::Nvjpeg => ("OCELLI_NVJPEG", "libnvjpeg.so.13"),
        Library::Nccl => ("OCELLI_NCCL", "libnccl.so.2"),
    };
    let cell = &OPENED[library as usize];
    if let Some(opened) = cell.get() {
        return Ok(opened);
    }
    let path = std::env::var_os(variable).map_or_else(|| PathBuf::from(file), PathBuf::from);
    let path = if path.is_dir() { path.join(file) } else { path };
    let load = |path: &OsStr| {
        // SAFETY: NVIDIA's libraries, whose initialisers have no requirements.
        unsafe { libloading::Library::new(path) }
    };
    if library == Library::Nvrtc {
        // NVRTC 13.0 has no run path to this part of it; once open it is found by name.
        let _ = load(path.with_file_name("libnvrtc-builtins.so.13.0").as_os_str()).map(std::mem::forget);
    }
    let handle = load(path.as_os_str()).map_err(|error| Error::LibraryNotFound {
        library,
        searched: vec![path.clone()],
        hint: format!("set {variable} to the file ({error})"),
    })?;
    Ok(cell.get_or_init(|| Opened { library, path, handle }))
}

impl Opened {
    /// A function of the library.
    ///
    /// # Errors
    /// [`Error::MissingSymbol`].
    ///
    /// # Safety
    /// `T` must be the symbol's real function-pointer type.
    pub unsafe fn symbol<T: Copy>(&self, name: &str) -> Result<T> {
        // SAFETY: the caller's promise.
        unsafe { self.handle.get::<T>(name.as_bytes()) }.map(|symbol| *symbol).map_err(|_| {
            Error::MissingSymbol { library: self.library, path: self.path.clone(), symbol: name.to_owned() }
        })
    }
}
