//! Files that take their name once they are whole.

use std::{io, path::Path};

use tempfile::NamedTempFile;

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
