//! Sets of image files as commands are given them: what is no set, or more than one, is told by what was probably meant.

use std::fs;
use std::path::{Path, PathBuf};

use ocelli_data::ImageSet;
use ocelli_data::images::ImageFolder;

/// What the parts of a set are called, the one for training first.
const PARTS: [&str; 5] = ["train", "val", "valid", "validation", "test"];

/// Why a path names no set of images.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file where class folders are wanted.
    #[error(
        "{} is a file, and what is packed is a directory of class folders: to copy a record file or a part of it, use \
         `ocelli dataset subset`",
        path.display()
    )]
    NoDirectory {
        /// The file.
        path: PathBuf,
    },

    /// A directory of several sets.
    #[error("the folders in {} are parts of a set, and no classes: did you mean {}?", path.display(), meant.display())]
    Parts {
        /// The directory.
        path: PathBuf,
        /// One of the parts.
        meant: PathBuf,
    },

    /// The set itself.
    #[error(transparent)]
    Data(#[from] ocelli_data::Error),
}

/// Opens a directory of class folders, or a record file. No image is read.
///
/// # Errors
/// [`Error`], which says what to name instead.
pub(crate) fn open(path: &Path) -> Result<ImageSet, Error> {
    if let Some(meant) = part_meant(path) {
        return Err(Error::Parts { path: path.into(), meant });
    }
    Ok(ImageSet::open(path)?)
}

/// Opens a directory of class folders, and nothing else. No image is read.
///
/// # Errors
/// [`Error`], which says what to do instead.
pub(crate) fn open_folders(path: &Path) -> Result<ImageFolder, Error> {
    if path.is_file() {
        return Err(Error::NoDirectory { path: path.into() });
    }
    match part_meant(path) {
        Some(meant) => Err(Error::Parts { path: path.into(), meant }),
        None => Ok(ImageFolder::open(path)?),
    }
}

/// The part for training of a directory that holds parts of a set, if it has one with class folders in it.
pub(crate) fn training_part(directory: &Path) -> Option<PathBuf> {
    part_meant(directory)
        .filter(|part| part.file_name().is_some_and(|name| name.eq_ignore_ascii_case(PARTS[0])))
}

/// Whether there are folders in a directory.
fn holds_folders(directory: &Path) -> bool {
    folders(directory).next().is_some()
}

/// A part with class folders in it of a directory that holds parts of a set only, the one for training if there is one. In
/// some of the parts images may lie without folders, as those for testing often do.
fn part_meant(directory: &Path) -> Option<PathBuf> {
    let mut parts = Vec::new();
    for folder in folders(directory) {
        let name = folder.file_name()?.to_ascii_lowercase();
        parts.push((PARTS.iter().position(|part| name == *part)?, folder));
    }
    parts.sort();
    parts.into_iter().map(|(_, folder)| folder).find(|folder| holds_folders(folder))
}

/// The folders in a directory, as far as it can be read: what cannot be, whoever opens it will name.
fn folders(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files in it, none of which is an image.
    fn directory(files: &[&str]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for file in files {
            let path = home.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "no image").unwrap();
        }
        home
    }

    #[test]
    fn parts_of_a_set_are_no_classes() {
        for (files, meant) in [
            (&["val/cat/a.jpg", "train/cat/b.jpg"][..], "train"),
            (&["train/cat/a.jpg"], "train"),
            (&["Train/cat/a.jpg", "TEST/cat/b.jpg", "readme.jpg"], "Train"),
            (&["test/cat/a.jpg", "validation/cat/b.jpg"], "validation"),
            (&["valid/cat/a.jpg", "test/b.jpg"], "valid"),
        ] {
            let home = directory(files);
            for error in [open(home.path()).unwrap_err(), open_folders(home.path()).unwrap_err()] {
                let told = error.to_string();
                assert!(matches!(error, Error::Parts { .. }), "{files:?}: {told}");
                let expected = format!("did you mean {}?", home.path().join(meant).display());
                assert!(told.ends_with(&expected), "{files:?}: {told}");
            }
        }
    }

    #[test]
    fn the_part_for_training_is_known_by_its_name() {
        for (files, part) in [
            (&["val/cat/a.jpg", "train/cat/b.jpg"][..], Some("train")),
            (&["Train/cat/a.jpg", "TEST/cat/b.jpg"], Some("Train")),
            (&["test/cat/a.jpg", "validation/cat/b.jpg"], None),
            // Classes.
            (&["train/steam/a.jpg", "car/sports/b.jpg"], None),
            (&["test/a.jpg", "train/b.jpg"], None),
        ] {
            let home = directory(files);
            assert_eq!(training_part(home.path()), part.map(|part| home.path().join(part)), "{files:?}");
        }
    }

    #[test]
    fn classes_may_be_called_as_parts_are() {
        for files in [
            // Vehicles, of several kinds each; and sets that were tried.
            &["train/steam/a.jpg", "car/sports/b.jpg"][..],
            &["test/a.jpg", "train/b.jpg"],
        ] {
            let home = directory(files);
            assert_eq!(open(home.path()).unwrap().classes().len(), 2, "{files:?}");
            assert_eq!(open_folders(home.path()).unwrap().classes().len(), 2, "{files:?}");
        }
    }

    #[test]
    fn a_file_of_another_kind_is_told_by_what_it_is_not() {
        let home = directory(&["a.jpg"]);
        let file = home.path().join("a.jpg");
        assert!(
            matches!(open(&file).unwrap_err(), Error::Data(ocelli_data::Error::NoRecords { path }) if path == file)
        );
        assert!(matches!(open_folders(&file).unwrap_err(), Error::NoDirectory { path } if path == file));
        // What is a record file, and damaged, is told by what is wrong with it.
        fs::write(&file, "OCELLIRC").unwrap();
        assert!(matches!(open(&file).unwrap_err(), Error::Data(ocelli_data::Error::Malformed { .. })));
        let missing = home.path().join("none");
        for error in [open(&missing).unwrap_err(), open_folders(&missing).unwrap_err()] {
            assert!(matches!(error, Error::Data(ocelli_data::Error::Io { .. })), "{error}");
        }
    }
}
