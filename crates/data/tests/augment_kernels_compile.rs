//! The kernels of augmentation compile for every architecture, type and number of channels. No GPU is needed, only
//! NVRTC.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli_cuda::kernel::compile_cubin;
use ocelli_data::augment::kernel::kernel_source;
use ocelli_data::augment::{Element, Output};

fn compile(dtype: Element, channels: u32, architecture: &str) {
    let source = kernel_source(&Output { dtype, channels, ..Output::default() });
    let cubin = compile_cubin(&source, architecture).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(&cubin[..4], b"\x7fELF");
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC (set OCELLI_NVRTC)")]
fn every_type_and_number_of_channels_compiles() {
    for dtype in [Element::F16, Element::Bf16, Element::F32] {
        for channels in [3, 4, 8] {
            compile(dtype, channels, "sm_90");
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC (set OCELLI_NVRTC)")]
fn every_architecture_compiles() {
    for architecture in ["sm_75", "sm_80", "sm_86", "sm_89", "sm_100", "sm_120"] {
        compile(Element::F16, 4, architecture);
        compile(Element::Bf16, 3, architecture);
    }
}
