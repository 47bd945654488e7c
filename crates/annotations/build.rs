//! Turns on the tests on real data where `OCELLI_TEST_DATA` names it, so that they are reported as ignored elsewhere.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(ocelli_test_data)");
    println!("cargo:rerun-if-env-changed=OCELLI_TEST_DATA");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("OCELLI_TEST_DATA").is_some_and(|directory| !directory.is_empty()) {
        println!("cargo:rustc-cfg=ocelli_test_data");
    }
}
