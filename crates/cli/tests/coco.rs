//! `ocelli coco`, as a user runs it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use ocelli_annotations::evaluation::{Evaluator, GroundTruth, Parameters, read_detections};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::support::{program, text};

/// A directory in which commands run.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    fn names(&self) -> BTreeSet<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        self.0.path().read_dir().unwrap().map(name).collect()
    }

    /// Runs `ocelli coco` with these words, and further arguments.
    fn run(&self, words: &str, further: &[&dyn AsRef<OsStr>]) -> Output {
        let mut command = Command::new(program());
        command.current_dir(self.0.path()).env_clear().arg("coco").args(words.split_whitespace());
        command.args(further.iter().map(|argument| argument.as_ref()));
        command.output().unwrap()
    }

    /// What a command prints that succeeds.
    fn succeeds(&self, words: &str) -> String {
        self.succeeds_with(words, &[])
    }

    fn succeeds_with(&self, words: &str, further: &[&dyn AsRef<OsStr>]) -> String {
        let output = self.run(words, further);
        assert!(output.status.success(), "{words}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What a command says on standard error that fails and prints nothing.
    fn fails(&self, words: &str) -> String {
        let output = self.run(words, &[]);
        assert_eq!(output.status.code(), Some(1), "{words}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{words}");
        let said = text(&output.stderr);
        assert!(said.starts_with("error: ") && said.ends_with('\n'), "{said}");
        said
    }

    /// What a command says whose arguments are wrong.
    fn is_misused(&self, words: &str) -> String {
        let output = self.run(words, &[]);
        assert_eq!(output.status.code(), Some(2), "{words}: {}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.starts_with("error: ") && said.contains("--help"), "{said}");
        said
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Two images and two categories; what else COCO says, a crowd, and numbers that are hard to keep.
fn labels() -> Value {
    json!({
        "info": { "year": 2017, "contributor": "n\u{e9}mo" },
        "licenses": [{ "id": 1, "url": "http://example.org/", "name": "none" }],
        "images": [
            { "id": 7, "file_name": "b.png", "width": 100, "height": 80, "license": 1 },
            { "id": 3, "file_name": "a.png", "width": 64, "height": 48 },
        ],
        "annotations": [
            { "id": 12, "image_id": 7, "category_id": 5, "bbox": [20, 30, 40, 20.5], "area": 700.0000000000001,
              "iscrowd": 0, "segmentation": [[20.1, 30, 60, 30, 60, 50.3]], "attributes": { "blurred": true } },
            { "id": 10, "image_id": 3, "category_id": 2, "bbox": [0.1, 0.2, 0.30000000000000004, 33], "area": 9.9,
              "iscrowd": 0 },
            { "id": 11, "image_id": 7, "category_id": 2, "bbox": [0, 0, 90, 25], "area": 1000, "iscrowd": 1,
              "segmentation": { "size": [80, 100], "counts": [10, 1000, 6990] } },
        ],
        "categories": [
            { "id": 5, "name": "hot dog, with \"mustard\"", "supercategory": "food" },
            { "id": 2, "name": "cat", "supercategory": "animal", "color": [1, 2, 3] },
        ],
    })
}

fn detections() -> Value {
    json!([
        { "image_id": 7, "category_id": 5, "bbox": [22, 31, 37.3, 20], "score": 0.9 },
        { "image_id": 7, "category_id": 2, "bbox": [70, 60, 20, 15], "score": 0.6 },
        { "image_id": 3, "category_id": 5, "bbox": [0, 0, 1, 33], "score": 0.1 },
        { "image_id": 3, "category_id": 2, "bbox": [0.1, 0, 0.31, 33], "score": 0.30000000000000004 },
    ])
}

/// A home with these labels and detections, and a store of them whose images lie in `pictures`.
fn home_with_store() -> Home {
    let home = Home::new();
    home.write("labels.json", labels().to_string());
    home.write("results.json", detections().to_string());
    fs::create_dir(home.path("pictures")).unwrap();
    home.succeeds("import val=labels.json --images pictures -o labels.store");
    home.succeeds("import-results labels.store results.json --model net --run first");
    home
}

/// Numbers as f64, and lists of what has an id in the order of these.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap()),
        Value::Array(values) => {
            let mut values: Vec<Value> = values.iter().map(normal).collect();
            values.sort_by(|a, b| a["id"].as_f64().partial_cmp(&b["id"].as_f64()).unwrap());
            Value::Array(values)
        }
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), normal(value))).collect(),
        other => other.clone(),
    }
}

