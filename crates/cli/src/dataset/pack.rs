//! `ocelli dataset pack`.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use clap::Args;
use ocelli_data::records::Records;
use ocelli_data::subset::{self, Choice};
use ocelli_data::{Encoded, ImageSet, Kind, Target};
use serde::Serialize;

use super::{bar, free};
use crate::image_set;

#[derive(Args)]
pub(crate) struct Options {
    /// A directory with a folder of images for each class
    directory: PathBuf,
    /// The file to make, whose name should end in .records
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Threads that read; 0 for as many as the machine runs at once
    #[arg(long, default_value_t = 0, value_name = "0..1024", value_parser = super::workers())]
    workers: usize,
    /// Replace a file that is there, when the new one is whole
    #[arg(long)]
    overwrite: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// What was packed.
#[derive(Serialize)]
pub(crate) struct Packed {
    records: usize,
    classes: usize,
    bytes: u64,
    /// As far as it is text: one that is no UTF-8 must not keep the rest from being told.
    path: String,
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Packed { records, classes, bytes, path } = self;
        writeln!(f, "packed {records} images of {classes} classes into {path}, {bytes} bytes")
    }
}

/// Images are packed as they are: what cannot be decoded is for the one who reads them to find.
pub(crate) fn run(options: &Options) -> Result<Packed, Box<dyn Error>> {
    let Options { directory, output, workers, overwrite, .. } = options;
    free(output, *overwrite)?;
    let set = ImageSet::from(image_set::open_folders(directory)?);
    // It is a record file by any name; what another command would make of such a name is another thing.
    if Target::new(output).kind != Kind::Records {
        eprintln!(
            "warning: the name of the record file {} does not end in .records: after -o of `ocelli dataset subset` or \
             `recompress` such a name makes a directory; better rename it",
            output.display()
        );
    }
    let target = Target { path: output.clone(), kind: Kind::Records, overwrite: *overwrite };
    let bar = bar("packing", set.len());
    subset::copy(&set, &Choice::default(), &target, *workers, |count| bar.set_position(count as u64))?;
    bar.finish_and_clear();
    // Opened as training will: its index is whole.
    let records = Records::open(output)?;
    let bytes = std::fs::metadata(output)?.len();
    Ok(Packed {
        records: records.len(),
        classes: records.classes().len(),
        bytes,
        path: output.display().to_string(),
    })
}
