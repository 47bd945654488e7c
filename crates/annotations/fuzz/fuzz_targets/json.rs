//! Any bytes, read as JSON: an answer, never a panic; what is accepted is what another parser accepts, but for Python's
//! NaN and infinities and for what is nested deeper than either goes; and what is kept is the same value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_annotations::json::Reader;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::new(bytes);
    let mut raw = Vec::new();
    let accepted = reader.raw(&mut raw).and_then(|()| reader.finish()).is_ok();
    let mut again = Reader::new(bytes);
    assert_eq!(accepted, again.skip().and_then(|()| again.finish()).is_ok());
    let text = String::from_utf8_lossy(bytes);
    if text.contains("NaN") || text.contains("Infinity") || text.matches(['[', '{']).count() > 100 {
        return;
    }
    let expected: Result<serde_json::Value, _> = serde_json::from_slice(bytes);
    assert_eq!(accepted, expected.is_ok(), "{expected:?}");
    if let Ok(expected) = expected {
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&raw).ok(), Some(expected));
    }
});
