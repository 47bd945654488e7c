use std::fs::{File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::target::{beside, directory_of, resolve, sync_directory};

/// A file under a hidden name that ends in `.part`, beside the one that it is to be. It is removed where it is dropped
/// before [`PartFile::persist`].
#[derive(Debug)]
pub struct PartFile {
    temporary: NamedTempFile,
    /// Where it is to be, with links followed.
    target: PathBuf,
}

/// Begins a file that will be at `path`, with the permissions that the user's umask leaves a new file. Where `path` is a
/// link, the file will be what the link leads to.
///
/// # Errors
/// Where `path` ends in no name, where something is there that is no regular file (a directory, a device, a pipe) or a
/// link that leads nowhere, and where the directory cannot be written.
pub fn file_beside(path: &Path) -> io::Result<PartFile> {
    let (target, there) = resolve(path)?;
    match there {
        Some(kind) if kind.is_dir() => {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a directory, which no file replaces",
            ));
        }
        Some(kind) if !kind.is_file() => {
            let what = "it is a device, a pipe, or a socket, which no file replaces";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        _ => {}
    }
    let temporary = beside(&target, 0o666, |builder, directory| builder.tempfile_in(directory))?;
    Ok(PartFile { temporary, target })
}

impl PartFile {
    /// Where it is until it has its name.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// The file, for reading and writing.
    pub fn as_file_mut(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    /// Gives the file other permissions.
    ///
    /// # Errors
    /// Where the operating system refuses.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.temporary.as_file().set_permissions(permissions)
    }

    /// Waits until all is on the disk, and gives the file its name; one that had it is replaced.
    ///
    /// # Errors
    /// Where the operating system refuses; what had the name has it still, and the new file is removed.
    pub fn persist(self) -> io::Result<()> {
        self.finish(|temporary, target| temporary.persist(target).map(drop).map_err(|error| error.error))
    }

    /// As [`PartFile::persist`], but replaces nothing.
    ///
    /// # Errors
    /// Of the kind [`AlreadyExists`](io::ErrorKind::AlreadyExists) where something has the name, and otherwise likewise.
    pub fn persist_new(self) -> io::Result<()> {
        self.finish(|temporary, target| {
            temporary.persist_noclobber(target).map(drop).map_err(|error| error.error)
        })
    }

    fn finish(mut self, rename: impl FnOnce(NamedTempFile, &Path) -> io::Result<()>) -> io::Result<()> {
        self.temporary.flush()?;
        // Without this a power cut could leave the name on a part of the file.
        self.temporary.as_file().sync_all()?;
        rename(self.temporary, &self.target)?;
        sync_directory(directory_of(&self.target));
        Ok(())
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

impl Seek for PartFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.temporary.seek(position)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The names in a directory, sorted.
    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = file_beside(path)?;
        file.write_all(bytes)?;
        file.persist()
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_not_before() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        fs::write(&path, "old").unwrap();
        let mut file = file_beside(&path).unwrap();
        file.write_all(b"new").unwrap();
        let part = file.path().file_name().unwrap().to_str().unwrap().to_owned();
        assert!(part.starts_with(".a.") && part.ends_with(".part"), "{part}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        file.persist().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(home.path()), ["a"]);

        drop(file_beside(&path).unwrap());
        assert_eq!(names(home.path()), ["a"]);
    }

    #[test]
    fn what_came_meanwhile_is_not_replaced_where_the_file_is_to_be_new() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        let file = file_beside(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert_eq!(file.persist_new().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(names(home.path()), ["a"]);
    }

    #[test]
    fn names_may_be_as_long_as_the_file_system_takes() {
        let home = tempfile::tempdir().unwrap();
        // The hundredth byte is in the middle of a character.
        for name in ["x".repeat(255), format!("{}{}", "x".repeat(99), "ü".repeat(78)), "ü".repeat(127)] {
            let path = home.path().join(&name);
            write(&path, b"new").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
        }
        assert_eq!(names(home.path()).len(), 3);
        assert!(write(&home.path().join("x".repeat(256)), b"new").is_err());
        assert_eq!(names(home.path()).len(), 3);
    }

    #[test]
    fn a_directory_and_what_has_no_name_are_refused() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("a")).unwrap();
        let error = write(&home.path().join("a"), b"new").unwrap_err();
        assert!(error.to_string().contains("it is a directory"), "{error}");
        assert!(write(&home.path().join("b/.."), b"new").is_err());
        let error = write(&home.path().join("b/c"), b"new").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(write(Path::new(""), b"new").is_err());
        assert_eq!(names(home.path()), ["a"]);
    }

    #[test]
    #[cfg(unix)]
    fn devices_and_pipes_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let link = home.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for path in [Path::new("/dev/null"), &pipe, &link] {
            let error = file_beside(path).unwrap_err();
            assert!(error.to_string().contains("it is a device"), "{}: {error}", path.display());
        }
        assert_eq!(names(home.path()), ["link", "pipe"]);
    }

    #[test]
    #[cfg(unix)]
    fn links_are_followed_and_stay() {
        use std::os::unix::fs::symlink;

        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at("elsewhere")).unwrap();
        fs::write(at("elsewhere/a"), "old").unwrap();
        symlink("elsewhere/a", at("first")).unwrap();
        symlink("first", at("second")).unwrap();
        write(&at("second"), b"new").unwrap();
        assert_eq!(fs::read(at("elsewhere/a")).unwrap(), b"new");
        assert!(fs::symlink_metadata(at("first")).unwrap().is_symlink());
        assert!(fs::symlink_metadata(at("second")).unwrap().is_symlink());

        symlink("nothing", at("third")).unwrap();
        symlink("fourth", at("fourth")).unwrap();
        for name in ["third", "fourth"] {
            let error = write(&at(name), b"new").unwrap_err();
            assert!(error.to_string().contains("leads nowhere"), "{error}");
        }
        assert_eq!(names(home.path()), ["elsewhere", "first", "fourth", "second", "third"]);
        assert_eq!(names(&at("elsewhere")), ["a"]);
    }

    #[test]
    #[cfg(unix)]
    fn a_new_file_has_the_permissions_of_any_other() {
        use std::os::unix::fs::PermissionsExt;

        let home = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(home.path().join(name)).unwrap().permissions().mode();
        write(&home.path().join("a"), b"new").unwrap();
        fs::write(home.path().join("b"), "new").unwrap();
        assert_eq!(mode("a"), mode("b"));
    }
}
