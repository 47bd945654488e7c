//! Where something is to be, and what is there already.

use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::Builder;

/// The most bytes of a name that a temporary name repeats. File systems take names of 255 bytes, and the rest of the
/// temporary name has to fit, too.
const NAME: usize = 100;

/// The directory that a path is in.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Waits until the names in a directory are on the disk. Where directories cannot be synchronised, a power cut may still
/// take a name back, but not a file apart.
pub fn sync_directory(directory: &Path) {
    #[cfg(unix)]
    let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
    #[cfg(not(unix))]
    let _ = directory;
}

/// A path with the links at its end followed, and what is there.
pub(crate) fn resolve(path: &Path) -> io::Result<(PathBuf, Option<FileType>)> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            let leads_nowhere = |error: io::Error| {
                io::Error::new(error.kind(), format!("it is a link that leads nowhere: {error}"))
            };
            let target = fs::canonicalize(path).map_err(leads_nowhere)?;
            let kind = fs::metadata(&target)?.file_type();
            Ok((target, Some(kind)))
        }
        Ok(metadata) => Ok((path.into(), Some(metadata.file_type()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path.into(), None)),
        Err(error) => Err(error),
    }
}

/// Has a hidden name made that is beside a path and tells which it is for.
pub(crate) fn beside<Made>(
    path: &Path,
    mode: u32,
    make: impl FnOnce(&Builder<'_, '_>, &Path) -> io::Result<Made>,
) -> io::Result<Made> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
    let prefix = format!(".{}.", &name[..name.floor_char_boundary(NAME)]);
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(".part");
    // What is temporary is private by default; what it becomes is shared as far as the user's umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    make(&builder, directory_of(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_directory() {
        for (path, directory) in [("a", "."), ("a/b", "a"), ("/a", "/"), ("./a", "."), ("", ".")] {
            assert_eq!(directory_of(path.as_ref()), Path::new(directory), "{path}");
        }
    }
}
