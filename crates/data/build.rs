//! Says which tests can run here (`ocelli_gpu`: a driver, `ocelli_nvjpeg`: nvJPEG, `ocelli_nvrtc`: a run-time compiler,
//! `ocelli_test_data`: real data, `ocelli_augment_golden`: torchvision's results), so that those that cannot are reported as
//! ignored. It links nothing.

use std::env;
use std::path::{Path, PathBuf};

/// Written by `tests/golden/augment/make.py`.
const GOLDEN: &str = "tests/golden/augment/torchvision.json";

fn main() {
    let variables = ["OCELLI_GPU", "OCELLI_NVJPEG", "OCELLI_NVRTC", "OCELLI_STACK", "OCELLI_TEST_DATA"];
    for name in variables.into_iter().chain(["CUDA_HOME", "CONDA_PREFIX", "LD_LIBRARY_PATH"]) {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=tests/golden/augment");
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let asked = env::var_os("OCELLI_GPU").is_some_and(|value| value == "1");
    let gpu = asked || ["/dev/nvidiactl", "/dev/nvidia0"].iter().any(|path| Path::new(path).exists());
    switch("ocelli_gpu", gpu);
    // A machine with a GPU need not have nvJPEG: training does without. Tests that are built for one elsewhere expect it.
    let stack = set("OCELLI_STACK");
    switch("ocelli_nvjpeg", asked || stack || set("OCELLI_NVJPEG") || is_installed("libnvjpeg.so"));
    switch("ocelli_nvrtc", gpu || stack || set("OCELLI_NVRTC") || is_installed("libnvrtc.so"));
    switch("ocelli_test_data", set("OCELLI_TEST_DATA"));
    switch("ocelli_augment_golden", Path::new(GOLDEN).exists());
}

fn switch(name: &str, on: bool) {
    println!("cargo:rustc-check-cfg=cfg({name})");
    if on {
        println!("cargo:rustc-cfg={name}");
    }
}

/// Whether a version of `file` lies in a usual place.
fn is_installed(file: &str) -> bool {
    let mut directories: Vec<PathBuf> =
        env::var_os("LD_LIBRARY_PATH").iter().flat_map(env::split_paths).collect();
    directories.extend(env::var_os("CUDA_HOME").map(|home| Path::new(&home).join("lib64")));
    directories.extend(env::var_os("CONDA_PREFIX").map(|prefix| Path::new(&prefix).join("lib")));
    directories
        .extend(["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/cuda/lib64"].map(PathBuf::from));
    let versions = ["", ".12", ".13"].map(|version| format!("{file}{version}"));
    directories.iter().any(|directory| versions.iter().any(|name| directory.join(name).exists()))
}
