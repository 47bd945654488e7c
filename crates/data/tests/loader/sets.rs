//! Sets of every kind through the loader, and its statistics.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ocelli_cuda::Device;
use ocelli_data::augment::{Augmentation, BoundingBox};
use ocelli_data::images::Rgb;
use ocelli_data::loader::{LoaderConfig, OnDamaged};
use ocelli_data::records::{Records, pack};
use ocelli_data::{Encoded, Object, Result, cifar10, mnist};

use crate::support::{
    LEVELS, cifar, compare, elements, epoch, in_order, is_jpeg, levels, mixed, numbers, picture, png, within,
};

fn config(augmentation: Augmentation) -> LoaderConfig {
    LoaderConfig { batch: 4, augmentation, output: levels(), workers: 3, ..LoaderConfig::default() }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn records_are_what_the_folder_is_that_they_were_packed_from() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let path = files.path("mixed.records");
    pack(&files.folder(), &path, 2, |_| ()).unwrap();
    let training = || config(Augmentation::imagenet_training(32));
    let folder = in_order(&device, files.folder(), training());
    let records = in_order(&device, Records::open(&path).unwrap(), training());
    for number in 0..2 {
        assert!(epoch(&folder, number) == epoch(&records, number), "epoch {number}");
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_damaged_record_is_a_bad_image_and_leaves_the_others_alone() {
    const BAD: usize = 5;
    let device = Device::new(0).unwrap();
    let files = mixed();
    let folder = files.folder();
    let path = files.path("mixed.records");
    pack(&folder, &path, 2, |_| ()).unwrap();
    let evaluation = config(Augmentation::imagenet_evaluation(32));
    let good = epoch(&in_order(&device, Records::open(&path).unwrap(), evaluation.clone()), 0);
    let mut packed = fs::read(&path).unwrap();
    let record = folder.bytes(BAD).unwrap();
    let place = packed.windows(record.len()).position(|window| window == &*record).unwrap();
    // A bit of a pixel: only the checksum tells.
    packed[place + record.len() - 20] ^= 1;
    fs::write(&path, packed).unwrap();
    let records = || Records::open(&path).unwrap();
    let name = Encoded::name(&records(), BAD);

    let failing = in_order(&device, records(), evaluation.clone());
    let results: Vec<_> = failing.epoch(0).unwrap().collect();
    assert_eq!(results.len(), 2, "the bad one is in the second batch");
    let error = results[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("mixed.records: record 5") && error.contains("CRC-32C"), "{error}");

    let skipping = LoaderConfig { damaged: OnDamaged::Skip, ..evaluation };
    let loader = in_order(&device, records(), skipping);
    let found = epoch(&loader, 0);
    assert_eq!(loader.damaged(), [(name, error)]);
    assert_eq!(found[1].valid, [true, false, true, true]);
    for (index, (found, good)) in found.iter().zip(&good).enumerate() {
        for place in (0..4).filter(|place| index * 4 + place != BAD) {
            assert!(found.place(place) == good.place(place), "batch {index}, place {place}");
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn cifar_comes_as_it_is_in_its_files() {
    let device = Device::new(0).unwrap();
    let directory = cifar::small_set();
    let read = || cifar10::read(directory.path()).unwrap().train;
    let loader = in_order(&device, read(), config(Augmentation::cifar_evaluation(32)));
    let mut images = 0;
    for batch in epoch(&loader, 0) {
        for place in (0..4).filter(|&place| batch.valid[place]) {
            let index = batch.indices[place];
            assert_eq!(batch.labels[place], read().label(index));
            let found = numbers(batch.place(place), levels().dtype);
            let part = read();
            let expected = &part.image(index).unwrap().pixels;
            for (found, &expected) in found.iter().zip(expected) {
                assert!((found - f32::from(expected)).abs() < 0.01, "{found} for {expected}");
            }
            images += 1;
        }
    }
    assert_eq!(images, 15);
    let loader = in_order(&device, read(), config(Augmentation::cifar_training(32)));
    for batch in loader.epoch(1).unwrap() {
        compare(&device, &batch.unwrap(), &read());
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn digits_come_with_three_equal_channels() {
    let device = Device::new(0).unwrap();
    let digits = mnist::generated(7, 30, 1).train;
    let loader = in_order(&device, digits.clone(), config(Augmentation::cifar_evaluation(28)));
    let mut labels = Vec::new();
    for batch in loader.epoch(0).unwrap() {
        let batch = batch.unwrap();
        compare(&device, &batch, &digits);
        for pixel in elements(&device, &batch).as_chunks::<3>().0 {
            assert!(pixel[0] == pixel[1] && pixel[1] == pixel[2]);
        }
        labels.extend_from_slice(&batch.labels[..batch.count()]);
    }
    assert!(labels.iter().copied().eq(digits.labels.iter().map(|&label| label.into())));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn statistics_add_up() {
    let device = Device::new(0).unwrap();
    let files = mixed();
    let folder = files.folder();
    let bytes: usize = (0..14).map(|index| folder.bytes(index).unwrap().len()).sum();
    let jpegs = (0..14).filter(|&index| is_jpeg(&folder, index)).count() as u64;
    for share in [0.0, 0.5, 1.0] {
        let training = config(Augmentation::imagenet_training(32));
        let loader = in_order(&device, files.folder(), LoaderConfig { hardware_share: share, ..training });
        assert_eq!(loader.statistics(), Default::default());
        epoch(&loader, 0);
        let first = loader.statistics();
        assert_eq!((first.batches, first.images(), first.damaged), (4, 14, 0));
        assert_eq!((first.hardware + first.cuda, first.host), (jpegs, 14 - jpegs));
        assert!(share > 0.0 || first.hardware == 0);
        assert_eq!(first.bytes_read, bytes as u64);
        assert!(first.read > Duration::ZERO && first.prepare > Duration::ZERO);
        assert!(first.worker_decode > Duration::ZERO && first.submit > Duration::ZERO);
        epoch(&loader, 1);
        let second = loader.statistics() - first;
        assert_eq!((second.batches, second.images(), second.bytes_read), (4, 14, bytes as u64));
        assert!(loader.damaged().is_empty());
    }
}

/// Somebody's set, with faults: 12 images, the sixth of which fails in some of its functions.
struct Faulty {
    file: Vec<u8>,
    fails_in: &'static [&'static str],
    /// An image that is no image.
    damaged: Option<usize>,
}

const FAULTY: usize = 5;

impl Faulty {
    fn new(fails_in: &'static [&'static str]) -> Faulty {
        Faulty { file: png(picture(40, 30, 1)), fails_in, damaged: None }
    }

    fn call(&self, function: &str, index: usize) {
        assert!(index != FAULTY || !self.fails_in.contains(&function), "a panic of a test's");
    }
}

impl Encoded for Faulty {
    fn len(&self) -> usize {
        12
    }

    fn label(&self, index: usize) -> i32 {
        self.call("label", index);
        index as i32
    }

    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        self.call("bytes", index);
        let file: &[u8] = if self.damaged == Some(index) { b"no image" } else { &self.file };
        Ok(Cow::Borrowed(file))
    }

    fn objects(&self, index: usize) -> Result<Vec<Object>> {
        self.call("objects", index);
        let bounds = BoundingBox { x_min: 0.0, y_min: 0.0, x_max: 40.0, y_max: 30.0 };
        Ok(vec![Object { bounds, class: 1, crowd: false }])
    }

    fn name(&self, index: usize) -> PathBuf {
        self.call("name", index);
        format!("faulty {index}").into()
    }
}

/// The error names the image so.
fn panics_end_the_epoch(fails_in: &'static [&'static str], name: &str) {
    let device = Device::new(0).unwrap();
    let loader = in_order(&device, Faulty::new(fails_in), config(Augmentation::cifar_evaluation(32)));
    let results = within(Duration::from_secs(60), move || {
        let texts = loader.epoch(0).unwrap().map(|batch| batch.map_err(|error| error.to_string()));
        texts.map(|batch| batch.map(|batch| batch.count())).collect::<Vec<_>>()
    });
    assert_eq!(results[0], Ok(4));
    let error = results[1].as_ref().unwrap_err();
    assert!(error.contains(name) && error.contains("panicked"), "{error}");
    assert_eq!(results.len(), 2, "nothing follows an error");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_set_that_panics_when_it_is_read_is_an_error() {
    panics_end_the_epoch(&["bytes"], "faulty 5");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_set_that_panics_when_asked_for_objects_is_an_error() {
    panics_end_the_epoch(&["objects"], "faulty 5");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_set_that_panics_when_asked_for_a_label_is_an_error() {
    panics_end_the_epoch(&["label"], "faulty 5");
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_set_that_panics_when_asked_for_a_name_does_without() {
    panics_end_the_epoch(&["bytes", "name"], "image 5 of the set");
}

/// The image before it is damaged, so that it is the first that is tried in its place, and then has a place of its own.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn an_image_whose_set_panics_is_not_what_replaces_another() {
    let device = Device::new(0).unwrap();
    let plain = config(Augmentation::cifar_evaluation(32));
    let replacing = LoaderConfig { damaged: OnDamaged::Replace, ..plain };
    let set = Faulty { damaged: Some(FAULTY - 1), ..Faulty::new(&["label"]) };
    let loader = in_order(&device, set, replacing);
    let batches = epoch(&loader, 0);
    assert_eq!(batches[1].indices, [6, 6, 6, 7]);
    assert_eq!(batches[1].labels, [6, 6, 6, 7]);
    let damaged: Vec<_> =
        loader.damaged().into_iter().map(|(path, what)| (path, what.contains("panicked"))).collect();
    assert_eq!(damaged, [("faulty 4".into(), false), ("faulty 5".into(), true)]);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn an_image_whose_set_panics_can_be_skipped() {
    let device = Device::new(0).unwrap();
    let plain = config(Augmentation::cifar_evaluation(32));
    let skipping = LoaderConfig { damaged: OnDamaged::Skip, ..plain };
    let loader = in_order(&device, Faulty::new(&["bytes"]), skipping);
    let batches = epoch(&loader, 0);
    assert_eq!(batches[1].valid, [true, false, true, true]);
    assert_eq!(loader.statistics().damaged, 1);
    let image = Rgb::decode(&png(picture(40, 30, 1)), "picture".as_ref()).unwrap();
    let drawn = loader.config().augmentation.draw(0, 0, 4, ocelli_data::augment::ImageSize::upright(40, 30));
    let expected = ocelli_data::augment::host::apply(&drawn, &image, &levels()).unwrap();
    let found = numbers(batches[1].place(0), levels().dtype);
    assert!(found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() <= LEVELS + 0.01));
}
