//! `ocelli coco import-results`.

use std::path::PathBuf;

use clap::Args;
use ocelli_annotations::{Store, import};
use serde_json::json;

use super::error::{Error, Result};
use super::{Done, printed};

#[derive(Args)]
pub(crate) struct Options {
    /// The store
    store: PathBuf,
    /// COCO's JSON of results: a list of objects with `image_id`, `category_id`, `bbox` and `score`
    results: PathBuf,
    /// What the model is called
    #[arg(long, value_name = "NAME")]
    model: String,
    /// What this run of the model is called; the model must have no other of this name
    #[arg(long, value_name = "NAME")]
    run: String,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(crate) fn run(options: &Options) -> Result<Done> {
    let Options { store: path, results, model, run, json } = options;
    let mut store = Store::open(path)?;
    if store.runs()?.iter().any(|known| known.model == *model && known.name == *run) {
        return Err(Error::RunTwice { path: path.clone(), model: model.clone(), run: run.clone() });
    }
    let id = import::results(&mut store, results, model, run)?;
    let count = store.runs()?.iter().find(|run| run.id == id).map_or(0, |run| run.predictions);
    printed(*json, &json!({ "model": model, "run": run, "detections": count }), || {
        format!("added {count} detections as run {run} of model {model}\n")
    })
}
