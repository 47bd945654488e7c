//! CIFAR-10's binary form with a few images.

use std::fs;

use ocelli_data::cifar10::SIDE;
use tempfile::TempDir;

/// A label, then red, green and blue, each row by row: red counts images, green columns, blue rows.
pub(crate) fn record(label: u8, number: u8) -> Vec<u8> {
    let places = || (0..SIDE * SIDE).map(|place| (place / SIDE, place % SIDE));
    let mut record = vec![label];
    record.extend(places().map(|_| number));
    record.extend(places().map(|(_, column)| column as u8));
    record.extend(places().map(|(row, _)| 100 + row as u8));
    record
}

/// 15 images to train on, 2 to test on.
pub(crate) fn small_set() -> TempDir {
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
