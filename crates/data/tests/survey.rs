//! What sets consist of.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "support/pictures.rs"]
mod pictures;

use std::collections::BTreeMap;
use std::path::Path;

use image::{GrayImage, Rgba, RgbaImage};
use ocelli_cuda::Device;
use ocelli_cuda::kernel::compile_cubin;
use ocelli_data::images::{ImageFolder, Rgb};
use ocelli_data::jpeg::Header;
use ocelli_data::records::{Records, pack};
use ocelli_data::survey::{Survey, SurveyConfig, kernel, survey};
use ocelli_data::{Encoded, Error, ImageSet};
use ocelli_nvjpeg::{Backend, Decoder, DecoderConfig, Nvjpeg, NvjpegConfig, Plane};
use tempfile::TempDir;

use pictures::{exif, grey_jpeg, jpeg, png, save, with_segment};

const HEADERS: SurveyConfig = SurveyConfig { pixels: false, gpu: 0, workers: 3, max_pixels: 1 << 28 };

/// A file that says to be progressive, with nothing in its scan.
fn progressive() -> Vec<u8> {
    let mut file = jpeg(60, [16, 8], 5);
    let frame = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    file[frame + 1] = 0xc2;
    file
}

/// Eight files of three classes, of which three are not as they should be.
fn set() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    save(path, "ant/0.jpg", &jpeg(75, [40, 30], 0));
    save(path, "ant/1.jpg", &jpeg(75, [60, 50], 1));
    save(path, "ant/2.jpeg", &with_segment(&grey_jpeg(90, [20, 10], 2), 0xe1, &exif(6)));
    save(path, "ant/3.png", &png(GrayImage::new(7, 5)));
    save(path, "bee/a.jpg", b"no image at all");
    save(path, "cat/cut.jpg", &jpeg(75, [40, 30], 3)[..700]);
    save(path, "cat/large.png", &png(RgbaImage::new(101, 91)));
    save(path, "cat/notes.jpg", &png(RgbaImage::new(1, 1))[..20]);
    directory
}

fn folder(directory: &Path) -> ImageSet {
    ImageSet::open(directory).unwrap()
}

fn counts<Key: Ord + Copy>(pairs: &[(Key, usize)]) -> BTreeMap<Key, usize> {
    pairs.iter().copied().collect()
}

