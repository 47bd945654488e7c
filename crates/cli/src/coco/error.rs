use std::io;
use std::path::{Path, PathBuf};

use ocelli_annotations::{ImageId, evaluation};

/// What can go wrong in these commands.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Arguments that contradict each other, in a way that the command line's parser does not see.
    #[error("{0}")]
    Usage(String),

    /// Two sources have the same split.
    #[error("two sources are of split {split}: name their splits, as in train=FILE val=FILE")]
    SplitTwice {
        /// The split.
        split: String,
    },

    /// A directory of images is given for a split that no source has.
    #[error("--images names split {split}, which no source has: the sources' splits are {known}")]
    ImagesOfUnknownSplit {
        /// The split.
        split: String,
        /// Those of the sources.
        known: String,
    },

    /// There is a store already where a new one was to be.
    #[error("{} exists already: replace it with --overwrite, or name another file", path.display())]
    StoreExists {
        /// The file.
        path: PathBuf,
    },

    /// The output is the input.
    #[error("{} is what is read: name another file to write", path.display())]
    OntoInput {
        /// The file.
        path: PathBuf,
    },

    /// A model has a run of this name.
    #[error("{} has a run {run} of model {model} already: give this one another name", path.display())]
    RunTwice {
        /// The store.
        path: PathBuf,
        /// The model.
        model: String,
        /// The run.
        run: String,
    },

    /// The store does not know where images lie.
    #[error("{} does not say where the images of split {split} lie: say it with --images DIRECTORY", store.display())]
    NoDirectory {
        /// The store.
        store: PathBuf,
        /// The split.
        split: String,
    },

    /// An image that is not there.
    #[error("the file of image {image}, {}, is not there: say with --images in which directory it is", path.display())]
    NoImageFile {
        /// Its number.
        image: ImageId,
        /// Its file.
        path: PathBuf,
    },

    /// A picture that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: image::ImageError,
    },

    /// A detection of something that is not evaluated.
    #[error(
        "a detection is of {what}, which is not among what is evaluated: is this another split, or are these classes and \
         not yet the dataset's numbers? `--unknown drop` leaves such detections out"
    )]
    UnknownDetection {
        /// Of which image or category.
        what: String,
    },

    /// The operating system refused to read or write.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// Labels, stores and evaluations.
    #[error(transparent)]
    Labels(ocelli_annotations::Error),
}

/// A result with these commands' error.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, path: path.into(), source }
    }
}

impl From<ocelli_annotations::Error> for Error {
    fn from(error: ocelli_annotations::Error) -> Error {
        match error {
            ocelli_annotations::Error::Evaluation(error) => error.into(),
            error => Error::Labels(error),
        }
    }
}

impl From<evaluation::Error> for Error {
    /// In the words of the command line where the library names its own settings.
    fn from(error: evaluation::Error) -> Error {
        let what = match error {
            evaluation::Error::DetectionImage { image, .. } => format!("image {image}"),
            evaluation::Error::DetectionCategory { image, category, .. } => {
                format!("category {category} (in image {image})")
            }
            error => return Error::Labels(error.into()),
        };
        Error::UnknownDetection { what }
    }
}
