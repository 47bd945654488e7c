//! Files that take their name once they are whole.

use std::io::{self, Write};
use std::path::Path;

use crate::{Error, Result};

/// Writes a file of these bytes. They go to a hidden file beside it, which is renamed once they are on the disk and removed
/// if they do not get there: whatever had the name before stays as it is until then.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |action| move |source| Error::Io { action, path: path.into(), source };
    let Some(name) = path.file_name() else {
        return Err(failed("create")(io::ErrorKind::InvalidFilename.into()));
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = format!(".{}.", name.to_string_lossy());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".part");
    // Temporary files are private by default; weights are shared as far as the user's umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(directory).map_err(failed("create"))?;
    file.write_all(bytes).map_err(failed("write"))?;
    // Without this a power cut could leave the name on a part of the file.
    file.as_file().sync_all().map_err(failed("write"))?;
    file.persist(path).map_err(|error| failed("write")(error.error))?;
    // The name itself. Where directories cannot be synchronised, a power cut may still take it back, but not the file
    // apart.
    #[cfg(unix)]
    let _ = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}
