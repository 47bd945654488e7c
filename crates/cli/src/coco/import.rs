//! `ocelli coco import`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use ocelli_annotations::import::{self, OnBadBox, Progress, Source};

use super::error::{Error, Result};
use super::{Done, printed};

#[derive(Args)]
pub(crate) struct Options {
    /// Labels of a split: COCO's JSON, or the directory of YOLO's or VOC's files
    ///
    /// Without SPLIT= the split is called after the file: `train2017` for `instances_train2017.json`. A path in which
    /// `=` comes before any `/` is written with `./` before it.
    #[arg(value_name = "[SPLIT=]LABELS", required = true, value_parser = OfSplit::parser())]
    labels: Vec<OfSplit>,
    /// The store to make
    #[arg(short, long, value_name = "STORE")]
    output: PathBuf,
    /// Where a split's images lie, if not where they usually do
    ///
    /// SPLIT= may be left out where there is but one. Images are usually looked for, with COCO, in `../train2017` of
    /// `annotations/instances_train2017.json`; with YOLO, in `images/train` of `labels/train`; with VOC, in `JPEGImages`
    /// beside `Annotations`. Where there is no such directory, a store of COCO's labels does not know where they lie.
    #[arg(long, value_name = "[SPLIT=]DIRECTORY", value_parser = OfSplit::parser())]
    images: Vec<OfSplit>,
    /// What the labels are
    #[arg(long, value_enum, default_value_t = Format::Coco)]
    format: Format,
    /// For YOLO: what the classes are called, as a data.yaml or as a text file with a name in each line
    #[arg(long, value_name = "FILE", required_if_eq("format", "yolo"))]
    names: Option<PathBuf>,
    /// The name of the dataset that the splits are parts of
    #[arg(long, value_name = "NAME", default_value = "dataset")]
    dataset: String,
    /// What is done with a box that is none, or that reaches beyond its image by more than a pixel
    #[arg(long, value_enum, default_value_t = BadBox::Clip)]
    on_bad_box: BadBox,
    /// Leave out masks and whatever else is said of annotations and images: a store a fifth as large
    #[arg(long)]
    boxes_only: bool,
    /// Replace a store that is there, when the new one is whole
    #[arg(long)]
    overwrite: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// COCO's JSON of instances
    Coco,
    /// YOLO's text files, one for each image
    Yolo,
    /// Pascal VOC's XML files, one for each image
    Voc,
}

#[derive(Clone, Copy, ValueEnum)]
enum BadBox {
    /// It is left out
    Drop,
    /// It is cut at the image's edges, and left out where nothing remains
    Clip,
    /// The import ends with an error
    Error,
}

impl From<BadBox> for OnBadBox {
    fn from(bad: BadBox) -> OnBadBox {
        match bad {
            BadBox::Drop => OnBadBox::Drop,
            BadBox::Clip => OnBadBox::Clip,
            BadBox::Error => OnBadBox::Error,
        }
    }
}

/// A path, and the split that is said to have it.
#[derive(Clone, Debug, PartialEq)]
struct OfSplit {
    split: Option<String>,
    path: PathBuf,
}

impl OfSplit {
    fn parser() -> impl TypedValueParser<Value = OfSplit> {
        OsStringValueParser::new().try_map(OfSplit::parse)
    }

    /// `split=path`, or a path alone; what has a directory before the `=` is a path.
    fn parse(text: OsString) -> Result<OfSplit, &'static str> {
        let (split, path) = match text.to_str().and_then(|text| text.split_once('=')) {
            Some((split, path)) if !split.contains(['/', '\\']) => (Some(split.to_owned()), path.into()),
            _ => (None, PathBuf::from(text)),
        };
        if split.as_deref() == Some("") {
            return Err("there is no split before `=`; a path that begins with it is written ./=");
        }
        if path.as_os_str().is_empty() {
            return Err("there is no path");
        }
        Ok(OfSplit { split, path })
    }
}

pub(crate) fn run(options: &Options) -> Result<Done> {
    let sources = sources(options)?;
    for Source { split, images, .. } in &sources {
        if !images.as_os_str().is_empty() && !images.is_dir() {
            eprintln!(
                "warning: the directory of the images of split {split}, {}, is not there",
                images.display()
            );
        }
    }
    let settings = import::Options {
        on_bad_box: options.on_bad_box.into(),
        boxes_only: options.boxes_only,
        overwrite: options.overwrite,
        dataset: options.dataset.clone(),
    };
    let bar = bar();
    let progress = |Progress { read, total }| {
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(read);
    };
    let imported = match options.format {
        Format::Coco => import::coco(&options.output, &sources, &settings, progress).map_err(Error::from),
        Format::Voc => import::voc(&options.output, &sources, &settings, progress).map_err(Error::from),
        Format::Yolo => names(options)
            .and_then(|names| Ok(import::yolo(&options.output, &sources, &names, &settings, progress)?)),
    };
    bar.finish_and_clear();
    let report = imported.map_err(|error| match error {
        Error::Labels(ocelli_annotations::Error::Exists { path }) => Error::StoreExists { path },
        error => error,
    })?;
    printed(options.json, &report, || report.to_string())
}

