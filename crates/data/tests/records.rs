//! Record files: written, read, damaged, cut short, forged.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ocelli_data::images::{ImageFolder, Rgb};
use ocelli_data::records::{Records, VERSION, Writer, pack};
use ocelli_data::{Encoded, Error, IGNORED};
use tempfile::TempDir;

type Record = (Vec<u8>, i32, &'static str);

fn classes() -> Vec<String> {
    ["ant", "bee", "cat"].map(String::from).to_vec()
}

fn samples() -> Vec<Record> {
    let long: Vec<u8> = (0..100_000u32).map(|value| (value.wrapping_mul(value) >> 5) as u8).collect();
    vec![
        (b"first".to_vec(), 2, "cat/0.jpg"),
        (Vec::new(), 0, "ant/empty.jpg"),
        (long, 1, "bee/gro\u{df}.jpg"),
        (b"last".to_vec(), 2, ""),
    ]
}

fn write(path: &Path, classes: &[String], samples: &[Record]) {
    let mut writer = Writer::create(path, classes).unwrap();
    for (bytes, label, name) in samples {
        writer.write(bytes, *label, name).unwrap();
    }
    writer.finish().unwrap();
}

/// A file with some records, and its bytes.
fn file() -> (TempDir, PathBuf, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("train.records");
    write(&path, &classes(), &samples());
    let bytes = fs::read(&path).unwrap();
    (directory, path, bytes)
}

fn from_bytes(bytes: &[u8]) -> Result<Records, Error> {
    Records::from_bytes(bytes.to_vec(), "some.records".as_ref())
}

/// The error of bytes, as text that must name the file.
fn error(bytes: &[u8]) -> String {
    let error = from_bytes(bytes).unwrap_err().to_string();
    assert!(error.contains("some.records"), "{error}");
    error
}

/// A file by hand: entries as (offset, length, label, CRC-32C, end of the name).
fn forge(data: &[u8], entries: &[(u64, u32, i32, u32, u32)], names: &[u8], classes: &[u8]) -> Vec<u8> {
    let head = [b"OCELLIRC", &1u32.to_le_bytes()[..], &[0; 4], data].concat();
    let tail = tail(head.len() as u64, entries, names, classes);
    [head, tail].concat()
}

/// What follows the records, which end at `index`.
fn tail(index: u64, entries: &[(u64, u32, i32, u32, u32)], names: &[u8], classes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (offset, length, label, crc, name_end) in entries {
        bytes.extend(offset.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(label.to_le_bytes());
        bytes.extend(crc.to_le_bytes());
        bytes.extend(name_end.to_le_bytes());
    }
    bytes.extend(names);
    bytes.extend(classes);
    for number in [index, entries.len() as u64, names.len() as u64, classes.len() as u64] {
        bytes.extend(number.to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes);
    [&bytes[..], &crc.to_le_bytes(), &[0; 4], b"CRILLECO"].concat()
}

#[test]
fn what_was_written_is_read() {
    let (_directory, path, bytes) = file();
    for records in [Records::open(&path).unwrap(), from_bytes(&bytes).unwrap()] {
        assert_eq!((records.len(), records.is_empty()), (4, false));
        assert_eq!(records.classes(), classes());
        assert!(records.labels().eq([2, 0, 1, 2]));
        for (index, (bytes, label, name)) in samples().into_iter().enumerate() {
            assert_eq!(records.get(index).unwrap(), bytes);
            assert_eq!(records.name(index), Some(name));
            assert_eq!(Encoded::label(&records, index), label);
        }
        assert_eq!(records.name(4), None);
        assert_eq!(Encoded::label(&records, 4), IGNORED);
        let error = records.get(4).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }), "{error}");
    }
    let records: Box<dyn Encoded> = Box::new(Records::open(&path).unwrap());
    assert_eq!((records.len(), records.is_empty()), (4, false));
    assert_eq!(*records.bytes(0).unwrap(), *b"first");
    assert_eq!(records.name(0), path.join("cat/0.jpg"));
}

#[test]
fn the_format_is_the_documented_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    write(&path, &["a".into(), "bc".into()], &[(b"123456789".to_vec(), 1, "n"), (vec![], 0, "om")]);
    // The check value of CRC-32C.
    let entries = [(16, 9, 1, 0xe306_9283, 1), (25, 0, 0, 0, 3)];
    let expected = forge(b"123456789", &entries, b"nom", b"\x01\0\0\0a\x02\0\0\0bc");
    assert_eq!(fs::read(path).unwrap(), expected);
}

