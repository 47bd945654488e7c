//! What an import did with what it found.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was kept as it is, and is worth knowing.
    Kept,
    /// It was changed and kept.
    Repaired,
    /// It was left out.
    Dropped,
}

/// Why something was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// A box of no width or no height, or of negative ones.
    EmptyBox,
    /// A number of a box that is not finite.
    NotFinite,
    /// A box of which no part is in the image.
    OutsideImage,
    /// A box that reaches beyond the image by more than a pixel.
    BeyondImage,
    /// An annotation of an image that is not there.
    UnknownImage,
    /// An annotation of a category that is not there.
    UnknownCategory,
    /// An annotation that is there twice, word for word.
    Duplicate,
    /// A number that another annotation bears.
    DuplicateId,
    /// An image whose number another image bears.
    DuplicateImage,
    /// A category whose number another category bears.
    DuplicateCategory,
    /// An annotation without an area, or with none that is a number: its box's is taken.
    NoArea,
    /// An annotation numbered 0, which pycocotools takes for none at all.
    IdZero,
    /// Labels of an image that is not there.
    NoImageFile,
    /// An image of a size that cannot be read.
    UnreadableImage,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::EmptyBox => "boxes of no size, or of a negative one",
            Reason::NotFinite => "boxes with numbers that are not finite",
            Reason::OutsideImage => "boxes outside their image",
            Reason::BeyondImage => "boxes that reach beyond their image",
            Reason::UnknownImage => "annotations of an unknown image",
            Reason::UnknownCategory => "annotations of an unknown category",
            Reason::Duplicate => "annotations that are there twice",
            Reason::DuplicateId => "annotations with another one's number",
            Reason::DuplicateImage => "images with another one's number",
            Reason::DuplicateCategory => "categories with another one's number",
            Reason::NoArea => "annotations without an area",
            Reason::IdZero => "annotations numbered 0, which pycocotools never counts as found",
            Reason::NoImageFile => "labels without an image",
            Reason::UnreadableImage => "images that cannot be read",
        })
    }
}

/// What was noted for one reason, with one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Why.
    pub reason: Reason,
    /// What was done.
    pub outcome: Outcome,
    /// How many.
    pub count: usize,
    /// Which: the numbers of annotations, images or categories, or names of files; the first thousand.
    pub which: Vec<String>,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Images that were kept.
    pub images: usize,
    /// Of these, those without an annotation.
    pub images_without_annotations: usize,
    /// Categories that were kept.
    pub categories: usize,
    /// Annotations that were kept.
    pub annotations: usize,
    /// Of these, crowds.
    pub crowds: usize,
    /// Annotations that were found.
    pub annotations_found: usize,
    /// What was noted.
    pub entries: Vec<Entry>,
    /// What may be wrong with the whole.
    pub hints: Vec<String>,
}

/// How many are named of each kind.
const NAMED: usize = 1000;

impl Report {
    /// How many annotations, images and categories were changed or left out, or are otherwise worth knowing, for a reason.
    pub fn count(&self, reason: Reason, outcome: Outcome) -> usize {
        let of = |entry: &&Entry| entry.reason == reason && entry.outcome == outcome;
        self.entries.iter().find(of).map_or(0, |entry| entry.count)
    }
}

impl fmt::Display for Report {
    /// A line for the whole and one for each kind of note, with the first numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} images ({} without annotations), {} categories, {} of {} annotations ({} crowds)",
            self.images,
            self.images_without_annotations,
            self.categories,
            self.annotations,
            self.annotations_found,
            self.crowds
        )?;
        for Entry { reason, outcome, count, which } in &self.entries {
            let outcome = match outcome {
                Outcome::Kept => "kept",
                Outcome::Repaired => "repaired",
                Outcome::Dropped => "dropped",
            };
            let first = which.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if *count > 5 { ", .." } else { "" };
            writeln!(f, "{outcome:>8} {count:>7}  {reason}: {first}{more}")?;
        }
        self.hints.iter().try_for_each(|hint| writeln!(f, "    hint: {hint}"))
    }
}

/// A report in the making.
#[derive(Debug, Default)]
pub(super) struct Notes(BTreeMap<(Outcome, Reason), (usize, Vec<String>)>);

impl Notes {
    pub(super) fn add(&mut self, reason: Reason, outcome: Outcome, which: impl fmt::Display) {
        let (count, named) = self.0.entry((outcome, reason)).or_default();
        *count += 1;
        if named.len() < NAMED {
            named.push(which.to_string());
        }
    }

    pub(super) fn entries(self) -> Vec<Entry> {
        let entry = |((outcome, reason), (count, which))| Entry { reason, outcome, count, which };
        self.0.into_iter().map(entry).collect()
    }
}