fn check(found: &Survey, bytes: u64) {
    assert_eq!((found.images, found.classes, found.bytes), (8, 3, bytes));
    let [smallest, largest] =
        [&found.smallest_class, &found.largest_class].map(|class| class.clone().unwrap());
    assert_eq!((&*smallest.name, smallest.images), ("bee", 1));
    assert_eq!((&*largest.name, largest.images), ("ant", 4));
    assert_eq!(found.formats, counts(&[("jpeg", 4), ("png", 2)]));
    let sizes = found.sizes.unwrap();
    // 40, 60, 20, 7, 40, 101 columns; 30, 50, 10, 5, 30, 91 rows.
    assert_eq!((sizes.width.least, sizes.width.median, sizes.width.largest), (7, 40.0, 101));
    assert!((sizes.width.mean - 268.0 / 6.0).abs() < 1e-9);
    assert_eq!((sizes.height.least, sizes.height.median, sizes.height.largest), (5, 30.0, 91));
    assert_eq!((found.grey, found.rotated), (2, 1));
    assert_eq!((&found.qualities, found.no_quality), (&counts(&[(75, 3), (90, 1)]), 0));
    assert_eq!(found.subsamplings.values().sum::<usize>(), 4);
    assert_eq!(found.subsamplings["grey"], 1);
    assert_eq!(found.processes, counts(&[("baseline", 4)]));
    assert_eq!((found.decoders.engines, found.decoders.cuda.len()), (3, 0));
    let host: Vec<_> = found.decoders.host.iter().map(|(reason, &count)| (&**reason, count)).collect();
    assert_eq!(host, [("a scan without an end", 1), ("the format png", 2)]);

    let faults: Vec<_> =
        found.faults.iter().map(|fault| fault.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(faults, ["a.jpg", "cut.jpg", "notes.jpg"]);
    assert!(found.faults.iter().all(|fault| !fault.reason.is_empty()));
    assert!(found.faults[1].reason.contains("cut short"), "{}", found.faults[1].reason);
}

#[test]
fn headers_tell_what_a_set_consists_of() {
    let directory = set();
    let bytes = pictures::files(directory.path()).iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let mut done = Vec::new();
    let found = survey(&folder(directory.path()), &HEADERS, |count| done.push(count)).unwrap();
    check(&found, bytes);
    assert!(done.into_iter().eq(1..=8));
    assert_eq!((&found.pixels, &found.pixels_left_out), (&None, &None));
    assert!(found.faults[0].path.starts_with(directory.path()));

    // The same files, packed.
    let path = directory.path().join("set.records");
    pack(&ImageFolder::open(directory.path()).unwrap(), &path, 1, |_| ()).unwrap();
    let packed = survey(&ImageSet::open(&path).unwrap(), &HEADERS, |_| ()).unwrap();
    check(&packed, bytes);
    assert_eq!(packed.faults[0].path, path.join("bee/a.jpg"));

    let text = found.to_string();
    for expected in
        ["images        8", "smallest bee (1)", "75: 3, 90: 1", "host: 2 (the format png)", "cut.jpg: it is"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_progressive_file_is_for_cuda_and_odd_tables_are_near_a_quality() {
    let directory = tempfile::tempdir().unwrap();
    let mut odd = jpeg(75, [16, 16], 0);
    let table = odd.windows(2).position(|pair| pair == [0xff, 0xdb]).unwrap();
    odd[table + 5] += 1;
    save(directory.path(), "a/0.jpg", &progressive());
    save(directory.path(), "a/1.jpg", &odd);
    let found = survey(&folder(directory.path()), &HEADERS, |_| ()).unwrap();
    assert!(found.to_string().contains("60: 1, about 75: 1"), "{found}");
    assert_eq!((found.nearest_qualities, found.qualities), (counts(&[(75, 1)]), counts(&[(60, 1)])));
    assert_eq!(found.processes, counts(&[("baseline", 1), ("progressive", 1)]));
    let cuda: Vec<_> = found.decoders.cuda.into_iter().collect();
    assert_eq!(cuda, [("the progressive process".to_owned(), 1)]);
    assert!(found.faults.is_empty());
}

#[test]
fn a_file_that_is_gone_and_a_damaged_record_are_told() {
    let directory = set();
    let set = folder(directory.path());
    std::fs::remove_file(directory.path().join("ant/0.jpg")).unwrap();
    let found = survey(&set, &HEADERS, |_| ()).unwrap();
    assert_eq!((found.images, found.faults.len()), (8, 4));
    assert!(found.faults[0].path.ends_with("ant/0.jpg"));
    assert!(found.faults[0].reason.starts_with("cannot read it"), "{}", found.faults[0].reason);

    let path = directory.path().join("set.records");
    pack(&ImageFolder::open(directory.path()).unwrap(), &path, 1, |_| ()).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let found = survey(&ImageSet::open(&path).unwrap(), &HEADERS, |_| ()).unwrap();
    assert!(found.faults[0].reason.contains("CRC-32C"), "{}", found.faults[0].reason);
}

#[test]
fn a_set_without_images_is_surveyed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("empty.records");
    ocelli_data::records::Writer::create(&path, &[]).unwrap().finish().unwrap();
    assert!(Records::open(&path).unwrap().is_empty());
    let found = survey(&ImageSet::open(&path).unwrap(), &HEADERS, |_| ()).unwrap();
    assert_eq!(found, Survey::default());
    assert!(found.to_string().starts_with("images        0"));
}

#[test]
fn images_that_claim_more_pixels_than_are_allowed_are_told() {
    let directory = set();
    let set = folder(directory.path());
    let most = |max_pixels| survey(&set, &SurveyConfig { max_pixels, ..HEADERS }, |_| ());
    let names = |found: &Survey| -> Vec<String> {
        let names = found.faults.iter().map(|fault| fault.path.file_name().unwrap().to_str().unwrap());
        names.map(str::to_owned).collect()
    };
    assert_eq!(names(&most(101 * 91).unwrap()), ["a.jpg", "cut.jpg", "notes.jpg"]);
    let found = most(101 * 91 - 1).unwrap();
    assert_eq!(names(&found), ["a.jpg", "cut.jpg", "large.png", "notes.jpg"]);
    let reason = &found.faults[2].reason;
    assert!(reason.contains("claims 101 x 91 pixels, and 9190 are allowed"), "{reason}");
    assert!(names(&most(40 * 30).unwrap()).contains(&"1.jpg".to_owned()));
    assert!(matches!(most(0), Err(Error::Setting { .. })));
}

#[test]
#[cfg_attr(ocelli_gpu, ignore = "needs no NVIDIA GPU")]
fn without_a_gpu_all_but_the_pixels_is_told() {
    let directory = set();
    let set = folder(directory.path());
    let headers = survey(&set, &HEADERS, |_| ()).unwrap();
    let mut found = survey(&set, &SurveyConfig { pixels: true, ..HEADERS }, |_| ()).unwrap();
    let reason = found.pixels_left_out.clone().unwrap();
    assert!(!reason.is_empty());
    assert!(found.to_string().contains(&format!("pixels        left out: {reason}")));
    found.pixels_left_out = None;
    assert_eq!(found, headers);
}

#[test]
#[cfg_attr(not(ocelli_nvrtc), ignore = "needs NVRTC")]
fn the_kernel_compiles_for_every_architecture() {
    for architecture in ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"] {
        let cubin = compile_cubin(&kernel(), architecture).unwrap();
        assert!(!cubin.is_empty(), "{architecture}");
    }
}

/// What nvJPEG decodes a file to, or another library where nvJPEG does not take it.
fn decoded(device: &Device, decoder: &mut Decoder, bytes: &[u8], path: &Path) -> Vec<u8> {
    let host = Rgb::decode(bytes, path).unwrap();
    if Header::parse(bytes).is_err() {
        return host.pixels;
    }
    let decoded = decoder.host(bytes, None).unwrap();
    let size = decoded.plane_sizes().unwrap()[0];
    let buffer = device.alloc(size.row_bytes * size.rows).unwrap();
    let plane = Plane { buffer: buffer.clone(), offset: 0, pitch: size.row_bytes };
    decoded.device(&[plane], device.stream()).unwrap();
    let mut pixels = vec![0; buffer.len()];
    device.stream().download(&buffer, 0, &mut pixels).unwrap();
    // Also of grey images there are three channels, and it is the same picture.
    assert_eq!(pixels.len(), host.pixels.len(), "{}", path.display());
    let furthest = pixels.iter().zip(&host.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(furthest <= 6, "{}: {furthest}", path.display());
    pixels
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn mean_and_deviation_are_those_of_all_pixels() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for (index, size) in [[640, 481], [1, 1], [17, 9], [333, 251], [1500, 1100]].into_iter().enumerate() {
        save(path, &format!("colour/{index}.jpg"), &jpeg(90, size, index as u32));
        save(path, &format!("grey/{index}.jpg"), &grey_jpeg(80, size, 9 + index as u32));
    }
    let clear = RgbaImage::from_fn(31, 57, |x, y| Rgba([x as u8 * 8, y as u8 * 4, 255, x as u8]));
    save(path, "other/a.png", &png(clear));
    save(path, "other/black.png", &png(GrayImage::new(300, 200)));
    let set = folder(path);

    let device = Device::new(0).unwrap();
    let library = Nvjpeg::new(&device, Backend::Hybrid, NvjpegConfig::default()).unwrap();
    let mut decoder = Decoder::new(&library, DecoderConfig::default()).unwrap();
    let mut pixels: Vec<[f64; 3]> = Vec::new();
    for index in 0..set.len() {
        let values = decoded(&device, &mut decoder, &set.bytes(index).unwrap(), &set.name(index));
        pixels.extend(
            values.as_chunks::<3>().0.iter().map(|pixel| pixel.map(|value| f64::from(value) / 255.0)),
        );
    }
    let count = pixels.len() as f64;

    // Damaged files are told, and do not count.
    save(path, "other/cut.jpg", &jpeg(90, [64, 64], 1)[..900]);
    save(path, "other/text.png", b"text");
    let set = folder(path);
    let found = [1, 5]
        .map(|workers| survey(&set, &SurveyConfig { workers, ..SurveyConfig::default() }, |_| ()).unwrap());
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0].pixels_left_out, None);
    let measured = found[0].pixels.unwrap();
    assert_eq!((measured.images, measured.count), (12, pixels.len() as u64));
    assert_eq!(found[0].faults.len(), 2);
    for channel in 0..3 {
        let mean = pixels.iter().map(|pixel| pixel[channel]).sum::<f64>() / count;
        let variance = pixels.iter().map(|pixel| (pixel[channel] - mean).powi(2)).sum::<f64>() / count;
        assert!((measured.mean[channel] - mean).abs() < 1e-6, "{channel}: {measured:?}, {mean}");
        let deviation = variance.sqrt();
        assert!(
            (measured.deviation[channel] - deviation).abs() < 1e-6,
            "{channel}: {measured:?}, {deviation}"
        );
    }
}

#[test]
#[cfg_attr(not(all(ocelli_nvjpeg, ocelli_gpu)), ignore = "needs nvJPEG and an NVIDIA GPU")]
fn a_gpu_that_is_not_there_leaves_the_pixels_out() {
    let directory = set();
    let found =
        survey(&folder(directory.path()), &SurveyConfig { gpu: 1000, ..SurveyConfig::default() }, |_| ())
            .unwrap();
    assert!(found.pixels_left_out.unwrap().contains("1000"));
    assert_eq!((found.pixels, found.images), (None, 8));
}
