//! JPEG files made smaller.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "support/pictures.rs"]
mod pictures;

use std::fs;
use std::path::Path;

use image::RgbImage;
use ocelli_data::images::{ImageFolder, Rgb};
use ocelli_data::jpeg::{Header, Process, Subsampling};
use ocelli_data::recompress::{RecompressConfig, Recompressed, Sampling, recompress, recompress_in_place};
use ocelli_data::records::{Records, Writer, pack};
use ocelli_data::{Encoded, Error, ImageSet, Target};
use tempfile::TempDir;

use pictures::{exif, files, grey_jpeg, jpeg, png, save, with_segment};

fn config(quality: u8) -> RecompressConfig {
    RecompressConfig { quality, workers: 3, ..RecompressConfig::default() }
}

fn open(path: &Path) -> ImageSet {
    ImageSet::open(path).unwrap()
}

/// Files of which none can become smaller at quality 80.
fn settled() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let set = home.path().join("set");
    save(&set, "a/75.jpg", &jpeg(75, [64, 48], 0));
    save(&set, "a/80.jpg", &jpeg(80, [64, 48], 1));
    save(&set, "a/image.png", &png(RgbImage::new(9, 9)));
    save(&set, "b/cut.jpg", &jpeg(95, [64, 48], 2)[..900]);
    save(&set, "b/text.jpg", b"no image");
    let mut odd = jpeg(95, [64, 48], 3);
    let table = odd.windows(2).position(|pair| pair == [0xff, 0xdb]).unwrap();
    odd[table + 5] += 1;
    save(&set, "c/odd.jpg", &odd);
    home
}

fn check_settled(report: &Recompressed, bytes: u64) {
    assert_eq!((report.images, report.recompressed), (6, 0));
    assert_eq!((report.kept_quality, report.kept_unknown_quality, report.kept_larger), (2, 1, 0));
    assert_eq!((report.bytes_before, report.bytes_after), (bytes, bytes));
    assert_eq!(report.kept_undecodable, 3);
    let undecodable: Vec<_> = report
        .undecodable
        .iter()
        .map(|fault| (fault.path.file_name().unwrap().to_str().unwrap(), &*fault.reason))
        .collect();
    assert_eq!(
        undecodable.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["image.png", "cut.jpg", "text.jpg"]
    );
    assert!(undecodable[0].1.contains("not a JPEG file"), "{undecodable:?}");
    assert!(undecodable[1].1.contains("a scan without an end"), "{undecodable:?}");
}

#[test]
fn what_needs_not_become_smaller_is_copied_without_a_gpu() {
    let home = settled();
    let set = home.path().join("set");
    let originals = files(&set);
    let bytes = originals.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let (directory, records) = (home.path().join("new"), home.path().join("new.records"));
    for target in [&directory, &records] {
        let mut done = Vec::new();
        let report =
            recompress(&open(&set), &Target::new(target), &config(80), |count| done.push(count)).unwrap();
        check_settled(&report, bytes);
        assert!(done.into_iter().eq(1..=6));
    }
    assert_eq!(files(&directory), originals);
    let copy = open(&records);
    assert_eq!(copy.classes(), ["a", "b", "c"]);
    for (index, (name, bytes)) in originals.iter().enumerate() {
        assert_eq!(
            (copy.name_within(index).to_str().unwrap(), &*copy.bytes(index).unwrap()),
            (&**name, &**bytes)
        );
    }

    // And where they are.
    let report = recompress_in_place(&open(&set), &config(80), |_| ()).unwrap();
    check_settled(&report, bytes);
    assert_eq!(files(&set), originals);
    let before = fs::read(&records).unwrap();
    check_settled(&recompress_in_place(&open(&records), &config(80), |_| ()).unwrap(), bytes);
    assert_eq!(fs::read(&records).unwrap(), before);

    let text = report.to_string();
    for expected in
        ["recompressed 0 of 6 images", "(100.0 %)", "kept 2 that have the quality", "text.jpg: not a JPEG"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_in_place_and_an_error_elsewhere() {
    let home = settled();
    let set = open(&home.path().join("set"));
    fs::remove_file(home.path().join("set/a/80.jpg")).unwrap();
    let report = recompress_in_place(&set, &config(80), |_| ()).unwrap();
    assert_eq!((report.images, report.kept_undecodable), (6, 4));
    assert!(report.undecodable[0].reason.starts_with("cannot read it"), "{}", report.undecodable[0].reason);
    let error = recompress(&set, &Target::new(&home.path().join("new")), &config(80), |_| ()).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("a/80.jpg")), "{error}");
    assert!(!home.path().join("new").exists());
}

#[test]
fn labels_without_names_stay_what_they_are() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("set.records");
    let mut writer = Writer::create(&path, &[]).unwrap();
    for (label, name) in [(12, "a.jpg"), (-3, "b.jpg")] {
        writer.write(&jpeg(70, [32, 24], 0), label, name).unwrap();
    }
    writer.finish().unwrap();
    let report = recompress_in_place(&open(&path), &config(80), |_| ()).unwrap();
    assert_eq!((report.images, report.kept_quality), (2, 2));
    let records = Records::open(&path).unwrap();
    assert_eq!((records.classes().len(), records.labels().collect::<Vec<_>>()), (0, vec![12, -3]));
}

