//! `ocelli coco check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ocelli_annotations::check::{Finding, check};
use ocelli_annotations::{Split, Store};
use serde_json::json;

use super::error::{Error, Result};
use super::{Done, open, part};
use crate::print;

#[derive(Args)]
pub(crate) struct Options {
    /// The store
    store: PathBuf,
    /// Where the images lie, instead of where the store says
    #[arg(long, value_name = "DIRECTORY")]
    images: Option<PathBuf>,
    /// The split to look at, as NAME or DATASET/NAME, instead of all images
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(options: &Options) -> Result<Done> {
    let Options { store: path, images: directory, split, json } = options;
    let store = open(path)?;
    if directory.is_none() {
        directories_are_known(&store, split.as_deref())?;
    }
    let filter = part(split);
    let findings = check(&store, &filter, directory.as_deref())?;
    let images = store.count_images(&filter)?;
    let written =
        print(*json, &json!({ "images": images, "findings": findings }), || text(images, &findings));
    Ok(written.map(|()| if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

/// An error where the store does not say where the images of a split lie: all of them would be missing.
fn directories_are_known(store: &Store, split: Option<&str>) -> Result<()> {
    let wanted = split.map(|name| store.split_by_name(name)).transpose()?;
    let unknown = |split: &Split| wanted.is_none_or(|id| split.id == id) && split.directory.is_empty();
    match store.splits()?.into_iter().find(unknown) {
        Some(split) => Err(Error::NoDirectory { store: store.path().into(), split: split.name }),
        None => Ok(()),
    }
}

fn text(images: usize, findings: &[Finding]) -> String {
    let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    match findings.len() {
        0 => format!("{images} images are as the store says\n"),
        count => format!("{lines}{count} of {images} images are not as the store says\n"),
    }
}
