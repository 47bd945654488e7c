use std::io;
use std::path::{Path, PathBuf};

use ocelli_data::loader::OnDamaged;

use crate::image_set;

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

    /// A file of the set, without which it could go on.
    #[error("{0}, or go on without it: --skip-damaged")]
    Damaged(Box<Error>),

    /// What was named is no set.
    #[error(transparent)]
    Set(#[from] image_set::Error),

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

    /// What ends a loader's batches. Where it is a file that would be left out if that were asked for, it says how to ask.
    pub(super) fn of_batch(error: ocelli_data::Error, damaged: OnDamaged) -> Error {
        match damaged {
            OnDamaged::Fail if error.is_of_one_image() => Error::Damaged(Box::new(error.into())),
            _ => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_left_out_is_told_with_how() {
        let told = |error, damaged| Error::of_batch(error, damaged).to_string();
        let unfit = || ocelli_data::Error::Unfit { path: "a.jpg".into(), what: "it has no pixels".into() };
        let unreadable = |number| {
            let source = io::Error::from_raw_os_error(number);
            ocelli_data::Error::Io { action: "read", path: "a.jpg".into(), source }
        };
        let advice = ", or go on without it: --skip-damaged";
        for error in [unfit(), unreadable(2), unreadable(13)] {
            let expected = format!("{error}{advice}");
            assert_eq!(told(error, OnDamaged::Fail), expected);
        }
        assert_eq!(told(unfit(), OnDamaged::Skip), unfit().to_string());
        // Too many open files, and what is no file's fault, would end it all the same.
        for error in
            [unreadable(24), ocelli_data::Error::Setting { what: "a batch holds at least one image".into() }]
        {
            let expected = error.to_string();
            assert_eq!(told(error, OnDamaged::Fail), expected);
        }
    }
}
