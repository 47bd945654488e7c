//! Any bytes, read as a file of weights, into a network that has the file's own tensors: an answer, never a panic. The
//! length of the head is put right in a second attempt, so that what lies behind it is reached.

#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ocelli_core::Shape;
use ocelli_core::init::{Fans, Init};
use ocelli_core::nn::Params;
use ocelli_format::safetensors::Weights;
use tempfile::NamedTempFile;

static FILE: LazyLock<NamedTempFile> = LazyLock::new(|| NamedTempFile::new().expect("a temporary file"));

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // The first byte says how many follow the head.
    if let Some((&after, rest)) = bytes.split_first() {
        let length = rest.len().saturating_sub(after.into());
        read(&[&(length as u64).to_le_bytes(), rest].concat());
    }
});

fn read(bytes: &[u8]) {
    let path: &Path = FILE.path();
    fs::write(path, bytes).expect("a temporary file can be written");
    let Ok(mut weights) = Weights::open(path) else { return };
    let params = Params::zeroed(&ocelli_oracle::device());
    for name in weights.names() {
        let Some(extents) = weights.extents(name) else { panic!("{name:?} is named and not there") };
        let shape = match *extents {
            [k, c, r, s] => Shape::new(&[k, r, s, c]),
            _ => Shape::new(extents),
        };
        // The oracle keeps 8 bytes for an element that may have half of one in the file.
        if let Some(shape) = shape.filter(|shape| shape.elements() <= 2 * bytes.len()) {
            let fans = Fans { fan_in: 1, fan_out: 1 };
            params.buffer(name, shape, fans, Init::Constant(0.0)).expect("names differ");
        }
    }
    // Types may be wrong, and tensors may have more than four extents.
    let _ = weights.load(&params);
}
