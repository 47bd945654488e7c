//! Stacks: NVIDIA's libraries in directories of ours, without root and without a toolkit, several side by side.
//!
//! A stack is a directory `stacks/<name>` below [`home`](crate::paths::home), laid out as pip leaves it
//! (`nvidia/*/lib`). One may be in use; `OCELLI_STACK` overrides which. The search of [`library`](crate::library) looks
//! there before it looks at the system.

mod install;
mod missing;
mod packages;
mod pip;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

pub use install::{InstallOptions, Progress};
pub use missing::{install_missing, missing};
pub use packages::default_packages;

use crate::error::{Error, Result};
use crate::library::Environment;
use crate::paths;

/// Holds the name of the stack in use, on one line.
const CURRENT: &str = "current";
/// How the directories begin that are not complete yet, or no longer.
const ASIDE: &str = ".aside-";

/// An installed stack.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stack {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Name and version of each package in it, sorted.
    pub packages: Vec<(String, String)>,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Whether it is the one in use.
    pub current: bool,
}

/// A stack as the search for libraries needs it.
pub(crate) struct Chosen {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// The directory of stacks.
#[derive(Clone, Debug)]
pub struct Stacks {
    directory: PathBuf,
    environment: Environment,
}

impl Stacks {
    /// Those of this user: below [`home`](crate::paths::home).
    pub fn here() -> Stacks {
        Stacks::of(&Environment::current())
    }

    /// Those of an environment.
    pub fn of(environment: &Environment) -> Stacks {
        let directory = paths::home_in(environment).join("stacks");
        Stacks { directory, environment: environment.clone() }
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// All stacks, by name.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory exists and cannot be read.
    pub fn list(&self) -> Result<Vec<Stack>> {
        let current = self.chosen_name()?;
        let stacks = self.names()?.into_iter().map(|name| {
            let path = self.directory.join(&name);
            let (bytes, packages) = (pip::size_of_tree(&path), installed_packages(&path));
            Stack { current: current.as_ref() == Some(&name), packages, bytes, path, name }
        });
        Ok(stacks.collect())
    }

    /// The stack in use: the one that `OCELLI_STACK` names, else the one selected last.
    ///
    /// # Errors
    /// [`Error::UnknownStack`] when it is not installed.
    pub fn current(&self) -> Result<Option<Stack>> {
        self.chosen()?.map(|chosen| self.get(&chosen.name)).transpose()
    }

    /// Makes a stack the one in use, for this user and from the next process on.
    ///
    /// # Errors
    /// [`Error::InvalidStackName`], [`Error::UnknownStack`], [`Error::StackBusy`], or [`Error::Io`].
    pub fn select(&self, name: &str) -> Result<()> {
        self.existing(name)?;
        let _lock = self.lock()?;
        self.write_selected(name)
    }

    /// Removes a stack and, with the last one, every trace of stacks.
    ///
    /// # Errors
    /// [`Error::InvalidStackName`], [`Error::UnknownStack`], [`Error::StackBusy`], or [`Error::Io`].
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.existing(name)?;
        let _lock = self.lock()?;
        // Gone at once for those who look for it, even if this process is killed before all of it is deleted.
        let aside = self.aside(name);
        let failed = |source| Error::Io { action: "remove", path: path.clone(), source };
        fs::rename(&path, &aside).map_err(failed)?;
        if self.selected()?.as_deref() == Some(name) {
            fs::remove_file(self.directory.join(CURRENT)).map_err(failed)?;
        }
        fs::remove_dir_all(&aside).map_err(failed)?;
        // Fails, as it should, as long as there is something in it.
        let _ = fs::remove_dir(&self.directory);
        let _ = self.directory.parent().map(fs::remove_dir);
        Ok(())
    }

    /// Name and directory of the stack in use, without a look at its content.
    pub(crate) fn chosen(&self) -> Result<Option<Chosen>> {
        let Some(name) = self.chosen_name()? else { return Ok(None) };
        let path = self.existing(&name)?;
        Ok(Some(Chosen { name, path }))
    }

    fn chosen_name(&self) -> Result<Option<String>> {
        match self.demanded() {
            Some(name) => Ok(Some(name)),
            None => self.selected(),
        }
    }

    /// What `OCELLI_STACK` says.
    fn demanded(&self) -> Option<String> {
        self.environment.variable("OCELLI_STACK").map(|name| name.to_string_lossy().into_owned())
    }

    fn get(&self, name: &str) -> Result<Stack> {
        let stack = self.list()?.into_iter().find(|stack| stack.name == name);
        stack.ok_or_else(|| self.unknown(name))
    }

    fn existing(&self, name: &str) -> Result<PathBuf> {
        let path = self.path_of(name)?;
        if path.is_dir() { Ok(path) } else { Err(self.unknown(name)) }
    }

    fn unknown(&self, name: &str) -> Error {
        let known = self.names().unwrap_or_default();
        Error::UnknownStack { name: name.to_owned(), known, directory: self.directory.clone() }
    }

    /// The directory of a stack, whose name must be a plain one, so that it cannot lead elsewhere.
    fn path_of(&self, name: &str) -> Result<PathBuf> {
        let plain = name.len() <= 64
            && name != CURRENT
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte));
        if plain {
            Ok(self.directory.join(name))
        } else {
            Err(Error::InvalidStackName { name: name.to_owned() })
        }
    }

    /// A directory beside the stacks, of this process alone: a killed one may have left a pip that still writes.
    fn aside(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{ASIDE}{name}-{}", std::process::id()))
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::Io { action: "read", path: self.directory.clone(), source }),
            Ok(entries) => entries.filter_map(io::Result::ok),
        };
        let names = entries
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        Ok(names)
    }

    fn selected(&self) -> Result<Option<String>> {
        let path = self.directory.join(CURRENT);
        match fs::read_to_string(&path) {
            Ok(name) => Ok(Some(name.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { action: "read", path, source }),
        }
    }

    fn write_selected(&self, name: &str) -> Result<()> {
        let (path, aside) = (self.directory.join(CURRENT), self.directory.join(".current-new"));
        let written = fs::write(&aside, name).and_then(|()| fs::rename(&aside, &path));
        written.map_err(|source| Error::Io { action: "write", path, source })
    }

    /// Keeps other processes from changing the stacks, then removes what a killed one left.
    ///
    /// The lock is on the directory itself, and the system drops it with the process, however that ends.
    fn lock(&self) -> Result<File> {
        install::create_directories(&self.directory)?;
        let failed = |source| Error::Io { action: "lock", path: self.directory.clone(), source };
        let lock = File::open(&self.directory).map_err(failed)?;
        // A child that another thread is just starting holds the lock too, from its fork to its exec.
        for attempt in 0.. {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < 20 => sleep(Duration::from_millis(10)),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::StackBusy { directory: self.directory.clone() });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        for entry in fs::read_dir(&self.directory).map_err(failed)?.filter_map(io::Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(ASIDE) {
                fs::remove_dir_all(entry.path()).map_err(|source| Error::Io {
                    action: "remove",
                    path: entry.path(),
                    source,
                })?;
            }
        }
        Ok(lock)
    }
}

/// Name and version of the packages that pip installed into a directory.
fn installed_packages(site: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(site).into_iter().flatten().filter_map(io::Result::ok);
    let mut packages: Vec<(String, String)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (package, version) = name.strip_suffix(".dist-info")?.split_once('-')?;
            Some((package.replace('_', "-"), version.to_owned()))
        })
        .collect();
    packages.sort();
    packages
}
