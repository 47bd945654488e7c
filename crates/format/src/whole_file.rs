//! Files that take their name once they are whole.

use std::io::Write;
use std::path::Path;

use ocelli_files::file_beside;

use crate::{Error, Result};

/// Writes a file of these bytes, which takes its name once they are on the disk: whatever had the name before stays as it is
/// until then.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |action| move |source| Error::Io { action, path: path.into(), source };
    let mut file = file_beside(path).map_err(failed("create"))?;
    file.write_all(bytes).and_then(|()| file.persist()).map_err(failed("write"))
}
