//! Files and directories that take their name once they are whole.

use std::io;
use std::path::Path;

use tempfile::{NamedTempFile, TempDir};

/// A file beside the one of this name that it will be renamed to, hidden, and removed unless it is.
pub(crate) fn temporary_file(name: &str, directory: &Path) -> io::Result<NamedTempFile> {
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".part");
    // Temporary files are private by default; a dataset is shared as far as the user's umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory)
}

/// As [`temporary_file`], a directory.
pub(crate) fn temporary_directory(name: &str, directory: &Path) -> io::Result<TempDir> {
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(directory)
}

/// The directory that a file is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Waits until the names in a directory are on the disk. Where directories cannot be synchronised, a power cut may still
/// take a name back, but not a file apart.
pub(crate) fn sync_directory(directory: &Path) {
    #[cfg(unix)]
    let _ = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    #[cfg(not(unix))]
    let _ = directory;
}
