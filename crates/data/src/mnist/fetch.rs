use std::{fs, path::Path};

use super::read::find;
use crate::{
    Error, Progress, Result,
    download::{RemoteFile, download},
};

/// Where [`fetch`] looks, first to last.
pub const MIRRORS: &[&str] =
    &["https://storage.googleapis.com/cvdf-datasets/mnist", "https://ossci-datasets.s3.amazonaws.com/mnist"];

/// The published files: 60,000 and 10,000 images and labels.
const FILES: [RemoteFile; 4] = [
    RemoteFile {
        name: "train-images-idx3-ubyte.gz",
        size: 47_040_016,
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    RemoteFile {
        name: "train-labels-idx1-ubyte.gz",
        size: 60_008,
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    RemoteFile {
        name: "t10k-images-idx3-ubyte.gz",
        size: 7_840_016,
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    RemoteFile {
        name: "t10k-labels-idx1-ubyte.gz",
        size: 10_008,
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
];

/// Downloads those of the four files of MNIST (11 MB) that `directory` lacks, and creates the directory.
///
/// Each file is checked against the published one and only then takes its name. `progress` is called for every piece
/// that arrives. HTTP proxies are taken from the environment (`HTTPS_PROXY`, `ALL_PROXY`).
///
/// # Errors
/// [`Error::NoNetwork`] if no mirror can be reached, [`Error::Download`] or [`Error::Checksum`] if none delivers the
/// published file, [`Error::Io`] if the directory cannot be written.
pub fn fetch(directory: &Path, progress: impl FnMut(Progress)) -> Result<()> {
    fetch_from(MIRRORS, directory, progress)
}

/// [`fetch`] from mirrors of your own: addresses of directories that hold the four gzipped files.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_from(mirrors: &[&str], directory: &Path, mut progress: impl FnMut(Progress)) -> Result<()> {
    fs::create_dir_all(directory).map_err(|source| Error::Io {
        action: "create",
        path: directory.into(),
        source,
    })?;
    for file in &FILES {
        if find(directory, file.name.trim_end_matches(".gz")).is_err() {
            download(mirrors, file, directory, &mut progress)?;
        }
    }
    Ok(())
}
