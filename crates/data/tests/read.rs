//! MNIST files read from disk: every allowed form, and every kind of damage.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail loudly")]

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};
use ocelli_data::{Error, idx, mnist};
use tempfile::TempDir;

fn idx_file(magic: u32, dimensions: &[u32], data: &[u8]) -> Vec<u8> {
    let mut file = magic.to_be_bytes().to_vec();
    file.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
    file.extend(data);
    file
}

fn images(count: u32) -> Vec<u8> {
    idx_file(0x803, &[count, 2, 3], &(0..count as usize * 6).map(|i| i as u8).collect::<Vec<_>>())
}

fn labels(labels: &[u8]) -> Vec<u8> {
    idx_file(0x801, &[labels.len() as u32], labels)
}

fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

/// A sound set of three and two images, with the named file replaced.
fn set_with(name: &str, contents: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, contents: &[u8]| fs::write(directory.path().join(name), contents).unwrap();
    write("train-images-idx3-ubyte", &images(3));
    write("train-labels-idx1-ubyte", &labels(&[7, 0, 9]));
    write("t10k-images-idx3-ubyte", &images(2));
    write("t10k-labels-idx1-ubyte", &labels(&[1, 2]));
    write(name, contents);
    directory
}

/// The message of the error that reading this file in a set gives, its path cut off.
fn complaint(name: &str, contents: &[u8]) -> String {
    let directory = set_with(name, contents);
    let error = mnist::read(directory.path()).unwrap_err();
    let Error::Malformed { path, what, expected, found } = &error else { panic!("{error:?}") };
    assert_eq!(path, &directory.path().join(name));
    format!("{what}: expected {expected}, found {found}")
}

#[test]
fn a_set_is_read() {
    let set = mnist::read(set_with("train-labels-idx1-ubyte", &labels(&[7, 0, 9])).path()).unwrap();
    assert_eq!((set.train.count, set.train.rows, set.train.columns), (3, 2, 3));
    assert_eq!(set.train.images, (0..18).collect::<Vec<u8>>());
    assert_eq!(set.train.labels, [7, 0, 9]);
    assert_eq!((set.test.count, set.test.labels), (2, vec![1, 2]));
}

#[test]
fn names_and_compression_may_vary_and_contents_decide() {
    let expected = mnist::read(set_with("unrelated", b"").path()).unwrap();
    for (name, contents) in [
        ("train-images.idx3-ubyte", images(3)),
        ("train-images-idx3-ubyte.gz", gzip(&images(3))),
        ("train-images.idx3-ubyte.gz", gzip(&images(3))),
        ("train-images-idx3-ubyte", gzip(&images(3))),
        ("train-images-idx3-ubyte.gz", images(3)),
    ] {
        let directory = set_with("unrelated", b"");
        fs::remove_file(directory.path().join("train-images-idx3-ubyte")).unwrap();
        fs::write(directory.path().join(name), contents).unwrap();
        assert_eq!(mnist::read(directory.path()).unwrap(), expected, "{name}");
    }
}

#[test]
fn a_missing_file_or_directory_is_named() {
    let directory = set_with("unrelated", b"");
    fs::remove_file(directory.path().join("t10k-labels-idx1-ubyte")).unwrap();
    let error = mnist::read(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Missing { file: "t10k-labels-idx1-ubyte", .. }), "{error}");
    assert!(matches!(mnist::read(Path::new("/nowhere")), Err(Error::Missing { .. })));
    assert!(matches!(idx::read::<1>(Path::new("/nowhere")), Err(Error::Io { action: "open", .. })));
}

#[test]
fn a_mislabelled_file_is_recognised() {
    assert_eq!(
        complaint("train-images-idx3-ubyte", &labels(&[1, 2, 3])),
        "magic number: expected 0x00000803 (images), found 0x00000801 (labels)"
    );
    assert_eq!(
        complaint("t10k-labels-idx1-ubyte", &gzip(&images(2))),
        "magic number: expected 0x00000801 (labels), found 0x00000803 (images)"
    );
    assert_eq!(
        complaint("train-images-idx3-ubyte", b"\x89PNG and so on"),
        "magic number: expected 0x00000803 (images), found 0x89504e47"
    );
}