/// What YOLO's classes are called; the program's options make sure that a file is named.
fn names(options: &Options) -> Result<Vec<String>> {
    Ok(import::yolo_names(options.names.as_deref().unwrap_or(Path::new("")))?)
}

/// Hidden where standard error is no terminal.
fn bar() -> ProgressBar {
    let template = "importing [{bar:30}] {bytes}/{total_bytes} {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style.progress_chars("=> "))
}

/// The sources with their splits' names and directories of images.
fn sources(options: &Options) -> Result<Vec<Source>> {
    let mut sources: Vec<Source> = Vec::new();
    for OfSplit { split, path } in &options.labels {
        let split = split.clone().unwrap_or_else(|| split_of(path));
        if sources.iter().any(|source| source.split == split) {
            return Err(Error::SplitTwice { split });
        }
        let images = usual_images(options.format, path).unwrap_or_default();
        sources.push(Source { split, labels: path.clone(), images });
    }
    for OfSplit { split, path } in &options.images {
        let source = match (split, &mut sources[..]) {
            (None, [only]) => only,
            (None, _) => {
                let what = "with several splits, --images says whose: --images train=DIRECTORY";
                return Err(Error::Usage(what.into()));
            }
            (Some(split), sources) => {
                let known: Vec<String> = sources.iter().map(|source| source.split.clone()).collect();
                let found = sources.iter_mut().find(|source| source.split == *split);
                let unknown =
                    || Error::ImagesOfUnknownSplit { split: split.clone(), known: known.join(", ") };
                found.ok_or_else(unknown)?
            }
        };
        source.images.clone_from(path);
    }
    for source in &mut sources {
        // So that the store's users find the images from any directory.
        if !source.images.as_os_str().is_empty() {
            source.images = std::path::absolute(&source.images).map_err(Error::io("find", &source.images))?;
        }
    }
    Ok(sources)
}

/// What a split is called whose labels are given without a name: after its file.
pub(super) fn split_of(labels: &Path) -> String {
    let stem = labels.file_stem().unwrap_or(labels.as_os_str()).to_string_lossy();
    match stem.strip_prefix("instances_") {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => stem.into_owned(),
    }
}

/// Where a dataset's images lie if it is laid out as it usually is; `None` where there is no such directory.
fn usual_images(format: Format, labels: &Path) -> Option<PathBuf> {
    let directory = match format {
        Format::Coco => beside(labels.parent()?, &split_of(labels)),
        Format::Yolo => match (labels.file_name()?.to_str()?, labels.parent()) {
            ("labels", _) => beside(labels, "images"),
            (split, Some(parent)) if parent.ends_with("labels") => beside(parent, "images").join(split),
            _ => return None,
        },
        Format::Voc => beside(labels, "JPEGImages"),
    };
    directory.is_dir().then_some(directory)
}

/// Another entry of the directory that a path is in; `..` rather than the parent, which a relative path may not have.
fn beside(path: &Path, name: &str) -> PathBuf {
    match path.parent() {
        Some(parent) if path.file_name().is_some() => parent.join(name),
        _ => path.join("..").join(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_stands_before_its_path() {
        let parse = |text: &str| OfSplit::parse(text.into()).map(|OfSplit { split, path }| (split, path));
        assert_eq!(parse("train=a/b.json"), Ok((Some("train".into()), "a/b.json".into())));
        assert_eq!(parse("a/b.json"), Ok((None, "a/b.json".into())));
        assert_eq!(parse("lr=1/b=2.json"), Ok((Some("lr".into()), "1/b=2.json".into())));
        assert_eq!(parse("./lr=1/b.json"), Ok((None, "./lr=1/b.json".into())));
        assert!(parse("=a.json").is_err() && parse("train=").is_err());
    }

    #[test]
    fn a_split_is_called_after_its_file() {
        for (path, split) in [
            ("annotations/instances_val2017.json", "val2017"),
            ("labels.json", "labels"),
            ("instances_.json", "instances_"),
            ("labels/train", "train"),
        ] {
            assert_eq!(split_of(Path::new(path)), split);
        }
    }

    #[test]
    fn images_are_looked_for_where_they_usually_are() {
        let home = tempfile::tempdir().unwrap();
        let directory = |name: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let annotations = directory("annotations").join("instances_val2017.json");
        assert_eq!(usual_images(Format::Coco, &annotations), None);
        let images = directory("val2017");
        assert_eq!(usual_images(Format::Coco, &annotations), Some(images));
        let images = directory("images/train");
        assert_eq!(usual_images(Format::Yolo, &directory("labels/train")), Some(images));
        assert_eq!(usual_images(Format::Yolo, &directory("labels")), Some(directory("images")));
        let images = directory("JPEGImages");
        assert_eq!(usual_images(Format::Voc, &directory("Annotations")), Some(images));
        assert_eq!(beside(Path::new(""), "val2017"), Path::new("../val2017"));
    }
}
