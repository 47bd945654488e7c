//! Where a set of image files is written: a directory of class folders or a record file, which appears whole or not at
//! all.
//!
//! A directory that is replaced is first moved aside, and the new one then takes its name. A process that is killed between
//! the two leaves nothing under the name: the new directory is whole beside it, as `.NAME.*.part`, and the old one as
//! `replaced` in another directory of such a name.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ocelli_files::{PartDirectory, directory_beside, directory_of, sync_directory};

use crate::images::ImageFolder;
use crate::ordered::in_order;
use crate::records::Writer;
use crate::set::ImageSet;
use crate::{Error, Result};

/// The extension of record files.
const EXTENSION: &str = "records";

/// What a directory is called in the one in which it is put aside.
const REPLACED: &str = "replaced";

/// What a set is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory with a folder for each class that has a file.
    Directory,
    /// A record file.
    Records,
}

/// Where a set is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The directory or file, which is made. A link stays one, and what it leads to is replaced.
    pub path: PathBuf,
    /// Which of both.
    pub kind: Kind,
    /// Whether what is there is replaced once the new set is whole: a file by a record file; by a directory, a directory
    /// of class folders with nothing but their images in it.
    pub overwrite: bool,
}

impl Target {
    /// A new record file if the path ends in `.records`, else a new directory. What is there is not replaced.
    pub fn new(path: &Path) -> Target {
        let is_records = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(EXTENSION));
        let kind = if is_records { Kind::Records } else { Kind::Directory };
        Target { path: path.into(), kind, overwrite: false }
    }

    /// Whether the target may be written, of files that are in `set`.
    pub(crate) fn check(&self, set: &ImageSet) -> Result<()> {
        let path = self.path.display();
        let setting = |what: String| Err(Error::Setting { what });
        let exists = fs::symlink_metadata(&self.path).is_ok();
        if exists && !self.overwrite {
            return setting(format!("{path} exists already: let it be overwritten, or name another"));
        }
        if exists && self.path.is_dir() != (self.kind == Kind::Directory) {
            return setting(format!(
                "{path} is {}: name another",
                if self.path.is_dir() {
                    "a directory, which no record file replaces"
                } else {
                    "no directory"
                }
            ));
        }
        if self.kind == Kind::Records {
            return Ok(());
        }
        // A new directory has no place of its own yet; its parent has.
        let place = |path: &Path| {
            fs::canonicalize(path).or_else(|_| {
                let parent = fs::canonicalize(directory_of(path))?;
                Ok(parent.join(path.file_name().unwrap_or_default()))
            })
        };
        let cannot = |path: &Path| {
            let path = path.to_path_buf();
            move |source: io::Error| Error::Io { action: "create", path, source }
        };
        let target = place(&self.path).map_err(cannot(&self.path))?;
        let source = place(set.path()).map_err(cannot(set.path()))?;
        if source.starts_with(&target) || (set.folder().is_some() && target.starts_with(&source)) {
            return setting(format!(
                "{path} and {} lie one in the other: name a directory apart",
                set.path().display()
            ));
        }
        if exists && !holds_only_images(&self.path)? {
            return Err(holds_more(&self.path));
        }
        Ok(())
    }
}

/// A file of the set that is written.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Its index in the set that it comes from.
    pub(crate) index: usize,
    /// Its label in a record file.
    pub(crate) label: i32,
}

