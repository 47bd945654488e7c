//! Says whether there is a GPU to test on (`ocelli_gpu`) and a run-time compiler (`ocelli_nvrtc`), so that tests which
//! need one, or no GPU, are ignored elsewhere.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in ["OCELLI_GPU", "OCELLI_NVRTC"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let asked = env::var_os("OCELLI_GPU").is_some_and(|value| value == "1");
    let gpu = asked || ["/dev/nvidiactl", "/dev/nvidia0"].iter().any(|path| Path::new(path).exists());
    switch("ocelli_gpu", gpu);
    switch("ocelli_nvrtc", gpu || env::var_os("OCELLI_NVRTC").is_some_and(|value| !value.is_empty()));
}

fn switch(name: &str, on: bool) {
    println!("cargo:rustc-check-cfg=cfg({name})");
    if on {
        println!("cargo:rustc-cfg={name}");
    }
}
