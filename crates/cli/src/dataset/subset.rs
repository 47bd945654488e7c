//! `ocelli dataset subset`.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use clap::Args;
use ocelli_data::Target;
use ocelli_data::subset::{self, Amount, Choice};
use serde::Serialize;

use super::{bar, free};
use crate::image_set;

#[derive(Args)]
pub(crate) struct Options {
    /// A directory with a folder of images for each class, or a record file
    set: PathBuf,
    /// What to make: a record file if its name ends in .records, else a directory of class folders
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// Only these classes, by name; all others are left out
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    classes: Option<Vec<String>>,
    /// As many images of each class, or all where it has fewer
    #[arg(long, value_name = "NUMBER", group = "amount")]
    per_class: Option<usize>,
    /// This share of each class, up to 1, but at least one image
    #[arg(long, value_name = "SHARE", group = "amount")]
    fraction: Option<f64>,
    /// As many images altogether
    #[arg(long, value_name = "NUMBER", group = "amount")]
    count: Option<usize>,
    /// What images are drawn by: the same seed draws the same ones
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads that read; 0 for as many as the machine runs at once
    #[arg(long, default_value_t = 0, value_name = "0..1024", value_parser = super::workers())]
    workers: usize,
    /// Replace what is there, when the new one is whole; a directory only if there is nothing but class folders in it
    #[arg(long)]
    overwrite: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// What was copied.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Copied(subset::Subset);

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subset::Subset { images, classes, empty_classes, bytes, path, .. } = &self.0;
        let path = path.display();
        writeln!(f, "copied {images} images of {classes} classes into {path}, {bytes} bytes")?;
        match empty_classes {
            0 => Ok(()),
            empty => writeln!(f, "no image was drawn of {empty} further classes"),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<Copied, Box<dyn Error>> {
    let Options { output, classes, seed, workers, overwrite, .. } = options;
    free(output, *overwrite)?;
    let set = image_set::open(&options.set)?;
    let choice = Choice { classes: classes.clone(), amount: options.amount(), seed: *seed };
    let target = Target { overwrite: *overwrite, ..Target::new(output) };
    let bar = bar("copying", choice.indices(&set)?.len());
    let copied = subset::copy(&set, &choice, &target, *workers, |count| bar.set_position(count as u64))?;
    bar.finish_and_clear();
    Ok(Copied(copied))
}

impl Options {
    /// At most one of them is given.
    fn amount(&self) -> Amount {
        match (self.per_class, self.fraction, self.count) {
            (Some(count), ..) => Amount::PerClass(count),
            (_, Some(share), _) => Amount::Fraction(share),
            (.., Some(count)) => Amount::Count(count),
            (None, None, None) => Amount::All,
        }
    }
}
