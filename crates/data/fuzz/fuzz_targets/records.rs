//! Any bytes, read as a record file: an answer, never a panic. The checksum of the index is put right first in a second
//! attempt, so that what lies behind it is reached.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use ocelli_data::records::Records;

/// Bytes of the foot, and those that its checksum covers.
const FOOT: usize = 48;
const FOOT_CHECKED: usize = 32;

fuzz_target!(|bytes: &[u8]| {
    read(bytes.to_vec());
    let mut whole = bytes.to_vec();
    if let Some(foot) = whole.len().checked_sub(FOOT)
        && let Some(&start) = whole[foot..].first_chunk()
        && let Ok(start) = usize::try_from(u64::from_le_bytes(start))
        && let Some(covered) = whole.get(start..foot + FOOT_CHECKED)
    {
        let crc = crc32c::crc32c(covered);
        whole[foot + FOOT_CHECKED..][..4].copy_from_slice(&crc.to_le_bytes());
        read(whole);
    }
});

fn read(bytes: Vec<u8>) {
    let Ok(records) = Records::from_bytes(bytes, Path::new("fuzzed")) else { return };
    assert_eq!(records.labels().len(), records.len());
    for index in 0..records.len() {
        assert!(records.name(index).is_some());
        let _ = records.get(index);
    }
    assert!(records.get(records.len()).is_err());
}
