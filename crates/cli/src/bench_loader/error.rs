use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong while a loader is measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Arguments that do not fit each other or the set.
    #[error("{0}")]
    Usage(String),

    /// The set holds nothing to measure.
    #[error("there are no images in {}: name a directory of class folders or a record file that has some", path.display())]
    Empty {
        /// The set.
        path: PathBuf,
    },

    /// A measurement ended before there was anything to measure.
    #[error(
        "the set ended before the first batch was measured: use a smaller --warm-up or --batch, or a larger set"
    )]
    Ended,

    /// The operating system refused to read.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// The results cannot be written.
    #[error("the results cannot be written: {0}")]
    Output(io::Error),

    /// The set, or the loader.
    #[error(transparent)]
    Data(#[from] ocelli_data::Error),

    /// The GPU, or a library of NVIDIA's.
    #[error(transparent)]
    Cuda(#[from] ocelli_cuda::Error),

    /// A training step.
    #[error(transparent)]
    Core(#[from] ocelli_core::Error),

    /// The network.
    #[error(transparent)]
    Models(#[from] ocelli_models::Error),
}

/// A result with this command's error.
pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, path: path.into(), source }
    }
}
