//! `ocelli coco export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ocelli_annotations::export;
use serde_json::json;

use super::error::{Error, Result};
use super::{Done, open, part, printed, same_file};

#[derive(Args)]
pub(crate) struct Options {
    /// The store
    store: PathBuf,
    /// The file to write; one that is there is replaced when the new one is whole. For YOLO the directory, a new one
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The split to write, as NAME or DATASET/NAME, instead of all images
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Coco)]
    format: Format,
    /// With `--format results`: the model
    #[arg(long, value_name = "NAME", required_if_eq("format", "results"))]
    model: Option<String>,
    /// With `--format results`: the model's run
    #[arg(long, value_name = "NAME", required_if_eq("format", "results"))]
    run: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// COCO's JSON of instances, with all that an import kept
    Coco,
    /// YOLO's text files, one for each image
    Yolo,
    /// COCO's JSON of results: what a run of a model found
    Results,
}

pub(crate) fn run(options: &Options) -> Result<Done> {
    let Options { store: path, output, split, format, model, run, json } = options;
    let usage = |what: &str| Err(Error::Usage(what.into()));
    match (format, split) {
        (Format::Results, Some(_)) => {
            return usage("--split does not go with --format results: a run is written whole");
        }
        (Format::Coco | Format::Yolo, _) if model.is_some() || run.is_some() => {
            return usage("--model and --run say what --format results writes");
        }
        _ => {}
    }
    let store = open(path)?;
    if same_file(path, output) {
        return Err(Error::OntoInput { path: output.clone() });
    }
    let filter = part(split);
    match (format, model, run) {
        (Format::Results, Some(model), Some(run)) => {
            let run = store.run_by_name(model, run)?;
            export::results(&store, run, output)?;
            let count = store.runs()?.iter().find(|known| known.id == run).map_or(0, |run| run.predictions);
            return printed(*json, &json!({ "detections": count }), || {
                format!("wrote {count} detections to {}\n", output.display())
            });
        }
        (Format::Yolo, ..) => drop(export::yolo(&store, &filter, output)?),
        _ => export::coco(&store, &filter, output)?,
    }
    let (images, annotations) = (store.count_images(&filter)?, store.count_annotations(&filter)?);
    printed(*json, &json!({ "images": images, "annotations": annotations }), || {
        format!("wrote {images} images with {annotations} annotations to {}\n", output.display())
    })
}