#[test]
fn a_file_of_no_records_is_read() {
    let directory = tempfile::tempdir().unwrap();
    for classes in [classes(), Vec::new()] {
        let path = directory.path().join("none");
        write(&path, &classes, &[]);
        let records = Records::open(&path).unwrap();
        assert_eq!((records.len(), records.is_empty(), records.labels().len()), (0, true, 0));
        assert_eq!(records.classes(), classes);
        assert!(records.get(0).is_err());
    }
}

#[test]
fn without_classes_labels_are_any_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    write(&path, &[], &[(vec![1], i32::MIN, "a"), (vec![2], i32::MAX, "b")]);
    assert!(Records::open(&path).unwrap().labels().eq([i32::MIN, i32::MAX]));
}

#[test]
fn a_label_that_is_no_class_is_refused_and_the_writer_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let mut writer = Writer::create(&path, &classes()).unwrap();
    for label in [-1, 3] {
        let error = writer.write(b"bytes", label, "dog/0.jpg").unwrap_err();
        assert!(matches!(error, Error::Unfit { .. }) && error.to_string().contains("dog/0.jpg"), "{error}");
    }
    writer.write(b"bytes", 2, "cat/0.jpg").unwrap();
    writer.finish().unwrap();
    assert_eq!(Records::open(&path).unwrap().len(), 1);
}

#[test]
fn a_damaged_byte_of_a_record_is_found_when_that_record_is_read() {
    let (_directory, _path, whole) = file();
    for (offset, damaged) in [(16, 0), (20, 0), (21, 2), (100_020, 2), (100_021, 3)] {
        let mut bytes = whole.clone();
        bytes[offset] ^= 1;
        let records = from_bytes(&bytes).unwrap();
        for index in 0..records.len() {
            match records.get(index) {
                Ok(_) => assert_ne!(index, damaged),
                Err(error) => {
                    assert_eq!(index, damaged);
                    let message = error.to_string();
                    assert!(message.contains("some.records: record") && message.contains("CRC"), "{message}");
                }
            }
        }
    }
    let mut bytes = whole;
    bytes[16] ^= 1;
    let message = from_bytes(&bytes).unwrap().get(0).unwrap_err().to_string();
    assert!(message.contains("record 0 (cat/0.jpg)"), "{message}");
}

#[test]
fn a_damaged_byte_outside_the_records_is_found_at_once() {
    let (_directory, _path, whole) = file();
    let index = 16 + 5 + 100_000 + 4;
    // The four zero bytes of the head and of the foot say nothing.
    let silent = |offset| (12..16).contains(&offset) || (whole.len() - 12..whole.len() - 8).contains(&offset);
    for offset in (0..16).chain(index..whole.len()).filter(|&offset| !silent(offset)) {
        for bit in [1, 0x80] {
            let mut bytes = whole.clone();
            bytes[offset] ^= bit;
            error(&bytes);
        }
    }
}

#[test]
fn a_file_cut_short_anywhere_is_an_error() {
    let (directory, _path, whole) = file();
    let lengths = (0..200).chain((200..whole.len() - 300).step_by(997)).chain(whole.len() - 300..whole.len());
    for length in lengths {
        let message = error(&whole[..length]);
        assert!(length < 8 || message.contains("cut short"), "{length}: {message}");
    }
    for length in [0, 5, 60, 1000] {
        let path = directory.path().join("some.records");
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(Records::open(&path), Err(Error::Malformed { .. })));
    }
    // Nor may anything be missing or added within.
    error(&[&whole[..1000], &whole[1001..]].concat());
    error(&[&whole[..1000], b"x", &whole[1000..]].concat());
}

#[test]
fn other_files_and_later_versions_are_told_apart() {
    let other = from_bytes(b"\x89PNG\r\n\x1a\n and so on").unwrap_err();
    assert!(matches!(other, Error::NoRecords { .. }) && other.to_string().contains("record file"), "{other}");
    let (_directory, _path, mut bytes) = file();
    bytes[8] = 2;
    match from_bytes(&bytes).unwrap_err() {
        error @ Error::NewerVersion { found: 2, supported: VERSION, .. } => {
            assert!(error.to_string().contains("update Ocelli"), "{error}");
        }
        error => panic!("{error}"),
    }
    bytes[8] = 0;
    assert!(error(&bytes).contains("version"));
    let missing = Records::open("nowhere/x.records".as_ref()).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }) && missing.to_string().contains("nowhere"), "{missing}");
}

