//! `ocelli dataset`, as a user runs it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use ocelli_data::records::Records;
use serde_json::Value;

use self::support::{program, text};

fn ocelli(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(program()).current_dir(directory).args(arguments).output().unwrap()
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

#[test]
fn parts_of_a_set_are_not_taken_for_classes() {
    let home = folders();
    fs::create_dir_all(home.path().join("val/cat")).unwrap();
    fs::write(home.path().join("val/cat/d.jpg"), "fourth").unwrap();
    for arguments in [
        &["pack", ".", "-o", "x.records"][..],
        &["stats", ".", "--no-pixels"],
        &["subset", ".", "-o", "x.records"],
        &["recompress", ".", "--quality", "80", "--in-place"],
    ] {
        let error = error(home.path(), &[&["dataset"], arguments].concat());
        let expected = "error: the folders in . are parts of a set, and no classes: did you mean ./train?\n";
        assert_eq!(error, expected, "{arguments:?}");
    }
    assert_eq!(names(home.path()), ["train", "val"]);
}

#[test]
fn a_file_of_another_kind_is_told_to_be_one() {
    let home = folders();
    for arguments in [
        &["stats", "train/cat/a.jpg", "--no-pixels"][..],
        &["subset", "train/cat/a.jpg", "-o", "x.records"],
        &["recompress", "train/cat/a.jpg", "--quality", "80", "-o", "x.records"],
    ] {
        let error = error(home.path(), &[&["dataset"], arguments].concat());
        let expected = "error: train/cat/a.jpg is no record file: name a directory of class folders";
        assert!(error.starts_with(expected), "{error}");
    }
    json(home.path(), &["dataset", "pack", "train", "-o", "train.records"]);
    let error = error(home.path(), &["dataset", "pack", "train.records", "-o", "x.records"]);
    assert!(
        error.starts_with("error: train.records is a file, and what is packed is a directory"),
        "{error}"
    );
    assert!(error.contains("`ocelli dataset subset`"), "{error}");
    assert_eq!(names(home.path()), ["train", "train.records"]);
}

#[test]
fn a_record_file_by_another_name_is_made_with_a_warning() {
    let home = folders();
    for (name, is_usual) in [("x.records", true), ("X.Records", true), ("x.recordz", false), ("x", false)] {
        let output = ocelli(home.path(), &["dataset", "pack", "train", "-o", name]);
        let warning = text(&output.stderr);
        assert!(output.status.success() && warning.is_empty() == is_usual, "{name}: {warning}");
        let begin =
            format!("warning: the name of the record file {name} does not end in .records: after -o of ");
        assert!(is_usual || warning.starts_with(&begin) && warning.ends_with("rename it\n"), "{warning}");
        assert_eq!(Records::open(&home.path().join(name)).unwrap().len(), 3);
    }
}

/// A grey picture as a JPEG file in colour.
fn jpeg(quality: u8, [width, height]: [u16; 2]) -> Vec<u8> {
    let pixels = vec![128; 3 * usize::from(width) * usize::from(height)];
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, quality)
        .write_image(&pixels, width.into(), height.into(), ExtendedColorType::Rgb8)
        .unwrap();
    file
}

/// Two JPEG files of quality 75, one of 90, and one that is none, of two classes.
fn pictures() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for (file, bytes) in [
        ("set/cat/a.jpg", jpeg(75, [40, 30])),
        ("set/cat/b.jpg", jpeg(90, [64, 48])),
        ("set/dog/c.jpg", jpeg(75, [16, 8])),
        ("set/dog/d.jpg", b"no image".to_vec()),
    ] {
        let path = home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    home
}

