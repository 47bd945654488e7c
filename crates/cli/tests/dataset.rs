//! `ocelli dataset`, as a user runs it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use ocelli_data::records::Records;
use serde_json::Value;

fn ocelli(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ocelli")).current_dir(directory).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Three files of two classes; packing looks at their names only.
fn folders() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (file, bytes) in
        [("train/dog/b.jpg", "second"), ("train/cat/a.jpg", "first"), ("train/dog/c.png", "")]
    {
        let path = home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    home
}

#[test]
fn folders_are_packed_as_they_are() {
    let home = folders();
    let output = ocelli(home.path(), &["dataset", "pack", "train", "-o", "train.records", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let packed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&packed["records"], &packed["classes"]), (&Value::from(3), &Value::from(2)));
    let records = Records::open(&home.path().join("train.records")).unwrap();
    assert_eq!(packed["bytes"], fs::metadata(home.path().join("train.records")).unwrap().len());
    let all: Vec<(i32, &str, &[u8])> = (0..3)
        .map(|i| (records.labels().nth(i).unwrap(), records.name(i).unwrap(), records.get(i).unwrap()))
        .collect();
    assert_eq!(all, [(0, "cat/a.jpg", &b"first"[..]), (1, "dog/b.jpg", b"second"), (1, "dog/c.png", b"")]);
    assert_eq!(records.classes(), ["cat", "dog"]);
}

#[test]
fn a_file_that_is_there_stays_unless_it_is_to_be_replaced() {
    let home = folders();
    fs::write(home.path().join("x"), "mine").unwrap();
    let output = ocelli(home.path(), &["dataset", "pack", "train", "-o", "x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("x exists already: replace it with --overwrite"));
    assert_eq!(fs::read(home.path().join("x")).unwrap(), b"mine");
    let output = ocelli(home.path(), &["dataset", "pack", "train", "-o", "x", "--overwrite"]);
    assert!(
        text(&output.stdout).starts_with("packed 3 images of 2 classes into x, "),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(Records::open(&home.path().join("x")).unwrap().len(), 3);
}

#[test]
fn what_cannot_be_packed_is_named_and_nothing_is_left() {
    let home = folders();
    for (arguments, expected) in [
        (["dataset", "pack", "none", "-o", "x"], "none"),
        (["dataset", "pack", "train/cat", "-o", "x"], "there are no folders in train/cat"),
        (["dataset", "pack", "train", "-o", "no/x"], "no/x"),
    ] {
        let output = ocelli(home.path(), &arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let error = text(&output.stderr);
        assert!(error.contains(expected) && error.matches("os error").count() <= 1, "{error}");
    }
    let names: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["train"]);
}
