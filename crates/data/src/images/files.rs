use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::encoded::{Encoded, IGNORED};
use crate::{Error, Result};

/// Image files without classes, such as those to classify. The label of each is its number.
#[derive(Clone, Debug)]
pub struct ImageFiles(Vec<PathBuf>);

impl ImageFiles {
    /// These files. None is opened.
    pub fn new(files: Vec<PathBuf>) -> ImageFiles {
        ImageFiles(files)
    }
}

impl Encoded for ImageFiles {
    fn len(&self) -> usize {
        self.0.len()
    }

    /// [`IGNORED`] where there is no such file.
    fn label(&self, index: usize) -> i32 {
        i32::try_from(index).ok().filter(|_| index < self.0.len()).unwrap_or(IGNORED)
    }

    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let mut bytes = Vec::new();
        self.read(index, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    fn read(&self, index: usize, into: &mut Vec<u8>) -> Result<()> {
        match self.0.get(index) {
            Some(path) => read_file(path, into),
            None => {
                Err(Error::Setting { what: format!("there is no image {index}: there are {}", self.0.len()) })
            }
        }
    }

    fn name(&self, index: usize) -> PathBuf {
        self.0.get(index).cloned().unwrap_or_default()
    }
}

/// The most bytes of an image file: fewer than 4 GiB, as a record has.
const MOST_BYTES: u64 = u32::MAX as u64;

/// Replaces what is in `into` by a file's contents, for [`Encoded::read`] of sets whose images are files.
///
/// # Errors
/// [`Error::Io`], and [`Error::Unfit`] for a file of 4 GiB or more; both name the file.
pub fn read_file(path: &Path, into: &mut Vec<u8>) -> Result<()> {
    into.clear();
    let unreadable = |source| Error::Io { action: "read", path: path.into(), source };
    let too_large = || Error::Unfit { path: path.into(), what: "an image file has less than 4 GiB".into() };
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length > MOST_BYTES {
        return Err(too_large());
    }
    // At once, as the reader does not know how much is to come.
    let reserved = usize::try_from(length).is_ok_and(|length| into.try_reserve(length).is_ok());
    if !reserved {
        return Err(unreadable(io::ErrorKind::OutOfMemory.into()));
    }
    // It may grow meanwhile, or never end, as a pipe does.
    let read = file.take(MOST_BYTES + 1).read_to_end(into).map_err(unreadable)?;
    if read as u64 > MOST_BYTES { Err(too_large()) } else { Ok(()) }
}