#[test]
fn every_entry_of_the_index_is_checked() {
    let good = (16, 4, 0, crc32c::crc32c(b"abcd"), 1);
    let classes = b"\x01\0\0\0a";
    let forge_second = |second| forge(b"abcdefgh", &[good, second], b"nom", classes);
    assert_eq!(from_bytes(&forge_second((20, 4, 0, 0, 3))).unwrap().get(0).unwrap(), b"abcd");
    let cases = [
        // Overlapping the one before, the head, the index; beyond the file; beyond all numbers.
        ((19, 4, 0, 0, 3), "place of record 1"),
        ((16, 4, 0, 0, 3), "place of record 1"),
        ((15, 1, 0, 0, 3), "place of record 1"),
        ((20, 5, 0, 0, 3), "place of record 1"),
        ((24, 1, 0, 0, 3), "place of record 1"),
        ((20, u32::MAX, 0, 0, 3), "place of record 1"),
        ((1 << 40, 1, 0, 0, 3), "place of record 1"),
        ((u64::MAX, u32::MAX, 0, 0, 3), "place of record 1"),
        ((20, 4, 1, 0, 3), "label of record 1"),
        ((20, 4, -1, 0, 3), "label of record 1"),
        ((20, 4, 0, 0, 0), "name of record 1"),
        ((20, 4, 0, 0, 4), "name of record 1"),
        ((20, 4, 0, 0, u32::MAX), "name of record 1"),
    ];
    for (second, told) in cases {
        let message = error(&forge_second(second));
        assert!(message.contains(told), "{second:?}: {message}");
    }
    let entry = [(16, 0, 0, 0, 1)];
    assert!(error(&forge(b"", &entry, b"\xff", b"")).contains("name of record 0"));
    for classes in [&b"\x02\0\0\0a"[..], b"\x01\0\0", b"\x01\0\0\0\xff", b"\xff\xff\xff\xffa"] {
        assert!(error(&forge(b"", &entry, b"n", classes)).contains("class names"));
    }
}

#[test]
fn a_foot_that_does_not_fit_the_file_is_an_error() {
    let whole = forge(b"abcd", &[(16, 4, 0, 0, 1)], b"n", b"");
    for field in 0..4 {
        for value in [0u64, 1, 15, 17, 1 << 40, u64::MAX / 24, u64::MAX - 47, u64::MAX] {
            let mut bytes = whole.clone();
            let place = bytes.len() - 48 + field * 8;
            if bytes[place..place + 8] != value.to_le_bytes() {
                bytes[place..place + 8].copy_from_slice(&value.to_le_bytes());
                if !(field == 3 && value == 0) {
                    assert!(error(&bytes).contains("foot"), "{field}: {value}");
                }
            }
        }
    }
}

#[test]
fn a_writer_that_does_not_finish_leaves_nothing_under_the_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("train.records");
    let mut writer = Writer::create(&path, &classes()).unwrap();
    writer.write(&[1; 3_000_000], 0, "ant/0.jpg").unwrap();
    assert!(!path.exists());
    drop(writer);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);

    // A killed process does not clean up; what it leaves has another name.
    let mut writer = Writer::create(&path, &classes()).unwrap();
    writer.write(&[1; 3_000_000], 0, "ant/0.jpg").unwrap();
    std::mem::forget(writer);
    assert!(!path.exists());
    let left: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.len() == 1 && left[0].to_string_lossy().starts_with(".train.records."), "{left:?}");

    // A whole file stays whole until another is.
    write(&path, &classes(), &samples());
    let mut writer = Writer::create(&path, &classes()).unwrap();
    writer.write(b"other", 0, "ant/0.jpg").unwrap();
    drop(writer);
    assert_eq!(Records::open(&path).unwrap().len(), 4);
    let open = Records::open(&path).unwrap();
    write(&path, &classes(), &[]);
    assert_eq!((Records::open(&path).unwrap().len(), open.get(0).unwrap()), (0, &b"first"[..]));
}

#[test]
fn a_path_that_cannot_be_written_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().join("nowhere/x"), directory.path().join("..")] {
        let error = Writer::create(&path, &[]).unwrap_err();
        assert!(matches!(&error, Error::Io { path: named, .. } if *named == path), "{error}");
    }
}

