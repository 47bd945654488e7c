//! Labels of other formats into a new store.
//!
//! Every importer reads its files, hands on what it finds, and that is checked for all formats alike: numbers that are given
//! twice, boxes that are none, references into nothing. What was done with what is in the [`Report`].

mod coco;
mod files;
mod gathering;
mod report;
mod results;
mod voc;
mod yolo;

use std::path::PathBuf;

pub use coco::coco;
pub(crate) use gathering::Gathering;
pub use report::{Entry, Outcome, Reason, Report};
pub use results::results;
pub use voc::voc;
pub use yolo::{yolo, yolo_names};

/// What is done with a box that is none, or that reaches beyond its image by more than a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadBox {
    /// It is left out.
    Drop,
    /// It is cut at the image's edges, and left out where nothing remains.
    #[default]
    Clip,
    /// The import ends with an error.
    Error,
}

/// How labels are imported.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is done with bad boxes.
    pub on_bad_box: OnBadBox,
    /// Leave out masks and whatever else is said of annotations and images: a store a fifth as large.
    pub boxes_only: bool,
    /// Replace a store that is there, when the new one is whole.
    pub overwrite: bool,
    /// The name of the dataset.
    pub dataset: String,
}

impl Default for Options {
    /// Bad boxes are clipped, everything is kept, nothing replaced; the dataset is called `dataset`.
    fn default() -> Options {
        Options { on_bad_box: OnBadBox::Clip, boxes_only: false, overwrite: false, dataset: "dataset".into() }
    }
}

/// What becomes a split: a file or directory of labels, and where its images lie.
#[derive(Clone, Debug)]
pub struct Source {
    /// The split's name: `train`.
    pub split: String,
    /// The labels: a file, or a directory in formats with a file for each image.
    pub labels: PathBuf,
    /// The directory of images; where the importer does not read them, it is only noted.
    pub images: PathBuf,
}

/// How far an import is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes that have been read.
    pub read: u64,
    /// Bytes in all, if that is known.
    pub total: Option<u64>,
}
