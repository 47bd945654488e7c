//! Says which tests can run here (`ocelli_gpu`: a driver, `ocelli_nvrtc`: a run-time compiler, `ocelli_test_data`: real
//! data, `ocelli_augment_golden`: torchvision's results), so that those that cannot are reported as ignored. It links
//! nothing.

use std::env;
use std::path::Path;

/// Written by `tests/golden/augment/make.py`.
const GOLDEN: &str = "tests/golden/augment/torchvision.json";

fn main() {
    for name in ["OCELLI_GPU", "OCELLI_NVRTC", "OCELLI_STACK", "OCELLI_TEST_DATA"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=tests/golden/augment");
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let gpu = env::var_os("OCELLI_GPU").is_some_and(|value| value == "1")
        || ["/dev/nvidiactl", "/dev/nvidia0"].iter().any(|path| Path::new(path).exists());
    switch("ocelli_gpu", gpu);
    switch("ocelli_nvrtc", gpu || set("OCELLI_NVRTC") || set("OCELLI_STACK"));
    switch("ocelli_test_data", set("OCELLI_TEST_DATA"));
    switch("ocelli_augment_golden", Path::new(GOLDEN).exists());
}

fn switch(name: &str, on: bool) {
    println!("cargo:rustc-check-cfg=cfg({name})");
    if on {
        println!("cargo:rustc-cfg={name}");
    }
}
