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

    /// A file that is no record file.
    #[error(
        "{} is no record file: name a directory of class folders, or a record file, which `ocelli dataset pack` makes",
        path.display()
    )]
    NoRecords {
        /// The file.
        path: PathBuf,
    },

    /// A file was written by a later version of Ocelli.
    #[error(
        "{} has version {found} of its format, and this Ocelli reads up to {supported}: update Ocelli or make the file anew",
        path.display()
    )]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest version that can be read.
        supported: u32,
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

    /// An image file cannot be decoded.
    #[error("{} cannot be decoded: {source}: replace or remove it", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<image::ImageError>,
    },

    /// An image cannot be made what is asked for.
    #[error("{} does not fit: {what}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why not.
        what: String,
    },

    /// A loader found no image that could take the place of a damaged one.
    #[error("{source}; of the {tried} images after it none can take its place")]
    NoReplacement {
        /// How many images were tried.
        tried: usize,
        /// What is wrong with the image.
        source: Box<Error>,
    },

    /// A directory that should hold a folder for each class holds none.
    #[error("there are no folders in {}: it should hold one for each class, with its images", directory.display())]
    NoClasses {
        /// The directory.
        directory: PathBuf,
    },

    /// The folder of a class holds no image.
    #[error(
        "there are no images in {}: files that end in {}",
        directory.display(),
        crate::images::EXTENSIONS.join(", ")
    )]
    EmptyClass {
        /// The folder.
        directory: PathBuf,
    },

    /// Settings contradict each other or the data.
    #[error("{what}")]
    Setting {
        /// Which, and why.
        what: String,
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

    /// The GPU or one of its libraries failed.
    #[error(transparent)]
    Cuda(#[from] ocelli_cuda::Error),

    /// nvJPEG failed.
    #[error(transparent)]
    Nvjpeg(#[from] ocelli_nvjpeg::Error),

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

impl Error {
    /// Whether it is one of a single image, so that others may well be read and decoded: what a loader's
    /// [`OnDamaged`](crate::loader::OnDamaged) is about.
    pub fn is_of_one_image(&self) -> bool {
        match self {
            Error::Image { .. } | Error::Unfit { .. } | Error::Malformed { .. } => true,
            // Too many open files, of the process or of the system, are no image's fault.
            Error::Io { source, .. } => !matches!(source.raw_os_error(), Some(ENFILE | EMFILE)),
            _ => false,
        }
    }
}

/// Too many open files of the system, and of the process: their numbers on Linux.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// An error of any kind as text, with what caused it where its own text does not say so already.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer one")]
    struct Outer {
        source: Error,
    }

    #[test]
    fn causes_are_told_once() {
        let source = io::Error::other("no more");
        let inner = Error::Io { action: "read", path: "a".into(), source };
        assert_eq!(with_causes(&inner), "cannot read a: no more");
        assert_eq!(with_causes(&Outer { source: inner }), "the outer one: cannot read a: no more");
    }

    #[test]
    fn whatever_keeps_a_file_from_being_read_is_its_own_fault_but_for_too_many_open_ones() {
        let io_error = |source| Error::Io { action: "read", path: "image".into(), source };
        // A file where a folder was, a file that is gone.
        let executable = std::env::current_exe().unwrap();
        for path in [executable.join("image.jpg"), executable.with_file_name("gone.jpg")] {
            assert!(io_error(File::open(path).unwrap_err()).is_of_one_image());
        }
        // A bad sector, a handle that a server forgot.
        for number in [5, 116] {
            assert!(io_error(io::Error::from_raw_os_error(number)).is_of_one_image(), "{number}");
        }
        assert!(io_error(io::ErrorKind::OutOfMemory.into()).is_of_one_image());
        for number in [ENFILE, EMFILE] {
            assert!(!io_error(io::Error::from_raw_os_error(number)).is_of_one_image(), "{number}");
        }
        assert!(!Error::Setting { what: String::new() }.is_of_one_image());
    }
}
