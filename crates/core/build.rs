//! Finds out whether the tests that need an NVIDIA GPU, NVRTC or cuDNN can run here, so that they are reported as ignored
//! where they cannot. It links nothing and needs no CUDA toolkit.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(ocelli_gpu)");
    println!("cargo:rustc-check-cfg=cfg(ocelli_nvrtc)");
    println!("cargo:rustc-check-cfg=cfg(ocelli_cudnn)");
    println!("cargo:rerun-if-env-changed=OCELLI_GPU");
    println!("cargo:rerun-if-env-changed=OCELLI_NVRTC");
    println!("cargo:rerun-if-env-changed=OCELLI_CUDNN");
    let driver = ["/dev/nvidiactl", "/dev/nvidia0"].iter().any(|device| Path::new(device).exists());
    // Set where the tests are built on one machine and run on another.
    let gpu = driver || env::var_os("OCELLI_GPU").is_some_and(|value| value == "1");
    if gpu {
        println!("cargo:rustc-cfg=ocelli_gpu");
    }
    if gpu || env::var_os("OCELLI_NVRTC").is_some_and(|path| !path.is_empty()) {
        println!("cargo:rustc-cfg=ocelli_nvrtc");
    }
    if gpu || env::var_os("OCELLI_CUDNN").is_some_and(|path| !path.is_empty()) {
        println!("cargo:rustc-cfg=ocelli_cudnn");
    }
}
