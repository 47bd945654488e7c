//! A file replaced by another, whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::temporary::{directory_of, sync_directory, temporary_file};
use crate::{Error, Result};

/// Replaces a file's contents: the new file is written beside it, with its permissions, and takes its name once it is on
/// the disk. Where the name is a link, what it leads to is replaced.
///
/// # Errors
/// [`Error::Io`], and the file is as it was.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let replaced = || {
        let path = fs::canonicalize(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let permissions = fs::metadata(&path)?.permissions();
        let mut temporary = temporary_file(&name, directory_of(&path))?;
        temporary.write_all(bytes)?;
        temporary.as_file().set_permissions(permissions)?;
        temporary.as_file().sync_all()?;
        temporary.persist(&path).map_err(|error| error.error)?;
        sync_directory(directory_of(&path));
        Ok(())
    };
    replaced().map_err(|source| Error::Io { action: "replace", path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.jpg");
        fs::write(&path, "the original").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        let error = replace(&home.path().join("none.jpg"), b"new").unwrap_err().to_string();
        assert!(error.contains("replace") && error.contains("none.jpg"), "{error}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn permissions_are_kept_and_links_followed() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let home = tempfile::tempdir().unwrap();
        let (path, link) = (home.path().join("a.jpg"), home.path().join("link.jpg"));
        fs::write(&path, "the original").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        symlink("a.jpg", &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_leaves_the_original() {
        // Nothing can be made in here, which is where the new file would be written first.
        let error = replace(Path::new("/proc/self/status"), b"new").unwrap_err();
        assert!(
            matches!(&error, Error::Io { path, .. } if path == Path::new("/proc/self/status")),
            "{error}"
        );
    }
}
