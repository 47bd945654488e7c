//! `ocelli coco eval`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueEnum};
use ocelli_annotations::evaluation::{
    self, CategorySummary, ConfusionMatrix, ConfusionParameters, ErrorBreakdown, ErrorParameters, Evaluation,
    Evaluator, GroundTruth, Mistakes, Parameters, Unknown, read_detections,
};
use ocelli_annotations::{Detection, Store};
use serde_json::{Value, json};

use super::error::{Error, Result};
use super::{Done, open, part, printed, same_file, write_whole};

#[derive(Args)]
#[command(
    group = ArgGroup::new("truth").args(["annotations", "store"]).required(true),
    group = ArgGroup::new("found").args(["detections", "run"]).required(true),
    after_help = "Labels are taken as they are in a JSON file, and as an import left them in a store.\n\n\
                  Examples:\n  \
                  ocelli coco eval --annotations instances_val2017.json --detections results.json\n  \
                  ocelli coco eval --store coco.store --split val --model retinanet --run 1 --per-category"
)]
pub(crate) struct Options {
    /// The labels: COCO's JSON of instances
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,
    /// The labels: a store
    #[arg(long, value_name = "STORE")]
    store: Option<PathBuf>,
    /// The store's split to evaluate, as NAME or DATASET/NAME, instead of all images
    #[arg(long, value_name = "NAME", conflicts_with = "annotations")]
    split: Option<String>,
    /// What was found: COCO's JSON of results
    #[arg(long, value_name = "FILE")]
    detections: Option<PathBuf>,
    /// What was found: a model of the store
    #[arg(long, value_name = "NAME", requires = "run", conflicts_with = "annotations")]
    model: Option<String>,
    /// What was found: a run of the model
    #[arg(long, value_name = "NAME", requires = "model", conflicts_with = "annotations")]
    run: Option<String>,
    /// What becomes of a detection whose image or category is not among those evaluated
    #[arg(long, value_enum, default_value_t = OfUnknown::Error)]
    unknown: OfUnknown,
    /// How many detections of an image and category count, those of the highest scores; ascending
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1,10,100")]
    max_detections: Vec<usize>,
    /// How many threads evaluate; 0 is as many as the machine runs at once
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    threads: usize,
    /// Also print the numbers of each category
    #[arg(long)]
    per_category: bool,
    /// Also print what kinds of mistakes there are, and what precision would gain without them (TIDE)
    #[arg(long)]
    errors: bool,
    /// Also write what things were taken for, as CSV; `-` is standard output
    ///
    /// What things are down, what they were taken for across, the background last of both: at an overlap of 0.5, of
    /// detections whose score is at least 0.25. With --json, `-` makes it a member of the object.
    #[arg(long, value_name = "FILE.csv|-")]
    confusion: Option<PathBuf>,
    /// Print one JSON object
    ///
    /// `stats` are the twelve numbers of the table in full, -1 where there is nothing to find; `per_category` has those of
    /// each category, null where there is nothing to find.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum OfUnknown {
    /// It is refused: mostly the network ran on other images, or its classes are not yet the dataset's numbers
    Error,
    /// It is left out and counted
    Drop,
}

pub(crate) fn run(options: &Options) -> Result<Done> {
    let (truth, detections) = read(options)?;
    let parameters = Parameters {
        max_detections: options.max_detections.clone(),
        threads: options.threads,
        unknown: match options.unknown {
            OfUnknown::Error => Unknown::Error,
            OfUnknown::Drop => Unknown::Drop,
        },
        ..Parameters::default()
    };
    let mut evaluator = Evaluator::new(truth, parameters)?;
    evaluator.add(&detections)?;
    drop(detections);
    let evaluation = evaluator.evaluate();
    let errors = options.errors.then(|| evaluator.errors(&ErrorParameters::default())).transpose()?;
    let confusion = options
        .confusion
        .as_ref()
        .map(|path| evaluator.confusion(&ConfusionParameters::default()).map(|matrix| (path, matrix)))
        .transpose()?;
    let mut shown = None;
    match confusion {
        Some((path, matrix)) if path.as_os_str() == "-" => shown = Some(matrix),
        Some((path, matrix)) => write_csv(options, path, &matrix)?,
        None => {}
    }
    let evaluated = Evaluated { evaluator: &evaluator, evaluation, errors, confusion: shown };
    printed(options.json, &evaluated.json(), || evaluated.text(options.per_category))
}

/// What is to be found, and what was found.
fn read(options: &Options) -> Result<(GroundTruth, Vec<Detection>)> {
    let store = options.store.as_ref().map(|path| open(path)).transpose()?;
    let truth = match (&options.annotations, &store) {
        (Some(path), _) => GroundTruth::read(path)?,
        (None, Some(store)) => GroundTruth::of_store(store, &part(&options.split))?,
        (None, None) => {
            return Err(Error::Usage("there are no labels: give --annotations or --store".into()));
        }
    };
    let detections = match (&options.detections, &store, &options.model, &options.run) {
        (Some(path), ..) => read_detections(path)?,
        (None, Some(store), Some(model), Some(run)) => found(store, model, run)?,
        _ => {
            return Err(Error::Usage(
                "there are no detections: give --detections, or --model and --run".into(),
            ));
        }
    };
    Ok((truth, detections))
}

