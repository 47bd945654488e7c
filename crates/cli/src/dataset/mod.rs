//! `ocelli dataset`: image files looked at, chosen, made smaller, and prepared for training.

mod pack;
mod recompress;
mod stats;
mod subset;

use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::RangedU64ValueParser;
use indicatif::{ProgressBar, ProgressStyle};
use ocelli_data::{LISTED_FAULTS, with_causes};
use serde::Serialize;
use serde_json::json;

use crate::print;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Packs the images of class folders into one file, which training reads without opening each
    Pack(pack::Options),
    /// Says what a set of images consists of: classes, sizes, JPEG qualities, decoders, mean and deviation of pixels
    ///
    /// Mean and deviation are left out where there is no GPU.
    /// Files that cannot be read are a part of the answer, and listed as faults: that there are some is no failure.
    Stats(stats::Options),
    /// Copies a part of a set of images, as they are
    Subset(subset::Options),
    /// Makes JPEG files smaller by a lower quality, never a higher one; needs a GPU
    ///
    /// Progressive files become baseline files, which the GPU's JPEG engines decode.
    Recompress(recompress::Options),
}

/// Does what is asked and says so; fails only when that cannot be written.
pub(crate) fn run(action: &Action) -> io::Result<ExitCode> {
    match action {
        Action::Pack(options) => told(options.json, pack::run(options)),
        Action::Stats(options) => told(options.json, stats::run(options)),
        Action::Subset(options) => told(options.json, subset::run(options)),
        Action::Recompress(options) => told(options.json, recompress::run(options)),
    }
}

fn told<Report: Serialize + Display>(
    json: bool,
    done: Result<Report, Box<dyn Error>>,
) -> io::Result<ExitCode> {
    match done {
        Ok(report) => {
            print(json, &report, || report.to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let error = with_causes(&*error);
            eprintln!("error: {error}");
            if json {
                print(true, &json!({ "error": error }), String::new)?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Whether something may be written under a name.
fn free(path: &Path, overwrite: bool) -> Result<(), Box<dyn Error>> {
    if path.exists() && !overwrite {
        let path = path.display();
        return Err(
            format!("{path} exists already: replace it with --overwrite, or name another file").into()
        );
    }
    Ok(())
}

/// How many threads may be asked for; 0 leaves it to the command.
fn workers() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(..=1024)
}

/// A report of so many faults, of which its text lists some: it says how to see them all.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Listing<Report> {
    report: Report,
    #[serde(skip)]
    faults: usize,
}

impl<Report: Display> Display for Listing<Report> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.fmt(f)?;
        if self.faults > LISTED_FAULTS { writeln!(f, "  --json lists them all") } else { Ok(()) }
    }
}

/// Hidden where standard error is no terminal.
fn bar(doing: &'static str, images: usize) -> ProgressBar {
    let template = "{msg} [{bar:30}] {pos}/{len} {per_sec} {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(images as u64).with_style(style.progress_chars("=> ")).with_message(doing)
}
