//! `ocelli coco`: labels of object detection imported, exported, evaluated, counted, checked and shown.

mod check;
mod error;
mod eval;
mod export;
mod import;
mod plot;
mod results;
mod stats;
mod view;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use ocelli_annotations::{Filter, Store};
use serde_json::json;

use self::error::{Error, Result};
use crate::picture::Picture;
use crate::print;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Makes a store from labels: COCO's JSON, YOLO's text files or Pascal VOC's XML
    Import(import::Options),
    /// Adds the detections of COCO's JSON of results to a store, as a run of a model
    ImportResults(results::Options),
    /// Writes a store's labels, or what a model found, in another format
    Export(export::Options),
    /// Evaluates detections of boxes as COCO does
    Eval(eval::Options),
    /// Says what a dataset is made of: things by class, sizes of boxes, things by image
    Stats(stats::Options),
    /// Looks whether the images are there and as large as a store says; fails if something is wrong
    Check(check::Options),
    /// Draws an image's boxes, and what a model found, on the image
    View(view::Options),
}

/// Whether what was printed could be written, and with what the program ends.
type Done = io::Result<ExitCode>;

/// Does what is asked and says so; fails only when that cannot be written.
pub(crate) fn run(action: &Action) -> Done {
    let (json, done) = match action {
        Action::Import(options) => (options.json, import::run(options)),
        Action::ImportResults(options) => (options.json, results::run(options)),
        Action::Export(options) => (options.json, export::run(options)),
        Action::Eval(options) => (options.json, eval::run(options)),
        Action::Stats(options) => (options.json, stats::run(options)),
        Action::Check(options) => (options.json, check::run(options)),
        Action::View(options) => (false, view::run(options)),
    };
    match done {
        Ok(done) => done,
        Err(Error::Usage(what)) => {
            eprintln!("error: {what}\n\nFor more information, try '--help'.");
            Ok(ExitCode::from(2))
        }
        Err(error) => {
            eprintln!("error: {error}");
            if json {
                print(true, &json!({ "error": error.to_string() }), String::new)?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What a command that succeeded prints.
fn printed(json: bool, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> Result<Done> {
    Ok(print(json, value, text).map(|()| ExitCode::SUCCESS))
}

/// Opens a store for reading, also where nothing may be written beside it.
fn open(path: &Path) -> Result<Store> {
    use ocelli_annotations::Error::{Io, ReadOnly, Sqlite};
    let store = match Store::open_read_only(path) {
        // SQLite does not say more than that it cannot open the files beside the store.
        Err(Sqlite { .. } | ReadOnly { .. } | Io { .. }) => Store::open_immutable(path),
        opened => opened,
    };
    Ok(store?)
}

/// All of a store, or a split.
fn part(split: &Option<String>) -> Filter {
    Filter { split: split.clone(), ..Filter::default() }
}

/// Writes a file under another name and gives it its own when it is whole. What is no regular file, such as a pipe, is
/// written to as it is.
fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        let mut file = File::options().write(true).open(path).map_err(Error::io("write", path))?;
        return write(&mut file).map_err(Error::io("write", path));
    }
    let mut file = ocelli_files::file_beside(path).map_err(Error::io("create", path))?;
    let mut buffer = io::BufWriter::new(&mut file);
    write(&mut buffer).and_then(|()| buffer.flush()).map_err(Error::io("write", path))?;
    drop(buffer);
    file.persist().map_err(Error::io("write", path))
}

/// Writes a picture as a PNG.
fn write_png(picture: &Picture, path: &Path) -> Result<()> {
    write_whole(path, |output| picture.write_png(output).map_err(io::Error::other))
}

/// Whether two names lead to one file.
fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The first bytes of a file.
fn beginning(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io("open", path))?;
    file.take(512).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}
