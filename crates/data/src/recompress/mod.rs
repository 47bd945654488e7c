//! JPEG files of a set made smaller, by a lower quality, and never a higher one (where no quality makes a file's tables, it
//! is left alone, or judged by the nearest one). Progressive files become baseline files.
//!
//! Files are decoded and encoded by nvJPEG on the GPU. What would not become smaller, and what nvJPEG does not decode,
//! stays as it is; so do EXIF, ICC profiles and all else that a file says before its image. What some cameras add after its
//! end is not taken over. An original is there until the new file is whole and on the disk.
//!
//! ```no_run
//! use ocelli_data::recompress::{RecompressConfig, recompress};
//! use ocelli_data::{ImageSet, Target};
//!
//! # fn main() -> Result<(), ocelli_data::Error> {
//! let set = ImageSet::open("photographs".as_ref())?;
//! let config = RecompressConfig { quality: 80, ..RecompressConfig::default() };
//! let report = recompress(&set, &Target::new("smaller.records".as_ref()), &config, |_| ())?;
//! print!("{report}");
//! # Ok(())
//! # }
//! ```

mod encode;
mod plan;
mod replace;
mod report;

use std::borrow::Cow;

use self::encode::Recompressor;
use self::plan::{Outcome, Why};
use self::replace::{has_other_names, replace};
pub use self::report::Recompressed;
use crate::canvas::{MOST_PIXELS, SharedGpu, check_most_pixels, decoding_threads};
use crate::ordered::in_order;
use crate::set::{Fault, ImageSet};
use crate::target::{self, Item, Kind, Target};
use crate::{Encoded, Error, Result};

/// How the colour differences of new files are sampled; grey images have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// As in the original.
    #[default]
    Keep,
    /// Half the columns and half the rows.
    S420,
    /// As finely as the luminance.
    S444,
}

/// How files are made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecompressConfig {
    /// The quality of new files, 1 to 100, on the scale of the Independent JPEG Group. A file of this quality or a lower
    /// one stays as it is ([`Header::quality`](crate::jpeg::Header::quality)).
    pub quality: u8,
    /// How their colour differences are sampled.
    pub sampling: Sampling,
    /// Whether files are made smaller, too, whose tables no quality makes, if the nearest quality is higher than this one.
    pub unknown_quality: bool,
    /// The GPU, from 0. It is opened when the first file needs it.
    pub gpu: usize,
    /// Threads; 0 for as many as the machine runs at once, at most 16.
    pub workers: usize,
    /// The most pixels of an image, at least 1. One that claims more is not decoded, and stays as it is.
    pub max_pixels: u64,
}

impl Default for RecompressConfig {
    fn default() -> RecompressConfig {
        RecompressConfig {
            quality: 85,
            sampling: Sampling::Keep,
            unknown_quality: false,
            gpu: 0,
            workers: 0,
            max_pixels: MOST_PIXELS,
        }
    }
}

impl RecompressConfig {
    fn check(&self) -> Result<()> {
        check_most_pixels(self.max_pixels)?;
        if (1..=100).contains(&self.quality) {
            return Ok(());
        }
        let what = format!("the quality {} cannot be: 1 to 100", self.quality);
        Err(Error::Setting { what })
    }
}

/// Writes a set anew, to a new directory of class folders or record file, with all files in their order and under their
/// names, those smaller that can be. `progress` is called after each file with the number of those done.
///
/// # Errors
/// [`Error::Setting`] for a quality that cannot be, where no pixels are allowed, where the target must not be replaced, and
/// where the system starts no more threads; [`Error::Unfit`] where a record has no place in a directory; [`Error::Io`] or
/// [`Error::Malformed`] where a file cannot be read, or the target not written; [`Error::Cuda`] or [`Error::Nvjpeg`] where
/// the GPU fails or there is none. The target is not there then, or as it was.
pub fn recompress(
    set: &ImageSet,
    target: &Target,
    config: &RecompressConfig,
    mut progress: impl FnMut(usize),
) -> Result<Recompressed> {
    config.check()?;
    // Labels stay what they are, also those without a name.
    let items: Vec<Item> = (0..set.len()).map(|index| Item { index, label: set.own_label(index) }).collect();
    let gpu = SharedGpu::new(config.gpu);
    let mut report = Recompressed::default();
    target::write(
        target,
        set,
        (&items, set.own_classes()),
        decoding_threads(config.workers),
        || Recompressor::new(&gpu, *config),
        |recompressor, index| {
            let original = set.bytes(index)?;
            let before = original.len();
            Ok(match recompressor.recompress(&original)? {
                Outcome::Smaller(bytes) => {
                    let lengths = [before, bytes.len()];
                    (Cow::Owned(bytes), (lengths, Outcome::Smaller(())))
                }
                Outcome::Kept(why) => (original, ([before; 2], Outcome::Kept(why))),
            })
        },
        |index, (lengths, outcome)| {
            report.count(set, index, lengths, outcome);
            progress(index + 1);
        },
    )?;
    Ok(report)
}

/// Makes the files of a set smaller where they are. Of a directory, each file is replaced by itself, once the new one is
/// whole: after an error, some have been replaced and the others not, and the rest can be done by another call. A link is
/// followed, and what it leads to replaced. A file with several names (hard links) stays as it is: its other names would keep
/// the old one, and no byte would be saved. A record file is replaced as a whole.
///
/// # Errors
/// As [`recompress`]; [`Error::Setting`] for a record file with several names. A file of a directory that cannot be read is
/// no error, but told among those that could not be decoded. No original is lost.
pub fn recompress_in_place(
    set: &ImageSet,
    config: &RecompressConfig,
    mut progress: impl FnMut(usize),
) -> Result<Recompressed> {
    config.check()?;
    if set.folder().is_none() {
        if has_other_names(set.path())? {
            let path = set.path().display();
            let what = format!(
                "{path} has several names (hard links), which would not all change: write another file"
            );
            return Err(Error::Setting { what });
        }
        let target = Target { path: set.path().into(), kind: Kind::Records, overwrite: true };
        return recompress(set, &target, config, progress);
    }
    let gpu = SharedGpu::new(config.gpu);
    let mut report = Recompressed::default();
    in_order(
        set.len(),
        decoding_threads(config.workers),
        || Recompressor::new(&gpu, *config),
        |recompressor, index| -> Result<_> {
            let path = set.name(index);
            let original = match set.bytes(index) {
                Ok(bytes) => bytes,
                Err(error) => return Ok(Err(Fault::new(path, &error))),
            };
            let before = original.len();
            if has_other_names(&path)? {
                return Ok(Ok(([before; 2], Outcome::Kept(Why::Linked))));
            }
            Ok(Ok(match recompressor.recompress(&original)? {
                Outcome::Smaller(bytes) => {
                    replace(&path, &bytes)?;
                    ([before, bytes.len()], Outcome::Smaller(()))
                }
                Outcome::Kept(why) => ([before; 2], Outcome::Kept(why)),
            }))
        },
        |index, done| {
            match done? {
                Ok((bytes, outcome)) => report.count(set, index, bytes, outcome),
                Err(fault) => report.count_fault(fault),
            }
            progress(index + 1);
            Ok(())
        },
    )?;
    Ok(report)
}
