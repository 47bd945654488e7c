//! What became of the files of a set.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::plan::{Outcome, Why};
use crate::Encoded;
use crate::set::{Fault, ImageSet, write_faults};

/// What became of the files of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Recompressed {
    /// How many files there were.
    pub images: usize,
    /// How many became smaller.
    pub recompressed: usize,
    /// How many stayed because they have the quality asked for, or a lower one.
    pub kept_quality: usize,
    /// How many stayed because no quality makes their tables.
    pub kept_unknown_quality: usize,
    /// How many stayed because they would not have become smaller.
    pub kept_larger: usize,
    /// How many stayed because they have several names (hard links), of which all but one would have kept the old file.
    pub kept_linked: usize,
    /// How many stayed because they cannot be read, claim more pixels than are allowed, or nvJPEG does not decode them or
    /// not encode them again.
    pub kept_undecodable: usize,
    /// Bytes of all files before.
    pub bytes_before: u64,
    /// Bytes of all files after.
    pub bytes_after: u64,
    /// The files of `kept_undecodable`, and why.
    pub undecodable: Vec<Fault>,
}

impl Recompressed {
    /// Counts a file by what became of it, and its bytes before and after.
    pub(super) fn count(
        &mut self,
        set: &ImageSet,
        index: usize,
        [before, after]: [usize; 2],
        outcome: Outcome<()>,
    ) {
        self.bytes_before += before as u64;
        self.bytes_after += after as u64;
        match outcome {
            Outcome::Kept(Why::Undecodable(reason)) => {
                self.count_fault(Fault { path: set.name(index), reason });
                return;
            }
            Outcome::Smaller(()) => self.recompressed += 1,
            Outcome::Kept(Why::Quality) => self.kept_quality += 1,
            Outcome::Kept(Why::UnknownQuality) => self.kept_unknown_quality += 1,
            Outcome::Kept(Why::Larger) => self.kept_larger += 1,
            Outcome::Kept(Why::Linked) => self.kept_linked += 1,
        }
        self.images += 1;
    }

    /// Counts a file that cannot be read or decoded, without its bytes.
    pub(super) fn count_fault(&mut self, fault: Fault) {
        self.images += 1;
        self.kept_undecodable += 1;
        self.undecodable.push(fault);
    }
}

impl Display for Recompressed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Recompressed { images, recompressed, bytes_before, bytes_after, .. } = self;
        let share = 100.0 * *bytes_after as f64 / (*bytes_before).max(1) as f64;
        writeln!(
            f,
            "recompressed {recompressed} of {images} images, {bytes_before} bytes to {bytes_after} ({share:.1} %)"
        )?;
        for (count, why) in [
            (self.kept_quality, "have the quality asked for, or a lower one"),
            (self.kept_unknown_quality, "have tables that no quality makes"),
            (self.kept_larger, "would not have become smaller"),
            (self.kept_linked, "have several names (hard links)"),
            (self.kept_undecodable, "cannot be read or recompressed"),
        ] {
            if count > 0 {
                writeln!(f, "kept {count} that {why}")?;
            }
        }
        write_faults(f, &self.undecodable)
    }
}
