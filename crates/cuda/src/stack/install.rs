//! Installing a stack: written aside, and given its name when it is complete.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use super::pip::Pip;
use super::{Stack, Stacks, packages};
use crate::error::{Error, Result};
use crate::library::wheels;

/// What to install.
#[derive(Clone, Debug, Default)]
pub struct InstallOptions {
    /// Packages of PyPI, as `name` or `name==version`; those that fit the driver when empty
    /// ([`default_packages`](super::default_packages)).
    pub packages: Vec<String>,
    /// Further arguments for pip, such as `--index-url` and `--find-links` of a mirror.
    pub pip_arguments: Vec<OsString>,
}

/// What an installation is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A file is about to be downloaded.
    Downloading {
        /// The file's name.
        file: &'a str,
        /// Its size, to three or four digits.
        bytes: u64,
    },
    /// So much lies on the disk; said a few times a second.
    Written {
        /// Bytes, downloaded and unpacked ones together.
        bytes: u64,
    },
    /// All is downloaded and being unpacked.
    Unpacking,
}

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
        match *self {
            Progress::Downloading { file, bytes } => {
                write!(f, "downloading {file} ({} MB)", megabytes(bytes))
            }
            Progress::Written { bytes } => write!(f, "{} MB written", megabytes(bytes)),
            Progress::Unpacking => f.write_str("unpacking"),
        }
    }
}

impl Stacks {
    /// Installs a stack of that name by pip, and makes it the one in use when there is none.
    ///
    /// Nothing of that name exists until it is complete; what a killed installation leaves is removed by the next one.
    ///
    /// # Errors
    /// [`Error::InvalidStackName`], [`Error::StackExists`], [`Error::StackBusy`] while another process changes the
    /// stacks, [`Error::InvalidRequirement`], [`Error::PipNotFound`], [`Error::PipFailed`] with the end of what pip
    /// said, [`Error::EmptyStack`] when the packages hold no library, [`Error::Io`] for a directory that cannot be
    /// written.
    pub fn install(
        &self,
        name: &str,
        options: &InstallOptions,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Stack> {
        let path = self.path_of(name)?;
        let requirements = match options.packages.as_slice() {
            [] => packages::default_packages(self.environment.driver())?,
            given => given.to_vec(),
        };
        requirements.iter().try_for_each(|requirement| packages::check(requirement))?;
        let lock = self.lock()?;
        if path.exists() {
            return Err(Error::StackExists { name: name.to_owned(), path });
        }
        // Beside the final place, so that the rename stays within one file system.
        let aside = Aside(self.aside(name));
        let (content, scratch) = (aside.0.join("content"), aside.0.join("scratch"));
        for directory in [&content, &scratch] {
            create_directories(directory)?;
        }
        let pip = Pip::find(&self.environment)?;
        pip.install(&content, &scratch, &requirements, &options.pip_arguments, progress)?;
        let has_libraries = wheels(&content).iter().any(|directory| has_files(directory));
        if !has_libraries {
            return Err(Error::EmptyStack { packages: requirements.join(", ") });
        }
        fs::rename(&content, &path).map_err(|source| Error::Io {
            action: "write",
            path: path.clone(),
            source,
        })?;
        drop(aside);
        if self.selected()?.is_none() {
            self.write_selected(name)?;
        }
        drop(lock);
        self.get(name)
    }
}

pub(super) fn create_directories(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::Io { action: "create", path: path.to_owned(), source })
}

fn has_files(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

/// A directory that is removed on drop.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        // What cannot be removed now, the next installation removes.
        let _ = fs::remove_dir_all(&self.0);
    }
}
