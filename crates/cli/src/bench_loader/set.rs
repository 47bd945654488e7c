//! The images that batches are made of.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ocelli_data::{Encoded, ImageSet, Object};

use super::error::{Error, Result};
use crate::image_set;

/// Image files on a disk.
pub(super) struct Set {
    path: PathBuf,
    kind: Kind,
    len: usize,
    classes: usize,
}

enum Kind {
    Folder(Arc<ImageSet>),
    /// Opened anew for each measurement: the system does not let go of what is mapped.
    Records,
}

impl Set {
    /// Class folders, those in `train` of a directory that holds parts of a set, or a record file.
    pub(super) fn open(path: &Path) -> Result<Set> {
        let path = image_set::training_part(path).unwrap_or_else(|| path.to_owned());
        let set = image_set::open(&path)?;
        let (len, classes) = (Encoded::len(&set), set.classes().len());
        let kind = if set.folder().is_some() { Kind::Folder(Arc::new(set)) } else { Kind::Records };
        if len == 0 {
            return Err(Error::Empty { path });
        }
        Ok(Set { path, kind, len, classes })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Images, at least one.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// Whether all images are in one file.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self.kind, Kind::Records)
    }

    /// The files that the images are in.
    pub(super) fn files(&self) -> Vec<&Path> {
        match &self.kind {
            Kind::Folder(set) => {
                let samples = set.folder().map(|folder| folder.samples()).unwrap_or_default();
                samples.iter().map(|sample| sample.path.as_path()).collect()
            }
            Kind::Records => vec![&self.path],
        }
    }

    /// The images, so many times one after the other.
    pub(super) fn images(&self, times: usize) -> Result<Arc<dyn Encoded>> {
        let images: Arc<dyn Encoded> = match &self.kind {
            Kind::Folder(folder) => Arc::clone(folder) as Arc<dyn Encoded>,
            Kind::Records => Arc::new(ImageSet::open(&self.path)?),
        };
        Ok(if times > 1 { Arc::new(Repeated { images, times }) } else { images })
    }
}

/// A set several times over: what is gone through in a fraction of a second would else be measured by the ends of its
/// epochs.
struct Repeated {
    images: Arc<dyn Encoded>,
    times: usize,
}

impl Repeated {
    /// The number of an image in the set itself; the sets that are repeated hold at least one.
    fn within(&self, index: usize) -> usize {
        index.checked_rem(self.images.len()).unwrap_or(index)
    }
}

impl Encoded for Repeated {
    fn len(&self) -> usize {
        self.images.len().saturating_mul(self.times)
    }

    fn label(&self, index: usize) -> i32 {
        self.images.label(self.within(index))
    }

    fn bytes(&self, index: usize) -> ocelli_data::Result<Cow<'_, [u8]>> {
        self.images.bytes(self.within(index))
    }

    fn read(&self, index: usize, into: &mut Vec<u8>) -> ocelli_data::Result<()> {
        self.images.read(self.within(index), into)
    }

    fn objects(&self, index: usize) -> ocelli_data::Result<Vec<Object>> {
        self.images.objects(self.within(index))
    }

    fn name(&self, index: usize) -> PathBuf {
        self.images.name(self.within(index))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ocelli_data::images::ImageFolder;

    use super::*;

    fn folders(home: &Path) {
        for (file, bytes) in [("train/cat/a.jpg", "first"), ("train/dog/b.jpg", "second")] {
            let path = home.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    #[test]
    fn a_set_is_found_in_train_and_in_a_record_file() {
        let home = tempfile::tempdir().unwrap();
        folders(home.path());
        let packed = home.path().join("packed");
        let folder = ImageFolder::open(&home.path().join("train")).unwrap();
        ocelli_data::records::pack(&folder, &packed, 1, |_| ()).unwrap();
        for (path, is_packed, files) in
            [(home.path().to_owned(), false, 2), (home.path().join("train"), false, 2), (packed, true, 1)]
        {
            let set = Set::open(&path).unwrap();
            assert_eq!((set.len(), set.classes(), set.is_packed()), (2, 2, is_packed));
            assert_eq!(set.files().len(), files);
            assert_eq!(*set.images(1).unwrap().bytes(1).unwrap(), *b"second");
        }
    }

    #[test]
    fn a_class_may_be_called_train() {
        let home = tempfile::tempdir().unwrap();
        for file in ["train/a.jpg", "car/b.jpg", "plane/c.jpg"] {
            let path = home.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "no image").unwrap();
        }
        let set = Set::open(home.path()).unwrap();
        assert_eq!((set.path(), set.len(), set.classes()), (home.path(), 3, 3));
    }

    #[test]
    fn a_set_that_is_repeated_has_its_images_again() {
        let home = tempfile::tempdir().unwrap();
        folders(home.path());
        let images = Set::open(home.path()).unwrap().images(3).unwrap();
        assert_eq!(images.len(), 6);
        let mut bytes = Vec::new();
        for index in 0..6 {
            images.read(index, &mut bytes).unwrap();
            let expected = [("a.jpg", 0, "first"), ("b.jpg", 1, "second")][index % 2];
            assert!(images.name(index).ends_with(expected.0));
            assert_eq!((images.label(index), &*bytes), (expected.1, expected.2.as_bytes()));
        }
    }
}