/// The twelve numbers as the library computes them.
fn stats_of(labels: &Path, detections: &Path) -> [f64; 12] {
    let mut evaluator = Evaluator::new(GroundTruth::read(labels).unwrap(), Parameters::default()).unwrap();
    evaluator.add(&read_detections(detections).unwrap()).unwrap();
    evaluator.evaluate().summary().stats()
}

fn bits(stats: &Value) -> Vec<u64> {
    stats.as_array().unwrap().iter().map(|number| number.as_f64().unwrap().to_bits()).collect()
}

fn picture(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_pixel(width, height, Rgb([128; 3])).into()
}

/// A JPEG that says of itself how it is to be shown.
fn jpeg_with_orientation(picture: &DynamicImage, orientation: u8) -> Vec<u8> {
    let mut jpeg = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut segment = vec![0xff, 0xe1, 0, exif.len() as u8 + 2];
    segment.extend(exif);
    let mut jpeg = jpeg.into_inner();
    jpeg.splice(2..2, segment);
    jpeg
}

#[test]
fn the_help_names_every_command_and_what_it_does() {
    let home = Home::new();
    let help = home.succeeds("--help");
    for command in ["import", "import-results", "export", "eval", "stats", "check", "view"] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        let help = home.succeeds(&format!("{command} --help"));
        assert!(help.contains(&format!("Usage: ocelli coco {command}")), "{help}");
    }
    assert!(home.succeeds("import --help").contains("instances_train2017.json"));
    assert!(home.succeeds("view --help").contains("EXIF"));
}

#[test]
fn what_was_imported_is_exported_again() {
    let home = home_with_store();
    let said = home.succeeds("export labels.store -o again.json");
    assert_eq!(said, "wrote 2 images with 3 annotations to again.json\n");
    assert_eq!(normal(&home.json("again.json")), normal(&labels()));

    let said =
        home.succeeds("export labels.store --format results --model net --run first -o again.json --json");
    assert_eq!(parsed(&said), json!({ "detections": 4 }));
    let by_score = |value: &Value| {
        let mut values = normal(value).as_array().unwrap().clone();
        values.sort_by(|a, b| a["score"].as_f64().partial_cmp(&b["score"].as_f64()).unwrap());
        values
    };
    assert_eq!(by_score(&home.json("again.json")), by_score(&detections()));
}

#[test]
fn without_masks_boxes_are_left() {
    let home = home_with_store();
    home.succeeds("import labels.json --boxes-only -o boxes.store");
    home.succeeds("export boxes.store -o boxes.json");
    let boxes = home.json("boxes.json");
    assert_eq!(boxes["annotations"][0]["bbox"], json!([0.1, 0.2, 0.30000000000000004, 33.0]));
    let text = boxes.to_string();
    assert!(!text.contains("segmentation") && !text.contains("attributes"), "{text}");
}

#[test]
fn splits_have_their_own_names_images_and_exports() {
    let home = Home::new();
    let mut other = labels();
    other["images"] = json!([{ "id": 1, "file_name": "c.png", "width": 10, "height": 10 }]);
    other["annotations"] = json!([]);
    home.write("annotations/instances_train2017.json", other.to_string());
    home.write("annotations/instances_val2017.json", labels().to_string());
    fs::create_dir(home.path("train2017")).unwrap();
    let sources = "annotations/instances_train2017.json held=annotations/instances_val2017.json";
    let said = home.succeeds(&format!("import {sources} -o all.store --dataset coco --json"));
    let report = parsed(&said);
    assert_eq!((&report["images"], &report["images_without_annotations"]), (&json!(3), &json!(1)));

    home.succeeds("export all.store --split held -o held.json");
    assert_eq!(normal(&home.json("held.json")), normal(&labels()));
    home.succeeds("export all.store --split coco/train2017 -o train.json");
    assert_eq!(home.json("train.json")["images"], other["images"]);

    // Images were found beside the annotations of one and not of the other.
    let findings = home.run("check all.store --split train2017", &[]);
    assert_eq!(findings.status.code(), Some(1));
    let found = text(&findings.stdout);
    let expected =
        home.path("train2017/c.png").canonicalize().unwrap_or_else(|_| home.path("train2017/c.png"));
    assert!(found.contains(&expected.display().to_string()) && found.contains("missing"), "{found}");
    let said = home.fails("check all.store");
    assert!(said.contains("split held") && said.contains("--images"), "{said}");

    let said = home.fails("export all.store --split nope -o nope.json");
    assert!(said.contains("split nope") && said.contains("train2017, held"), "{said}");
    assert!(!home.path("nope.json").exists());
    for command in ["stats", "check"] {
        assert!(home.fails(&format!("{command} all.store --split nope")).contains("split nope"));
    }
    assert!(home.is_misused(&format!("import {sources} --images x -o b.store")).contains("--images train="));
    assert!(home.fails(&format!("import {sources} --images x=y -o b.store")).contains("train2017, held"));
    let twice = "import annotations/instances_train2017.json train2017=held.json -o b.store";
    assert!(home.fails(twice).contains("two sources are of split train2017"));
}

