//! The files to load before a library, so that it does not find others of their names.
//!
//! libcudnn.so.9 opens `libcudnn_graph.so.9` and others by name, these name each other as dependencies, and some open
//! cuBLASLt and NVRTC by name. The loader answers a bare name by the first of: a file already open under that name;
//! `LD_LIBRARY_PATH`; the run path of the file that asks (NVIDIA's wheels have `$ORIGIN` and the directories of other
//! wheels); the loader's cache; the standard directories. So a cuDNN opened by absolute path still takes its parts from
//! another cuDNN that lies on `LD_LIBRARY_PATH`, or, where a package left the run path out, from the system's. NVRTC
//! 13.0 has no run path and does not find its built-ins at all.
//!
//! Only the first rule comes before `LD_LIBRARY_PATH`, so such files are opened first, by absolute path, those that
//! others depend on before these:
//!
//! - cuDNN's parts always. All of cuDNN 9.19 takes 20 ms with the files in memory, and would spend 17 of them itself on
//!   the parts that every plan needs, so asking which of them another copy could displace saves nothing.
//! - The cuBLASLt and the NVRTC that serve us, for cuDNN, only where it would find others or none: opening cuBLASLt takes
//!   45 ms, and most plans do not need it.
//! - NVRTC's built-ins always.
//!
//! cuDNN tries `libcudnn_graph.so.9.19.0` and `libcudnn_graph.so.9.19` before `libcudnn_graph.so.9`, the name that an open
//! part answers to. So of two copies of the very same version, where one has files of the longer names in the loader's
//! path, its parts can still be loaded beside those of the other; no order of opening prevents that.

use std::fs;
use std::path::{Path, PathBuf};

use super::driver_fit::cuda_of_file;
use super::loader::Loader;
use super::open::choices;
use super::{Environment, Library};

/// cuDNN's parts on which others depend, in order.
const CUDNN_FIRST: [&str; 2] = ["libcudnn_graph.so.9", "libcudnn_ops.so.9"];
/// The run path of cuDNN's parts, from their directory.
const CUDNN_RUN_PATH: [&str; 4] = [".", "../../cublas/lib", "../../cuda_nvrtc/lib", "../../cu13/lib"];

/// The files without which the library at `path` is not whole, in the order in which to open them before it.
pub(super) fn parts(library: Library, path: &Path) -> Vec<PathBuf> {
    match library {
        Library::Nvrtc => builtins(path),
        Library::Cudnn => cudnn_parts(path),
        _ => Vec::new(),
    }
}

/// The files of other libraries that the one at `path` should use, in the order in which to open them before it.
pub(super) fn dependencies(environment: &Environment, library: Library, path: &Path) -> Vec<PathBuf> {
    if library == Library::Cudnn { cudnn_dependencies(environment, path) } else { Vec::new() }
}

fn cudnn_parts(path: &Path) -> Vec<PathBuf> {
    let mut names = siblings(path, |name| name.starts_with("libcudnn_") && name.ends_with(".so.9"));
    names.sort_by_key(|name| CUDNN_FIRST.iter().position(|first| first == name).unwrap_or(CUDNN_FIRST.len()));
    names.iter().map(|name| path.with_file_name(name)).collect()
}

fn cudnn_dependencies(environment: &Environment, cudnn: &Path) -> Vec<PathBuf> {
    let loader = Loader::new(environment);
    let run_path: Vec<PathBuf> =
        CUDNN_RUN_PATH.iter().filter_map(|path| Some(cudnn.parent()?.join(path))).collect();
    let cuda = cuda_of_file(Library::Cudnn, cudnn);
    let mut files = Vec::new();
    for library in [Library::CublasLt, Library::Nvrtc] {
        let choices = choices(environment, library).unwrap_or_default();
        let fits = |path: &Path| cuda.is_none() || cuda_of_file(library, path) == cuda;
        let Some(wanted) = choices.into_iter().map(|found| found.path).find(|path| fits(path)) else {
            continue;
        };
        if library == Library::Nvrtc {
            files.extend(builtins(&wanted));
        }
        let file = wanted.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = library.file_names().iter().find(|name| file.starts_with(*name));
        if name.is_some_and(|name| loader.resolve(name, &run_path).as_ref() != Some(&wanted)) {
            files.push(wanted);
        }
    }
    files
}

/// NVRTC's built-in declarations, of its own major version where several lie in one directory.
fn builtins(nvrtc: &Path) -> Vec<PathBuf> {
    let major = cuda_of_file(Library::Nvrtc, nvrtc).map(|major| format!("{major}.")).unwrap_or_default();
    let start = format!("libnvrtc-builtins.so.{major}");
    siblings(nvrtc, |name| name.starts_with(&start)).iter().map(|name| nvrtc.with_file_name(name)).collect()
}

/// The names of the files beside `path` that are wanted, sorted.
fn siblings(path: &Path, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = path.parent().and_then(|directory| fs::read_dir(directory).ok());
    let names =
        entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| wanted(name)).collect();
    names.sort();
    names
}
