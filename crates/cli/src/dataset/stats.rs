//! `ocelli dataset stats`.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use ocelli_data::Encoded;
use ocelli_data::survey::{Survey, SurveyConfig, survey};

use super::{Listing, bar};
use crate::image_set;

#[derive(Args)]
pub(crate) struct Options {
    /// A directory with a folder of images for each class, or a record file
    set: PathBuf,
    /// Read headers only: decode nothing, and tell no mean and deviation of pixels; needs no GPU
    #[arg(long)]
    no_pixels: bool,
    /// The GPU that decodes, from 0
    #[arg(long, alias = "gpu", default_value_t = 0, value_name = "NUMBER")]
    device: usize,
    /// Threads; 0 for as many as the machine runs at once, at most 16
    #[arg(long, default_value_t = 0, value_name = "0..1024", value_parser = super::workers())]
    workers: usize,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(options: &Options) -> Result<Listing<Survey>, Box<dyn Error>> {
    let Options { no_pixels, device: gpu, workers, .. } = *options;
    let set = image_set::open(&options.set)?;
    let bar = bar("reading", set.len());
    let config = SurveyConfig { pixels: !no_pixels, gpu, workers, ..SurveyConfig::default() };
    let found = survey(&set, &config, |count| bar.set_position(count as u64))?;
    bar.finish_and_clear();
    let faults = found.faults.len();
    Ok(Listing { report: found, faults })
}