#[test]
fn bad_boxes_are_treated_as_asked() {
    let home = Home::new();
    let mut bad = labels();
    bad["annotations"][0]["bbox"] = json!([90, 30, 40, 20]);
    home.write("bad.json", bad.to_string());
    let said = home.succeeds("import bad.json -o clipped.store");
    assert!(said.contains("repaired       1  boxes that reach beyond their image: 12"), "{said}");
    home.succeeds("export clipped.store -o clipped.json");
    assert_eq!(normal(&home.json("clipped.json"))["annotations"][2]["bbox"], json!([90.0, 30.0, 10.0, 20.0]));
    let report = parsed(&home.succeeds("import bad.json --on-bad-box drop -o dropped.store --json"));
    assert_eq!(report["annotations"], 2);
    assert_eq!(report["entries"][0]["which"], json!(["12"]));
    let said = home.fails("import bad.json --on-bad-box error -o refused.store");
    assert!(said.contains("bad.json: annotation 12") && said.contains("100 x 80"), "{said}");
    assert!(!home.path("refused.store").exists());
}

#[test]
fn an_evaluation_is_the_same_from_files_and_store_and_exact() {
    let home = home_with_store();
    let stats = stats_of(&home.path("labels.json"), &home.path("results.json"));
    assert!(stats[0] > 0.0 && stats[0] < 1.0 && stats[5] == -1.0, "{stats:?}");
    let exact: Vec<u64> = stats.iter().map(|number| number.to_bits()).collect();
    for arguments in [
        "--annotations labels.json --detections results.json",
        "--store labels.store --detections results.json --threads 1",
        "--store labels.store --model net --run first --split val --max-detections 1,10,100",
    ] {
        let object = parsed(&home.succeeds(&format!("eval {arguments} --json")));
        assert_eq!(bits(&object["stats"]), exact, "{arguments}");
        assert_eq!(object["detections"], 4);
        assert_eq!(object["dropped"], json!({ "image": 0, "category": 0 }));
        let categories: Vec<&Value> = object["per_category"].as_array().unwrap().iter().collect();
        assert_eq!(categories.len(), 2);
        assert_eq!((&categories[0]["name"], &categories[0]["ap_large"]), (&json!("cat"), &Value::Null));
        assert!(object.get("errors").is_none() && object.get("confusion").is_none());

        let table = home.succeeds(&format!("eval {arguments}"));
        assert_eq!(table.lines().count(), 12);
        let first = format!("@[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = {:.3}\n", stats[0]);
        assert!(table.contains(&first), "{table}");
    }
}