/// Writes files of a set to a target; a record file gets these classes, or none. `make` gives a file's bytes and what is to be told of it, on one
/// of `workers` threads, with a state that `start` makes; `done` is told it, in order.
///
/// # Errors
/// As [`Target::check`] and `make`; [`Error::Io`] where the target cannot be written; [`Error::Unfit`] where a record has
/// no place in a directory. The target is not there then, or as it was.
pub(crate) fn write<'set, State, Told: Send>(
    target: &Target,
    set: &'set ImageSet,
    (items, classes): (&[Item], &[String]),
    workers: usize,
    start: impl Fn() -> State + Sync,
    make: impl Fn(&mut State, usize) -> Result<(Cow<'set, [u8]>, Told)> + Sync,
    mut done: impl FnMut(usize, Told),
) -> Result<()> {
    target.check(set)?;
    match target.kind {
        Kind::Records => {
            let mut writer = Writer::create(&target.path, classes)?;
            let make = |state: &mut State, place: usize| make(state, items[place].index);
            in_order(items.len(), workers, start, make, |place, made| {
                let (bytes, told) = made?;
                let Item { index, label } = items[place];
                writer.write(&bytes, label, &set.name_within(index).to_string_lossy())?;
                done(place, told);
                Ok(())
            })?;
            writer.finish()
        }
        Kind::Directory => {
            let places = items.iter().map(|item| set.place_in_directory(item.index));
            let places: Vec<PathBuf> = places.collect::<Result<_>>()?;
            let directory = NewDirectory::create(target, &places)?;
            let make = |state: &mut State, place: usize| -> Result<Told> {
                let (bytes, told) = make(state, items[place].index)?;
                directory.put(&places[place], &bytes)?;
                Ok(told)
            };
            in_order(items.len(), workers, start, make, |place, told| {
                done(place, told?);
                Ok(())
            })?;
            directory.finish()
        }
    }
}

/// A directory under a temporary name, removed unless it is finished.
struct NewDirectory {
    path: PathBuf,
    overwrite: bool,
    part: PartDirectory,
    /// The folders in it.
    folders: BTreeSet<PathBuf>,
}

impl NewDirectory {
    /// An empty directory with the folders that these places are in.
    fn create(target: &Target, places: &[PathBuf]) -> Result<NewDirectory> {
        let path = target.path.clone();
        let cannot_create = |source| Error::Io { action: "create", path: path.clone(), source };
        let part = directory_beside(&path).map_err(cannot_create)?;
        let folders = places.iter().flat_map(|place| place.ancestors().skip(1));
        let folders: BTreeSet<PathBuf> = folders.map(Path::to_path_buf).collect();
        for folder in &folders {
            fs::create_dir_all(part.path().join(folder)).map_err(cannot_create)?;
        }
        Ok(NewDirectory { path, overwrite: target.overwrite, part, folders })
    }

    /// Writes a file, and waits until it is on the disk.
    fn put(&self, place: &Path, bytes: &[u8]) -> Result<()> {
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.part.path().join(place))
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        // By the name that it would have had.
        written.map_err(|source| Error::Io { action: "write", path: self.path.join(place), source })
    }

    /// Gives the directory its name. One that had it goes once the new one is there: for a moment neither is.
    fn finish(self) -> Result<()> {
        let NewDirectory { path, overwrite, part, folders } = self;
        for folder in &folders {
            sync_directory(&part.path().join(folder));
        }
        let replaced = match overwrite && part.target().is_dir() {
            true => Some(Aside::put(&path)?),
            false => None,
        };
        part.persist().map_err(|source| {
            if let Some(replaced) = replaced {
                replaced.put_back();
            }
            Error::Io { action: "create", path, source }
        })
    }
}

/// A directory that was put aside under a temporary name. It is removed unless it is put back.
struct Aside(PartDirectory);

impl Aside {
    /// Puts a directory aside, if it still holds nothing but images: hours may have passed since it was looked at first.
    fn put(path: &Path) -> Result<Aside> {
        let failed = |source| Error::Io { action: "replace", path: path.into(), source };
        let aside = directory_beside(path).map_err(failed)?;
        fs::rename(aside.target(), aside.path().join(REPLACED)).map_err(failed)?;
        let aside = Aside(aside);
        // Looked at under its new name, where nobody adds to it any more.
        let refused = match holds_only_images(&aside.0.path().join(REPLACED)) {
            Ok(true) => return Ok(aside),
            Ok(false) => holds_more(path),
            Err(error) => error,
        };
        aside.put_back();
        Err(refused)
    }

