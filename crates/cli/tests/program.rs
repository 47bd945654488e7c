//! The program itself, as a user runs it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use self::support::{program, text};

/// The program with a home of its own and no other variables.
fn ocelli(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env_clear().env("OCELLI_HOME", home).env("OCELLI_CACHE", home.join("cache"));
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The same machine without its driver, whether or not it has one.
fn without_driver(home: &Path, arguments: &[&str]) -> Output {
    ocelli(home, arguments).env("OCELLI_CUDA", home).output().unwrap()
}

#[test]
fn without_a_driver_the_doctor_fails_and_says_what_to_do() {
    let home = home();
    for arguments in
        [&["doctor"][..], &["doctor", "--run"], &["doctor", "--device", "0"], &["doctor", "--gpu", "0"]]
    {
        let output = without_driver(home.path(), arguments);
        assert_eq!(output.status.code(), Some(1));
        let text = text(&output.stdout);
        assert!(text.ends_with("Ocelli cannot run here.\n"), "{text}");
        assert!(text.contains("problem   libcuda was not found; OCELLI_CUDA names neither"), "{text}");
        assert!(text.contains("correct or unset it"), "{text}");
        assert!(text.contains(&format!("variable  OCELLI_HOME={}", home.path().display())), "{text}");
    }
    assert_eq!(home.path().read_dir().unwrap().count(), 0, "the doctor leaves nothing behind");
}

#[test]
#[cfg_attr(ocelli_gpu, ignore = "needs a machine without a driver")]
fn on_a_machine_without_a_driver_the_doctor_asks_for_one() {
    let home = home();
    let output = ocelli(home.path(), &["doctor"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("install NVIDIA's driver"), "{}", text(&output.stdout));
}

#[test]
fn the_doctors_json_is_one_object_with_every_library() {
    let home = home();
    let output = without_driver(home.path(), &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    assert_eq!(report["runs_here"], false);
    let names: Vec<&str> =
        report["libraries"].as_array().unwrap().iter().filter_map(|item| item["library"].as_str()).collect();
    assert_eq!(names, ["cuda", "cudnn", "nvrtc", "cublaslt", "nvjpeg", "nccl"]);
    assert_eq!(report["libraries"][0]["picked"], Value::Null);
    assert_eq!(report["variables"]["OCELLI_CUDA"], home.path().to_str().unwrap());
    assert!(report["problems"][0].as_str().unwrap().contains("libcuda"));
}

#[test]
fn a_library_that_cannot_be_opened_is_a_problem_with_its_reason() {
    let home = home();
    let file = home.path().join("libcudnn.so.9");
    std::fs::write(&file, "half a download").unwrap();
    let output = ocelli(home.path(), &["doctor"]).env("OCELLI_CUDNN", &file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = text(&output.stdout);
    let problem = text.lines().find(|line| line.starts_with("problem   cuDNN")).unwrap();
    assert!(problem.contains(file.to_str().unwrap()) && problem.contains("shared object"), "{problem}");
    assert!(text.lines().any(|line| line.starts_with("warning") && line.contains("libcudnn_graph.so.9")));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn on_a_gpu_the_doctor_runs_its_test_and_succeeds() {
    let run = || Command::new(program()).args(["doctor", "--run", "--json"]).output().unwrap();
    let output = run();
    let report = json(&output);
    assert!(output.status.success(), "{report:#}");
    assert_eq!(report["problems"].as_array().unwrap().len(), 0);
    assert!(!report["gpus"].as_array().unwrap().is_empty());
    let test = &report["self_test"];
    assert!(test["softmax"]["max_relative_error"].as_f64().unwrap() < 1e-5, "{test:#}");
    assert_eq!(test["softmax"]["top"].as_array().unwrap().len(), 5);
    assert!(test["copy"]["gigabytes_per_second"].as_f64().unwrap() > 50.0, "{test:#}");
    assert!(test["matmul"]["teraflops"].as_f64().unwrap() > 1.0, "{test:#}");
    assert_eq!(json(&run())["self_test"]["softmax"], test["softmax"], "of fixed seed");
}

#[test]
fn an_empty_home_has_no_stacks() {
    let home = home();
    let output = ocelli(home.path(), &["stack", "list"]).output().unwrap();
    assert!(output.status.success());
    let text = text(&output.stdout);
    assert!(text.starts_with("no stacks in") && text.contains("ocelli stack install"), "{text}");
    let output = ocelli(home.path(), &["stack", "list", "--json"]).output().unwrap();
    assert_eq!(json(&output)["stacks"].as_array().unwrap().len(), 0);
    assert_eq!(home.path().read_dir().unwrap().count(), 0, "a look changes nothing");
}

#[test]
fn an_unknown_stack_cannot_be_used_or_removed() {
    let home = home();
    for action in ["use", "remove"] {
        let output = ocelli(home.path(), &["stack", action, "nope", "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        for said in [text(&output.stderr), json(&output)["error"].to_string()] {
            assert!(said.contains("no stack `nope`") && said.contains("ocelli stack install"), "{said}");
        }
    }
}

#[test]
fn stacks_are_listed_chosen_and_removed() {
    let home = home();
    for name in ["cuda12", "cuda13"] {
        let stack = home.path().join("stacks").join(name);
        std::fs::create_dir_all(stack.join("nvidia/cudnn/lib")).unwrap();
        std::fs::create_dir(stack.join("nvidia_cudnn_cu13-9.19.0.56.dist-info")).unwrap();
        std::fs::write(stack.join("nvidia/cudnn/lib/libcudnn.so.9"), vec![0; 2_500_000]).unwrap();
    }
    let run = |arguments: &[&str]| {
        let output = ocelli(home.path(), arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(run(&["stack", "list"]).starts_with("  cuda12  3 MB"));
    run(&["stack", "use", "cuda13"]);
    let list = run(&["stack", "list"]);
    assert!(list.contains("* cuda13  3 MB") && list.contains("    nvidia-cudnn-cu13 9.19.0.56"), "{list}");

    // The doctor sees what was chosen, and that it cannot serve.
    let doctor = without_driver(home.path(), &["doctor"]);
    assert!(text(&doctor.stdout).contains("(stack cuda13)"), "{}", text(&doctor.stdout));

    let output =
        ocelli(home.path(), &["stack", "use", "cuda13"]).env("OCELLI_STACK", "cuda12").output().unwrap();
    assert!(text(&output.stderr).contains("OCELLI_STACK is set to cuda12"));
    run(&["stack", "remove", "cuda13"]);
    run(&["stack", "remove", "cuda12"]);
    assert!(!home.path().join("stacks").exists(), "no trace is left");
}

#[test]
fn an_installation_without_pip_says_so_and_leaves_nothing() {
    let home = home();
    let empty = tempfile::tempdir().unwrap();
    let mut command = ocelli(home.path(), &["stack", "install", "mine", "--package", "nvidia-cudnn-cu13"]);
    let output = command.env("PATH", empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("install python3-pip"), "{}", text(&output.stderr));
    assert!(!home.path().join("stacks/mine").exists());
}

#[test]
fn a_wrong_command_line_is_an_error_that_leads_to_the_help() {
    for arguments in [&["heal"][..], &["stack", "use"], &["doctor", "--device", "x"]] {
        let output = ocelli(home().path(), arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("--help"), "{}", text(&output.stderr));
    }
}
