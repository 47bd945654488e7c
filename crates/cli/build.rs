//! Says whether there is a GPU to test on (`ocelli_gpu`), so that tests which need one, or none, are ignored elsewhere.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=OCELLI_GPU");
    println!("cargo:rustc-check-cfg=cfg(ocelli_gpu)");
    let asked = env::var_os("OCELLI_GPU").is_some_and(|value| value == "1");
    if asked || ["/dev/nvidiactl", "/dev/nvidia0"].iter().any(|path| Path::new(path).exists()) {
        println!("cargo:rustc-cfg=ocelli_gpu");
    }
}
