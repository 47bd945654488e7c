use std::{io, path::PathBuf};

/// What can go wrong while a dataset is read or downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file holds something else than it should: damaged, cut short, or another kind of file.
    #[error("{}: {what}: expected {expected}, found {found}: replace the file", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        what: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },

    /// A file of the dataset is not in its directory.
    #[error(
        "{} is not in {} (nor with a dot before idx, nor with .gz): fetch the dataset or name its directory",
        file,
        directory.display()
    )]
    Missing {
        /// Where it was looked for.
        directory: PathBuf,
        /// The file's usual name.
        file: &'static str,
    },

    /// The operating system refused to read or write.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "create".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// No mirror could be reached.
    #[error(
        "no network: {url} cannot be reached ({source}): connect, set HTTPS_PROXY, or put the files in place by hand"
    )]
    NoNetwork {
        /// The address that was tried last.
        url: String,
        /// Why it could not be reached.
        source: Box<ureq::Error>,
    },

    /// A mirror answered, but did not deliver the file.
    #[error("{url} was not downloaded: {source}: try again, or put the file in place by hand")]
    Download {
        /// The file's address.
        url: String,
        /// What the mirror answered, or how the transfer broke.
        source: Box<ureq::Error>,
    },

    /// A mirror delivered another file than the published one. Nothing was kept of it.
    #[error("{url} is not the published file (SHA-256 of its contents: expected {expected}, found {found})")]
    Checksum {
        /// The file's address.
        url: String,
        /// SHA-256 of the published contents, uncompressed, in hexadecimal.
        expected: &'static str,
        /// SHA-256 of what came, or why it could not be uncompressed.
        found: String,
    },
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