/// The JSON that a command prints, which must succeed.
fn json(directory: &Path, arguments: &[&str]) -> Value {
    let output = ocelli(directory, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command says that must fail, as any program does.
fn error(directory: &Path, arguments: &[&str]) -> String {
    let output = ocelli(directory, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    text(&output.stderr)
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn stats_tell_what_a_set_consists_of() {
    let home = pictures();
    let arguments = ["dataset", "stats", "set", "--no-pixels"];
    let found = json(home.path(), &arguments);
    assert_eq!((&found["images"], &found["classes"]), (&Value::from(4), &Value::from(2)));
    assert_eq!(found["qualities"], serde_json::json!({ "75": 2, "90": 1 }));
    assert_eq!(found["decoders"]["engines"], 3);
    assert_eq!(found["sizes"]["width"]["largest"], 64);
    assert_eq!((&found["pixels"], &found["pixels_left_out"]), (&Value::Null, &Value::Null));
    assert_eq!(found["faults"][0]["path"], "set/dog/d.jpg");

    let output = ocelli(home.path(), &arguments);
    let output = (output.status.success(), text(&output.stdout), text(&output.stderr));
    assert!(output.0 && output.1.contains("JPEG quality  75: 2, 90: 1\n"), "{output:?}");
    // No bar where there is no terminal.
    assert!(output.1.contains("set/dog/d.jpg: ") && output.2.is_empty(), "{output:?}");

    json(home.path(), &["dataset", "pack", "set", "-o", "set.records"]);
    let packed = json(home.path(), &["dataset", "stats", "set.records", "--no-pixels"]);
    assert_eq!(packed["faults"][0]["path"], "set.records/dog/d.jpg");
    assert_eq!((&packed["sizes"], &packed["bytes"]), (&found["sizes"], &found["bytes"]));
    assert!(error(home.path(), &["dataset", "stats", "none"]).contains("none"));
}

#[test]
fn reports_that_list_some_faults_say_how_to_see_them_all() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("set/class")).unwrap();
    let stats = ["dataset", "stats", "set", "--no-pixels"];
    let recompress = ["dataset", "recompress", "set", "--quality", "80", "--in-place"];
    for faults in 1..=22 {
        fs::write(home.path().join(format!("set/class/{faults}.jpg")), "no image").unwrap();
        for arguments in [&stats[..], &recompress].into_iter().filter(|_| faults >= 20) {
            let output = ocelli(home.path(), arguments);
            assert!(output.status.success(), "{}", text(&output.stderr));
            let told = text(&output.stdout);
            assert_eq!(told.matches("set/class/").count(), 20, "{told}");
            let end = format!("  and {} more\n  --json lists them all\n", faults - 20);
            assert_eq!(told.ends_with(&end), faults > 20, "{told}");
            assert_eq!(told.contains("--json"), faults > 20, "{told}");
        }
    }
    assert_eq!(json(home.path(), &stats)["faults"].as_array().unwrap().len(), 22);
    assert_eq!(json(home.path(), &recompress)["undecodable"].as_array().unwrap().len(), 22);
}

#[test]
fn the_gpu_is_a_device_everywhere() {
    let home = pictures();
    for arguments in
        [&["stats", "set", "--no-pixels"][..], &["recompress", "set", "--quality", "90", "-o", "new"]]
    {
        for name in ["--device", "--gpu"] {
            let arguments = [&["dataset"], arguments, &[name, "0"]].concat();
            let output = ocelli(home.path(), &arguments);
            assert!(output.status.success(), "{}", text(&output.stderr));
            let _ = fs::remove_dir_all(home.path().join("new"));
        }
        let help = text(&ocelli(home.path(), &["dataset", arguments[0], "--help"]).stdout);
        assert!(help.contains("--device <NUMBER>") && !help.contains("--gpu"), "{help}");
    }
}

#[test]
fn helps_tell_what_might_surprise() {
    let home = folders();
    let help = |arguments: &[&str]| {
        let help = text(&ocelli(home.path(), &[&["dataset"], arguments].concat()).stdout);
        help.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let stats = help(&["stats", "--help"]);
    assert!(stats.contains("Files that cannot be read are a part of the answer"), "{stats}");
    let recompress = help(&["recompress", "--help"]);
    assert!(recompress.contains("Progressive files become baseline files"), "{recompress}");
    assert!(recompress.contains("if the nearest quality is higher"), "{recompress}");
}

#[test]
#[cfg_attr(ocelli_gpu, ignore = "needs no NVIDIA GPU")]
fn stats_without_a_gpu_say_why_the_pixels_are_left_out() {
    let home = pictures();
    let found = json(home.path(), &["dataset", "stats", "set"]);
    assert_eq!((&found["images"], &found["pixels"]), (&Value::from(4), &Value::Null));
    assert!(found["pixels_left_out"].as_str().is_some_and(|reason| !reason.is_empty()));
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn stats_with_a_gpu_tell_mean_and_deviation() {
    let home = pictures();
    let found = json(home.path(), &["dataset", "stats", "set"]);
    assert_eq!(found["pixels"]["images"], 3, "{found}");
    for channel in 0..3 {
        // All are of one grey; decoders may round it otherwise.
        let [mean, deviation] =
            ["mean", "deviation"].map(|name| found["pixels"][name][channel].as_f64().unwrap());
        assert!((mean - 128.0 / 255.0).abs() < 0.005 && deviation < 0.005, "{found}");
    }
}

#[test]
fn a_subset_is_copied_into_folders_or_records() {
    let home = folders();
    let copied = json(home.path(), &["dataset", "subset", "train", "-o", "part", "--per-class", "1"]);
    assert_eq!((&copied["images"], &copied["classes"]), (&Value::from(2), &Value::from(2)));
    assert_eq!(names(&home.path().join("part")), ["cat", "dog"]);
    assert_eq!(fs::read(home.path().join("part/cat/a.jpg")).unwrap(), b"first");
    assert_eq!(names(&home.path().join("part/dog")).len(), 1);

    let arguments = ["dataset", "subset", "train", "-o", "dogs.records", "--classes", "dog"];
    let output = ocelli(home.path(), &arguments);
    assert_eq!(text(&output.stdout), "copied 2 images of 1 classes into dogs.records, 6 bytes\n");
    let records = Records::open(&home.path().join("dogs.records")).unwrap();
    assert_eq!((records.classes(), records.len()), (&["dog".to_owned()][..], 2));

    assert!(
        error(home.path(), &arguments).contains("dogs.records exists already: replace it with --overwrite")
    );
    let replaced = json(
        home.path(),
        &["dataset", "subset", "train", "-o", "dogs.records", "--count", "3", "--overwrite"],
    );
    assert_eq!(replaced["images"], 3);
    assert_eq!(Records::open(&home.path().join("dogs.records")).unwrap().len(), 3);

    let half = ["dataset", "subset", "train", "--fraction", "0.5", "--seed", "9"];
    for path in ["half.records", "again.records"] {
        json(home.path(), &[&half[..], &["-o", path]].concat());
    }
    let [half, again] =
        ["half.records", "again.records"].map(|path| fs::read(home.path().join(path)).unwrap());
    assert_eq!(half, again);
}

#[test]
fn a_subset_that_cannot_be_is_told_and_nothing_is_left() {
    let home = folders();
    for (arguments, expected) in [
        (["-o", "x", "--classes", "cat,mouse"], "no class `mouse`"),
        (["-o", "x", "--count", "4"], "3 images"),
        (["-o", "x", "--fraction", "2"], "no share"),
        (["-o", "train/cat/x", "--per-class", "1"], "lie one in the other"),
        (["-o", "no/x.records", "--per-class", "1"], "no/x.records"),
        (["-o", "no/x", "--per-class", "1"], "no/x"),
    ] {
        let error = error(home.path(), &[&["dataset", "subset", "train"], &arguments[..]].concat());
        assert!(error.contains(expected) && error.matches("os error").count() <= 1, "{error}");
    }
    // One amount at most.
    let output =
        ocelli(home.path(), &["dataset", "subset", "train", "-o", "x", "--count", "1", "--fraction", "0.5"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(names(home.path()), ["train"]);
}

#[test]
#[cfg(unix)]
fn a_target_that_cannot_be_written_is_told_by_name_and_not_left_in_part() {
    let home = folders();
    fs::write(home.path().join("train/cat/large.jpg"), vec![7; 1 << 20]).unwrap();
    for target in ["part", "part.records"] {
        // Files may have half a megabyte, as if the disk were full then.
        let script = format!(
            "trap '' XFSZ; ulimit -f 512; exec {} dataset subset train -o {target}",
            program().display()
        );
        let output = Command::new("sh").current_dir(home.path()).args(["-c", &script]).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(&format!("cannot write {target}")), "{error}");
        assert_eq!(names(home.path()), ["train"]);
    }
}

#[test]
#[cfg(unix)]
fn a_disk_that_fills_up_while_packing_leaves_the_file_that_was_there() {
    let home = folders();
    assert!(ocelli(home.path(), &["dataset", "pack", "train", "-o", "train.records"]).status.success());
    fs::write(home.path().join("train/cat/large.jpg"), vec![7; 1 << 20]).unwrap();
    let script = format!(
        "trap '' XFSZ; ulimit -f 512; exec {} dataset pack train -o train.records --overwrite",
        program().display()
    );
    let output = Command::new("sh").current_dir(home.path()).args(["-c", &script]).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot write") && error.contains("train.records"), "{error}");
    assert_eq!(names(home.path()), ["train", "train.records"]);
    assert_eq!(Records::open(&home.path().join("train.records")).unwrap().len(), 3);
}

#[test]
fn a_process_that_is_killed_while_packing_leaves_the_file_that_was_there() {
    let home = folders();
    assert!(ocelli(home.path(), &["dataset", "pack", "train", "-o", "train.records"]).status.success());
    for index in 0..2000 {
        fs::write(home.path().join(format!("train/cat/{index}.jpg")), vec![index as u8; 60_000]).unwrap();
    }
    let mut packing = Command::new(program())
        .current_dir(home.path())
        .args(["dataset", "pack", "train", "-o", "train.records", "--overwrite", "--workers", "1"])
        .spawn()
        .unwrap();
    let part = || -> u64 {
        let entries = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap());
        let parts = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
        parts.map(|entry| entry.metadata().map_or(0, |metadata| metadata.len())).sum()
    };
    while part() < 1 << 20 {
        assert!(packing.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    packing.kill().unwrap();
    assert!(!packing.wait().unwrap().success(), "it ended before it could be killed");
    assert_eq!(Records::open(&home.path().join("train.records")).unwrap().len(), 3);
    // What is left has another name, and is in nobody's way.
    assert!(
        ocelli(home.path(), &["dataset", "pack", "train", "-o", "train.records", "--overwrite"])
            .status
            .success()
    );
    assert_eq!(Records::open(&home.path().join("train.records")).unwrap().len(), 2003);
}

#[test]
fn recompressing_leaves_what_has_a_low_quality() {
    let home = pictures();
    let original = |name: &str| fs::read(home.path().join("set").join(name)).unwrap();
    let arguments = ["dataset", "recompress", "set", "--quality", "90"];
    let report = json(home.path(), &[&arguments[..], &["-o", "new"]].concat());
    assert_eq!((&report["images"], &report["recompressed"]), (&Value::from(4), &Value::from(0)));
    assert_eq!((&report["kept_quality"], &report["kept_undecodable"]), (&Value::from(3), &Value::from(1)));
    assert_eq!(report["bytes_before"], report["bytes_after"]);
    for name in ["cat/a.jpg", "cat/b.jpg", "dog/c.jpg", "dog/d.jpg"] {
        assert_eq!(fs::read(home.path().join("new").join(name)).unwrap(), original(name));
    }
    let output = ocelli(home.path(), &[&arguments[..], &["--in-place"]].concat());
    let output = text(&output.stdout);
    assert!(output.starts_with("recompressed 0 of 4 images, "), "{output}");
    assert!(output.contains("kept 3 that have the quality asked for") && output.contains("set/dog/d.jpg: "));

    let again = error(home.path(), &[&arguments[..], &["-o", "new"]].concat());
    assert!(again.contains("new exists already: replace it with --overwrite"), "{again}");
}

#[test]
fn recompressing_needs_a_quality_and_one_place() {
    let home = pictures();
    for arguments in [
        &["--in-place"][..],
        &["--quality", "80"],
        &["--quality", "0", "--in-place"],
        &["--quality", "101", "--in-place"],
        &["--quality", "80", "--in-place", "-o", "new"],
        &["--quality", "80", "--in-place", "--overwrite"],
        &["--quality", "80", "--in-place", "--subsampling", "421"],
    ] {
        let output = ocelli(home.path(), &[&["dataset", "recompress", "set"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(names(home.path()), ["set"]);
}

#[test]
#[cfg_attr(ocelli_gpu, ignore = "needs no NVIDIA GPU")]
fn recompressing_without_a_gpu_is_told_and_loses_nothing() {
    let home = pictures();
    let original = fs::read(home.path().join("set/cat/b.jpg")).unwrap();
    for place in [&["--in-place"][..], &["-o", "new"], &["-o", "new.records"]] {
        let arguments = [&["dataset", "recompress", "set", "--quality", "80"], place].concat();
        assert!(error(home.path(), &arguments).starts_with("error: "));
        assert_eq!(fs::read(home.path().join("set/cat/b.jpg")).unwrap(), original);
        assert_eq!(names(home.path()), ["set"]);
    }
}

#[test]
#[cfg(unix)]
fn a_pipe_and_what_is_no_file_are_not_replaced() {
    let home = folders();
    let pipe = home.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::create_dir(home.path().join("directory")).unwrap();
    for target in ["pipe", "/dev/null", "directory"] {
        let error = error(home.path(), &["dataset", "pack", "train", "-o", target, "--overwrite"]);
        assert!(error.contains(target) && error.contains("which no"), "{error}");
    }
    let is_pipe = std::os::unix::fs::FileTypeExt::is_fifo(&fs::symlink_metadata(&pipe).unwrap().file_type());
    assert!(is_pipe);
    assert_eq!(names(home.path()), ["directory", "pipe", "train"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_path_that_is_no_text_is_told_as_far_as_it_is() {
    use std::os::unix::ffi::OsStrExt;

    let home = folders();
    let name = std::ffi::OsStr::from_bytes(b"train\xff.records");
    let output = Command::new(program())
        .current_dir(home.path())
        .args(["dataset", "pack", "train", "--json", "-o"])
        .arg(name)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let packed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(packed["path"], "train\u{fffd}.records");
    assert_eq!(Records::open(&home.path().join(name)).unwrap().len(), 3);
}

#[test]
fn threads_are_asked_for_up_to_a_thousand() {
    let home = folders();
    let pack = |workers: &str| {
        ocelli(home.path(), &["dataset", "pack", "train", "-o", "x", "--overwrite", "--workers", workers])
    };
    assert!(pack("1024").status.success());
    for workers in ["1025", "-1", "18446744073709551615"] {
        assert_eq!(pack(workers).status.code(), Some(2), "{workers}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn threads_that_the_system_refuses_are_an_error() {
    let home = folders();
    for arguments in [&["pack", "train", "-o", "x.records"][..], &["stats", "train", "--no-pixels"]] {
        let output = Command::new(program())
            .current_dir(home.path())
            // More than there is room for.
            .env("RUST_MIN_STACK", (1u64 << 62).to_string())
            .arg("dataset")
            .args(arguments)
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with("error: ") && error.contains("threads"), "{error}");
        assert_eq!(names(home.path()), ["train"]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
    let home = folders();
    let stats = |output: std::process::Stdio, arguments: &[&str]| {
        Command::new(program())
            .current_dir(home.path())
            .args(["dataset", "stats", "train", "--no-pixels"])
            .args(arguments)
            .stdout(output)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap()
    };
    // A command that fails does so whether or not somebody reads that.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let failed = Command::new(program())
        .args(["dataset", "stats", "/nowhere", "--json"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(1));
    for arguments in [&[][..], &["--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = stats(writer.into(), arguments);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));

        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = stats(full.into(), arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).starts_with("error: cannot write to standard output: "));
    }
}
