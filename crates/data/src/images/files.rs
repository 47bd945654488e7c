use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
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

/// Replaces what is in `into` by a file's contents, for [`Encoded::read`] of sets whose images are files.
///
/// # Errors
/// [`Error::Io`], which names the file.
pub fn read_file(path: &Path, into: &mut Vec<u8>) -> Result<()> {
    into.clear();
    File::open(path).and_then(|mut file| file.read_to_end(into)).map_err(|source| Error::Io {
        action: "read",
        path: path.into(),
        source,
    })?;
    Ok(())
}
