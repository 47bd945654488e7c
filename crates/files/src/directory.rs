use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::target::{beside, directory_of, resolve, sync_directory};

/// A directory under a hidden name that ends in `.part`, beside the one that it is to be. It is removed with all that is in
/// it where it is dropped before [`PartDirectory::persist`] or [`PartDirectory::keep`].
#[derive(Debug)]
pub struct PartDirectory {
    temporary: TempDir,
    /// Where it is to be, with links followed.
    target: PathBuf,
}

/// Begins an empty directory that will be at `path`, with the permissions that the user's umask leaves a new directory.
/// Where `path` is a link, the directory will be what the link leads to.
///
/// # Errors
/// Where `path` ends in no name, where something is there that is no directory or a link that leads nowhere, and where the
/// directory that it is in cannot be written.
pub fn directory_beside(path: &Path) -> io::Result<PartDirectory> {
    // A slash at the end would keep a link from being seen as one.
    let (target, there) = resolve(&path.components().collect::<PathBuf>())?;
    if there.is_some_and(|kind| !kind.is_dir()) {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "what is there is no directory"));
    }
    let temporary = beside(&target, 0o777, |builder, directory| builder.tempdir_in(directory))?;
    Ok(PartDirectory { temporary, target })
}

impl PartDirectory {
    /// Where it is until it has its name.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Where it is to be, with links followed.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Gives the directory its name, and waits until that is on the disk. The files in it are the caller's to wait for.
    ///
    /// # Errors
    /// Where the operating system refuses, as it does where a directory with something in it has the name. The new
    /// directory is removed then.
    pub fn persist(self) -> io::Result<()> {
        fs::rename(self.temporary.path(), &self.target)?;
        // It has another name now, so that there is nothing to remove.
        let _ = self.temporary.keep();
        sync_directory(directory_of(&self.target));
        Ok(())
    }

    /// Leaves the directory under its temporary name, which is returned.
    pub fn keep(self) -> PathBuf {
        self.temporary.keep()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn a_directory_has_its_name_when_it_is_whole_and_not_before() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("set");
        let directory = directory_beside(&path).unwrap();
        fs::write(directory.path().join("a"), "new").unwrap();
        assert!(!path.exists());
        directory.persist().unwrap();
        assert_eq!(fs::read(path.join("a")).unwrap(), b"new");
        assert_eq!(count(home.path()), 1);

        // One with something in it is replaced neither by a whole directory nor by one that is given up.
        let directory = directory_beside(&path).unwrap();
        fs::write(directory.path().join("b"), "newer").unwrap();
        assert!(directory.persist().is_err());
        drop(directory_beside(&path).unwrap());
        assert_eq!((count(&path), count(home.path())), (1, 1));

        let kept = directory_beside(&path).unwrap().keep();
        assert!(kept.is_dir() && count(home.path()) == 2);
    }

    #[test]
    #[cfg(unix)]
    fn links_are_followed_and_files_refused() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at("elsewhere/set")).unwrap();
        std::os::unix::fs::symlink("elsewhere/set", at("link")).unwrap();
        let directory = directory_beside(&at("link/")).unwrap();
        assert_eq!(directory.target(), fs::canonicalize(at("elsewhere/set")).unwrap());
        fs::write(directory.path().join("a"), "new").unwrap();
        directory.persist().unwrap();
        assert_eq!(count(&at("elsewhere/set")), 1);
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());

        fs::write(at("file"), "mine").unwrap();
        let error = directory_beside(&at("file")).unwrap_err();
        assert!(error.to_string().contains("no directory"), "{error}");
        assert!(directory_beside(Path::new("/dev/null")).is_err());
    }
}