#[test]
#[cfg(unix)]
fn a_link_to_a_record_file_stays_one() {
    let home = settled();
    let (path, link) = (home.path().join("set.records"), home.path().join("link.records"));
    pack(&ImageFolder::open(&home.path().join("set")).unwrap(), &path, 1, |_| ()).unwrap();
    std::os::unix::fs::symlink("set.records", &link).unwrap();
    recompress_in_place(&open(&link), &config(80), |_| ()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(open(&link).len(), 6);
}

#[test]
#[cfg(unix)]
fn files_with_several_names_stay_where_they_are() {
    let home = settled();
    let set = home.path().join("set");
    // This one would become smaller.
    save(&set, "c/95.jpg", &jpeg(95, [64, 48], 4));
    let other = home.path().join("other.jpg");
    fs::hard_link(set.join("c/95.jpg"), &other).unwrap();
    let originals = files(&set);
    let report = recompress_in_place(&open(&set), &config(80), |_| ()).unwrap();
    assert_eq!((report.images, report.recompressed, report.kept_linked), (7, 0, 1));
    assert_eq!(report.bytes_before, originals.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    assert!(report.to_string().contains("kept 1 that have several names"), "{report}");
    assert_eq!(files(&set), originals);

    let (path, other) = (home.path().join("set.records"), home.path().join("other.records"));
    pack(&ImageFolder::open(&set).unwrap(), &path, 1, |_| ()).unwrap();
    fs::hard_link(&path, &other).unwrap();
    let error = recompress_in_place(&open(&path), &config(80), |_| ()).unwrap_err();
    assert!(matches!(&error, Error::Setting { what } if what.contains("several names")), "{error}");
}

#[test]
fn images_that_claim_more_pixels_than_are_allowed_stay() {
    let home = tempfile::tempdir().unwrap();
    let set = home.path().join("set");
    let mut enormous = jpeg(95, [64, 48], 0);
    let frame = enormous.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    enormous[frame + 5..frame + 9].fill(0xff);
    save(&set, "a/enormous.jpg", &enormous);
    // No GPU is asked.
    let report = recompress_in_place(&open(&set), &config(80), |_| ()).unwrap();
    assert_eq!((report.images, report.kept_undecodable), (1, 1));
    let reason = &report.undecodable[0].reason;
    assert!(reason.contains("claims 65535 x 65535 pixels"), "{reason}");
    assert_eq!(fs::read(set.join("a/enormous.jpg")).unwrap(), enormous);
    let none = RecompressConfig { max_pixels: 0, ..config(80) };
    assert!(matches!(recompress_in_place(&open(&set), &none, |_| ()), Err(Error::Setting { .. })));
}

#[test]
fn qualities_that_cannot_be_are_errors() {
    let home = settled();
    let set = open(&home.path().join("set"));
    for quality in [0, 101, 255] {
        let error = recompress_in_place(&set, &config(quality), |_| ()).unwrap_err();
        assert!(error.to_string().contains(&format!("quality {quality}")), "{error}");
        let target = Target::new(&home.path().join("new"));
        assert!(matches!(recompress(&set, &target, &config(quality), |_| ()), Err(Error::Setting { .. })));
    }
}

#[test]
#[cfg_attr(ocelli_gpu, ignore = "needs no NVIDIA GPU")]
fn without_a_gpu_nothing_is_lost_and_nothing_is_left() {
    let home = settled();
    let set = home.path().join("set");
    save(&set, "c/95.jpg", &jpeg(95, [64, 48], 4));
    let originals = files(&set);
    for name in ["new", "new.records"] {
        let target = Target::new(&home.path().join(name));
        let error = recompress(&open(&set), &target, &config(80), |_| ()).unwrap_err();
        assert!(matches!(error, Error::Cuda(_) | Error::Nvjpeg(_)), "{error}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
    assert!(recompress_in_place(&open(&set), &config(80), |_| ()).is_err());
    assert_eq!(files(&set), originals);
}

/// A profile of colours, or what looks like one.
const PROFILE: &[u8] = b"ICC_PROFILE\0\x01\x01not a profile, but kept";

/// Files of quality 95, in colour and grey, one of them with metadata, and some that stay.
fn large() -> TempDir {
    let home = settled();
    let set = home.path().join("set");
    for (index, size) in [[640, 481], [333, 251], [1500, 1100], [40, 33], [17, 9]].into_iter().enumerate() {
        save(&set, &format!("colour/{index}.jpg"), &jpeg(95, size, index as u32));
        save(&set, &format!("grey/{index}.jpg"), &grey_jpeg(95, size, index as u32));
    }
    let rotated = with_segment(&jpeg(95, [320, 240], 9), 0xe1, &exif(6));
    save(
        &set,
        "colour/metadata.jpg",
        &with_segment(&with_segment(&rotated, 0xe2, PROFILE), 0xfe, b"a comment"),
    );
    home
}

/// Whether a file is what an original of quality 95 should have become, at this quality and subsampling.
fn check_smaller(name: &str, original: &[u8], file: &[u8], quality: u8, subsampling: Subsampling) {
    assert!(file.len() < original.len(), "{name}: {} to {}", original.len(), file.len());
    let [before, after] = [original, file].map(|bytes| Header::parse(bytes).unwrap());
    assert_eq!((after.quality, after.process), (Some(quality), Process::Baseline), "{name}");
    assert_eq!(
        (after.width, after.height, after.orientation),
        (before.width, before.height, before.orientation)
    );
    assert_eq!((after.colour_space, after.subsampling), (before.colour_space, subsampling), "{name}");
    assert!(after.complete, "{name}");
    let [before, after] = [original, file].map(|bytes| Rgb::decode(bytes, name.as_ref()).unwrap());
    let differences = before.pixels.iter().zip(&after.pixels).map(|(a, b)| f64::from(a.abs_diff(*b)));
    let mean = differences.sum::<f64>() / before.pixels.len() as f64;
    println!("{name}: {} bytes to {}, pixels differ by {mean:.2} on average", original.len(), file.len());
    assert!(mean < 8.0, "{name}: {mean}");
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn files_of_a_higher_quality_become_smaller_and_keep_their_metadata() {
    let home = large();
    let set = home.path().join("set");
    let originals = files(&set);
    for sampling in [Sampling::Keep, Sampling::S420, Sampling::S444] {
        let path = home.path().join("new");
        let config = RecompressConfig { sampling, ..config(80) };
        let target = Target { overwrite: true, ..Target::new(&path) };
        let report = recompress(&open(&set), &target, &config, |_| ()).unwrap();
        println!("{report}");
        let new = files(&path);
        assert_eq!((report.images, new.len()), (17, 17));
        let [before, after] =
            [&originals, &new].map(|files| files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
        assert_eq!((report.bytes_before, report.bytes_after), (before, after));
        let mut smaller = 0;
        for ((name, original), (new_name, file)) in originals.iter().zip(&new) {
            assert_eq!(name, new_name);
            if original == file {
                // Small images of 95 are mostly tables, and may stay.
                let is_small = ["/3.jpg", "/4.jpg"].iter().any(|end| name.ends_with(end));
                assert!(is_small || ["a/", "b/", "c/"].iter().any(|start| name.starts_with(start)), "{name}");
                continue;
            }
            smaller += 1;
            let own = Header::parse(original).unwrap().subsampling;
            let expected = match (own, sampling) {
                (Subsampling::Grey, _) | (_, Sampling::Keep) => own,
                (_, Sampling::S420) => Subsampling::S420,
                (_, Sampling::S444) => Subsampling::S444,
            };
            check_smaller(name, original, file, 80, expected);
        }
        assert_eq!(report.recompressed, smaller);
        assert!(smaller >= 7, "{smaller}");
        let (_, file) = new.iter().find(|(name, _)| name == "colour/metadata.jpg").unwrap();
        for part in [&exif(6)[..], PROFILE, b"a comment"] {
            assert!(file.windows(part.len()).any(|window| window == part));
        }
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn files_are_replaced_where_they_are_and_a_second_time_changes_nothing() {
    let home = large();
    let set = home.path().join("set");
    let records = home.path().join("set.records");
    pack(&ImageFolder::open(&set).unwrap(), &records, 1, |_| ()).unwrap();
    let expected = home.path().join("new");
    let elsewhere = recompress(&open(&set), &Target::new(&expected), &config(70), |_| ()).unwrap();
    let in_place = recompress_in_place(&open(&set), &config(70), |_| ()).unwrap();
    assert_eq!((&in_place, elsewhere.recompressed > 6), (&elsewhere, true));
    assert_eq!(files(&set), files(&expected));

    let packed = recompress_in_place(&open(&records), &config(70), |_| ()).unwrap();
    assert_eq!(packed.bytes_after, elsewhere.bytes_after);
    let new = open(&records);
    for (index, (name, bytes)) in files(&expected).iter().enumerate() {
        assert_eq!(
            (new.name_within(index).to_str().unwrap(), &*new.bytes(index).unwrap()),
            (&**name, &**bytes)
        );
    }

    let again = recompress_in_place(&open(&set), &config(70), |_| ()).unwrap();
    assert_eq!(again.recompressed, 0);
    assert_eq!(again.bytes_after, elsewhere.bytes_after);
    assert_eq!(files(&set), files(&expected));
    let mut left: Vec<_> =
        fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["new", "set", "set.records"]);
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn tables_that_no_quality_makes_are_recompressed_when_asked_for() {
    let home = settled();
    let set = home.path().join("set");
    let config = RecompressConfig { unknown_quality: true, ..config(60) };
    let report = recompress_in_place(&open(&set), &config, |_| ()).unwrap();
    assert_eq!((report.images, report.kept_unknown_quality), (6, 0));
    assert!(report.recompressed >= 1, "{report}");
    let odd = fs::read(set.join("c/odd.jpg")).unwrap();
    assert_eq!(Header::parse(&odd).unwrap().quality, Some(60));
}