#[test]
fn a_file_cut_short_is_an_error_at_every_length() {
    let whole = images(3);
    for length in 0..whole.len() {
        let complaint = complaint("train-images-idx3-ubyte", &whole[..length]);
        let expected =
            if length < 16 { "contents: expected a complete file" } else { "values: expected 18, found" };
        assert!(complaint.starts_with(expected), "{length}: {complaint}");
    }
    let whole = gzip(&images(3));
    for length in 0..whole.len() {
        complaint("train-images-idx3-ubyte", &whole[..length]);
    }
}

#[test]
fn values_after_the_end_are_an_error() {
    let long = [images(3), vec![0]].concat();
    assert_eq!(complaint("train-images-idx3-ubyte", &long), "values: expected 18, found more");
    assert_eq!(complaint("train-images-idx3-ubyte", &gzip(&long)), "values: expected 18, found more");
    let garbage_after_gzip = [gzip(&images(3)), vec![1, 2, 3]].concat();
    complaint("train-images-idx3-ubyte", &garbage_after_gzip);
}

#[test]
fn a_gzip_checksum_that_differs_is_an_error() {
    let mut file = gzip(&images(3));
    let checksum = file.len() - 8;
    file[checksum] ^= 1;
    assert!(complaint("train-images-idx3-ubyte", &file).starts_with("contents: expected an undamaged gzip"));
}

#[test]
fn numbers_sizes_and_labels_must_agree() {
    assert_eq!(
        complaint("train-labels-idx1-ubyte", &labels(&[7, 0])),
        "number of labels: expected 3, one for each image, found 2"
    );
    assert_eq!(
        complaint("train-labels-idx1-ubyte", &labels(&[7, 10, 200])),
        "label of image 1: expected 0 to 9, found 10"
    );
    assert_eq!(
        complaint("t10k-images-idx3-ubyte", &idx_file(0x803, &[2, 1, 1], &[0, 0])),
        "image size: expected 2 x 3 as in the training set, found 1 x 1"
    );
}

#[test]
fn a_size_that_the_file_cannot_hold_allocates_nothing() {
    for dimensions in [[u32::MAX; 3], [0; 3], [3, 0, 3], [1 << 30, 1, 2]] {
        let complaint = complaint("train-images-idx3-ubyte", &idx_file(0x803, &dimensions, &[0; 18]));
        assert!(complaint.starts_with("dimensions: expected 1 to 1073741824 values"), "{complaint}");
    }
    // Within the limit, but not there: read_to_end takes what comes, which the length in the message proves.
    assert_eq!(
        complaint("train-images-idx3-ubyte", &idx_file(0x803, &[1 << 30, 1, 1], &[0; 18])),
        "values: expected 1073741824, found 18"
    );
}

#[test]
fn a_gzip_bomb_is_read_no_further_than_its_header_says() {
    let bomb = gzip(&[images(3), vec![0; 64 << 20]].concat());
    assert!(bomb.len() < 1 << 20);
    assert_eq!(complaint("train-images-idx3-ubyte", &bomb), "values: expected 18, found more");
}

/// Random cuts and bit flips, by a fixed sequence: whatever comes out, it is an answer.
#[test]
fn random_damage_never_panics() {
    let mut state = 1u64;
    let mut random = move |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    };
    let sound = [images(3), gzip(&images(3)), labels(&[1, 2, 3]), gzip(&labels(&[1, 2, 3]))];
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut file = sound[random(sound.len())].clone();
        for _ in 0..=random(4) {
            let index = random(file.len());
            file[index] ^= 1 << random(8);
        }
        file.truncate(random(2 * file.len()).max(1));
        let path = Path::new("damaged");
        match (idx::parse::<3>(file.as_slice(), path), idx::parse::<1>(file.as_slice(), path)) {
            (Ok(array), _) => assert_eq!(array.data.len(), array.dimensions.iter().product::<usize>()),
            (_, Ok(array)) => assert_eq!(array.data.len(), array.dimensions[0]),
            (Err(_), Err(_)) => refused += 1,
        }
    }
    // Flips in the values of a plain file cannot be noticed; everything else must be.
    assert!((10_000..20_000).contains(&refused), "{refused} of 20,000 refused");
}
