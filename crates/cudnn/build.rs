//! Says whether tests can use a GPU (`ocelli_gpu`) and whether they can open cuDNN (`ocelli_cudnn`), so that those that
//! cannot run are reported as ignored. It links nothing.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rustc-check-cfg=cfg(ocelli_gpu)");
    println!("cargo:rustc-check-cfg=cfg(ocelli_cudnn)");
    for name in ["OCELLI_GPU", "OCELLI_CUDNN", "OCELLI_STACK", "CUDA_HOME", "CONDA_PREFIX", "LD_LIBRARY_PATH"]
    {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let gpu = env::var_os("OCELLI_GPU").is_some_and(|value| value == "1")
        || ["/dev/nvidiactl", "/dev/nvidia0"].iter().any(|path| Path::new(path).exists());
    if gpu {
        println!("cargo:rustc-cfg=ocelli_gpu");
    }
    if gpu
        || env::var_os("OCELLI_CUDNN").is_some()
        || env::var_os("OCELLI_STACK").is_some()
        || cudnn_is_installed()
    {
        println!("cargo:rustc-cfg=ocelli_cudnn");
    }
}

/// Whether a libcudnn lies in a usual place.
fn cudnn_is_installed() -> bool {
    let mut directories: Vec<_> = env::var_os("LD_LIBRARY_PATH").iter().flat_map(env::split_paths).collect();
    directories.extend(env::var_os("CUDA_HOME").map(|home| Path::new(&home).join("lib64")));
    directories.extend(env::var_os("CONDA_PREFIX").map(|prefix| Path::new(&prefix).join("lib")));
    directories
        .extend(["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/cuda/lib64"].map(|path| path.into()));
    directories.iter().any(|directory| directory.join("libcudnn.so.9").exists())
}
