//! Which major version of CUDA a driver can run, and which one a file is made for.

use std::path::Path;

use super::{Library, version};

/// CUDA's major versions with the oldest driver of each; a driver serves every minor version of its major, and all
/// older majors. (NVIDIA, "CUDA Compatibility", minor version compatibility.)
const OLDEST_DRIVERS: [(u32, u32); 2] = [(13, 580), (12, 525)];

/// The newest major version of CUDA that a driver runs; none for one older than all we know.
pub(crate) fn cuda_of_driver((major, _): (u32, u32)) -> Option<u32> {
    OLDEST_DRIVERS.into_iter().find(|&(_, oldest)| major >= oldest).map(|(cuda, _)| cuda)
}

/// Why a file cannot work with a driver, as far as it shows.
pub(super) fn unfit(library: Library, path: &Path, driver: Option<(u32, u32)>) -> Option<String> {
    let (major, minor) = driver?;
    let cuda = cuda_of_file(library, path)?;
    let (_, oldest) = OLDEST_DRIVERS.into_iter().find(|&(known, _)| known == cuda)?;
    (major < oldest).then(|| {
        format!("it is for CUDA {cuda}, which needs driver {oldest} or newer, and this is {major}.{minor:02}")
    })
}

/// The major version of CUDA that a file is made for: by its name, or by the wheel it came in.
pub(super) fn cuda_of_file(library: Library, path: &Path) -> Option<u32> {
    match library {
        Library::Cuda => None,
        // Their own versions are not CUDA's.
        Library::Cudnn | Library::Nccl => version::wheel(library, path)?.0.rsplit_once("_cu")?.1.parse().ok(),
        Library::Nvrtc | Library::CublasLt | Library::Nvjpeg => {
            let (_, version) = path.file_name()?.to_str()?.split_once(".so.")?;
            version.split('.').next()?.parse().ok()
        }
    }
}
