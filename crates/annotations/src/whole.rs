//! Files that take their name once they are whole.

use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// A hidden file beside the one of this name that it will be renamed to, and that is removed unless it is. It may be
/// read by whom the user's umask lets read any new file.
pub(crate) fn file_beside(path: &Path) -> Result<NamedTempFile> {
    let (directory, prefix) = (directory(path), prefix(path));
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory).map_err(Error::io("create a file in", directory))
}

/// A hidden directory beside the one of this name, likewise.
pub(crate) fn directory_beside(path: &Path) -> Result<tempfile::TempDir> {
    let (directory, prefix) = (directory(path), prefix(path));
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(directory).map_err(Error::io("create a directory in", directory))
}

/// The directory that a path is in.
pub(crate) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn prefix(path: &Path) -> String {
    format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy())
}