fn found(store: &Store, model: &str, run: &str) -> Result<Vec<Detection>> {
    Ok(store.predictions(store.run_by_name(model, run)?)?)
}

/// What was evaluated, and what it came to.
struct Evaluated<'a> {
    evaluator: &'a Evaluator,
    evaluation: Evaluation,
    errors: Option<ErrorBreakdown>,
    confusion: Option<ConfusionMatrix>,
}

impl Evaluated<'_> {
    fn json(&self) -> Value {
        let summary = self.evaluation.summary();
        let mut object = json!({
            "stats": summary.stats(),
            "summary": summary,
            "per_category": self.evaluation.per_category(),
            "images": self.evaluator.truth().image_count(),
            "annotations": self.evaluator.truth().annotation_count(),
            "detections": self.evaluator.detection_count(),
            "dropped": self.evaluation.dropped(),
        });
        if let Some(errors) = &self.errors {
            object["errors"] = json!(errors);
        }
        if let Some(matrix) = &self.confusion {
            let rows: Vec<&[u64]> = matrix.rows().collect();
            object["confusion"] = json!({ "categories": matrix.categories(), "rows": rows });
        }
        object
    }

    fn text(&self, per_category: bool) -> String {
        let mut text = format!("{}\n", self.evaluation.summary());
        let evaluation::Dropped { image, category } = self.evaluation.dropped();
        if image + category > 0 {
            text += &format!(
                "\nleft out: {image} detections of images and {category} of categories that are not evaluated\n"
            );
        }
        if per_category {
            text += &format!("\n{}", categories(&self.evaluation.per_category()));
        }
        if let Some(errors) = &self.errors {
            text += &format!("\n{}", mistakes(errors));
        }
        if let Some(matrix) = &self.confusion {
            text += &format!("\n{}", csv(matrix));
        }
        text
    }
}

/// A table of the categories' numbers; `-` stands where there is nothing to find.
fn categories(summaries: &[CategorySummary]) -> String {
    let longest = summaries.iter().map(|summary| summary.name.chars().count()).max().unwrap_or(0).max(8);
    let mut text = format!("{:<longest$} {:>7}", "category", "things");
    for title in ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR", "ARs", "ARm", "ARl"] {
        text += &format!(" {title:>5}");
    }
    text.push('\n');
    for summary in summaries {
        text += &format!("{:<longest$} {:>7}", summary.name, summary.annotations);
        let CategorySummary { ap, ap50, ap75, ap_small, ap_medium, ap_large, .. } = summary;
        let CategorySummary { ar, ar_small, ar_medium, ar_large, .. } = summary;
        for value in [ap, ap50, ap75, ap_small, ap_medium, ap_large, ar, ar_small, ar_medium, ar_large] {
            let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
            text += &format!(" {value:>5}");
        }
        text.push('\n');
    }
    text
}

fn mistakes(breakdown: &ErrorBreakdown) -> String {
    let ErrorBreakdown { ap, localization, classification, duplicate, background, both, missed, .. } =
        breakdown;
    let mut text = format!(
        "precision at an overlap of {:.2}: {ap:.3}; without the mistakes of a kind it would gain\n{:<15} {:>8} {:>7}\n",
        ErrorParameters::default().foreground_iou,
        "mistakes",
        "count",
        "gain"
    );
    let kinds = [
        ("localization", localization),
        ("classification", classification),
        ("duplicate", duplicate),
        ("background", background),
        ("both", both),
        ("missed", missed),
    ];
    for (name, Mistakes { count, gain }) in kinds {
        text += &format!("{name:<15} {count:>8} {gain:>7.4}\n");
    }
    let totals = [
        ("false positive", breakdown.false_positive_gain),
        ("false negative", breakdown.false_negative_gain),
    ];
    for (name, gain) in totals {
        text += &format!("{name:<15} {:>8} {gain:>7.4}\n", "");
    }
    text
}

fn write_csv(options: &Options, path: &Path, matrix: &ConfusionMatrix) -> Result<()> {
    let inputs = [&options.annotations, &options.store, &options.detections];
    if inputs.into_iter().flatten().any(|input| same_file(input, path)) {
        return Err(Error::OntoInput { path: path.into() });
    }
    write_whole(path, |output| output.write_all(csv(matrix).as_bytes()))
}

/// What things are down, what they were taken for across; the background last.
fn csv(matrix: &ConfusionMatrix) -> String {
    let names = || matrix.categories().iter().map(|category| category.name.as_str()).chain(["background"]);
    let mut text = String::from("truth");
    for name in names() {
        text.push(',');
        text += &quoted(name);
    }
    text.push('\n');
    for (name, row) in names().zip(matrix.rows()) {
        text += &quoted(name);
        for count in row {
            // A string takes everything.
            let _ = write!(text, ",{count}");
        }
        text.push('\n');
    }
    text
}

/// A field of CSV, as RFC 4180 has it.
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_separators_are_quoted() {
        assert_eq!(quoted("hot dog"), "hot dog");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
