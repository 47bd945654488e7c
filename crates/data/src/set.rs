//! A set of image files with its classes, wherever it is kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Formatter};
use std::path::{Component, Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::encoded::{Encoded, IGNORED};
use crate::images::{EXTENSIONS, ImageFolder};
use crate::object::Object;
use crate::records::Records;
use crate::{Error, Result};

/// A set of image files and their classes: a directory with a folder for each class, or a record file.
///
/// Every file is of a class that has a name: where a record file has no class names, there is a class for each of its
/// labels, named by the number.
#[derive(Debug)]
pub struct ImageSet {
    path: PathBuf,
    files: Files,
    classes: Vec<String>,
    /// The class of each file.
    labels: Vec<usize>,
}

#[derive(Debug)]
enum Files {
    Folder(ImageFolder),
    Records(Records),
}

/// A file with which something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file; of a record, the path of the record file and its name below it.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

impl ImageSet {
    /// Opens a directory as [`ImageFolder::open`] does, a file as [`Records::open`] does. No image is read.
    ///
    /// # Errors
    /// As theirs.
    pub fn open(path: &Path) -> Result<ImageSet> {
        if path.is_dir() {
            ImageFolder::open(path).map(ImageSet::from)
        } else {
            let records = Records::open(path)?;
            let (classes, labels) = classes_of(&records);
            Ok(ImageSet { path: path.into(), files: Files::Records(records), classes, labels })
        }
    }

    /// The directory or the record file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the classes, by their number.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class of each file, an index into the classes.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The names of the classes as the set has them: none where labels are any numbers.
    pub(crate) fn own_classes(&self) -> &[String] {
        match &self.files {
            Files::Folder(folder) => folder.classes(),
            Files::Records(records) => records.classes(),
        }
    }

    /// The label of a file as the set has it.
    pub(crate) fn own_label(&self, index: usize) -> i32 {
        match &self.files {
            Files::Folder(folder) => Encoded::label(folder, index),
            Files::Records(records) => Encoded::label(records, index),
        }
    }

    /// The directory, if it is one.
    pub fn folder(&self) -> Option<&ImageFolder> {
        match &self.files {
            Files::Folder(folder) => Some(folder),
            Files::Records(_) => None,
        }
    }

    /// A file's name in the set: its path below the directory, or its record's name.
    pub fn name_within(&self, index: usize) -> PathBuf {
        match &self.files {
            Files::Folder(folder) => {
                let path = Encoded::name(folder, index);
                path.strip_prefix(folder.directory()).map(Path::to_path_buf).unwrap_or(path)
            }
            Files::Records(records) => records.name(index).unwrap_or_default().into(),
        }
    }

    /// Where a file belongs in a directory of class folders: at its own name, if that leads into its class's folder, and
    /// otherwise there under its number. Records are named by whoever wrote them.
    pub(crate) fn place_in_directory(&self, index: usize) -> Result<PathBuf> {
        let name = self.name_within(index);
        if self.folder().is_some() {
            return Ok(name);
        }
        let unfit = |what: String| Error::Unfit { path: Encoded::name(self, index), what };
        let class = self.labels.get(index).and_then(|&label| self.classes.get(label));
        let class = class.map(String::as_str).unwrap_or_default();
        if !is_file_name(class) {
            return Err(unfit(format!("its class `{class}` cannot name a folder: write a record file")));
        }
        let extension =
            name.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        let Some(extension) = extension.filter(|extension| EXTENSIONS.contains(&&**extension)) else {
            let extensions = EXTENSIONS.join(", ");
            return Err(unfit(format!("its name does not end in {extensions}: write a record file")));
        };
        let mut components = name.components();
        let leads_into_class = components.next() == Some(Component::Normal(class.as_ref()));
        let is_below = components.clone().count() > 0
            && components.all(|component| matches!(component, Component::Normal(_)));
        let is_kept = leads_into_class && is_below;
        Ok(if is_kept { name } else { Path::new(class).join(format!("{index:08}.{extension}")) })
    }
}

impl From<ImageFolder> for ImageSet {
    fn from(folder: ImageFolder) -> ImageSet {
        // Labels count the classes from 0.
        let labels = folder.samples().iter().map(|sample| usize::try_from(sample.label).unwrap_or_default());
        ImageSet {
            path: folder.directory().into(),
            classes: folder.classes().to_vec(),
            labels: labels.collect(),
            files: Files::Folder(folder),
        }
    }
}

impl Encoded for ImageSet {
    fn len(&self) -> usize {
        self.labels.len()
    }

    /// The file's class; [`IGNORED`] where there is no such file.
    fn label(&self, index: usize) -> i32 {
        self.labels.get(index).and_then(|&label| i32::try_from(label).ok()).unwrap_or(IGNORED)
    }

    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        match &self.files {
            Files::Folder(folder) => folder.bytes(index),
            Files::Records(records) => records.bytes(index),
        }
    }

    fn read(&self, index: usize, into: &mut Vec<u8>) -> Result<()> {
        match &self.files {
            Files::Folder(folder) => folder.read(index, into),
            Files::Records(records) => records.read(index, into),
        }
    }

    fn objects(&self, index: usize) -> Result<Vec<Object>> {
        match &self.files {
            Files::Folder(folder) => folder.objects(index),
            Files::Records(records) => records.objects(index),
        }
    }

    fn name(&self, index: usize) -> PathBuf {
        match &self.files {
            Files::Folder(folder) => Encoded::name(folder, index),
            Files::Records(records) => Encoded::name(records, index),
        }
    }
}

