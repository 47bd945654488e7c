//! Which files this process has mapped.

use std::fs;
use std::path::{Path, PathBuf};

use super::Library;

/// The files of a library (all of its parts) that this process has mapped, sorted; empty where `/proc` is not mounted.
pub fn mapped(library: Library) -> Vec<PathBuf> {
    let mut files = mapped_files();
    files.retain(|path| is_of(library, path));
    files.sort();
    files
}

/// The mapped files, each once.
pub(super) fn mapped_files() -> Vec<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut files: Vec<PathBuf> = maps.lines().filter_map(path).map(PathBuf::from).collect();
    files.sort();
    files.dedup();
    files
}

/// The path at the end of a line such as `7f00-7f10 r-xp 00000000 08:01 42    /usr/lib/libz.so.1`.
fn path(line: &str) -> Option<&str> {
    line.find('/').map(|start| line[start..].trim_end_matches(" (deleted)"))
}

/// Whether a file is the library or a part of it.
pub(super) fn is_of(library: Library, path: &Path) -> bool {
    let stem = match library {
        Library::Cuda => "libcuda.so",
        Library::Cudnn => "libcudnn",
        Library::Nvrtc => "libnvrtc",
        Library::CublasLt => "libcublasLt.so",
        Library::Nvjpeg => "libnvjpeg.so",
        Library::Nccl => "libnccl.so",
    };
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_among_the_mapped_files() {
        assert!(mapped_files().contains(&std::env::current_exe().unwrap()));
    }

    #[test]
    fn the_parts_of_a_library_belong_to_it() {
        assert!(is_of(Library::Cudnn, Path::new("/x/libcudnn_graph.so.9")));
        assert!(is_of(Library::Cuda, Path::new("/x/libcuda.so.580.95.05")));
        assert!(!is_of(Library::Cuda, Path::new("/x/libcudart.so.13")));
    }
}
