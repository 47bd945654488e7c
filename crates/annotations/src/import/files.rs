//! What formats with a file for each image have in common: files below a directory, text, sizes of images.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The extensions of images, in small letters; what is in them is told by their first bytes.
pub(super) const IMAGES: [&str; 7] = ["jpg", "jpeg", "png", "bmp", "webp", "tif", "tiff"];

/// Files that are read at once, before what is in them is handed on.
pub(super) const CHUNK: usize = 4096;

/// The largest text that is read: thousands of times what the labels of one image take.
const LARGEST_TEXT: u64 = 64 << 20;

/// Characters of a message that quotes a file.
const LONGEST_MESSAGE: usize = 400;

/// A file below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path from the directory on, with `/` between the parts.
    pub(super) name: String,
    /// Its path.
    pub(super) path: PathBuf,
    /// Its length.
    pub(super) bytes: u64,
}

impl Found {
    /// Its name without the extension: what a file of labels and its image have in common.
    pub(super) fn stem(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(stem, _)| stem)
    }
}

/// The files below a directory that have one of some extensions, in capital or small letters, by name. Hidden ones are
/// left out: they are an editor's or a file system's, not the dataset's.
///
/// Links are followed. Each directory is searched once, by its own name before a link's, so that links in a circle end.
pub(super) fn below(directory: &Path, extensions: &[&str]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let (mut directories, mut links) = (vec![directory.to_path_buf()], BTreeSet::new());
    let mut searched = HashSet::new();
    while let Some(next) = directories.pop().or_else(|| links.pop_first()) {
        let real = fs::canonicalize(&next).map_err(Error::io("list", &next))?;
        if !searched.insert(real) {
            continue;
        }
        for entry in fs::read_dir(&next).map_err(Error::io("list", &next))? {
            let entry = entry.map_err(Error::io("list", &next))?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            let metadata = fs::metadata(&path);
            if metadata.as_ref().is_ok_and(fs::Metadata::is_dir) {
                if is_link {
                    links.insert(path);
                } else {
                    directories.push(path);
                }
                continue;
            }
            // A link into nothing is listed, so that whoever opens it says so; pipes and devices are not.
            let is_file =
                metadata.as_ref().is_ok_and(fs::Metadata::is_file) || (metadata.is_err() && is_link);
            let extension = path.extension().unwrap_or_default();
            if is_file && extensions.iter().any(|known| extension.eq_ignore_ascii_case(known)) {
                let bytes = metadata.map_or(0, |metadata| metadata.len());
                found.push(Found { name: name_from(directory, &path)?, path, bytes });
            }
        }
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// A path from a directory on, with `/` between its parts.
fn name_from(directory: &Path, path: &Path) -> Result<String> {
    let parts = path.strip_prefix(directory).unwrap_or(path).iter();
    let parts: Option<Vec<&str>> = parts.map(|part| part.to_str()).collect();
    parts.map(|parts| parts.join("/")).ok_or_else(|| {
        let what = "its name is not UTF-8, and names are kept as text: rename it".into();
        Error::Malformed { path: path.into(), what }
    })
}

/// The text of a file, without a mark of its byte order.
pub(super) fn text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io("open", path))?;
    file.take(LARGEST_TEXT + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > LARGEST_TEXT {
        let what = format!("it is larger than {} MiB, which no labels are", LARGEST_TEXT >> 20);
        return Err(malformed(path, what));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = line_at(error.as_bytes(), error.utf8_error().valid_up_to());
        malformed(path, format!("line {line}: a byte is not UTF-8"))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text))
}

/// The error of a text that is not what it should be. What it quotes of the file is cut where it is long.
pub(super) fn malformed(path: &Path, mut what: String) -> Error {
    if let Some((end, _)) = what.char_indices().nth(LONGEST_MESSAGE) {
        what.truncate(end);
        what.push_str(" ..");
    }
    Error::Malformed { path: path.into(), what }
}

/// The line, counted from 1, in which a byte lies.
pub(super) fn line_at(text: &[u8], byte: usize) -> usize {
    1 + text.iter().take(byte).filter(|&&byte| byte == b'\n').count()
}

/// The width and the height of an image, from its header. A rotation that the file notes is not made.
///
/// # Errors
/// [`Error::Io`], [`Error::Image`], [`Error::Malformed`] where there are no pixels.
pub(super) fn size(path: &Path) -> Result<(u32, u32)> {
    let file = image::ImageReader::open(path).map_err(Error::io("open", path))?;
    let read = || file.with_guessed_format()?.into_dimensions();
    // Decoders are other people's code, fed with other people's data.
    let size = catch_unwind(AssertUnwindSafe(read))
        .map_err(|_| Error::Malformed { path: path.into(), what: "its decoder panicked".into() })?
        .map_err(|source| Error::Image { path: path.into(), source: Box::new(source) })?;
    if size.0 == 0 || size.1 == 0 {
        let what = format!("an image of {} x {} pixels", size.0, size.1);
        return Err(Error::Malformed { path: path.into(), what });
    }
    Ok(size)
}

/// What a split was made from, as JSON.
pub(super) fn describe(labels: &Path, images: &Path, files: &[Found]) -> String {
    serde_json::json!({
        "path": labels.to_string_lossy(),
        "images": images.to_string_lossy(),
        "files": files.len(),
        "bytes": bytes(files),
    })
    .to_string()
}

/// The length of files together.
pub(super) fn bytes(files: &[Found]) -> u64 {
    files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
}

/// The error of an importer that the store's writer no longer hears; [`Gathering::failed`](super::Gathering::failed)
/// tells the reason in its place.
pub(super) fn unheard(store: &Path) -> Error {
    Error::io("write", store)(io::ErrorKind::BrokenPipe.into())
}
