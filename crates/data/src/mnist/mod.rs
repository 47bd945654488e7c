//! MNIST: handwritten digits, 60,000 to train on and 10,000 to test on, 28 x 28 grey values each.
//!
//! Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
//! Proceedings of the IEEE 86(11), 1998. Sets in the same form, such as Fashion-MNIST, are read as well.

mod fetch;
mod generated;
mod read;

pub use fetch::{MIRRORS, fetch, fetch_from};
pub use generated::generated;
pub use read::read;

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
