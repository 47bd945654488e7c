//! The program that the tests run, and what it prints.

use std::path::PathBuf;

/// The program where it was built, or where `scripts/bundle-gpu.sh` has put it: in `bin` beside the tests' directory.
pub(crate) fn program() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_ocelli"));
    if built.exists() {
        return built;
    }
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("bin/ocelli")
}

/// What a program printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
