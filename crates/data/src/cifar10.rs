//! CIFAR-10 in its binary form: photographs of ten kinds of things, 32 x 32 pixels, 50,000 to train on and 10,000 to test
//! on.
//!
//! Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
//! <https://www.cs.toronto.edu/~kriz/cifar.html> has the archive `cifar-10-binary.tar.gz`, which holds the directory
//! `cifar-10-batches-bin`. A folder of image files for each class is an
//! [`ImageFolder`](crate::images::ImageFolder) instead.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use ocelli_cuda::Device;
//! use ocelli_data::augment::Augmentation;
//! use ocelli_data::cifar10;
//! use ocelli_data::loader::{Loader, LoaderConfig};
//! use ocelli_data::sampler::Sampler;
//!
//! fn main() -> Result<(), ocelli_data::Error> {
//!     let cifar = cifar10::read("cifar-10-batches-bin".as_ref())?;
//!     let augmentation = Augmentation::cifar_training(32);
//!     let config = LoaderConfig { batch: 512, augmentation, decoded_cache: 1 << 28, ..LoaderConfig::default() };
//!     let sampler = Sampler::shuffled(50_000, 7);
//!     let loader = Loader::new(&Device::new(0)?, Arc::new(cifar.train), sampler, config)?;
//!     println!("{} batches of {:?}", loader.batches(), cifar.classes);
//!     Ok(())
//! }
//! ```

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::encoded::{Encoded, IGNORED, portable_pixmap};
use crate::images::Rgb;
use crate::{Error, Result};

/// Rows and columns of an image.
pub const SIDE: usize = 32;
/// How many kinds of things there are; labels are smaller than this.
pub const CLASSES: usize = 10;

/// The files to train on.
const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
/// The file to test on.
const TEST: &str = "test_batch.bin";
/// The file with a name on each line.
const NAMES: &str = "batches.meta.txt";
/// Bytes of a label and of the red, the green and the blue values of an image.
const RECORD: usize = 1 + 3 * SIDE * SIDE;
/// A file holds 10,000 images; more than so many are not CIFAR's.
const MOST: u64 = 1_000_000 * RECORD as u64;

/// The two parts of the set.
#[derive(Debug)]
pub struct Cifar10 {
    /// The images to train on.
    pub train: Part,
    /// The images to test on.
    pub test: Part,
    /// What the classes are called, by label.
    pub classes: Vec<String>,
}

/// Images that are in memory, each with its label.
#[derive(Debug)]
pub struct Part {
    images: Vec<Rgb>,
    labels: Vec<u8>,
    /// The files, and how many images come before each.
    files: Vec<(PathBuf, usize)>,
}

/// Reads the files of CIFAR-10's binary form in a directory: `data_batch_1.bin` to `data_batch_5.bin`,
/// `test_batch.bin` and `batches.meta.txt`.
///
/// # Errors
/// [`Error::Io`] where a file is not there or cannot be read; [`Error::Malformed`] where one is cut short, or a label or
/// a name is not one of ten.
pub fn read(directory: &Path) -> Result<Cifar10> {
    let names = directory.join(NAMES);
    let text = fs::read_to_string(&names).map_err(unreadable(&names))?;
    let classes: Vec<String> = text.split_whitespace().map(String::from).collect();
    if classes.len() != CLASSES {
        let (expected, found) = (format!("{CLASSES}"), classes.len().to_string());
        return Err(Error::Malformed { path: names, what: "number of names".into(), expected, found });
    }
    Ok(Cifar10 { train: Part::read(directory, &TRAIN)?, test: Part::read(directory, &[TEST])?, classes })
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action: "read", path: path.into(), source }
}

impl Part {
    fn read(directory: &Path, files: &[&str]) -> Result<Part> {
        let mut part = Part { images: Vec::new(), labels: Vec::new(), files: Vec::new() };
        for file in files {
            part.append(directory.join(file))?;
        }
        Ok(part)
    }

    fn append(&mut self, path: PathBuf) -> Result<()> {
        let malformed = |what: String, expected: String, found: String| Error::Malformed {
            path: path.clone(),
            what,
            expected,
            found,
        };
        let length = fs::metadata(&path).map_err(unreadable(&path))?.len();
        let bytes = if length <= MOST { fs::read(&path).map_err(unreadable(&path))? } else { Vec::new() };
        let (records, rest) = bytes.as_chunks::<RECORD>();
        if records.is_empty() || !rest.is_empty() {
            let expected = format!("a multiple of {RECORD}, up to {MOST}");
            return Err(malformed("number of bytes".into(), expected, length.to_string()));
        }
        let before = self.images.len();
        for (index, [label, planes @ ..]) in records.iter().enumerate() {
            if usize::from(*label) >= CLASSES {
                let expected = format!("0 to {}", CLASSES - 1);
                return Err(malformed(format!("label of image {index}"), expected, label.to_string()));
            }
            self.labels.push(*label);
            self.images.push(Rgb { width: SIDE, height: SIDE, pixels: interleaved(planes) });
        }
        self.files.push((path, before));
        Ok(())
    }
}

/// Pixel after pixel, of all red, all green and all blue values.
fn interleaved(planes: &[u8]) -> Vec<u8> {
    let pixels = planes.len() / 3;
    (0..planes.len()).map(|place| planes[place % 3 * pixels + place / 3]).collect()
}

impl Part {
    /// An image's pixels, if there is such an image.
    pub fn image(&self, index: usize) -> Option<&Rgb> {
        self.images.get(index)
    }
}

/// Each image as a file of the portable pixmap format, which any decoder of images takes.
impl Encoded for Part {
    fn len(&self) -> usize {
        self.images.len()
    }

    /// [`IGNORED`] where there is no such image.
    fn label(&self, index: usize) -> i32 {
        self.labels.get(index).map_or(IGNORED, |&label| label.into())
    }

    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        match self.images.get(index) {
            Some(Rgb { width, height, pixels }) => {
                Ok(Cow::Owned(portable_pixmap("P6", *width, *height, pixels)))
            }
            None => {
                let what = format!("there is no image {index}: there are {}", self.images.len());
                Err(Error::Setting { what })
            }
        }
    }

    /// The file, and below it the image's number within.
    fn name(&self, index: usize) -> PathBuf {
        let after = self.files.partition_point(|&(_, before)| before <= index);
        match after.checked_sub(1).and_then(|file| self.files.get(file)) {
            Some((path, before)) => path.join((index - before).to_string()),
            None => PathBuf::new(),
        }
    }
}
