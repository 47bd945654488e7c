use std::io;
use std::path::{Path, PathBuf};

use crate::json;
use crate::types::AnnotationId;

/// What can go wrong with labels.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is not JSON, or is not what its format asks for.
    #[error("{}: {position}: {what}: mend the file", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        what: String,
        /// Where in it.
        position: json::Position,
    },

    /// A text file of labels holds something else than it should.
    #[error("{}: {what}: mend the file", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        what: String,
    },

    /// A box that an import was told not to accept.
    #[error("{}: annotation {annotation}: {what}: mend it, or let bad boxes be dropped or clipped", path.display())]
    BadBox {
        /// The file.
        path: PathBuf,
        /// Its annotation.
        annotation: AnnotationId,
        /// What is wrong with it.
        what: String,
    },

    /// There is no such file.
    #[error("there is no {}: name a store that exists, or import one", path.display())]
    NoStore {
        /// The file.
        path: PathBuf,
    },

    /// There is a file already where a new one was to be.
    #[error("{} exists already: remove it, or name another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },

    /// A file is not a store of annotations.
    #[error("{} is not a store of annotations: {what}: import your labels into a new file", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },

    /// A newer program made the store.
    #[error(
        "{} has schema version {found}, and this program knows versions up to {known}: use a newer one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that is known.
        known: i64,
    },

    /// An older program made the store, and it cannot be changed.
    #[error(
        "{} has schema version {found}, which must become {known}: open it once for writing (`ocelli coco stats` does)",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that is needed.
        known: i64,
    },

    /// Another program writes to the store and does not end.
    #[error("{} is locked by another program: wait until that has finished", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },

    /// The store or its directory cannot be written to.
    #[error("{} cannot be written to: give yourself the right to, or work on a copy", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },

    /// The store was cut short or overwritten.
    #[error("{} is damaged ({what}): restore it, or import the labels again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        what: String,
    },

    /// Changes of the store lie in a file beside it.
    #[error(
        "{} has changes in {}-wal that a reader of an immutable file does not see: let the writing program end, or open \
         and close the store for writing",
        path.display(),
        path.display()
    )]
    Unmerged {
        /// The file.
        path: PathBuf,
    },

    /// No room is left.
    #[error("there is no room left to write {}: nothing was changed", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },

    /// What is asked for is not in the store.
    #[error("there is no {what} in {}", path.display())]
    Unknown {
        /// The store.
        path: PathBuf,
        /// What was looked for.
        what: String,
    },

    /// What was to be added is there already, or refers to what is not there.
    #[error("{}: {what}", path.display())]
    Conflict {
        /// The store.
        path: PathBuf,
        /// What contradicts what.
        what: String,
    },

    /// SQLite failed.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// SQLite's error.
        source: Box<rusqlite::Error>,
    },

    /// Settings contradict each other or the data.
    #[error("{what}")]
    Setting {
        /// Which, and why.
        what: String,
    },

    /// Labels, detections or settings cannot be evaluated.
    #[error(transparent)]
    Evaluation(#[from] crate::evaluation::Error),

    /// A picture cannot be read.
    #[error("{} cannot be read as an image: {source}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<image::ImageError>,
    },

    /// The operating system refused to read or write.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "create".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::DiskFull { path: path.into() }
            }
            _ => Error::Io { action, path: path.into(), source },
        }
    }

    pub(crate) fn json(path: &Path) -> impl FnOnce(json::Error) -> Error {
        move |error| match error {
            json::Error::Syntax { what, position } => Error::Json { path: path.into(), what, position },
            json::Error::Io(source) => Error::Io { action: "read", path: path.into(), source },
        }
    }

    /// SQLite's error as what it means for a user.
    pub(crate) fn sqlite(path: &Path) -> impl FnOnce(rusqlite::Error) -> Error {
        move |error| Error::of_sqlite(error, path.into())
    }

    fn of_sqlite(error: rusqlite::Error, path: PathBuf) -> Error {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Locked { path },
            Some(ErrorCode::ReadOnly) => Error::ReadOnly { path },
            Some(ErrorCode::DatabaseCorrupt) => Error::Damaged { path, what: error.to_string() },
            Some(ErrorCode::NotADatabase) => {
                Error::NotAStore { path, what: "it is no SQLite database".into() }
            }
            Some(ErrorCode::DiskFull) => Error::DiskFull { path },
            Some(ErrorCode::ConstraintViolation) => Error::Conflict { path, what: error.to_string() },
            _ => Error::Sqlite { path, source: Box::new(error) },
        }
    }
}
