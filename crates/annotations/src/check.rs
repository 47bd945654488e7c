//! Whether a store's images are what it says: files that are missing, sizes that disagree, cameras that were turned.

use std::fmt;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use image::{ImageDecoder, ImageReader};
use serde::Serialize;

use crate::error::Result;
use crate::parallel;
use crate::store::{Filter, Store};
use crate::types::{Image, ImageId};

/// What is wrong with an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Problem {
    /// There is no such file.
    Missing,
    /// The file is no image that can be read.
    Unreadable {
        /// Why.
        what: String,
    },
    /// The file has other rows and columns than the store says.
    Size {
        /// Columns and rows in the store.
        stored: [u32; 2],
        /// Columns and rows of the file's pixels.
        file: [u32; 2],
    },
    /// The file says that it is to be shown turned or mirrored (EXIF), which programs do or leave: boxes fit one of the
    /// two.
    Rotated {
        /// EXIF's number, 2 to 8.
        orientation: u8,
        /// Whether the store's size is that of the pixels as they lie in the file, rather than as they are to be shown. A
        /// half turn and a square leave this open, as true.
        as_stored: bool,
    },
}

/// An image and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The image.
    pub image: ImageId,
    /// Its file.
    pub path: PathBuf,
    /// What is wrong.
    #[serde(flatten)]
    pub problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { image, path, problem } = self;
        write!(f, "image {image}, {}: ", path.display())?;
        match problem {
            Problem::Missing => f.write_str("missing"),
            Problem::Unreadable { what } => write!(f, "cannot be read: {what}"),
            Problem::Size { stored: [width, height], file: [columns, rows] } => {
                write!(f, "has {columns} x {rows} pixels, not {width} x {height}")
            }
            Problem::Rotated { orientation, as_stored } => {
                let how = if *as_stored { "lies in the file" } else { "is to be shown" };
                write!(
                    f,
                    "is to be shown turned (EXIF orientation {orientation}); its size here is that of what {how}"
                )
            }
        }
    }
}

/// Looks at the files of the images that pass, in `directory` or, without one, where the store says that they lie. Only
/// headers are read, by as many threads as the machine runs at once. The findings are in the order of the images.
///
/// # Errors
/// Those of reading the store.
pub fn check(store: &Store, filter: &Filter, directory: Option<&Path>) -> Result<Vec<Finding>> {
    let images = match directory {
        Some(directory) => {
            store.images(filter)?.into_iter().map(|image| (directory.join(&image.file_name), image)).collect()
        }
        None => store.image_files(filter)?,
    };
    let found = parallel::in_order(&images, |(path, image)| {
        // Decoders are other people's code, fed with other people's data.
        let looked = catch_unwind(|| look_at(path, image));
        let panicked = || Some(Problem::Unreadable { what: "its decoder panicked".into() });
        let problem = looked.unwrap_or_else(|_| panicked())?;
        Some(Finding { image: image.id, path: path.clone(), problem })
    });
    Ok(found.into_iter().flatten().collect())
}

fn look_at(path: &Path, image: &Image) -> Option<Problem> {
    let unreadable = |error: &dyn fmt::Display| Some(Problem::Unreadable { what: error.to_string() });
    let reader = match ImageReader::open(path).and_then(|reader| reader.with_guessed_format()) {
        Ok(reader) => reader,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(Problem::Missing),
        Err(error) => return unreadable(&error),
    };
    let mut decoder = match reader.into_decoder() {
        Ok(decoder) => decoder,
        Err(error) => return unreadable(&error),
    };
    let (columns, rows) = decoder.dimensions();
    // Metadata that cannot be read does not turn anything.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let (stored, file) = ([image.width, image.height], [columns, rows]);
    let transposed = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let as_stored = stored == file;
    let turned = transposed && stored == [rows, columns];
    if !(as_stored || turned) {
        return Some(Problem::Size { stored, file });
    }
    (orientation != Orientation::NoTransforms)
        .then(|| Problem::Rotated { orientation: orientation.to_exif(), as_stored })
}