impl Fault {
    /// What is wrong with a file, without its path where the error tells it apart.
    pub(crate) fn new(path: PathBuf, error: &Error) -> Fault {
        let reason = match error {
            Error::Image { source, .. } => source.to_string(),
            Error::Unfit { what, .. } => what.clone(),
            Error::Io { action, source, .. } => format!("cannot {action} it: {source}"),
            error => error.to_string(),
        };
        Fault { path, reason }
    }
}

/// A path as text: one that is no UTF-8 must not keep the rest from being told.
pub(crate) fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// How many faults the texts of reports list; all are in the reports.
pub const LISTED_FAULTS: usize = 20;

/// Writes a line for each of the first faults, and one for the others.
pub(crate) fn write_faults(f: &mut Formatter<'_>, faults: &[Fault]) -> fmt::Result {
    for fault in faults.iter().take(LISTED_FAULTS) {
        writeln!(f, "  {}: {}", fault.path.display(), fault.reason)?;
    }
    match faults.len().checked_sub(LISTED_FAULTS) {
        Some(more) if more > 0 => writeln!(f, "  and {more} more"),
        _ => Ok(()),
    }
}

/// The classes of a record file, and those of its records.
fn classes_of(records: &Records) -> (Vec<String>, Vec<usize>) {
    if !records.classes().is_empty() {
        // The index was checked: labels count the classes from 0.
        let labels = records.labels().map(|label| usize::try_from(label).unwrap_or_default());
        return (records.classes().to_vec(), labels.collect());
    }
    let mut numbers: BTreeMap<i32, usize> = records.labels().map(|label| (label, 0)).collect();
    for (number, class) in numbers.values_mut().enumerate() {
        *class = number;
    }
    let labels = records.labels().filter_map(|label| numbers.get(&label).copied()).collect();
    (numbers.keys().map(i32::to_string).collect(), labels)
}

/// Whether a text names a file in a directory, and not one elsewhere.
fn is_file_name(text: &str) -> bool {
    let mut components = Path::new(text).components();
    components.next() == Some(Component::Normal(text.as_ref()))
        && components.next().is_none()
        && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_leads_nowhere_else() {
        for good in ["dog", "n01440764", "a b", "...", ".hidden", "-3"] {
            assert!(is_file_name(good), "{good}");
        }
        for bad in ["", ".", "..", "/", "a/b", "/a", "a/", "./a", "a\0b"] {
            assert!(!is_file_name(bad), "{bad:?}");
        }
    }
}