#[test]
fn an_evaluation_goes_into_categories_mistakes_and_confusions() {
    let home = home_with_store();
    let run = "eval --store labels.store --model net --run first";
    let said = home.succeeds(&format!("{run} --per-category --errors --confusion confusion.csv"));
    let cat = said.lines().find(|line| line.starts_with("cat  ")).unwrap();
    // Of two annotations one is a crowd.
    let words: Vec<&str> = cat.split_whitespace().collect();
    assert_eq!((words.len(), words[1], words[5], words[6]), (12, "1", words[2], "-"), "{cat}");
    for kind in ["localization", "classification", "duplicate", "background", "both", "missed"] {
        assert!(said.lines().any(|line| line.starts_with(kind)), "{said}");
    }
    let csv = "truth,cat,\"hot dog, with \"\"mustard\"\"\",background\n\
               cat,1,0,0\n\
               \"hot dog, with \"\"mustard\"\"\",0,1,0\n\
               background,1,0,0\n";
    assert_eq!(fs::read_to_string(home.path("confusion.csv")).unwrap(), csv);
    assert!(home.succeeds(&format!("{run} --confusion -")).ends_with(&format!("\n\n{csv}")));
    let object = parsed(&home.succeeds(&format!("{run} --confusion - --errors --json")));
    assert_eq!(object["confusion"]["rows"], json!([[1, 0, 0], [0, 1, 0], [1, 0, 0]]));
    assert_eq!(object["errors"]["background"]["count"], 1);

    let said = home.fails(&format!("{run} --confusion labels.store"));
    assert!(said.contains("name another file"), "{said}");
    home.succeeds("stats labels.store");
}

#[test]
fn detections_of_something_else_are_refused_or_left_out() {
    let home = home_with_store();
    let mut detections = detections();
    detections[0]["image_id"] = json!(99);
    detections[1]["category_id"] = json!(98);
    home.write("results.json", detections.to_string());
    let run = "eval --annotations labels.json --detections results.json";
    let said = home.fails(run);
    assert!(said.contains("image 99") && said.contains("--unknown drop"), "{said}");
    let said = home.succeeds(&format!("{run} --unknown drop"));
    assert!(said.contains("1 detections of images and 1 of categories"), "{said}");
    let object = parsed(&home.succeeds(&format!("{run} --unknown drop --json")));
    assert_eq!(object["dropped"], json!({ "image": 1, "category": 1 }));

    detections[1]["category_id"] = json!(2);
    home.write("results.json", detections.to_string());
    let said = home.fails("import-results labels.store results.json --model net --run second");
    assert!(said.contains("image 99"), "{said}");
    let said = home.fails("eval --store labels.store --model net --run second");
    assert!(said.contains("run second of model net"), "nothing of it is there: {said}");
    let said = home.fails("import-results labels.store results.json --model net --run first");
    assert!(said.contains("has a run first of model net already"), "{said}");
}