#[test]
fn records_beyond_4_gib_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large.records");
    let offsets = [16, (2 << 30) + 1, (4 << 30) + 3, (5 << 30) - 4];
    let mut file = File::create(&path).unwrap();
    file.write_all(&forge(b"", &[], b"", b"")[..16]).unwrap();
    let mut entries = Vec::new();
    for (number, offset) in (1..).zip(offsets) {
        let bytes = [number; 4];
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.write_all(&bytes).unwrap();
        entries.push((offset, 4, i32::from(number), crc32c::crc32c(&bytes), u32::from(number)));
    }
    file.write_all(&tail(5 << 30, &entries, b"abcd", b"")).unwrap();
    drop(file);
    let records = Records::open(&path).unwrap();
    for (index, number) in (1..=4).enumerate() {
        assert_eq!(records.get(index).unwrap(), [number; 4]);
    }
}

/// A folder of files of several sizes, which are no images.
fn folder() -> (TempDir, ImageFolder) {
    let directory = tempfile::tempdir().unwrap();
    for (class, count) in [("ant", 23usize), ("bee/more", 1), ("cat", 40)] {
        fs::create_dir_all(directory.path().join(class)).unwrap();
        for index in 0..count {
            let contents = vec![index as u8; index * index * 37];
            fs::write(directory.path().join(class).join(format!("{index}.jpg")), contents).unwrap();
        }
    }
    let folder = ImageFolder::open(directory.path()).unwrap();
    (directory, folder)
}

#[test]
fn a_folder_is_packed_in_order_whatever_the_number_of_workers() {
    let (directory, folder) = folder();
    let path = directory.path().join("packed");
    let mut first = None;
    for workers in [1, 2, 7, 100, 0] {
        let mut reports = Vec::new();
        pack(&folder, &path, workers, |count| reports.push(count)).unwrap();
        assert!(reports.into_iter().eq(1..=64));
        let bytes = fs::read(&path).unwrap();
        assert!(*first.get_or_insert_with(|| bytes.clone()) == bytes);
    }
    let records = Records::open(&path).unwrap();
    assert_eq!((records.len(), records.classes()), (64, folder.classes()));
    for (index, sample) in folder.samples().iter().enumerate() {
        assert_eq!(records.get(index).unwrap(), &*folder.bytes(index).unwrap());
        assert_eq!(Encoded::label(&records, index), sample.label);
        assert_eq!(directory.path().join(records.name(index).unwrap()), sample.path);
        assert_eq!(Encoded::name(&folder, index), sample.path);
    }
    assert_eq!(records.name(23), Some("bee/more/0.jpg"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_that_names_it_and_nothing_is_left() {
    let (directory, folder) = folder();
    let gone = &folder.samples()[30].path;
    fs::remove_file(gone).unwrap();
    let packed = tempfile::tempdir().unwrap();
    for workers in [1, 3] {
        let mut written = 0;
        let error =
            pack(&folder, &packed.path().join("packed"), workers, |count| written = count).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path == gone), "{error}");
        assert_eq!(written, 30);
        assert_eq!(fs::read_dir(&packed).unwrap().count(), 0);
    }
    drop(directory);
}

#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA")]
fn photographs_are_packed_and_decoded_from_the_pack() {
    let archive = Path::new(&std::env::var_os("OCELLI_TEST_DATA").unwrap()).join("imagenet-sample-500.tar");
    let directory = tempfile::tempdir().unwrap();
    let class = directory.path().join("images/all");
    fs::create_dir_all(&class).unwrap();
    let tar = std::process::Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&class).status();
    assert!(tar.unwrap().success());
    let folder = ImageFolder::open(&directory.path().join("images")).unwrap();
    let path = directory.path().join("photographs.records");
    pack(&folder, &path, 0, |_| ()).unwrap();
    let records = Records::open(&path).unwrap();
    assert_eq!(records.len(), 500);
    for (index, sample) in folder.samples().iter().enumerate() {
        assert_eq!(records.get(index).unwrap(), fs::read(&sample.path).unwrap());
    }
    let decoded = image::load_from_memory(records.get(7).unwrap()).unwrap().into_rgb8();
    assert_eq!(decoded.into_raw(), Rgb::read(&folder.samples()[7].path).unwrap().pixels);
}
