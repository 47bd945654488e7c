//! A directory with a folder of images for each class.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::files::read_file;
use crate::encoded::{Encoded, IGNORED};
use crate::{Error, Result};

/// The file extensions of images, in small letters; files are told by them, and what is in them by their first bytes.
pub const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp"];

/// An image file and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The file.
    pub path: PathBuf,
    /// Its class, an index into [`ImageFolder::classes`].
    pub label: i32,
}

/// A directory with a folder of images for each class, as PyTorch's `ImageFolder`: classes are numbered in the order of
/// their folders' names, images are all files below with one of [`EXTENSIONS`], those in a folder itself before
/// those in folders below it, which come in the order of their paths as texts; within a folder files are sorted by name.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    directory: PathBuf,
    classes: Vec<String>,
    samples: Vec<Sample>,
}

impl ImageFolder {
    /// Lists the images of a directory. None is opened.
    ///
    /// # Errors
    /// [`Error::Io`] where a directory cannot be read, or a link in it leads back to a directory that it is in;
    /// [`Error::NoClasses`] where there are no folders in it, [`Error::EmptyClass`] where a folder holds no image.
    pub fn open(directory: &Path) -> Result<ImageFolder> {
        let mut folders: Vec<PathBuf> =
            entries(directory)?.into_iter().filter(|path| path.is_dir()).collect();
        folders.sort();
        if folders.is_empty() {
            return Err(Error::NoClasses { directory: directory.into() });
        }
        let (mut classes, mut samples) = (Vec::new(), Vec::new());
        for (label, folder) in (0i32..).zip(folders) {
            let before = samples.len();
            let mut paths = Vec::new();
            find_images(&folder, &mut Vec::new(), &mut paths)?;
            // As texts, in which `a-b` comes before `a/b`, and not part by part.
            paths.sort_by(|a, b| in_folder(a).cmp(&in_folder(b)));
            samples.extend(paths.into_iter().map(|path| Sample { path, label }));
            if samples.len() == before {
                return Err(Error::EmptyClass { directory: folder });
            }
            classes.push(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        Ok(ImageFolder { directory: directory.into(), classes, samples })
    }

    /// The directory that the folders are in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The names of the classes, by label.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The images, class after class.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

impl Encoded for ImageFolder {
    fn len(&self) -> usize {
        self.samples.len()
    }

    /// [`IGNORED`] where there is no such image.
    fn label(&self, index: usize) -> i32 {
        self.samples.get(index).map_or(IGNORED, |sample| sample.label)
    }

    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let mut bytes = Vec::new();
        self.read(index, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    fn read(&self, index: usize, into: &mut Vec<u8>) -> Result<()> {
        let Some(Sample { path, .. }) = self.samples.get(index) else {
            let (directory, images) = (self.directory.display(), self.samples.len());
            let what = format!("there is no image {index} in {directory}, which has {images}");
            return Err(Error::Setting { what });
        };
        read_file(path, into)
    }

    fn name(&self, index: usize) -> PathBuf {
        self.samples.get(index).map_or_else(PathBuf::new, |sample| sample.path.clone())
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |source| Error::Io { action: "list", path: directory.into(), source };
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(unreadable)).collect()
}

/// The folder that a file is in, and its name.
fn in_folder(path: &Path) -> (Option<&OsStr>, Option<&OsStr>) {
    (path.parent().map(Path::as_os_str), path.file_name())
}

/// Appends the images in a folder and in those below it. `above` are the folders that it is in, as they are without links:
/// a link back to one of them, or to what they are in, would have every image come again and again.
fn find_images(folder: &Path, above: &mut Vec<PathBuf>, found: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = |source| Error::Io { action: "list", path: folder.into(), source };
    let real = fs::canonicalize(folder).map_err(unreadable)?;
    if above.iter().any(|folder| folder.starts_with(&real)) {
        let what = format!("the link leads back to {}, which it is in: remove it", real.display());
        return Err(unreadable(io::Error::other(what)));
    }
    above.push(real);
    for path in entries(folder)? {
        let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        if extension.is_some_and(|extension| EXTENSIONS.contains(&&*extension)) && path.is_file() {
            found.push(path);
        } else if path.is_dir() {
            find_images(&path, above, found)?;
        }
    }
    above.pop();
    Ok(())
}
