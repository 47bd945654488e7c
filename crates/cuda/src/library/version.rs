//! The version of a library's file, as far as names tell; nothing is opened.

use std::fs;
use std::path::Path;

use super::Library;

/// The version that the file's name ends in, else that of the wheel it came in, else that of a file beside it.
pub(super) fn version(library: Library, path: &Path) -> Option<String> {
    of_name(path).or_else(|| Some(wheel(library, path)?.1)).or_else(|| of_sibling(library, path))
}

/// `libcudnn.so.9.14.0` is 9.14.0; the 9 of `libcudnn.so.9` is no version, it is the interface's.
fn of_name(path: &Path) -> Option<String> {
    let (_, version) = path.file_name()?.to_str()?.split_once(".so.")?;
    version.contains('.').then(|| version.to_owned())
}

/// Name and version of the wheel that a file came in: `site-packages/nvidia_cudnn_cu13-9.19.0.56.dist-info` for
/// `site-packages/nvidia/cudnn/lib/libcudnn.so.9`.
pub(super) fn wheel(library: Library, path: &Path) -> Option<(String, String)> {
    let base = match library {
        Library::Cuda => return None,
        Library::Cudnn => "nvidia_cudnn",
        Library::Nvrtc => "nvidia_cuda_nvrtc",
        Library::CublasLt => "nvidia_cublas",
        Library::Nvjpeg => "nvidia_nvjpeg",
        Library::Nccl => "nvidia_nccl",
    };
    // The toolkit's wheels for CUDA 13 share a directory and have no suffix; those for CUDA 12 have one each.
    let has_suffix =
        matches!(library, Library::Cudnn | Library::Nccl) || !path.parent()?.parent()?.ends_with("cu13");
    fs::read_dir(path.ancestors().nth(4)?).ok()?.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let (name, version) = name.strip_suffix(".dist-info")?.split_once('-')?;
        let suffix = name.strip_prefix(base)?;
        let fits = if has_suffix { suffix.starts_with("_cu") } else { suffix.is_empty() };
        fits.then(|| (name.to_owned(), version.to_owned()))
    })
}

/// cuDNN's header and NVRTC's built-ins carry the version.
fn of_sibling(library: Library, path: &Path) -> Option<String> {
    let directory = path.parent()?;
    match library {
        Library::Cudnn => {
            let header = directory.with_file_name("include").join("cudnn_version.h");
            let text = fs::read_to_string(header).ok()?;
            let number = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name));
                line.map(str::trim)
            };
            Some([number("CUDNN_MAJOR ")?, number("CUDNN_MINOR ")?, number("CUDNN_PATCHLEVEL ")?].join("."))
        }
        Library::Nvrtc => {
            let major = path.file_name()?.to_str()?.rsplit('.').next()?;
            let start = format!("libnvrtc-builtins.so.{major}.");
            let mut names = fs::read_dir(directory)
                .ok()?
                .flatten()
                .filter_map(|entry| entry.file_name().into_string().ok());
            names.find_map(|name| Some(format!("{major}.{}", name.strip_prefix(&start)?)))
        }
        _ => None,
    }
}
