//! Says which tests can run here (`ocelli_gpu`: a driver, `ocelli_nvjpeg`: nvJPEG, `ocelli_nvjpeg_header`: its header),
//! so that those that cannot are reported as ignored. It links nothing.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    let variables = ["OCELLI_GPU", "OCELLI_NVJPEG", "OCELLI_NVJPEG_INCLUDE", "OCELLI_STACK"];
    for name in variables.into_iter().chain(["CUDA_HOME", "CONDA_PREFIX", "LD_LIBRARY_PATH"]) {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let asked = env::var_os("OCELLI_GPU").is_some_and(|value| value == "1");
    let gpu = asked || ["/dev/nvidiactl", "/dev/nvidia0"].iter().any(|path| Path::new(path).exists());
    switch("ocelli_gpu", gpu);
    // A machine with a GPU need not have nvJPEG: training does without. Tests that are built for one elsewhere expect it.
    switch(
        "ocelli_nvjpeg",
        asked || set("OCELLI_NVJPEG") || set("OCELLI_STACK") || is_installed("libnvjpeg.so"),
    );
    switch("ocelli_nvjpeg_header", set("OCELLI_NVJPEG_INCLUDE"));
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
    let versions = [".12", ".13"].map(|version| format!("{file}{version}"));
    directories.iter().any(|directory| versions.iter().any(|name| directory.join(name).exists()))
}
