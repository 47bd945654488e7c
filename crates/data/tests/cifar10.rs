//! CIFAR-10's binary form, from files of the same make with a few images.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/cifar.rs"]
mod support;

use std::fs;
use std::path::Path;

use ocelli_data::cifar10::{self, SIDE};
use ocelli_data::images::Rgb;
use ocelli_data::{Encoded, Error, IGNORED, Result};
use support::{record, small_set};

#[test]
fn images_come_pixel_after_pixel_in_the_order_of_the_files() {
    let directory = small_set();
    let cifar = cifar10::read(directory.path()).unwrap();
    assert_eq!((cifar.train.len(), cifar.test.len()), (15, 2));
    assert_eq!((cifar.classes[0].as_str(), cifar.classes[9].as_str()), ("airplane", "truck"));
    let numbers: Vec<u8> = (0..15).map(|index| cifar.train.image(index).unwrap().pixels[0]).collect();
    assert_eq!(numbers, [10, 20, 21, 30, 31, 32, 40, 41, 42, 43, 50, 51, 52, 53, 54]);
    let labels: Vec<i32> = (0..15).map(|index| cifar.train.label(index)).collect();
    assert_eq!(labels, [1, 2, 3, 3, 4, 5, 4, 5, 6, 7, 5, 6, 7, 8, 9]);
    let image = cifar.test.image(1).unwrap();
    let pixel = |row: usize, column: usize| &image.pixels[3 * (row * SIDE + column)..][..3];
    assert_eq!(
        (pixel(0, 0), pixel(5, 7), pixel(31, 31)),
        (&[2, 0, 100][..], &[2, 7, 105][..], &[2, 31, 131][..])
    );
    assert_eq!(cifar.train.name(4), directory.path().join("data_batch_3.bin/1"));
    assert_eq!(cifar.train.label(15), IGNORED);
    assert!(cifar.train.image(15).is_none());
    let error = cifar.train.bytes(15).unwrap_err().to_string();
    assert!(error.contains("there is no image 15: there are 15"), "{error}");
    assert_eq!(cifar.train.name(0), directory.path().join("data_batch_1.bin/0"));
}

/// As files, the images are what they were.
#[test]
fn each_image_is_a_file_that_any_decoder_takes() {
    let directory = small_set();
    let cifar = cifar10::read(directory.path()).unwrap();
    for index in 0..cifar.train.len() {
        let decoded = Rgb::decode(&cifar.train.bytes(index).unwrap(), &cifar.train.name(index)).unwrap();
        assert_eq!(&decoded, cifar.train.image(index).unwrap());
    }
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
