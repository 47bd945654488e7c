use std::borrow::Cow;
use std::path::PathBuf;

use crate::Result;

/// Image files by index, not decoded, wherever they are kept: [`ImageFolder`](crate::images::ImageFolder) has each in
/// a file of its own, [`Records`](crate::records::Records) all in one.
pub trait Encoded: Send + Sync {
    /// How many files there are.
    fn len(&self) -> usize;

    /// The class of a file, counted from 0.
    fn label(&self, index: usize) -> i32;

    /// A file's contents.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Malformed`](crate::Error::Malformed), which name the file;
    /// [`Error::Setting`](crate::Error::Setting) where there is no such file.
    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>>;

    /// What to call a file in a message.
    fn name(&self, index: usize) -> PathBuf;

    /// Whether there are no files.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