    /// Gives the directory its name again. Where even that fails, it stays aside, and is not removed.
    fn put_back(self) {
        let target = self.0.target().to_path_buf();
        let aside = self.0.keep();
        if fs::rename(aside.join(REPLACED), target).is_ok() {
            let _ = fs::remove_dir(aside);
        }
    }
}

/// That a directory is not replaced, for what is in it.
fn holds_more(directory: &Path) -> Error {
    let directory = directory.display();
    let what =
        format!("{directory} holds more than folders of images, and is not replaced: name another directory");
    Error::Setting { what }
}

/// Whether a directory is empty, or one of class folders without any file that is none of their images.
fn holds_only_images(directory: &Path) -> Result<bool> {
    let files = count_files(directory).map_err(|source| Error::Io {
        action: "list",
        path: directory.into(),
        source,
    })?;
    Ok(match ImageFolder::open(directory) {
        Ok(folder) => files == folder.samples().len(),
        Err(Error::NoClasses { .. }) => files == 0,
        Err(Error::EmptyClass { .. }) => false,
        Err(error) => return Err(error),
    })
}

/// How many files, and whatever else is no directory, lie in a directory and below it.
fn count_files(directory: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_what_is_made() {
        for (name, kind) in [
            ("a.records", Kind::Records),
            ("b/a.Records", Kind::Records),
            ("records", Kind::Directory),
            ("a.records/b", Kind::Directory),
            ("set", Kind::Directory),
        ] {
            assert_eq!(Target::new(name.as_ref()).kind, kind, "{name}");
        }
    }

    #[test]
    fn a_directory_that_is_not_finished_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("set");
        let places = [PathBuf::from("dog/a.jpg"), PathBuf::from("cat/more/b.jpg")];
        let directory = NewDirectory::create(&Target::new(&path), &places).unwrap();
        directory.put(&places[0], b"a").unwrap();
        let again = directory.put(&places[0], b"b").unwrap_err().to_string();
        assert!(again.contains("set/dog/a.jpg"), "{again}");
        assert!(!path.exists());
        drop(directory);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);

        let directory = NewDirectory::create(&Target::new(&path), &places).unwrap();
        directory.put(&places[1], b"b").unwrap();
        directory.finish().unwrap();
        assert_eq!(fs::read(path.join(&places[1])).unwrap(), b"b");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_came_to_a_directory_meanwhile_is_not_lost() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("set");
        let (place, notes) = (PathBuf::from("dog/a.jpg"), path.join("dog/notes.txt"));
        for overwrite in [true, false] {
            fs::create_dir_all(path.join("dog")).unwrap();
            fs::write(path.join(&place), "old").unwrap();
            let target = Target { overwrite, ..Target::new(&path) };
            let directory = NewDirectory::create(&target, std::slice::from_ref(&place)).unwrap();
            directory.put(&place, b"new").unwrap();
            fs::write(&notes, "mine").unwrap();
            let error = directory.finish().unwrap_err();
            assert_eq!(matches!(error, Error::Setting { .. }), overwrite, "{error}");
            assert_eq!(fs::read(path.join(&place)).unwrap(), b"old");
            assert_eq!(fs::read(&notes).unwrap(), b"mine");
            assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        }
        fs::remove_file(&notes).unwrap();
        let target = Target { overwrite: true, ..Target::new(&path) };
        let directory = NewDirectory::create(&target, std::slice::from_ref(&place)).unwrap();
        directory.put(&place, b"new").unwrap();
        directory.finish().unwrap();
        assert_eq!(fs::read(path.join(&place)).unwrap(), b"new");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_folders_of_images_are_replaced() {
        let home = tempfile::tempdir().unwrap();
        let only = || holds_only_images(home.path()).unwrap();
        assert!(only());
        fs::create_dir_all(home.path().join("dog/more")).unwrap();
        assert!(!only());
        fs::write(home.path().join("dog/more/a.jpg"), "").unwrap();
        assert!(only());
        fs::write(home.path().join("dog/notes.txt"), "").unwrap();
        assert!(!only());
        fs::rename(home.path().join("dog/notes.txt"), home.path().join("notes.jpg")).unwrap();
        assert!(!only());
    }
}
