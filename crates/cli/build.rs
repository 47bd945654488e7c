//! Says whether there is a GPU to test on (`ocelli_gpu`), a run-time compiler (`ocelli_nvrtc`), nvJPEG (`ocelli_nvjpeg`)
//! and real data (`ocelli_test_data`), so that tests which need one, or no GPU, are ignored elsewhere.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in ["OCELLI_GPU", "OCELLI_NVJPEG", "OCELLI_NVRTC", "OCELLI_STACK", "OCELLI_TEST_DATA"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let asked = env::var_os("OCELLI_GPU").is_some_and(|value| value == "1");
    let gpu = asked || ["/dev/nvidiactl", "/dev/nvidia0"].iter().any(|path| Path::new(path).exists());
    switch("ocelli_gpu", gpu);
    switch("ocelli_nvrtc", gpu || set("OCELLI_NVRTC"));
    // A machine with a GPU need not have nvJPEG: training does without.
    switch("ocelli_nvjpeg", set("OCELLI_NVJPEG") || set("OCELLI_STACK"));
    switch("ocelli_test_data", set("OCELLI_TEST_DATA"));
}

fn switch(name: &str, on: bool) {
    println!("cargo:rustc-check-cfg=cfg({name})");
    if on {
        println!("cargo:rustc-cfg={name}");
    }
}
