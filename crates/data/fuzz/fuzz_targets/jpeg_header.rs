//! Any bytes, read as the header of a JPEG file: an answer, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_data::jpeg::{Header, with_metadata};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = Header::parse(bytes) {
        assert!(header.width > 0 && header.height > 0 && header.scans > 0);
        assert!((1..=4).contains(&header.components().len()));
        header.route();
        // Its own metadata, taken from it and put back, changes nothing that the header says.
        let again = with_metadata(bytes, bytes).and_then(|file| Header::parse(&file));
        assert_eq!(again, Ok(header));
    }
});
