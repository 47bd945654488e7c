//! `ocelli bench-loader`, as a user runs it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

use self::support::{program, text};

/// Images of a batch in the tests that measure.
const BATCH: u64 = 8;
/// Images of their set.
const IMAGES: u64 = 20 * BATCH;

fn bench_loader(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.current_dir(directory).arg("bench-loader").args(arguments);
    command
}

/// Files of two classes in `train` that only look like images.
fn folders() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for file in ["train/cat/a.jpg", "train/dog/b.jpg", "train/dog/c.jpg"] {
        let path = home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "no image").unwrap();
    }
    home
}

/// Images of two classes in `train`, each another one.
fn images() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for number in 0..IMAGES as u32 {
        let directory = home.path().join(["train/cat", "train/dog"][number as usize % 2]);
        fs::create_dir_all(&directory).unwrap();
        let pixel =
            |x: u32, y: u32| Rgb([x * 3 + number, y * 5, (x ^ y) * 2 + number].map(|value| value as u8));
        RgbImage::from_fn(80, 60, pixel).save(directory.join(format!("{number:02}.jpg"))).unwrap();
    }
    home
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let home = folders();
    for (arguments, expected) in [
        (&["."][..], "--batch", ["--batch", "64,0"]),
        (&["."], "--workers", ["--workers", "4,x"]),
        (&["."], "--model", ["--model", "vgg16"]),
        (&["."], "--precision", ["--precision", "f64"]),
        (&["."], "--hardware-share", ["--hardware-share", "1.5"]),
        (&["."], "--seconds", ["--seconds", "0"]),
        (&["."], "--only", ["--only", "everything"]),
        (&["."], "--encoded-cache", ["--encoded-cache", "99999999999999999999"]),
        (&["."], "--policy", ["--policy", "auto-augment"]),
        (&[], "<SET>", ["--device", "0"]),
        (&[], "<SET>", ["--only", "loader"]),
        (&[], "<SET>", ["--only", "both"]),
    ]
    .map(|(set, expected, rest)| ([set, &rest].concat(), expected))
    {
        let output = bench_loader(home.path(), &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = text(&output.stderr);
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_set_too_small_for_a_cold_cache_is_refused_before_anything_is_measured() {
    let home = folders();
    for cache in ["cold", "both"] {
        let arguments = [".", "--cache", cache, "--batch", "1", "--warm-up", "3"];
        let output = bench_loader(home.path(), &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let error = text(&output.stderr);
        assert!(error.contains("its 3 images make 3 batches of 1; 3 come before the measurement"), "{error}");
        assert!(output.stdout.is_empty());
        // As any other error, it is told to those who read JSON.
        let output = bench_loader(home.path(), &[&arguments[..], &["--json"]].concat()).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), error.clone()));
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(error.starts_with(&format!("error: {}\n", line["error"].as_str().unwrap())), "{line}");
    }
}

#[test]
fn the_help_knows_one_name_for_the_gpu() {
    let home = folders();
    let output = bench_loader(home.path(), &["--help"]).output().unwrap();
    let help = text(&output.stdout);
    assert!(help.contains("--device") && !help.contains("--gpu"), "{help}");
}

