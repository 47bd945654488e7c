//! Which nvJPEG is opened, what it offers, and what is said when there is none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

use ocelli_cuda::Error;
use ocelli_cuda::library::Library;
use ocelli_nvjpeg_sys::{
    Handle, NVJPEG_BACKEND_DEFAULT, NVJPEG_BACKEND_HARDWARE, NVJPEG_BACKEND_HYBRID, NVJPEG_FLAGS_DEFAULT,
    NVJPEG_STATUS_ARCH_MISMATCH, NVJPEG_STATUS_SUCCESS, functions, status_name, version,
};

/// The C names of the table's functions: those that every library must have, and the newer ones.
fn symbols() -> (Vec<&'static str>, Vec<&'static str>) {
    fn named(text: &'static str) -> Vec<&'static str> {
        text.lines()
            .filter_map(|line| {
                line.split_once(" = nvjpeg").filter(|(field, _)| field.starts_with("        "))
            })
            .map(|(_, rest)| rest.split('(').next().unwrap())
            .collect()
    }
    let source = include_str!("../src/functions.rs");
    let (_, table) = source.split_once("\nfunctions! {").unwrap();
    let (required, newer) = table.split_once("\n    newer {").unwrap();
    (named(required), named(newer))
}

/// Builds a library of version 12.0.7 with those functions.
fn fake<'a>(directory: &Path, names: impl Iterator<Item = &'a str>) -> PathBuf {
    let mut code =
        "int nvjpegGetProperty(int p, int *v) { int n[] = {12, 0, 7}; *v = n[p]; return 0; }\n".to_owned();
    for name in names.filter(|&name| name != "GetProperty") {
        code += &format!("int nvjpeg{name}(void) {{ return 9; }}\n");
    }
    let (source, library) = (directory.join("fake.c"), directory.join("libnvjpeg.so.12"));
    fs::write(&source, code).unwrap();
    let built = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()))
        .args(["-shared", "-fPIC", "-Wl,-soname,libnvjpeg.so.12", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    library
}

/// What a process says that opens the library at `path`.
fn opened(path: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_opens", "--ignored", "--nocapture"])
        .env("OCELLI_NVJPEG", path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "started by the other tests of this file"]
fn child_that_opens() {
    match version() {
        Ok(version) => println!("version: {version:?}"),
        Err(error) => println!("no version: {error}"),
    }
    match functions() {
        Ok(functions) => println!("newer: {}", functions.encode.is_some()),
        Err(Error::LibraryNotFound { library: Library::Nvjpeg, searched, hint }) => {
            println!("not found: {searched:?}: {hint}");
        }
        Err(error) => println!("error: {error}"),
    }
}

#[test]
fn no_library_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("libnvjpeg.so.13");
    let said = opened(&path);
    for part in ["no version: nvJPEG was not found", "not found: ", path.to_str().unwrap(), "OCELLI_NVJPEG"] {
        assert!(said.contains(part), "{part:?} is missing from {said}");
    }
    fs::write(&path, "garbage").unwrap();
    let said = opened(&path);
    assert!(said.contains("error: nvJPEG at ") && said.contains("cannot be used"), "{said}");
}

#[test]
#[cfg_attr(ocelli_gpu, ignore = "runs where the tests are built for no GPU: needs a C compiler")]
fn a_library_of_12_0_serves_without_the_newer_functions() {
    let directory = tempfile::tempdir().unwrap();
    let (required, newer) = symbols();
    assert_eq!((required.len(), newer.len()), (74, 7));
    let said = opened(&fake(directory.path(), required.iter().copied()));
    assert!(said.contains("version: (12, 0, 7)") && said.contains("newer: false"), "{said}");
    let said = opened(&fake(directory.path(), required.iter().chain(&newer).copied()));
    assert!(said.contains("newer: true"), "{said}");
}

#[test]
#[cfg_attr(ocelli_gpu, ignore = "runs where the tests are built for no GPU: needs a C compiler")]
fn a_library_that_lacks_a_function_is_an_error_that_names_it_and_still_tells_its_version() {
    let directory = tempfile::tempdir().unwrap();
    let names = symbols().0.into_iter().filter(|&name| name != "DecodeBatchedEx");
    let said = opened(&fake(directory.path(), names));
    assert!(said.contains("version: (12, 0, 7)"), "{said}");
    assert!(
        said.contains("error: nvJPEG at ") && said.contains("no function `nvjpegDecodeBatchedEx`"),
        "{said}"
    );
}

#[test]
#[cfg_attr(not(ocelli_nvjpeg), ignore = "needs nvJPEG")]
fn every_function_is_found_that_the_version_has() {
    let functions = functions().unwrap();
    let (major, minor, _) = version().unwrap();
    assert!(major >= 12, "{major}.{minor}");
    for (since, found) in [
        ((12, 2), functions.jpeg_stream_get_sample_precision.is_some()),
        ((12, 3), functions.buffer_pinned_resize.is_some()),
        ((12, 3), functions.buffer_device_resize.is_some()),
        ((12, 4), functions.get_hardware_encoder_info.is_some()),
        ((12, 4), functions.encoder_state_create_with_backend.is_some()),
        ((12, 4), functions.encoder_params_set_restart_interval.is_some()),
        ((12, 4), functions.encode.is_some()),
    ] {
        assert_eq!(found, (major, minor) >= since, "{major}.{minor} against {since:?}");
    }
}

#[test]
#[cfg_attr(not(ocelli_nvjpeg), ignore = "needs nvJPEG")]
fn the_library_tells_its_version_and_the_runtimes() {
    let functions = functions().unwrap();
    let (mut major, mut runtime, mut nothing) = (0, 0, -1);
    // SAFETY: the calls write one number each, or return a status.
    let statuses = unsafe {
        [
            (functions.get_property)(0, &raw mut major),
            (functions.get_cudart_property)(0, &raw mut runtime),
            (functions.get_property)(3, &raw mut nothing),
        ]
    };
    assert_eq!(statuses[..2], [NVJPEG_STATUS_SUCCESS; 2]);
    assert_ne!(statuses[2], NVJPEG_STATUS_SUCCESS);
    assert!(major >= 12 && runtime >= 12, "{major}, {runtime}");
    assert_eq!(version().unwrap().0, major);
}

#[test]
#[cfg_attr(any(not(ocelli_nvjpeg), ocelli_gpu), ignore = "needs nvJPEG and no NVIDIA GPU")]
fn creating_a_handle_without_a_driver_is_a_status() {
    let functions = functions().unwrap();
    for backend in [NVJPEG_BACKEND_DEFAULT, NVJPEG_BACKEND_HYBRID, NVJPEG_BACKEND_HARDWARE] {
        let mut handle: Handle = ptr::null_mut();
        // SAFETY: null allocators are CUDA's; a handle is written on success only.
        let status = unsafe {
            (functions.create_ex)(
                backend,
                ptr::null_mut(),
                ptr::null_mut(),
                NVJPEG_FLAGS_DEFAULT,
                &raw mut handle,
            )
        };
        assert_eq!(status_name(status), Some("NVJPEG_STATUS_EXECUTION_FAILED"));
        assert!(handle.is_null());
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn the_hardware_decoder_is_described() {
    let functions = functions().unwrap();
    let mut handle: Handle = ptr::null_mut();
    let (mut engines, mut cores) = (u32::MAX, u32::MAX);
    // SAFETY: null allocators are CUDA's; the handle is used between its creation and its destruction.
    unsafe {
        let (device, pinned) = (ptr::null_mut(), ptr::null_mut());
        let created = (functions.create_ex)(
            NVJPEG_BACKEND_DEFAULT,
            device,
            pinned,
            NVJPEG_FLAGS_DEFAULT,
            &raw mut handle,
        );
        assert_eq!(status_name(created), Some("NVJPEG_STATUS_SUCCESS"));
        let status = (functions.get_hardware_decoder_info)(handle, &raw mut engines, &raw mut cores);
        println!("{status}: {engines} engines of {cores} cores");
        match status {
            NVJPEG_STATUS_SUCCESS => assert!(engines < 256 && cores < 256, "{engines}, {cores}"),
            // A GPU without engines.
            status => assert_eq!(status, NVJPEG_STATUS_ARCH_MISMATCH),
        }
        assert_eq!((functions.destroy)(handle), NVJPEG_STATUS_SUCCESS);
    }
}
