//! A file replaced by another, whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use ocelli_files::file_beside;

use crate::{Error, Result};

/// Replaces a file's contents: the new file is written beside it, with its permissions, and takes its name once it is on
/// the disk. Where the name is a link, what it leads to is replaced.
///
/// # Errors
/// [`Error::Io`], and the file is as it was.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let replaced = || {
        let permissions = fs::metadata(path)?.permissions();
        let mut file = file_beside(path)?;
        file.write_all(bytes)?;
        file.set_permissions(permissions)?;
        file.persist()
    };
    replaced().map_err(|source| Error::Io { action: "replace", path: path.into(), source })
}

/// Whether a file, or what a link leads to, has more than one name (hard links). Elsewhere than on Unix that is not told,
/// and taken to be none.
///
/// # Errors
/// [`Error::Io`] where the file is not there any more.
pub(super) fn has_other_names(path: &Path) -> Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let failed = |source| Error::Io { action: "replace", path: path.into(), source };
        Ok(fs::metadata(path).map_err(failed)?.nlink() > 1)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(false)
    }
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
    fn where_nothing_can_be_made_beside_a_file_that_is_an_error() {
        let error = replace(Path::new("/proc/self/status"), b"new").unwrap_err();
        assert!(
            matches!(&error, Error::Io { path, .. } if path == Path::new("/proc/self/status")),
            "{error}"
        );
    }
}
