//! CIFAR-10's binary form, from files of the same make with a few images.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use ocelli_data::cifar10::{self, SIDE};
use ocelli_data::images::{IGNORED, Images, Loader, LoaderConfig, Transform};
use ocelli_data::{Error, Result};
use tempfile::TempDir;

/// A label, then red, green and blue, each row by row: red counts images, green columns, blue rows.
fn record(label: u8, number: u8) -> Vec<u8> {
    let places = || (0..SIDE * SIDE).map(|place| (place / SIDE, place % SIDE));
    let mut record = vec![label];
    record.extend(places().map(|_| number));
    record.extend(places().map(|(_, column)| column as u8));
    record.extend(places().map(|(row, _)| 100 + row as u8));
    record
}

fn small_set() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for file in 1..=5u8 {
        let images = (0..file).flat_map(|image| record((file + image) % 10, 10 * file + image));
        fs::write(directory.path().join(format!("data_batch_{file}.bin")), images.collect::<Vec<u8>>())
            .unwrap();
    }
    fs::write(directory.path().join("test_batch.bin"), [record(9, 1), record(0, 2)].concat()).unwrap();
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    fs::write(directory.path().join("batches.meta.txt"), names).unwrap();
    directory
}

#[test]
fn images_come_pixel_after_pixel_in_the_order_of_the_files() {
    let directory = small_set();
    let cifar = cifar10::read(directory.path()).unwrap();
    assert_eq!((Images::len(&cifar.train), Images::len(&cifar.test)), (15, 2));
    assert_eq!((cifar.classes[0].as_str(), cifar.classes[9].as_str()), ("airplane", "truck"));
    let numbers: Vec<u8> = (0..15).map(|index| cifar.train.load(index).unwrap().pixels[0]).collect();
    assert_eq!(numbers, [10, 20, 21, 30, 31, 32, 40, 41, 42, 43, 50, 51, 52, 53, 54]);
    let labels: Vec<i32> = (0..15).map(|index| cifar.train.label(index)).collect();
    assert_eq!(labels, [1, 2, 3, 3, 4, 5, 4, 5, 6, 7, 5, 6, 7, 8, 9]);
    let image = cifar.test.load(1).unwrap();
    let pixel = |row: usize, column: usize| &image.pixels[3 * (row * SIDE + column)..][..3];
    assert_eq!(
        (pixel(0, 0), pixel(5, 7), pixel(31, 31)),
        (&[2, 0, 100][..], &[2, 7, 105][..], &[2, 31, 131][..])
    );
    assert_eq!(cifar.train.name(4), directory.path().join("data_batch_3.bin/1"));
    assert_eq!(cifar.train.label(15), IGNORED);
    assert!(cifar.train.load(15).unwrap_err().to_string().contains("there is no image 15: there are 15"));
    assert_eq!(cifar.train.name(0), directory.path().join("data_batch_1.bin/0"));
}

#[test]
fn a_loader_makes_batches_of_it() {
    let directory = small_set();
    let cifar = cifar10::read(directory.path()).unwrap();
    let config = LoaderConfig { batch: 4, ..LoaderConfig::default() };
    let loader = Loader::new(cifar.train, Transform::cifar_evaluation(SIDE), config).unwrap();
    let labels: Vec<i32> = loader.epoch(0).flat_map(|batch| batch.unwrap().labels).collect();
    assert_eq!(labels[..15], [1, 2, 3, 3, 4, 5, 4, 5, 6, 7, 5, 6, 7, 8, 9]);
}

fn refused(change: impl FnOnce(&Path)) -> Error {
    let directory = small_set();
    change(directory.path());
    let read: Result<_> = cifar10::read(directory.path());
    read.unwrap_err()
}

#[test]
fn what_is_wrong_is_named() {
    let error = refused(|path| fs::remove_file(path.join("data_batch_4.bin")).unwrap());
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("data_batch_4.bin")), "{error}");
    for length in [0, 1, 3072, 2 * 3073 - 1] {
        let error = refused(|path| {
            let file = path.join("test_batch.bin");
            let bytes = fs::read(&file).unwrap();
            fs::write(file, &bytes[..length]).unwrap();
        });
        let message = error.to_string();
        assert!(message.contains("test_batch.bin") && message.contains("a multiple of 3073"), "{message}");
    }
    let error = refused(|path| {
        fs::write(path.join("data_batch_2.bin"), [record(0, 0), record(10, 0)].concat()).unwrap()
    });
    assert!(error.to_string().contains("label of image 1: expected 0 to 9, found 10"), "{error}");
    let error = refused(|path| fs::write(path.join("batches.meta.txt"), "cat dog").unwrap());
    assert!(error.to_string().contains("number of names: expected 10, found 2"), "{error}");
    let error = refused(|path| fs::write(path.join("batches.meta.txt"), [0xff]).unwrap());
    assert!(matches!(error, Error::Io { .. }), "{error}");
}
