//! Import, reading and evaluation of datasets of COCO's size.
//!
//! ```text
//! cargo bench -p ocelli-annotations                     all cases, three times each
//! cargo bench -p ocelli-annotations -- --case evaluate  one of them, in this process
//! benches/peers/coco.py                                 beside pycocotools and hotcoco
//! ```
//!
//! The files are written once, to `target/ocelli-bench/coco` or to `--directory`: 440 MB of instances like
//! `instances_train2017.json`, and detections for 5,000 images. Each case runs in a process of its own, so that its peak
//! of memory is its own; the files are in the cache. A line of JSON for each case, times in seconds.

#![allow(clippy::unwrap_used, reason = "a bench ends where something fails")]

mod fixture;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ocelli_annotations::evaluation::{Evaluator, GroundTruth, Parameters, read_detections};
use ocelli_annotations::import::{self, Options, Source};
use ocelli_annotations::{Annotation, Filter, ImageId, Result, Store};
use serde_json::{Value, json};

/// A name and what is measured, on the files of a directory.
type Case = (&'static str, fn(&Path) -> Value);

const CASES: [Case; 5] = [
    ("import_boxes", |directory| import(directory, true)),
    ("import_masks", |directory| import(directory, false)),
    ("read_epoch", read_epoch),
    ("read_random", read_random),
    ("evaluate", evaluate),
];

/// Times that a case is run.
const RUNS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let position = arguments.iter().position(|argument| argument == name)?;
        arguments.get(position + 1).cloned()
    };
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/ocelli-bench/coco");
    let directory = option("--directory").map_or(default, PathBuf::from);
    if let Some(case) = option("--case") {
        let (_, run) = CASES.iter().find(|(name, _)| *name == case).unwrap();
        let start = Instant::now();
        let mut result = run(&directory);
        result["seconds"]
            .as_f64()
            .is_none()
            .then(|| result["seconds"] = json!(start.elapsed().as_secs_f64()));
        result["case"] = json!(case);
        result["peak_mib"] = json!(peak());
        return println!("{result}");
    }
    write_fixture(&directory);
    if arguments.iter().any(|argument| argument == "--write") {
        return;
    }
    let program = std::env::current_exe().unwrap();
    for (case, _) in CASES {
        let mut runs: Vec<Value> = (0..RUNS)
            .map(|_| {
                let output = Command::new(&program)
                    .args(["--case", case, "--directory"])
                    .arg(&directory)
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                serde_json::from_slice(&output.stdout).unwrap()
            })
            .collect();
        runs.sort_by(|a, b| a["seconds"].as_f64().unwrap().total_cmp(&b["seconds"].as_f64().unwrap()));
        println!("{}", runs[RUNS / 2]);
    }
}

fn write_fixture(directory: &Path) {
    // What is there is whole: the last file is written last.
    if directory.join("detections.json").exists() {
        return;
    }
    eprintln!("writing {}", directory.display());
    std::fs::create_dir_all(directory).unwrap();
    fixture::write(&directory.join("train.json"), None, fixture::TRAIN).unwrap();
    let part = directory.join("detections.json.part");
    fixture::write(&directory.join("val.json"), Some(&part), fixture::VAL).unwrap();
    std::fs::rename(part, directory.join("detections.json")).unwrap();
}

/// The most memory that this process had, in MiB.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

fn import(directory: &Path, boxes_only: bool) -> Value {
    let labels = directory.join("train.json");
    let source = Source { split: "train".into(), labels, images: "train2017".into() };
    let options = Options { boxes_only, overwrite: true, ..Options::default() };
    let store = directory.join(if boxes_only { "boxes.db" } else { "masks.db" });
    let report = import::coco(&store, &[source], &options, |_| ()).unwrap();
    json!({ "annotations": report.annotations, "store_mib": std::fs::metadata(store).unwrap().len() >> 20 })
}

/// What a training program does when it starts.
fn read_epoch(directory: &Path) -> Value {
    let store = Store::open_immutable(directory.join("boxes.db")).unwrap();
    let (mut boxes, mut sum) = (0, 0.0);
    store
        .visit_annotations(&Filter::default(), |Annotation { bbox, .. }| -> Result<()> {
            boxes += 1;
            sum += bbox.area();
            Ok(())
        })
        .unwrap();
    json!({ "boxes": boxes, "sum": sum })
}

fn read_random(directory: &Path) -> Value {
    const READS: i64 = 20_000;
    let store = Store::open_immutable(directory.join("boxes.db")).unwrap();
    let images = i64::try_from(fixture::TRAIN.images).unwrap();
    // A step that has no divisor in common with the number of images comes by all of them, in no order.
    let random = |i: i64| ImageId(9 + 4 * (i * 65_537 % images));
    let start = Instant::now();
    let boxes: usize = (0..READS).map(|i| store.annotations_of(random(i)).unwrap().len()).sum();
    let seconds = start.elapsed().as_secs_f64();
    json!({ "boxes": boxes, "seconds": seconds, "microseconds_an_image": 1e6 * seconds / READS as f64 })
}

fn evaluate(directory: &Path) -> Value {
    let start = Instant::now();
    let truth = GroundTruth::read(directory.join("val.json")).unwrap();
    let read_truth = start.elapsed().as_secs_f64();
    let detections = read_detections(directory.join("detections.json")).unwrap();
    let read = start.elapsed().as_secs_f64();
    let mut evaluator = Evaluator::new(truth, Parameters::default()).unwrap();
    evaluator.add(&detections).unwrap();
    let stats = evaluator.evaluate().summary().stats();
    json!({
        "stats": stats,
        "detections": detections.len(),
        "read_truth": read_truth,
        "read_detections": read - read_truth,
        "evaluate": start.elapsed().as_secs_f64() - read,
    })
}
