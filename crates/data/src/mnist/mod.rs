//! MNIST: handwritten digits, 60,000 to train on and 10,000 to test on, 28 x 28 grey values each.
//!
//! Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
//! Proceedings of the IEEE 86(11), 1998. Sets in the same form, such as Fashion-MNIST, are read as well.

mod fetch;
mod generated;
mod read;

use std::borrow::Cow;
use std::path::PathBuf;

pub use fetch::{MIRRORS, fetch, fetch_from};
pub use generated::generated;
pub use read::read;

use crate::encoded::{Encoded, IGNORED, portable_pixmap};
use crate::{Error, Result};

/// How many kinds of digit there are; labels are smaller than this.
pub const CLASSES: u8 = 10;

/// The two parts of the set. Their images have one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mnist {
    /// The images to train on.
    pub train: LabelledImages,
    /// The images to test on.
    pub test: LabelledImages,
}

/// Grey images of one size, each with its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledImages {
    /// Grey values, 0 (background) to 255 (ink), shape `[count, rows, columns]`, row-major.
    pub images: Vec<u8>,
    /// The digit each image shows, `count` numbers smaller than [`CLASSES`].
    pub labels: Vec<u8>,
    /// Height of an image in pixels.
    pub rows: usize,
    /// Width of an image in pixels.
    pub columns: usize,
    /// How many images there are.
    pub count: usize,
}

/// Each image as a file of the portable greymap format, which any decoder of images takes.
impl Encoded for LabelledImages {
    fn len(&self) -> usize {
        self.count
    }

    /// [`IGNORED`] where there is no such image.
    fn label(&self, index: usize) -> i32 {
        self.labels.get(index).map_or(IGNORED, |&label| label.into())
    }

    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let size = self.rows * self.columns;
        let pixels = index.checked_mul(size).and_then(|start| self.images.get(start..)?.get(..size));
        match pixels {
            Some(pixels) => Ok(Cow::Owned(portable_pixmap("P5", self.columns, self.rows, pixels))),
            None => {
                Err(Error::Setting { what: format!("there is no image {index}: there are {}", self.count) })
            }
        }
    }

    /// The image's number: it comes out of a file with many.
    fn name(&self, index: usize) -> PathBuf {
        PathBuf::from(format!("image {index}"))
    }
}
