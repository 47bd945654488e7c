//! `ocelli coco stats`.

use std::path::{Path, PathBuf};

use clap::Args;
use ocelli_annotations::import::{self, Report, Source};
use ocelli_annotations::statistics::Statistics;
use ocelli_annotations::{Filter, Store};
use tempfile::TempDir;

use super::error::{Error, Result};
use super::{Done, beginning, import::split_of, open, part, plot, printed, same_file, write_png};

#[derive(Args)]
pub(crate) struct Options {
    /// A store, or COCO's JSON of instances
    #[arg(value_name = "STORE_OR_JSON")]
    labels: PathBuf,
    /// The split to look at, as NAME or DATASET/NAME, instead of all images
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Also draw the numbers, as a PNG
    #[arg(long, value_name = "FILE.png")]
    plot: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(options: &Options) -> Result<Done> {
    let Options { labels, split, plot, json } = options;
    if let Some(path) = plot.as_ref().filter(|path| same_file(path, labels)) {
        return Err(Error::OntoInput { path: path.clone() });
    }
    // Keeps the temporary store until the end.
    let (store, _directory) = if is_json(labels)? {
        let (store, directory) = read(labels)?;
        (store, Some(directory))
    } else {
        (open_and_migrate(labels)?, None)
    };
    let filter = part(split);
    let statistics = Statistics::of(&store, &filter)?;
    if let Some(path) = plot {
        write_png(&plot::draw(&statistics, &lengths(&store, &filter)?), path)?;
    }
    printed(*json, &statistics, || statistics.to_string())
}

/// Opens a store for reading. One of an older version is brought to this program's, which nothing else here does: opened
/// for writing, a store changes how it is kept, and readers on a network's file system may be unable to follow.
fn open_and_migrate(path: &Path) -> Result<Store> {
    match open(path) {
        Err(Error::Labels(ocelli_annotations::Error::Older { .. })) => Ok(Store::open(path)?),
        opened => opened,
    }
}

fn is_json(path: &Path) -> Result<bool> {
    let bytes = match beginning(path) {
        // The store's own error says more.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        bytes => bytes?,
    };
    let named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(!bytes.starts_with(b"SQLite format 3\0") && (named || first == Some(&b'{')))
}

/// COCO's JSON as a store that is there for as long as the directory.
fn read(path: &Path) -> Result<(Store, TempDir)> {
    let directory = tempfile::tempdir().map_err(Error::io("create a directory in", &std::env::temp_dir()))?;
    let store = directory.path().join("store");
    let source = Source { split: split_of(path), labels: path.into(), images: PathBuf::new() };
    let options = import::Options { boxes_only: true, ..import::Options::default() };
    let report = import::coco(&store, &[source], &options, |_| ())?;
    warn(&report);
    Ok((Store::open_read_only(store)?, directory))
}

/// Says what was not counted as it is in the file.
fn warn(report: &Report) {
    if !report.entries.is_empty() || !report.hints.is_empty() {
        eprint!("warning: what is counted is not all as it is in the file\n{report}");
    }
}

/// The square roots of the boxes' areas, in pixels.
fn lengths(store: &Store, filter: &Filter) -> Result<Vec<f64>> {
    let mut lengths = Vec::new();
    store.visit_annotations(filter, |annotation| -> Result<(), ocelli_annotations::Error> {
        lengths.push(annotation.bbox.area().max(0.0).sqrt());
        Ok(())
    })?;
    Ok(lengths)
}