#[test]
fn statistics_are_text_json_and_a_picture() {
    let home = home_with_store();
    let said = home.succeeds("stats labels.store --plot plot.png");
    assert!(said.starts_with("2 images, 3 annotations, 1 crowds\n"), "{said}");
    assert!(said.contains("cat ") && said.contains("hot dog"), "{said}");
    let plot = image::open(home.path("plot.png")).unwrap().into_rgb8();
    assert_eq!(plot.dimensions(), (1280, 800));
    // Bars in each of the three charts.
    let is_bar = |left: u32, top: u32| {
        let pixels = plot.enumerate_pixels().filter(|&(x, y, _)| x >= left && x < left + 640 && y >= top);
        pixels.filter(|&(_, y, pixel)| y < top + 400 && pixel.0 == [0x2f, 0x6f, 0xb0]).count() > 500
    };
    assert!(is_bar(0, 0) && is_bar(640, 0) && is_bar(640, 400));

    assert_eq!(home.succeeds("stats labels.json"), said, "a JSON file instead of a store");
    let object = parsed(&home.succeeds("stats labels.store --split val --json"));
    assert_eq!(
        object["classes"][0],
        json!({ "id": 2, "name": "cat", "annotations": 2, "crowds": 1, "images": 2 })
    );
    assert_eq!(object["images_by_annotations"], json!([0, 1, 1]));

    home.write("empty.json", r#"{"images":[],"annotations":[],"categories":[]}"#);
    assert!(home.succeeds("stats empty.json --plot empty.png").starts_with("0 images"));
    assert!(home.fails("stats nothing.store").contains("there is no nothing.store"));
    assert!(home.fails("stats labels.store --plot labels.store").contains("name another file"));
    home.write("text", "no labels at all");
    assert!(home.fails("stats text").contains("is not a store of annotations"));
}

#[test]
fn a_check_finds_what_is_not_as_the_store_says() {
    let home = home_with_store();
    let run = |arguments: &str| {
        let output = home.run(&format!("check labels.store {arguments}"), &[]);
        assert_eq!(text(&output.stderr), "");
        (output.status.code().unwrap(), text(&output.stdout))
    };
    picture(64, 48).save(home.path("pictures/a.png")).unwrap();
    let (code, said) = run("");
    assert_eq!((code, said.lines().count()), (1, 2), "{said}");
    assert!(said.starts_with("image 7, ") && said.contains("b.png: missing\n"), "{said}");
    assert!(said.ends_with("1 of 2 images are not as the store says\n"), "{said}");

    picture(80, 100).save(home.path("pictures/b.png")).unwrap();
    let (code, said) = run("--split val --json");
    let object = parsed(&said);
    assert_eq!((code, &object["images"]), (1, &json!(2)));
    let finding = &object["findings"][0];
    assert_eq!((&finding["image"], &finding["problem"]), (&json!(7), &json!("size")));
    assert_eq!((&finding["stored"], &finding["file"]), (&json!([100, 80]), &json!([80, 100])));

    picture(100, 80).save(home.path("pictures/b.png")).unwrap();
    assert_eq!(run(""), (0, "2 images are as the store says\n".into()));
    assert_eq!(run("--images .").0, 1);
}

#[test]
fn a_view_shows_boxes_on_the_picture() {
    let home = home_with_store();
    let said = home.fails("view labels.store 7 --out seen.png");
    assert!(said.contains("image 7") && said.contains("b.png") && said.contains("--images"), "{said}");
    picture(100, 80).save(home.path("pictures/b.png")).unwrap();
    let said = home.succeeds("view labels.store 7 --out seen.png");
    assert_eq!(said, "drew 2 annotations on image 7: seen.png\n");
    let seen = image::open(home.path("seen.png")).unwrap().into_rgb8();
    assert_eq!(seen.dimensions(), (100, 80));
    let grey = Rgb([128; 3]);
    // The box is from (20, 30) to (60, 50 or 51), its line two pixels broad.
    let line = *seen.get_pixel(20, 40);
    assert_ne!(line, grey);
    for at in [(21, 40), (59, 40), (58, 40), (40, 50)] {
        assert_eq!(*seen.get_pixel(at.0, at.1), line, "{at:?}");
    }
    for at in [(19, 40), (22, 40), (57, 40), (60, 40), (40, 51)] {
        assert_eq!(*seen.get_pixel(at.0, at.1), grey, "{at:?}");
    }
    // The crowd's is of another colour, and dashed.
    let right: Vec<Rgb<u8>> = (2..25).map(|y| *seen.get_pixel(89, y)).collect();
    assert!(right.contains(&grey) && right.iter().any(|pixel| ![grey, line].contains(pixel)));

    // What was found, from a score on.
    let run = "view labels.store 7 --model net --run first -o found.png";
    let said = home.succeeds(&format!("{run} --score 0.7"));
    assert_eq!(said, "drew 2 annotations and 1 detections on image 7: found.png\n");
    assert!(home.succeeds(run).contains("2 annotations and 2 detections"));
    assert_ne!(*image::open(home.path("found.png")).unwrap().into_rgb8().get_pixel(89, 70), grey);

    assert!(home.fails("view labels.store 8 -o no.png").contains("image 8"));
    let said = home.fails("view labels.store 7 -o pictures/b.png");
    assert!(said.contains("name another file"), "{said}");
    home.write("pictures/b.png", "no picture");
    assert!(home.fails("view labels.store 7 -o no.png").contains("b.png"));
    assert!(!home.path("no.png").exists());
}

#[test]
fn a_view_turns_a_picture_where_the_labels_are_turned() {
    let home = Home::new();
    let jpeg = jpeg_with_orientation(&picture(64, 32), 6);
    home.write("a.jpg", jpeg);
    for (name, size) in [("as_shown", (32, 64)), ("as_stored", (64, 32))] {
        let images = json!([{ "id": -1, "file_name": "a.jpg", "width": size.0, "height": size.1 }]);
        let labels = json!({ "images": images, "annotations": [], "categories": [] });
        home.write("labels.json", labels.to_string());
        home.succeeds(&format!("import labels.json --images . -o {name}.store"));
        let output = home.run(&format!("view {name}.store -1 -o seen.png"), &[]);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        assert_eq!(image::image_dimensions(home.path("seen.png")).unwrap(), size, "{name}");
    }
    home.write("labels.json", labels().to_string().replace("b.png", "a.jpg"));
    home.succeeds("import labels.json --images . -o other.store");
    let output = home.run("view other.store 7 -o seen.png", &[]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("has 64 x 32 pixels, and the store says 100 x 80"));
}

#[test]
fn a_malformed_file_is_named_with_line_and_column_and_leaves_no_store() {
    let home = Home::new();
    home.write("labels.json", "{\n \"images\": [],\n \"annotations\": [{\"id\" 1}],\n \"categories\": []}\n");
    let said = home.fails("import labels.json -o labels.store");
    assert!(said.contains("labels.json: line 3, column 24"), "{said}");
    assert!(home.fails("stats labels.json").contains("line 3, column 24"));
    let output = home.run("import labels.json -o labels.store --json", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(parsed(&text(&output.stdout))["error"].as_str().unwrap().contains("line 3"));
    assert_eq!(home.names(), BTreeSet::from(["labels.json".into()]));

    home.write("results.json", "[{\"image_id\": 1,\n \"score\": \"high\"}]");
    home.write("labels.json", labels().to_string());
    let said = home.fails("eval --annotations labels.json --detections results.json");
    assert!(said.contains("results.json: line 2, column 11"), "{said}");
}

#[test]
fn a_store_is_replaced_only_when_asked() {
    let home = home_with_store();
    let before = fs::read(home.path("labels.store")).unwrap();
    let said = home.fails("import labels.json -o labels.store");
    assert!(said.contains("exists already") && said.contains("--overwrite"), "{said}");
    assert_eq!(fs::read(home.path("labels.store")).unwrap(), before);
    home.succeeds("import labels.json -o labels.store --overwrite");
    assert!(home.fails("eval --store labels.store --model net --run first").contains("run first"));
    let said = home.fails("export labels.store -o labels.store");
    assert!(said.contains("name another file"), "{said}");
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let home = home_with_store();
    picture(100, 80).save(home.path("pictures/b.png")).unwrap();
    let run = "--store labels.store --model net --run first";
    for command in [
        "import labels.json -o none/x".to_owned(),
        "export labels.store -o none/x".into(),
        "stats labels.store --plot none/x".into(),
        "view labels.store 7 -o none/x".into(),
        format!("eval {run} --confusion none/x"),
    ] {
        let said = home.fails(&command);
        assert!(said.contains("none/x: No such file"), "{said}");
    }
    // A directory stays what it is, and nothing is left beside it.
    let names = home.names();
    home.fails("stats labels.store --plot pictures");
    home.fails("export labels.store -o pictures");
    assert_eq!(home.names(), names);
}

#[test]
fn statistics_bring_a_store_of_an_older_version_to_this_programs() {
    let home = home_with_store();
    let connection = rusqlite::Connection::open(home.path("labels.store")).unwrap();
    let first_version = "DROP TABLE prediction; DROP TABLE run; DROP TABLE model; PRAGMA user_version = 1";
    connection.execute_batch(first_version).unwrap();
    drop(connection);
    let said = home.fails("export labels.store -o labels.json");
    assert!(said.contains("schema version 1") && said.contains("ocelli coco stats"), "{said}");
    assert!(home.succeeds("stats labels.store").starts_with("2 images"));
    home.succeeds("export labels.store -o labels.json");
}

#[test]
fn arguments_that_do_not_go_together_are_refused() {
    let home = home_with_store();
    let said = home.is_misused("eval --annotations labels.json --model net --run first");
    assert!(said.contains("--annotations") && said.contains("cannot be used with"), "{said}");
    for words in [
        "import -o x.store",
        "import labels.json",
        "import =labels.json -o x.store",
        "import labels.json --format yolo -o x.store",
        "eval --annotations labels.json",
        "eval --detections results.json",
        "eval --annotations labels.json --store labels.store --detections results.json",
        "eval --annotations labels.json --model net --run first",
        "eval --annotations labels.json --detections results.json --split val",
        "eval --store labels.store --model net",
        "eval --store labels.store --run first",
        "eval --store labels.store --model net --run first --detections results.json",
        "export labels.store -o x.json --format results --model net",
        "export labels.store -o x.json --model net --run first",
        "export labels.store -o x.json --format results --model net --run first --split val",
        "view labels.store 7 --model net -o x.png",
        "view labels.store seven -o x.png",
    ] {
        home.is_misused(words);
    }
    let said = home.fails("eval --annotations labels.json --detections results.json --max-detections 100,10");
    assert!(said.contains("max_detections"), "{said}");
    assert!(!home.path("x.store").exists() && !home.path("x.json").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_is_written_to_and_not_replaced() {
    let home = home_with_store();
    home.succeeds("stats labels.store --plot /dev/null");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

/// The directory of the real data.
fn coco_tiny() -> PathBuf {
    PathBuf::from(std::env::var_os("OCELLI_TEST_DATA").unwrap()).join("coco-tiny")
}

/// Detections that a network might have made of labels: moved boxes, some of another category, equal scores.
fn made_up(labels: &Value) -> Value {
    let made_up = labels["annotations"].as_array().unwrap().iter().enumerate().map(|(place, annotation)| {
        let part = |index: usize| annotation["bbox"][index].as_f64().unwrap();
        let random = |salt: usize| ((place * 7919 + salt * 104_729) % 101) as f64 / 101.0 - 0.5;
        let (width, height) = (part(2), part(3));
        let bbox = [
            part(0) + width * random(1) * 0.4,
            part(1) + height * random(2) * 0.4,
            width * (1.0 + random(3) * 0.3),
            height,
        ];
        let category = if place % 7 == 0 { json!(1) } else { annotation["category_id"].clone() };
        json!({
            "image_id": annotation["image_id"], "category_id": category, "bbox": bbox,
            "score": (random(4) + 0.5) * 0.9,
        })
    });
    made_up.collect()
}

#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA at build and at run")]
fn real_labels_come_back_as_they_were() {
    let home = Home::new();
    let annotations = coco_tiny().join("annotations");
    let file = |split: &str| annotations.join(format!("instances_{split}.json"));
    let both: [&dyn AsRef<OsStr>; 2] = [&file("train2017"), &file("val2017")];
    let said = home.succeeds_with("import -o all.store", &both);
    assert!(said.starts_with("160 images (0 without annotations), 80 categories, 1520 of 1520"), "{said}");
    for split in ["train2017", "val2017"] {
        home.succeeds(&format!("export all.store --split {split} -o again.json"));
        let original = serde_json::from_slice(&fs::read(file(split)).unwrap()).unwrap();
        assert!(normal(&home.json("again.json")) == normal(&original), "{split}");
    }
    // The images lie where COCO has them.
    assert_eq!(home.succeeds("check all.store"), "160 images are as the store says\n");
}

#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA at build and at run")]
fn real_labels_are_evaluated_counted_and_shown() {
    let home = Home::new();
    let file = coco_tiny().join("annotations/instances_val2017.json");
    let labels: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let results = home.write("results.json", made_up(&labels).to_string());
    home.succeeds_with("import -o val.store", &[&file]);
    home.succeeds("import-results val.store results.json --model made-up --run 1");

    let exact: Vec<u64> = stats_of(&file, &results).iter().map(|number| number.to_bits()).collect();
    let from_json = home.succeeds_with("eval --json --detections results.json --annotations", &[&file]);
    let from_store = home.succeeds("eval --json --store val.store --model made-up --run 1 --split val2017");
    assert_eq!(bits(&parsed(&from_json)["stats"]), exact);
    assert_eq!(bits(&parsed(&from_store)["stats"]), exact);
    let ap = f64::from_bits(exact[0]);
    assert!(ap > 0.05 && ap < 0.95, "{ap}");

    let said = home.succeeds("stats val.store --plot plot.png");
    assert!(said.starts_with("80 images, 815 annotations, 11 crowds\n"), "{said}");
    assert_eq!(image::image_dimensions(home.path("plot.png")).unwrap(), (1280, 800));

    let photograph = &labels["images"][0];
    let id = &photograph["id"];
    home.succeeds(&format!("view val.store {id} --model made-up --run 1 --score 0.1 --out seen.png"));
    let original = coco_tiny().join("val2017").join(photograph["file_name"].as_str().unwrap());
    let (seen, original) =
        (image::open(home.path("seen.png")).unwrap().into_rgb8(), image::open(original).unwrap());
    let original = original.into_rgb8();
    assert_eq!(seen.dimensions(), original.dimensions());
    let changed = seen.pixels().zip(original.pixels()).filter(|(seen, original)| seen != original).count();
    assert!(changed > 500 && changed < (seen.width() * seen.height() / 2) as usize, "{changed}");
}
