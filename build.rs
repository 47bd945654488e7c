//! Finds out whether the tests that need an NVIDIA GPU, or real data, can run here, so that they are reported as
//! ignored where they cannot. It links nothing and needs no CUDA toolkit.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");

    println!("cargo:rustc-check-cfg=cfg(ocelli_gpu)");
    println!("cargo:rerun-if-env-changed=OCELLI_GPU");
    let driver = ["/dev/nvidiactl", "/dev/nvidia0"].iter().any(|device| Path::new(device).exists());
    // Set where the tests are built on one machine and run on another.
    let asked_for = env::var_os("OCELLI_GPU").is_some_and(|value| value == "1");
    if driver || asked_for {
        println!("cargo:rustc-cfg=ocelli_gpu");
    }

    println!("cargo:rustc-check-cfg=cfg(ocelli_test_data)");
    println!("cargo:rerun-if-env-changed=OCELLI_TEST_DATA");
    if env::var_os("OCELLI_TEST_DATA").is_some_and(|directory| !directory.is_empty()) {
        println!("cargo:rustc-cfg=ocelli_test_data");
    }
}