#[test]
fn a_set_that_is_none_is_named() {
    let home = folders();
    fs::create_dir(home.path().join("empty")).unwrap();
    fs::create_dir_all(home.path().join("bare/class")).unwrap();
    fs::create_dir_all(home.path().join("parts/val/class")).unwrap();
    for (set, expected) in [
        ("none", "none"),
        ("empty", "there are no folders in empty"),
        ("bare", "there are no images in bare/class"),
        ("train/cat/a.jpg", "train/cat/a.jpg is no record file: name a directory of class folders"),
        ("parts", "the folders in parts are parts of a set, and no classes: did you mean parts/val?"),
    ] {
        let output = bench_loader(home.path(), &[set, "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{set}");
        let error = text(&output.stderr);
        assert!(error.starts_with("error: ") && error.contains(expected), "{error}");
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(format!("error: {}\n", line["error"].as_str().unwrap()), error);
    }
}

#[test]
fn without_a_gpu_it_says_what_is_missing() {
    let home = folders();
    for arguments in [
        &[".", "--only", "synthetic"][..],
        &[".", "--only", "loader", "--policy", "rand-augment"],
        &[".", "--only", "both"],
        // What is not read need not be named.
        &["--only", "synthetic"],
        // As other commands once called it.
        &[".", "--gpu", "1"],
    ] {
        // The same machine without its driver, whether or not it has one.
        let output = bench_loader(home.path(), arguments).env("OCELLI_CUDA", home.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(error.contains("libcuda") && error.contains("OCELLI_CUDA"), "{error}");
        assert!(output.stdout.is_empty(), "nothing is begun");
    }
}

/// Settings with which a measurement is short.
const SHORT: [&str; 15] = [
    ".",
    "--json",
    "--model",
    "resnet18",
    "--size",
    "32",
    "--batch",
    "8",
    "--workers",
    "2",
    "--seconds",
    "0.4",
    "--warm-up",
    "3",
    "--prefetch=2",
];

/// The lines of a run that succeeds.
fn lines(home: &Path, more: &[&str]) -> Vec<Value> {
    lines_of(bench_loader(home, &[&SHORT, more].concat()))
}

fn lines_of(mut command: Command) -> Vec<Value> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether the numbers of a measurement agree with each other.
fn check(line: &Value) {
    let number = |pointer: &str| line.pointer(pointer).and_then(Value::as_f64).unwrap();
    assert_eq!(number("/images"), number("/batches") * BATCH as f64, "{line}");
    let speed = number("/images") / number("/elapsed_s");
    assert!((number("/images_per_s") / speed - 1.0).abs() < 1e-6, "{line}");
    let latencies = ["p50", "p95", "p99"].map(|name| number(&format!("/latency_ms/{name}")));
    assert!(latencies.is_sorted() && latencies[0] > 0.0, "{line}");
    let waited = &line["gpu_waited_share"];
    match line["kind"].as_str() {
        Some("both") => assert!((0.0..=1.0).contains(&waited.as_f64().unwrap()), "{line}"),
        _ => assert!(waited.is_null(), "{line}"),
    }
    assert!(line["gpu"].as_str().is_some_and(|gpu| !gpu.is_empty()), "{line}");
    assert_eq!((&line["model"], &line["size"]), (&"resnet18".into(), &32.into()), "{line}");
    let of_host = if cfg!(target_os = "linux") { &["host", "host_mapped_files"][..] } else { &[] };
    for memory in [&["gpu"], of_host].concat() {
        let [begin, end] = [0, 1].map(|at| number(&format!("/memory_bytes/{memory}/{at}")));
        assert!(begin > 0.0 && end > 0.0, "{line}");
    }
    if line["kind"] == "synthetic" {
        return;
    }
    // The loader is some batches ahead, at the end as at the beginning: what is prepared and lies ready, of two epochs at most.
    let ahead = 16.0 * BATCH as f64;
    let decoded: f64 = ["engines", "multiprocessors", "host", "before"]
        .into_iter()
        .map(|name| number(&format!("/decoded_by/{name}")))
        .sum();
    assert!((decoded - number("/images")).abs() <= ahead, "{line}");
    for time in [
        "workers/read",
        "workers/prepare",
        "feeding_thread/submit",
        "feeding_thread/wait_for_workers",
        "training_thread/wait_for_batch",
    ] {
        assert!(number(&format!("/us_per_image/{time}")) > 0.0, "{time}: {line}");
    }
    assert_eq!((number("/refused"), number("/us_per_image/feeding_thread/host")), (0.0, 0.0), "{line}");
    assert_eq!(line["workers"], 2, "{line}");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn all_three_kinds_are_measured_warm_and_cold_and_judged() {
    let home = images();
    let lines = lines(home.path(), &["--cache", "both"]);
    let found: Vec<(&str, Option<&str>)> =
        lines.iter().map(|line| (line["kind"].as_str().unwrap(), line["cache"].as_str())).collect();
    let (warm, cold) = (Some("warm"), Some("cold"));
    let expected = [
        ("synthetic", None),
        ("loader", warm),
        ("both", warm),
        ("verdict", warm),
        ("loader", cold),
        ("both", cold),
        ("verdict", cold),
    ];
    assert_eq!(found, expected);
    for line in &lines {
        if line["kind"] == "verdict" {
            assert!(!line["shares_beside_training"].is_null(), "{line}");
            let bounds = ["reading", "decoding", "copying", "computing", "unknown"];
            assert!(bounds.contains(&line["bound"].as_str().unwrap()), "{line}");
            assert!(line["change"].as_array().is_some_and(|change| !change.is_empty()), "{line}");
            continue;
        }
        check(line);
        match line["cache"].as_str() {
            // All that come after the first three, once.
            Some("cold") => {
                let batches = IMAGES / BATCH - 3;
                assert_eq!((&line["batches"], &line["times"]), (&batches.into(), &1.into()), "{line}");
            }
            _ => assert!(line["elapsed_s"].as_f64().unwrap() > 0.3, "{line}"),
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn what_is_kept_is_not_read_again() {
    let home = images();
    // Longer than it takes to make a second decoder, for epochs that overlap.
    let long = SHORT.map(|argument| if argument == "0.4" { "4" } else { argument });
    let output =
        bench_loader(home.path(), &[&long[..], &["--only", "loader", "--encoded-cache", "64"]].concat());
    let lines = lines_of(output);
    let [loader, verdict] = &lines[..] else { panic!("{lines:?}") };
    check(loader);
    // Each epoch after the first finds everything.
    let [hits, misses] = ["hits", "misses"].map(|count| loader["encoded_cache"][count].as_u64().unwrap());
    assert!(hits > misses && misses <= IMAGES, "{loader}");
    assert_eq!(loader["encoded_cache"]["images"], IMAGES, "{loader}");
    assert_eq!(verdict["kind"], "verdict");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_damaged_file_ends_it_by_name_or_is_left_out() {
    let home = images();
    fs::write(home.path().join("train/cat/bad.jpg"), "no image").unwrap();
    let output = bench_loader(home.path(), &[&SHORT[..], &["--only", "loader"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("bad.jpg") && error.ends_with(", or go on without it: --skip-damaged\n"),
        "{error}"
    );
    let lines = lines(home.path(), &["--only", "loader", "--skip-damaged"]);
    assert!(lines[0]["damaged"].as_u64().unwrap() > 0, "{}", lines[0]);
    let places = lines[0]["batches"].as_u64().unwrap() * BATCH;
    assert!(lines[0]["images"].as_u64().unwrap() < places, "{}", lines[0]);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn the_program_asks_for_all_work_queues_unless_told_otherwise() {
    let home = tempfile::tempdir().unwrap();
    let connections = |asked: Option<&str>| {
        let mut command = bench_loader(home.path(), &[&SHORT[1..], &["--only", "synthetic"]].concat());
        match asked {
            Some(asked) => command.env("CUDA_DEVICE_MAX_CONNECTIONS", asked),
            None => command.env_remove("CUDA_DEVICE_MAX_CONNECTIONS"),
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["connections"].clone()
    };
    assert_eq!((connections(None), connections(Some("4"))), (32.into(), 4.into()));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_policy_is_applied_and_told() {
    let home = images();
    for policy in ["rand-augment", "trivial-augment"] {
        let lines = lines(home.path(), &["--only", "loader", "--policy", policy]);
        check(&lines[0]);
        assert_eq!(lines[0]["policy"], policy, "{}", lines[0]);
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn without_a_set_only_the_network_is_measured() {
    let home = tempfile::tempdir().unwrap();
    let arguments = [&SHORT[1..], &["--only", "synthetic"]].concat();
    let output = bench_loader(home.path(), &arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    check(&line);
    assert_eq!((&line["set"], &line["classes"]), (&Value::Null, &1000.into()), "{line}");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn without_nvjpeg_only_the_network_is_measured() {
    let home = images();
    let without = |more: &[&str]| {
        let mut command = bench_loader(home.path(), &[&SHORT[..], more].concat());
        command.env("OCELLI_NVJPEG", home.path()).output().unwrap()
    };
    let output = without(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nvJPEG"), "{}", text(&output.stderr));
    let output = without(&["--only", "synthetic"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    check(&serde_json::from_slice(&output.stdout).unwrap());
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn the_table_ends_with_the_verdict() {
    let home = images();
    let arguments: Vec<&str> = SHORT.into_iter().filter(|argument| *argument != "--json").collect();
    let output = bench_loader(home.path(), &arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert_eq!(table.lines().filter(|line| line.contains(" memory, MiB: ")).count(), 3, "{table}");
    let mut places = Vec::new();
    for name in ["synthetic ", "loader ", "both ", "warm cache, batch 8, 2 workers: bound by "] {
        assert_eq!(table.lines().filter(|line| line.starts_with(name)).count(), 1, "{name}: {table}");
        places.extend(table.lines().position(|line| line.starts_with(name)));
    }
    assert!(places.is_sorted(), "{table}");
}
