//! A part of a set of image files, copied as it is.
//!
//! ```no_run
//! use ocelli_data::subset::{Amount, Choice, copy};
//! use ocelli_data::{ImageSet, Target};
//!
//! # fn main() -> Result<(), ocelli_data::Error> {
//! let set = ImageSet::open("imagenet/train".as_ref())?;
//! let choice = Choice { amount: Amount::PerClass(50), ..Choice::default() };
//! let subset = copy(&set, &choice, &Target::new("imagenet-small.records".as_ref()), 0, |_| ())?;
//! println!("{} images of {} classes", subset.images, subset.classes);
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use crate::encoded::IGNORED;
use crate::sampler::Sampler;
use crate::set::{ImageSet, lossy};
use crate::target::{self, Item, Target};
use crate::{Encoded, Error, Result};

/// The epoch of the order in which files are drawn from all classes together; classes have those of their numbers.
const TOGETHER: u64 = u64::MAX;

/// How many files are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Amount {
    /// All of them.
    #[default]
    All,
    /// As many of each class, at least 1; all of a class that has no more.
    PerClass(usize),
    /// This share of each class, more than 0 and at most 1: rounded, but at least one file.
    Fraction(f64),
    /// As many altogether, at least 1, from all classes together.
    Count(usize),
}

/// Which part of a set. The same choice from the same set is always the same files, and of two amounts the smaller is a
/// part of the larger, whether counted by class, by share, or altogether.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// The classes, in any order; `None` for all.
    pub classes: Option<Vec<String>>,
    /// How many of their files.
    pub amount: Amount,
    /// What the files are drawn by.
    pub seed: u64,
}

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Subset {
    /// How many files.
    pub images: usize,
    /// How many classes they are of.
    pub classes: usize,
    /// How many of the chosen classes no file was drawn of: they are in a record file, and have no folder in a
    /// directory.
    pub empty_classes: usize,
    /// Bytes of the files.
    pub bytes: u64,
    /// Where they are.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
}

impl Choice {
    /// The files that are chosen, by their indices, ascending.
    ///
    /// # Errors
    /// [`Error::Setting`] for a class that the set does not have, and for an amount that it has not, or that is none.
    pub fn indices(&self, set: &ImageSet) -> Result<Vec<usize>> {
        let setting = |what: String| Err(Error::Setting { what });
        let mut members = vec![Vec::new(); set.classes().len()];
        for (index, &label) in set.labels().iter().enumerate() {
            members[label].push(index);
        }
        let chosen = self.chosen_classes(set)?;
        let available: Vec<usize> = chosen.iter().flat_map(|&class| members[class].iter().copied()).collect();
        let draw = |from: &[usize], count: usize, epoch: u64| -> Vec<usize> {
            let sampler = Sampler::shuffled(from.len(), self.seed);
            sampler.epoch(epoch).take(count).map(|place| from[place]).collect()
        };
        let by_class = |count: &dyn Fn(usize) -> usize| {
            let of = |&class: &usize| draw(&members[class], count(members[class].len()), class as u64);
            chosen.iter().flat_map(of).collect()
        };
        let mut indices: Vec<usize> = match self.amount {
            Amount::All => available,
            Amount::PerClass(0) | Amount::Count(0) => {
                return setting("no image is no subset: choose 1 or more".into());
            }
            Amount::PerClass(count) => by_class(&|_| count),
            Amount::Fraction(share) if !(share > 0.0 && share <= 1.0) => {
                return setting(format!("{share} is no share: choose more than 0 and at most 1"));
            }
            Amount::Fraction(share) => by_class(&|len| ((len as f64 * share).round() as usize).max(1)),
            Amount::Count(count) if count > available.len() => {
                let what = format!("there are {} images to choose from, and not {count}", available.len());
                return setting(what);
            }
            Amount::Count(count) => draw(&available, count, TOGETHER),
        };
        indices.sort_unstable();
        Ok(indices)
    }

    /// The numbers of the classes that are chosen, ascending.
    fn chosen_classes(&self, set: &ImageSet) -> Result<BTreeSet<usize>> {
        let Some(names) = &self.classes else { return Ok((0..set.classes().len()).collect()) };
        if names.is_empty() {
            return Err(Error::Setting { what: "no class is chosen: name one".into() });
        }
        let number = |name: &String| {
            let unknown = || Error::Setting {
                what: format!(
                    "{} has no class `{name}`: it has {}",
                    set.path().display(),
                    some_of(set.classes())
                ),
            };
            set.classes().iter().position(|class| class == name).ok_or_else(unknown)
        };
        names.iter().map(number).collect()
    }
}

/// Copies the chosen files of a set, as they are, to a new directory of class folders or record file, in the set's order,
/// under their names in the set. The chosen classes keep their order, and are numbered anew where only some are chosen;
/// labels without names stay what they are, and a directory numbers those classes that have a folder in it, by their
/// names.
///
/// `workers` threads read, 0 for as many as the machine runs at once; the result does not depend on how many. `progress`
/// is called after each file with the number of those copied.
///
/// # Errors
/// As [`Choice::indices`]; [`Error::Setting`] where the target must not be replaced, and where the system starts no more
/// threads; [`Error::Unfit`] where a record has no place in a directory, and for a file of 4 GiB or more; [`Error::Io`] or
/// [`Error::Malformed`] where a file cannot be read, or the target not written. The target is not there then, or as it was.
pub fn copy(
    set: &ImageSet,
    choice: &Choice,
    target: &Target,
    workers: usize,
    mut progress: impl FnMut(usize),
) -> Result<Subset> {
    let chosen: Vec<usize> = choice.chosen_classes(set)?.into_iter().collect();
    let classes: Vec<String> = chosen.iter().map(|&class| set.classes()[class].clone()).collect();
    // Labels that have no name stay what they are.
    let named = !set.own_classes().is_empty();
    let label = |index: usize| {
        let place = chosen.binary_search(&set.labels()[index]).ok();
        place.and_then(|place| i32::try_from(place).ok()).unwrap_or(IGNORED)
    };
    let item = |index: usize| Item { index, label: if named { label(index) } else { set.own_label(index) } };
    let items: Vec<Item> = choice.indices(set)?.into_iter().map(item).collect();
    let used: BTreeSet<i32> = items.iter().map(|item| item.label).collect();
    let names: &[String] = if named { &classes } else { &[] };
    let mut bytes = 0;
    let read = |(): &mut (), index: usize| {
        let file = set.bytes(index)?;
        let length = file.len() as u64;
        Ok((file, length))
    };
    target::write(
        target,
        set,
        (&items, names),
        workers,
        || (),
        read,
        |place, length| {
            bytes += length;
            progress(place + 1);
        },
    )?;
    Ok(Subset {
        images: items.len(),
        classes: used.len(),
        empty_classes: classes.len() - used.len(),
        bytes,
        path: target.path.clone(),
    })
}

/// The first of many names.
fn some_of(names: &[String]) -> String {
    const MANY: usize = 10;
    let first = names.iter().take(MANY).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MANY) {
        Some(more) if more > 0 => format!("{first} and {more} more"),
        _ => first,
    }
}
