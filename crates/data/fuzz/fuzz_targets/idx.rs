//! Any bytes, read as images and as labels: an answer, never a panic, and no more memory than the bytes unpack to.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ocelli_data::idx;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzzed");
    if let Ok(images) = idx::parse::<3>(bytes, path) {
        assert_eq!(images.data.len(), images.dimensions.iter().product::<usize>());
    }
    if let Ok(labels) = idx::parse::<1>(bytes, path) {
        assert_eq!(labels.data.len(), labels.dimensions[0]);
    }
});
