//! Photographs, where `OCELLI_TEST_DATA` was set to a directory that holds `imagenet-sample-500.tar` and
//! `cifar10-jpeg.tar.xz` when the tests were built.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail loudly")]

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use image::ImageReader;
use ocelli_data::jpeg::{ColourSpace, Header, Route};
use tempfile::TempDir;

/// The files of an archive, unpacked.
fn unpack(archive: &str) -> (TempDir, Vec<PathBuf>) {
    let archive = PathBuf::from(env::var_os("OCELLI_TEST_DATA").unwrap()).join(archive);
    let directory = tempfile::tempdir().unwrap();
    let tar = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(directory.path()).status();
    assert!(tar.unwrap().success());
    let mut files = Vec::new();
    list(directory.path(), &mut files);
    files.sort();
    (directory, files)
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
}

#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA")]
fn photographs_have_the_headers_that_a_decoder_finds() {
    let (_directory, files) = unpack("imagenet-sample-500.tar");
    assert_eq!(files.len(), 500);
    let (mut routes, mut qualities) = (BTreeMap::new(), 0);
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let header = Header::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().unwrap();
        let dimensions = reader.into_dimensions().unwrap();
        assert_eq!((header.width.into(), header.height.into()), dimensions, "{}", file.display());
        assert_eq!(header.components().len() == 1, header.colour_space == ColourSpace::Grey);
        assert!(header.complete, "{}", file.display());
        let route = match header.route() {
            Route::Hardware => "hardware".to_string(),
            Route::Cuda(reason) => format!("cuda: {reason}"),
            Route::Host(reason) => format!("host: {reason}"),
        };
        *routes.entry(route).or_insert(0) += 1;
        qualities += usize::from(header.quality.is_some());
        // A large EXIF segment may fill more than half of a file.
        let half = Header::parse(&bytes[..bytes.len() / 2]);
        assert!(half.is_err() || half.is_ok_and(|half| !half.complete), "{}", file.display());
    }
    println!("{routes:?}, {qualities} with a quality");
    assert!(routes.get("hardware").is_some_and(|&count| count > 400), "{routes:?}");
}

#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA")]
fn small_photographs_are_of_the_quality_that_they_were_made_with() {
    let (_directory, files) = unpack("cifar10-jpeg.tar.xz");
    assert_eq!(files.len(), 60_000);
    for file in files {
        let header = Header::parse(&fs::read(&file).unwrap()).unwrap();
        assert_eq!((header.width, header.height, header.quality), (32, 32, Some(75)), "{}", file.display());
        assert_eq!(header.route(), Route::Hardware, "{}", file.display());
    }
}
