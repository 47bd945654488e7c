//! Which libcuda is called, and what comes of one that cannot serve, with stand-ins made by the C compiler.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ocelli_cuda::Device;

/// Functions that the runtime looks up: the lines of its table.
fn functions() -> impl Iterator<Item = &'static str> {
    let lines = include_str!("../src/driver.rs").lines();
    let table = lines.skip_while(|line| *line != "table! {").skip(1).take_while(|line| *line != "}");
    table.filter_map(|line| line.strip_prefix("    cu")?.split_once('(')).map(|(name, _)| name)
}

/// Builds `directory/file`, which states `version` and lets `cuInit` return `status`; without `missing`.
fn fake(directory: &Path, file: &str, version: i32, status: i32, missing: &str) -> PathBuf {
    let mut code = format!(
        "int cuDriverGetVersion(int *v) {{ *v = {version}; return 0; }}
int cuInit(unsigned f) {{ return {status}; }}
int cuDeviceGetCount(int *n) {{ *n = 0; return 0; }}
int cuGetErrorName(int e, const char **p) {{ *p = e == 100 ? \"CUDA_ERROR_NO_DEVICE\" : 0; return 0; }}
int cuGetErrorString(int e, const char **p) {{ *p = e == 100 ? \"no device\" : 0; return 0; }}\n"
    );
    for name in functions().filter(|name| *name != missing) {
        if !code.contains(&format!("cu{name}(")) {
            code += &format!("int cu{name}(void) {{ return 999; }}\n");
        }
    }
    fs::create_dir_all(directory).unwrap();
    let (source, library) = (directory.join("fake.c"), directory.join(file));
    fs::write(&source, code).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    library
}

/// What a process says that counts the GPUs with `cuda` chosen and `on_path` on the loader's path.
fn count_with(cuda: &Path, on_path: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_counts", "--ignored", "--nocapture"])
        .env("OCELLI_CUDA", cuda)
        .env("LD_LIBRARY_PATH", on_path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "started by the other tests of this file"]
fn child_that_counts() {
    match Device::count() {
        Ok(count) => println!("count: {count}"),
        Err(error) => println!("error: {error}"),
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut mapped: Vec<&str> = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| path.contains("libcuda.so"))
        .collect();
    mapped.dedup();
    println!("mapped: {mapped:?}");
}

#[test]
#[cfg_attr(ocelli_gpu, ignore = "runs where the tests are built for no GPU: needs a C compiler")]
fn the_chosen_driver_is_called_and_no_other_is_mapped() {
    let directory = tempfile::tempdir().unwrap();
    let chosen = fake(&directory.path().join("chosen"), "libcuda.so.1", 13000, 0, "");
    let other = fake(&directory.path().join("other"), "libcuda.so", 11000, 0, "");
    let said = count_with(&chosen, other.parent().unwrap());
    assert!(said.contains("count: 0"), "{said}");
    assert!(said.contains(&format!("mapped: [{:?}]", fs::canonicalize(&chosen).unwrap())), "{said}");
}

#[test]
#[cfg_attr(ocelli_gpu, ignore = "runs where the tests are built for no GPU: needs a C compiler")]
fn a_driver_that_cannot_serve_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let cases = [
        (
            fake(&at("none"), "libcuda.so.1", 13000, 100, ""),
            ["cuInit", "no device (CUDA_ERROR_NO_DEVICE, 100)"],
        ),
        (fake(&at("new"), "libcuda.so.1", 13000, 4242, ""), ["cuInit", "(unknown, 4242)"]),
        (fake(&at("old"), "libcuda.so.1", 11080, 0, ""), ["CUDA 11.8", "12.0"]),
        (fake(&at("cut"), "libcuda.so.1", 13000, 0, "GraphLaunch"), ["cuGraphLaunch", "libcuda.so.1"]),
    ];
    for (library, parts) in cases {
        let said = count_with(&library, Path::new(""));
        for part in parts {
            assert!(said.contains("error: ") && said.contains(part), "{part:?} is missing from {said}");
        }
    }
}

#[test]
#[cfg_attr(ocelli_gpu, ignore = "runs where the tests are built for no GPU: needs a C compiler")]
fn no_driver_is_an_error_that_names_the_library() {
    let directory = tempfile::tempdir().unwrap();
    let said = count_with(&directory.path().join("libcuda.so.1"), Path::new(""));
    assert!(said.contains("error: ") && said.to_lowercase().contains("cuda"), "{said}");
}
