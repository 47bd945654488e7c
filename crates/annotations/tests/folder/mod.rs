//! A directory for the files of a dataset.
#![allow(clippy::unwrap_used, reason = "a helper of tests")]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

pub(crate) struct Folder(TempDir);

impl Folder {
    /// A new one, with these directories in it.
    pub(crate) fn with(directories: [&str; 2]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        directories.iter().for_each(|directory| fs::create_dir(folder.path(directory)).unwrap());
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> &Folder {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
        self
    }

    /// A black image.
    pub(crate) fn image(&self, name: &str, width: u32, height: u32) -> &Folder {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::GrayImage::new(width, height).save_with_format(path, image::ImageFormat::Png).unwrap();
        self
    }
}
