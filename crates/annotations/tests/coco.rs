//! COCO's JSON in and out.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ocelli_annotations::evaluation::{Evaluator, GroundTruth, Parameters, read_detections};
use ocelli_annotations::import::{self, OnBadBox, Options, Outcome, Reason, Report, Source};
use ocelli_annotations::{
    Annotation, AnnotationId, BBox, Error, Filter, ImageId, Result, Segmentation, Store, export,
};
use serde_json::{Value, json};

fn source(split: &str, labels: &Path) -> Source {
    Source { split: split.into(), labels: labels.into(), images: format!("{split}2017").into() }
}

struct Case {
    directory: tempfile::TempDir,
}

impl Case {
    fn new() -> Case {
        Case { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn import_with(&self, text: &str, options: &Options) -> Result<Report> {
        let labels = self.write("labels.json", text);
        import::coco(self.path("labels.db"), &[source("train", &labels)], options, |_| ())
    }

    /// Imports what is well-formed but for these annotations.
    fn import(&self, annotations: Value, options: &Options) -> Result<Report> {
        self.import_with(&dataset(annotations).to_string(), options)
    }

    fn store(&self) -> Store {
        Store::open_immutable(self.path("labels.db")).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn dataset(annotations: Value) -> Value {
    json!({
        "info": { "year": 2017 },
        // Annotations first: they name what is not there yet.
        "annotations": annotations,
        "images": [
            { "id": 7, "file_name": "a.jpg", "width": 100, "height": 50, "license": 3 },
            { "id": 3, "file_name": "b.jpg", "width": 100, "height": 50 },
        ],
        "categories": [{ "id": 18, "name": "dog", "supercategory": "animal" }, { "id": 1, "name": "person" }],
    })
}

fn annotation(id: i64, bbox: [f64; 4]) -> Value {
    json!({ "id": id, "image_id": 7, "category_id": 1, "bbox": bbox, "area": 10.5, "iscrowd": 0 })
}

fn with(mut annotation: Value, key: &str, value: impl Into<Value>) -> Value {
    annotation[key] = value.into();
    annotation
}

/// An array's objects by their number, with numbers as f64 and without what stands for nothing.
fn by_id(array: &Value) -> BTreeMap<i64, Value> {
    array.as_array().unwrap().iter().map(|value| (value["id"].as_i64().unwrap(), plain(value))).collect()
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap()),
        Value::Array(array) => array.iter().map(plain).collect(),
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        value => value.clone(),
    }
}

fn assert_same_data(original: &Value, exported: &Value) {
    for key in original.as_object().unwrap().keys() {
        match key.as_str() {
            "images" | "annotations" | "categories" => {
                let (original, exported) = (by_id(&original[key]), by_id(&exported[key]));
                assert_eq!(original.len(), exported.len(), "{key}");
                for (id, value) in &original {
                    assert_eq!(value, &exported[id], "{key} {id}");
                }
            }
            key => assert_eq!(plain(&original[key]), plain(&exported[key]), "{key}"),
        }
    }
    assert_eq!(original.as_object().unwrap().len(), exported.as_object().unwrap().len());
}

fn exported(store: &Store, filter: &Filter, path: &Path) -> Value {
    export::coco(store, filter, path).unwrap();
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn what_is_imported_is_exported() {
    let case = Case::new();
    let original = json!({
        "info": { "description": "two \"quoted\" é\u{1f600} words", "year": 2017 },
        "licenses": [{ "id": 1, "name": "none" }],
        "images": [
            { "id": 7, "file_name": "dir/ä b.jpg", "width": 100, "height": 50, "license": 3, "coco_url": "http://x/y" },
            { "id": 9007199254740993i64, "file_name": "b.jpg", "width": 640, "height": 480 },
            { "id": 3, "file_name": "empty.jpg", "width": 1, "height": 1, "flags": [true, null, { "a": {} }] },
        ],
        "annotations": [
            { "id": 5, "image_id": 7, "category_id": 90, "bbox": [0.1, 0.30000000000000004, 10.25, 20.0], "area": 123.456,
              "iscrowd": 0, "segmentation": [[0.1, 0.2, 10.0, 0.5, 3.0, 20.0]] },
            { "id": 4, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 1,
              "segmentation": { "size": [50, 100], "counts": [4000, 1000] } },
            { "id": 9007199254740995i64, "image_id": 9007199254740993i64, "category_id": 1, "bbox": [0, 0, 1e-3, 1e2],
              "area": 0.1, "iscrowd": 0, "segmentation": { "size": [480, 640], "counts": "abc" },
              "keypoints": [1, 2, 3], "attributes": { "occluded": false } },
        ],
        "categories": [
            { "id": 90, "name": "toothbrush", "supercategory": "indoor" },
            { "id": 1, "name": "person", "supercategory": "person", "keypoints": ["nose"], "skeleton": [[1, 2]] },
        ],
        "videos": [],
    });
    let report = case.import_with(&original.to_string(), &Options::default()).unwrap();
    assert_eq!((report.images, report.categories, report.annotations, report.crowds), (3, 2, 3, 1));
    assert_eq!((report.images_without_annotations, report.annotations_found), (1, 3));
    assert_eq!((&report.entries[..], &report.hints[..]), (&[][..], &[][..]));
    let store = case.store();
    assert_same_data(&original, &exported(&store, &Filter::default(), &case.path("out.json")));
    // Classes count in the order of the numbers.
    assert_eq!(store.categories().unwrap().iter().map(|category| category.id.0).collect::<Vec<_>>(), [1, 90]);
    // A filter takes a part; categories stay.
    let crowds = exported(&store, &Filter { crowd: Some(true), ..Filter::default() }, &case.path("out.json"));
    assert_eq!(by_id(&crowds["annotations"]).into_keys().collect::<Vec<_>>(), [4]);
    assert_eq!(crowds["images"].as_array().unwrap().len(), 3);
    assert_eq!(case.files(), ["labels.db", "labels.json", "out.json"]);
    let stored: Report = serde_json::from_str(&store.meta("report").unwrap().unwrap()).unwrap();
    assert_eq!(stored, report);
}

#[test]
fn boxes_only_keeps_the_boxes() {
    let case = Case::new();
    let labelled = with(annotation(1, [1.0, 2.0, 3.0, 4.0]), "segmentation", json!([[1, 2, 3, 4, 5, 6]]));
    case.import(json!([labelled]), &Options { boxes_only: true, ..Options::default() }).unwrap();
    let store = case.store();
    assert_eq!(store.segmentation(AnnotationId(1)).unwrap(), None);
    assert_eq!(store.image_extra(ImageId(7)).unwrap(), None);
    assert_eq!(store.annotations(&Filter::default()).unwrap()[0].bbox, BBox::new(1.0, 2.0, 3.0, 4.0));
}

#[test]
fn several_files_become_splits() {
    let case = Case::new();
    let train = case.write("train.json", &dataset(json!([annotation(1, [1.0, 2.0, 3.0, 4.0])])).to_string());
    let mut val = dataset(json!([]));
    val["images"] = json!([{ "id": 8, "file_name": "c.jpg", "width": 10, "height": 10 }]);
    let val_path = case.write("val.json", &val.to_string());
    let sources = [source("train", &train), source("val", &val_path)];
    let mut last = (0, None);
    let options = Options { dataset: "coco".into(), ..Options::default() };
    let report = import::coco(case.path("labels.db"), &sources, &options, |progress| {
        assert!(progress.read >= last.0);
        last = (progress.read, progress.total);
    });
    assert_eq!(report.unwrap().entries, []);
    let bytes = std::fs::metadata(&train).unwrap().len() + std::fs::metadata(&val_path).unwrap().len();
    assert_eq!(last, (bytes, Some(bytes)));
    let store = case.store();
    let splits = store.splits().unwrap();
    let named: Vec<_> =
        splits.iter().map(|split| (split.name.as_str(), split.directory.as_str(), split.images)).collect();
    assert_eq!(named, [("train", "train2017", 2), ("val", "val2017", 1)]);
    let of_val = exported(
        &store,
        &Filter { split: Some("coco/val".into()), ..Filter::default() },
        &case.path("out.json"),
    );
    assert_same_data(&with(val, "categories", of_val["categories"].clone()), &of_val);
}

#[test]
fn bad_boxes_by_policy() {
    let annotations = json!([
        annotation(1, [10.0, 10.0, 20.0, 20.0]),
        annotation(2, [9.98, 18.56, 5.54, 0.0]),
        annotation(3, [10.0, 10.0, -5.0, 5.0]),
        annotation(4, [90.0, 40.0, 30.0, 30.0]),
        annotation(5, [-20.0, -20.0, 10.0, 10.0]),
        annotation(6, [100.0, 10.0, 5.0, 5.0]),
        annotation(7, [90.0, 40.0, 10.9, 10.9]),
    ]);
    let kept = |on_bad_box| {
        let case = Case::new();
        let report = case.import(annotations.clone(), &Options { on_bad_box, ..Options::default() });
        let annotations: Vec<Annotation> = report
            .as_ref()
            .map_or_else(|_| Vec::new(), |_| case.store().annotations(&Filter::default()).unwrap());
        (
            report,
            annotations.into_iter().map(|annotation| (annotation.id.0, annotation.bbox)).collect::<Vec<_>>(),
        )
    };
    let whole = (1, BBox::new(10.0, 10.0, 20.0, 20.0));
    // Less than a pixel beyond the edge is left alone.
    let rounded = (7, BBox::new(90.0, 40.0, 10.9, 10.9));
    let (report, dropped) = kept(OnBadBox::Drop);
    assert_eq!(dropped, [whole, rounded]);
    let report = report.unwrap();
    assert_eq!(report.count(Reason::EmptyBox, Outcome::Dropped), 2);
    assert_eq!(report.count(Reason::OutsideImage, Outcome::Dropped), 2);
    assert_eq!(report.count(Reason::BeyondImage, Outcome::Dropped), 1);
    assert_eq!(report.entries[0].which, ["2", "3"]);
    assert!(
        report.to_string().contains("dropped       2  boxes of no size, or of a negative one: 2, 3"),
        "{report}"
    );

    let (report, clipped) = kept(OnBadBox::Clip);
    assert_eq!(clipped, [whole, (4, BBox::new(90.0, 40.0, 10.0, 10.0)), rounded]);
    let report = report.unwrap();
    assert_eq!(report.count(Reason::BeyondImage, Outcome::Repaired), 1);
    assert_eq!((report.annotations, report.annotations_found), (3, 7));

    let error = kept(OnBadBox::Error).0.unwrap_err();
    assert!(matches!(error, Error::BadBox { annotation: AnnotationId(2), .. }), "{error}");
    assert!(error.to_string().contains("[9.98, 18.56, 5.54, 0] in an image of 100 x 50 pixels"), "{error}");
}

#[test]
fn numbers_that_are_not_finite() {
    let case = Case::new();
    let text = dataset(json!([annotation(1, [1.0, 2.0, 3.0, 4.0]), annotation(2, [1.0, 2.0, 3.0, 4.0])]))
        .to_string();
    let text = text.replacen("[1.0,2.0,3.0,4.0]", "[NaN,2.0,Infinity,4.0]", 1).replacen("10.5", "NaN", 2);
    let report = case.import_with(&text, &Options::default()).unwrap();
    assert_eq!(report.count(Reason::NotFinite, Outcome::Dropped), 1);
    assert_eq!(report.count(Reason::NoArea, Outcome::Repaired), 2);
    assert_eq!(case.store().annotation(AnnotationId(2)).unwrap().area, 12.0);
}

#[test]
fn references_into_nothing_and_numbers_given_twice() {
    let case = Case::new();
    let good = annotation(5, [1.0, 2.0, 3.0, 4.0]);
    let other = with(annotation(5, [5.0, 6.0, 7.0, 8.0]), "segmentation", json!([[1, 2, 3, 4, 5, 6]]));
    let annotations = json!([
        good.clone(),
        with(annotation(6, [1.0, 2.0, 3.0, 4.0]), "image_id", 99),
        with(
            with(annotation(7, [1.0, 2.0, 3.0, 4.0]), "category_id", 2),
            "segmentation",
            json!([[1, 2, 3, 4, 5, 6]])
        ),
        good,
        other,
        annotation(0, [1.0, 1.0, 2.0, 2.0]),
    ]);
    let mut data = dataset(annotations);
    let image = data["images"][0].clone();
    data["images"].as_array_mut().unwrap().push(image);
    let category = json!({ "id": 1, "name": "human" });
    data["categories"].as_array_mut().unwrap().push(category);
    let report = case.import_with(&data.to_string(), &Options::default()).unwrap();
    for (reason, outcome, which) in [
        (Reason::UnknownImage, Outcome::Dropped, "6"),
        (Reason::UnknownCategory, Outcome::Dropped, "7"),
        (Reason::Duplicate, Outcome::Dropped, "5"),
        (Reason::DuplicateId, Outcome::Repaired, "5 (now 6)"),
        (Reason::IdZero, Outcome::Kept, "0"),
        (Reason::DuplicateImage, Outcome::Dropped, "7"),
        (Reason::DuplicateCategory, Outcome::Dropped, "1 (human)"),
    ] {
        let entry = report.entries.iter().find(|entry| entry.reason == reason && entry.outcome == outcome);
        assert_eq!(entry.unwrap().which, [which], "{report}");
    }
    assert_eq!(report.entries.len(), 7, "{report}");
    let store = case.store();
    let ids: Vec<i64> =
        store.annotations(&Filter::default()).unwrap().iter().map(|annotation| annotation.id.0).collect();
    assert_eq!(ids, [0, 5, 6]);
    // The mask went with its annotation, and that of the one left out is gone.
    assert!(store.segmentation(AnnotationId(6)).unwrap().is_some());
    assert_eq!(store.segmentation(AnnotationId(5)).unwrap(), None);
}

#[test]
fn an_annotation_numbered_0_counts_in_evaluation() {
    let case = Case::new();
    case.import(json!([annotation(0, [1.0, 2.0, 30.0, 40.0])]), &Options::default()).unwrap();
    let truth = GroundTruth::of_store(&case.store(), &Filter::default()).unwrap();
    let mut evaluator = Evaluator::new(truth, Parameters::default()).unwrap();
    let found = json!([{ "image_id": 7, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5 }]);
    evaluator.add(&read_detections(case.write("found.json", &found.to_string())).unwrap()).unwrap();
    // As close to 1 as the rule comes: found / (found + 2^-52).
    assert!(evaluator.evaluate().summary().ap.unwrap() > 0.999);
}

#[test]
fn corners_in_the_place_of_sizes_are_hinted_at() {
    let corners = (0..50).map(|i| {
        let (x, y) = (f64::from(i % 10) * 6.0, f64::from(i / 10) * 5.0);
        annotation(i64::from(i) + 1, [x, y, x + 40.0, y + 20.0])
    });
    let report = Case::new().import(corners.collect(), &Options::default()).unwrap();
    assert!(report.hints[0].contains("are these [x1, y1, x2, y2]?"), "{report}");
    let sizes = (0..50).map(|i| annotation(i64::from(i) + 1, [f64::from(i), f64::from(i) / 2.0, 40.0, 20.0]));
    let report = Case::new().import(sizes.collect(), &Options::default()).unwrap();
    assert_eq!(report.hints, [""; 0]);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let good = dataset(json!([annotation(1, [1.0, 2.0, 3.0, 4.0])]));
    let text = serde_json::to_string_pretty(&good).unwrap();
    let replaced = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let without = |value: &Value, pointer: &str, key: &str| {
        let mut value = value.clone();
        value.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        value.to_string()
    };
    for (text, expected) in [
        (String::new(), "line 1, column 1: expected a value, found the end of the file"),
        ("[]".into(), "expected an object, found an array"),
        (text[..text.len() / 2].into(), "line "),
        (format!("{text}x"), "expected the end of the file, found `x`"),
        (replaced("\"iscrowd\": 0", "\"iscrowd\": 0,"), "expected a key in quotes, found `}`"),
        (replaced("\"iscrowd\": 0", "\"iscrowd\": 2"), "expected 0 or 1 before this, found 2"),
        (replaced("\"image_id\": 7", "\"image_id\": \"7\""), "expected a number, found a string"),
        (replaced("\"image_id\": 7", "\"image_id\": 7.5"), "expected an integer, and 7.5 ends here"),
        (replaced("\"image_id\": 7", "\"image_id\": 1e300"), "beyond the integers of 64 bits"),
        (replaced("\"width\": 100", "\"width\": -1"), "-1 before this is no number of pixels"),
        (replaced("\"file_name\": \"a.jpg\"", "\"file_name\": null"), "expected a string, found null"),
        (replaced("4.0\n", "4.0, 5.0\n"), "the box that ends here has 5 numbers"),
        (replaced("4.0\n", "null\n"), "expected a number, found null"),
        (without(&good, "/annotations/0", "bbox"), "the annotation that ends here has no `bbox`"),
        (without(&good, "/annotations/0", "id"), "no `id`"),
        (without(&good, "/annotations/0", "category_id"), "no `category_id`"),
        (without(&good, "/images/0", "width"), "the image that ends here has no `width`"),
        (without(&good, "/images/1", "file_name"), "no `file_name`"),
        (without(&good, "/categories/0", "name"), "the category that ends here has no `name`"),
        (without(&good, "", "categories"), "there is no `categories`"),
    ] {
        let case = Case::new();
        let error = case.import_with(&text, &Options::default()).unwrap_err();
        assert!(matches!(error, Error::Json { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(expected) && message.contains("labels.json: line "),
            "{expected}: {message}"
        );
        assert_eq!(case.files(), ["labels.json"], "nothing is left");
    }
    let case = Case::new();
    let error =
        case.import_with(&replaced("\"area\": 10.5,", "\"area\": 10.5,,"), &Options::default()).unwrap_err();
    let line = text.lines().position(|line| line.contains("\"area\"")).unwrap() + 1;
    assert!(
        error.to_string().contains(&format!("line {line}, column 20: expected a key in quotes, found `,`")),
        "{error}"
    );
}

#[test]
fn integers_beyond_those_of_f64_are_exact() {
    let case = Case::new();
    let large = 9_007_199_254_740_993i64;
    case.import(json!([annotation(large, [1.0, 2.0, 3.0, 4.0])]), &Options::default()).unwrap();
    assert_eq!(case.store().annotations(&Filter::default()).unwrap()[0].id.0, large);
}

#[test]
fn a_store_that_is_there_is_replaced_only_on_request() {
    let case = Case::new();
    case.import(json!([]), &Options::default()).unwrap();
    let before = std::fs::read(case.path("labels.db")).unwrap();
    assert!(matches!(case.import(json!([]), &Options::default()).unwrap_err(), Error::Exists { .. }));
    let overwrite = Options { overwrite: true, ..Options::default() };
    // A failed import leaves the old one.
    assert!(case.import_with("{", &overwrite).is_err());
    assert_eq!(std::fs::read(case.path("labels.db")).unwrap(), before);
    case.import(json!([annotation(1, [1.0, 2.0, 3.0, 4.0])]), &overwrite).unwrap();
    assert_eq!(case.store().count_annotations(&Filter::default()).unwrap(), 1);
}

#[test]
fn files_that_cannot_be_read_or_made() {
    let case = Case::new();
    let import = |labels: &Path, store: &Path| {
        import::coco(store, &[source("train", labels)], &Options::default(), |_| ()).unwrap_err().to_string()
    };
    let missing = import(&case.path("none.json"), &case.path("labels.db"));
    assert!(missing.contains("none.json"), "{missing}");
    let labels = case.write("labels.json", &dataset(json!([])).to_string());
    let nowhere = import(&labels, &case.path("no/labels.db"));
    assert!(nowhere.contains("/no"), "{nowhere}");
    assert_eq!(case.files(), ["labels.json"]);
}

/// Imports from a pipe that another process fills, in a process that is killed: see the test below.
#[test]
fn child_of_a_killed_import() {
    let Some(directory) = std::env::var_os("OCELLI_TEST_KILLED_IMPORT") else { return };
    let directory = PathBuf::from(directory);
    let sources = [source("train", &directory.join("pipe"))];
    import::coco(directory.join("labels.db"), &sources, &Options::default(), |_| ()).unwrap();
}

#[test]
#[cfg(unix)]
fn a_killed_import_leaves_nothing_under_the_final_name() {
    use std::io::Write;
    use std::process::Command;

    let case = Case::new();
    let pipe = case.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_of_a_killed_import"])
        .env("OCELLI_TEST_KILLED_IMPORT", case.directory.path())
        .spawn()
        .unwrap();
    let text = dataset((1..20_000).map(|id| annotation(id, [1.0, 2.0, 3.0, 4.0])).collect()).to_string();
    let mut pipe = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    // More than the pipe holds: the child has begun to read, and waits for the rest.
    pipe.write_all(&text.as_bytes()[..text.len() - 10]).unwrap();
    assert!(case.files().iter().any(|name| name.ends_with(".part")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!case.path("labels.db").exists());
    // And nothing stands in the way of the next one.
    case.import(json!([]), &Options::default()).unwrap();
}

#[test]
fn results_in_and_out() {
    let case = Case::new();
    case.import(json!([annotation(1, [1.0, 2.0, 3.0, 4.0])]), &Options::default()).unwrap();
    let mut store = Store::open(case.path("labels.db")).unwrap();
    let results = json!([
        { "image_id": 7, "category_id": 1, "bbox": [0.1, 0.2, 0.3, 0.4], "score": 0.123456789012345 },
        { "image_id": 3, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 1, "segmentation": { "size": [1, 1] } },
        { "image_id": 7, "category_id": 1, "bbox": [0.1, 0.2, 0.3, 0.4], "score": 0.123456789012345 },
    ]);
    let path = case.write("results.json", &results.to_string());
    let run = import::results(&mut store, &path, "net", "run").unwrap();
    export::results(&store, run, case.path("out.json")).unwrap();
    let out: Value = serde_json::from_slice(&std::fs::read(case.path("out.json")).unwrap()).unwrap();
    let first = json!({ "image_id": 3, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 1 });
    assert_eq!(plain(&out), plain(&json!([first, results[0], results[2]])));
    assert!(matches!(import::results(&mut store, &path, "net", "run").unwrap_err(), Error::Conflict { .. }));
    for (key, value, expected) in [
        ("image_id", json!(99), "of image 99, and there is none"),
        ("category_id", json!(5), "of category 5, and there is none"),
        ("score", Value::Null, "expected a number, found null"),
        ("bbox", json!([1, 2, 3]), "the box that ends here has 3 numbers"),
    ] {
        let wrong =
            case.write("wrong.json", &json!([results[0], with(results[1].clone(), key, value)]).to_string());
        let error = import::results(&mut store, wrong, "net", "other").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(store.runs().unwrap().len(), 1, "all or nothing");
    }
    let wrong = case.write("wrong.json", r#"[{"image_id":7,"category_id":1,"bbox":[1,2,3,4],"score":NaN}]"#);
    assert!(read_detections(wrong).unwrap_err().to_string().contains("not finite"));
}

/// What the fuzz targets do at length, in short: files with bytes changed, taken out and put in.
#[test]
fn damaged_files_are_errors_or_labels_and_never_a_panic() {
    let case = Case::new();
    let labelled = with(
        annotation(1, [1.0, 2.0, 3.0, 4.0]),
        "segmentation",
        json!({ "size": [50, 100], "counts": "abc" }),
    );
    let whole = dataset(json!([labelled, annotation(2, [1e-3, 0.25, 3.5, 40.0])])).to_string().into_bytes();
    let mut state = 1u64;
    let mut random = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    };
    let tokens: [&[u8]; 12] =
        [b"{", b"}", b"[", b"]", b",", b"\"", b"\\", b"\\u12", b"NaN", b"1e999", b"-", b"\xff"];
    let (mut read, mut refused) = (0, 0);
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random(3) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = random(256) as u8,
                1 => drop(bytes.drain(at..(at + 1 + random(20)).min(bytes.len()))),
                _ => drop(bytes.splice(at..at, tokens[random(tokens.len())].iter().copied())),
            }
        }
        std::fs::write(case.path("damaged.json"), &bytes).unwrap();
        match GroundTruth::read(case.path("damaged.json")) {
            Ok(_) => read += 1,
            Err(Error::Json { .. } | Error::Evaluation(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(read > 100 && refused > 1000, "{read} {refused}");
}

fn real(name: &str) -> PathBuf {
    let directory = std::env::var_os("OCELLI_TEST_DATA").unwrap_or_default();
    PathBuf::from(directory).join("coco-tiny/annotations").join(name)
}

#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA")]
fn real_annotations_come_back() {
    for name in ["instances_train2017.json", "instances_val2017.json"] {
        let case = Case::new();
        let report =
            import::coco(case.path("labels.db"), &[source("x", &real(name))], &Options::default(), |_| ())
                .unwrap();
        assert_eq!(report.entries, [], "{report}");
        let original: Value = serde_json::from_slice(&std::fs::read(real(name)).unwrap()).unwrap();
        assert_same_data(&original, &exported(&case.store(), &Filter::default(), &case.path("out.json")));
    }
}

#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA")]
fn real_masks_fill_their_boxes() {
    let case = Case::new();
    let sources = [source("val", &real("instances_val2017.json"))];
    import::coco(case.path("labels.db"), &sources, &Options::default(), |_| ()).unwrap();
    let store = case.store();
    let mut crowds = 0;
    for annotation in store.annotations(&Filter::default()).unwrap() {
        // The first and last column and row of the mask, ends excluded, are those of the box.
        let [left, top, right, bottom] = match store.segmentation(annotation.id).unwrap().unwrap() {
            Segmentation::Polygons(polygons) => {
                let along = |first: usize| {
                    polygons.iter().flat_map(move |corners| corners.iter().skip(first).step_by(2))
                };
                let least = |first| along(first).copied().fold(f64::INFINITY, f64::min);
                let most = |first| along(first).copied().fold(0.0, f64::max);
                [least(0), least(1), most(0), most(1)]
            }
            Segmentation::Rle(rle) => {
                crowds += 1;
                let (mask, width) = (rle.to_mask().unwrap(), rle.width() as usize);
                let inside: Vec<usize> = (0..mask.len()).filter(|&pixel| mask[pixel]).collect();
                assert_eq!(inside.len() as u64, rle.area());
                let columns = || inside.iter().map(|pixel| pixel % width);
                let rows = || inside.iter().map(|pixel| pixel / width);
                let ends = [
                    columns().min(),
                    rows().min(),
                    columns().max().map(|x| x + 1),
                    rows().max().map(|y| y + 1),
                ];
                ends.map(|end| end.unwrap() as f64)
            }
        };
        let BBox { x, y, width, height } = annotation.bbox;
        for (mask, bbox) in [(left, x), (top, y), (right, x + width), (bottom, y + height)] {
            assert!((mask - bbox).abs() <= 1.0, "{annotation:?}: {left} {top} {right} {bottom}");
        }
    }
    assert_eq!(crowds, 11);
}
