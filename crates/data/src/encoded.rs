use std::borrow::Cow;
use std::path::PathBuf;

use crate::Result;
use crate::object::Object;

/// The label of places in a batch that hold no image. Ocelli's cross entropy leaves them out of the mean, and they are
/// among nobody's best guesses.
pub const IGNORED: i32 = -100;

/// Image files by index, not decoded, wherever they are kept: [`ImageFolder`](crate::images::ImageFolder) has each in
/// a file of its own, [`Records`](crate::records::Records) all in one; a store of labels adds objects.
pub trait Encoded: Send + Sync {
    /// How many files there are.
    fn len(&self) -> usize;

    /// The class of a file, counted from 0.
    fn label(&self, index: usize) -> i32;

    /// A file's contents.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Malformed`](crate::Error::Malformed), which name the file;
    /// [`Error::Unfit`](crate::Error::Unfit) for one of 4 GiB or more;
    /// [`Error::Setting`](crate::Error::Setting) where there is no such file.
    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>>;

    /// Replaces what is in `into` by a file's contents, so that one buffer serves for many files.
    ///
    /// # Errors
    /// As [`bytes`](Encoded::bytes).
    fn read(&self, index: usize, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        into.extend_from_slice(&self.bytes(index)?);
        Ok(())
    }

    /// The objects on an image, in the pixels of the file as it is looked at (turned as EXIF says, if the augmentation
    /// heeds that). None for sets of classes.
    ///
    /// # Errors
    /// Whatever reading them may fail with.
    fn objects(&self, index: usize) -> Result<Vec<Object>> {
        let _ = index;
        Ok(Vec::new())
    }

    /// What to call a file in a message.
    fn name(&self, index: usize) -> PathBuf;

    /// Whether there are no files.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An image file around pixels that need none: the portable pixmap format, "P5" with grey values, "P6" with red, green and
/// blue.
pub(crate) fn portable_pixmap(kind: &str, width: usize, height: usize, pixels: &[u8]) -> Vec<u8> {
    let mut file = format!("{kind}\n{width} {height}\n255\n").into_bytes();
    file.extend_from_slice(pixels);
    file
}
