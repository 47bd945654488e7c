//! `ocelli dataset recompress`.

use std::error::Error;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ocelli_data::recompress::{RecompressConfig, Recompressed, Sampling, recompress, recompress_in_place};
use ocelli_data::{Encoded, Target};

use super::{Listing, bar, free};
use crate::image_set;

#[derive(Args)]
pub(crate) struct Options {
    /// A directory with a folder of images for each class, or a record file
    set: PathBuf,
    /// What to make: a record file if its name ends in .records, else a directory of class folders
    #[arg(
        short,
        long,
        value_name = "PATH",
        required_unless_present = "in_place",
        conflicts_with = "in_place"
    )]
    output: Option<PathBuf>,
    /// Replace the files themselves, each when the new one is whole
    #[arg(long)]
    in_place: bool,
    /// The quality of the new files; those that have it, or a lower one, stay as they are
    #[arg(long, value_name = "1..100", value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// How the colour differences of the new files are sampled
    #[arg(long, value_enum, default_value_t = Subsampling::Keep)]
    subsampling: Subsampling,
    /// Also recompress files with tables that no quality makes, if the nearest quality is higher than the new one
    #[arg(long)]
    unknown_quality: bool,
    /// The GPU that decodes and encodes, from 0
    #[arg(long, alias = "gpu", default_value_t = 0, value_name = "NUMBER")]
    device: usize,
    /// Threads; 0 for as many as the machine runs at once, at most 16
    #[arg(long, default_value_t = 0, value_name = "0..1024", value_parser = super::workers())]
    workers: usize,
    /// Replace what is there, when the new one is whole; a directory only if there is nothing but class folders in it
    #[arg(long, conflicts_with = "in_place")]
    overwrite: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Subsampling {
    /// As in the original
    Keep,
    /// Half the columns and half the rows
    #[value(name = "420")]
    S420,
    /// As finely as the luminance
    #[value(name = "444")]
    S444,
}

pub(crate) fn run(options: &Options) -> Result<Listing<Recompressed>, Box<dyn Error>> {
    let Options { output, quality, unknown_quality, device, workers, overwrite, .. } = options;
    if let Some(output) = output {
        free(output, *overwrite)?;
    }
    let set = image_set::open(&options.set)?;
    let sampling = match options.subsampling {
        Subsampling::Keep => Sampling::Keep,
        Subsampling::S420 => Sampling::S420,
        Subsampling::S444 => Sampling::S444,
    };
    let config = RecompressConfig {
        quality: *quality,
        sampling,
        unknown_quality: *unknown_quality,
        gpu: *device,
        workers: *workers,
        ..RecompressConfig::default()
    };
    let bar = bar("recompressing", set.len());
    let progress = |count| bar.set_position(count as u64);
    let report = match output {
        Some(output) => {
            let target = Target { overwrite: *overwrite, ..Target::new(output) };
            recompress(&set, &target, &config, progress)?
        }
        None => recompress_in_place(&set, &config, progress)?,
    };
    bar.finish_and_clear();
    let faults = report.undecodable.len();
    Ok(Listing { report, faults })
}
