//! Folders of images, read and batched.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, Luma, Rgb as Pixel, RgbImage, Rgba, RgbaImage};
use ocelli_data::images::{
    Batch, Damaged, IGNORED, ImageFolder, Images, Loader, LoaderConfig, Rgb, Sample, Transform,
};
use ocelli_data::{Error, Result};
use tempfile::TempDir;

/// An image whose pixels tell which it is.
fn save(directory: &Path, class: &str, name: &str, value: u8) {
    fs::create_dir_all(directory.join(class)).unwrap();
    let image = RgbImage::from_fn(12, 10, |x, y| Pixel([value, x as u8 * 20, y as u8 * 25]));
    image.save(directory.join(class).join(name)).unwrap();
}

/// 3 + 8 + 2 images of three classes.
fn small_set() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (class, count) in [("cat", 3u8), ("ant", 8), ("bee", 2)] {
        for index in 0..count {
            save(directory.path(), class, &format!("{index}.png"), 20 * index + class.as_bytes()[0] - 90);
        }
    }
    directory
}

fn loader(directory: &Path, transform: Transform, config: LoaderConfig) -> Loader {
    Loader::new(ImageFolder::open(directory).unwrap(), transform, config).unwrap()
}

fn all(loader: &Loader, epoch: usize) -> Vec<(Vec<u8>, Vec<i32>)> {
    loader.epoch(epoch).map(|batch| batch.unwrap()).map(|batch| (batch.images, batch.labels)).collect()
}

#[test]
fn classes_are_numbered_by_name_and_files_found_by_extension() {
    let directory = small_set();
    let path = directory.path();
    fs::write(path.join("ant/notes.txt"), "no image").unwrap();
    fs::write(path.join("README.md"), "no class").unwrap();
    fs::create_dir(path.join("bee/more")).unwrap();
    save(path, "bee/more", "x.JPEG", 1);
    let folder = ImageFolder::open(path).unwrap();
    assert_eq!(folder.classes(), ["ant", "bee", "cat"]);
    assert_eq!(folder.samples().len(), 14);
    let of = |label| -> Vec<PathBuf> {
        let samples = folder.samples().iter().filter(|sample| sample.label == label);
        samples.map(|Sample { path: file, .. }| file.strip_prefix(path).unwrap().into()).collect()
    };
    assert_eq!(of(1), ["bee/0.png", "bee/1.png", "bee/more/x.JPEG"].map(PathBuf::from));
    assert_eq!(of(0).len(), 8);
}

#[test]
fn directories_without_classes_or_images_are_errors_that_name_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let error = ImageFolder::open(path).unwrap_err();
    assert!(matches!(&error, Error::NoClasses { directory } if directory == path));
    save(path, "ant", "0.png", 1);
    fs::create_dir(path.join("bee")).unwrap();
    let error = ImageFolder::open(path).unwrap_err();
    assert!(error.to_string().contains("bee") && error.to_string().contains("jpeg"), "{error}");
    let error = ImageFolder::open(&path.join("nowhere")).unwrap_err();
    assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn grey_images_and_those_with_alpha_become_three_channels() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.png");
    let read = |image: DynamicImage| {
        image.save(&path).unwrap();
        Rgb::read(&path).unwrap()
    };
    let grey = read(GrayImage::from_pixel(3, 2, Luma([77])).into());
    assert_eq!(grey, Rgb { width: 3, height: 2, pixels: vec![77; 18] });
    let clear = read(RgbaImage::from_pixel(1, 1, Rgba([9, 8, 7, 0])).into());
    assert_eq!(clear.pixels, [9, 8, 7]);
    // The first bytes say what it is, not the name.
    let named = directory.path().join("a.jpeg");
    fs::copy(&path, &named).unwrap();
    assert_eq!(Rgb::read(&named).unwrap(), clear);
}

#[test]
fn a_jpeg_is_decoded() {
    let directory = tempfile::tempdir().unwrap();
    save(directory.path(), "ant", "0.jpg", 120);
    let image = Rgb::read(&directory.path().join("ant/0.jpg")).unwrap();
    assert_eq!((image.width, image.height), (12, 10));
    let red = image.pixels.iter().step_by(3).map(|&value| f64::from(value)).sum::<f64>() / 120.0;
    assert!((red - 120.0).abs() < 6.0, "{red}");
}

#[test]
fn batches_do_not_depend_on_the_number_of_threads() {
    let directory = small_set();
    for transform in [
        Transform::imagenet_training(8),
        Transform::PaddedCrop { size: 9, padding: 2, flip: true, cutout: 3 },
    ] {
        let batches = |workers, prefetch| {
            let config =
                LoaderConfig { batch: 5, shuffle: true, workers, prefetch, seed: 4, ..Default::default() };
            let loader = loader(directory.path(), transform, config);
            [all(&loader, 0), all(&loader, 1)]
        };
        let alone = batches(1, 0);
        assert_eq!(alone, batches(7, 3));
        assert_ne!(alone[0], alone[1]);
    }
}

#[test]
fn batches_larger_than_what_a_thread_takes_are_put_together_in_order() {
    let directory = tempfile::tempdir().unwrap();
    for index in 0..100 {
        save(directory.path(), "ant", &format!("{index:03}.png"), index);
    }
    let config = LoaderConfig { batch: 45, workers: 4, ..Default::default() };
    let loader = loader(directory.path(), Transform::CentreCrop { resize: 10, size: 10 }, config);
    assert_eq!(loader.batches(), 3);
    let reds: Vec<u8> = all(&loader, 0)
        .into_iter()
        .flat_map(|(images, _)| images.chunks(300).map(|image| image[0]).collect::<Vec<_>>())
        .collect();
    assert!(reds[..100].iter().copied().eq(0..100));
    assert_eq!(reds[100..], [0; 35]);
}

#[test]
fn an_epoch_can_be_taken_up_at_any_batch() {
    let directory = small_set();
    let config = LoaderConfig { batch: 2, shuffle: true, workers: 3, ..Default::default() };
    let loader = loader(directory.path(), Transform::imagenet_training(6), config);
    let whole = all(&loader, 3);
    let rest: Vec<_> = loader.resume(3, 4).map(|batch| batch.unwrap().images).collect();
    assert!(rest.iter().eq(whole[4..].iter().map(|(images, _)| images)));
    assert_eq!(rest.len(), 3);
}

#[test]
fn an_epoch_has_every_image_once() {
    let directory = small_set();
    let loader = loader(
        directory.path(),
        Transform::CentreCrop { resize: 10, size: 10 },
        LoaderConfig { batch: 4, shuffle: true, workers: 2, ..Default::default() },
    );
    let mut orders = Vec::new();
    for epoch in 0..2 {
        let batches: Vec<Batch> = loader.epoch(epoch).map(Result::unwrap).collect();
        assert_eq!(batches.iter().map(Batch::count).sum::<usize>(), 13);
        assert_eq!(batches[3].labels[1..], [IGNORED; 3]);
        assert!(batches[3].images[300..].iter().all(|&value| value == 0));
        let reds = |batch: &Batch| -> Vec<u8> {
            batch.images.chunks(300).take(batch.count()).map(|image| image[0]).collect()
        };
        orders.push(batches.iter().flat_map(reds).collect::<Vec<u8>>());
    }
    assert_ne!(orders[0], orders[1]);
    orders.iter_mut().for_each(|order| order.sort_unstable());
    let mut expected: Vec<u8> = [("c", 3u8), ("a", 8), ("b", 2)]
        .iter()
        .flat_map(|(c, n)| (0..*n).map(|i| 20 * i + c.as_bytes()[0] - 90))
        .collect();
    expected.sort_unstable();
    assert_eq!(orders, [expected.clone(), expected]);
}

#[test]
fn what_does_not_fill_a_batch_can_be_left_out() {
    let directory = small_set();
    let config = LoaderConfig { batch: 5, drop_last: true, workers: 2, ..Default::default() };
    let loader = loader(directory.path(), Transform::cifar_evaluation(8), config);
    assert_eq!((loader.batches(), loader.images(), loader.size()), (2, 13, 8));
    assert!(all(&loader, 0).iter().all(|(_, labels)| labels.iter().all(|&label| label != IGNORED)));
    let none = LoaderConfig { batch: 14, ..config };
    let folder = ImageFolder::open(directory.path()).unwrap();
    let error = Loader::new(folder, Transform::cifar_evaluation(8), none).err().unwrap();
    assert!(error.to_string().contains("13 images"), "{error}");
}

#[test]
fn images_in_memory_are_those_of_the_files() {
    let directory = small_set();
    let config = LoaderConfig { batch: 13, shuffle: true, workers: 2, ..Default::default() };
    let (transform, folder) = (Transform::cifar_training(8), ImageFolder::open(directory.path()).unwrap());
    let memory = folder.clone().into_memory(3, Damaged::Fail).unwrap();
    assert_eq!(memory.classes(), folder.classes());
    let memory = Loader::new(memory, transform, config).unwrap();
    assert_eq!(all(&memory, 2), all(&Loader::new(folder, transform, config).unwrap(), 2));
}

#[test]
fn a_damaged_file_is_named_or_skipped() {
    let directory = small_set();
    let bad = directory.path().join("bee/1.png");
    let bytes = fs::read(&bad).unwrap();
    fs::write(&bad, &bytes[..bytes.len() / 2]).unwrap();
    let transform = Transform::CentreCrop { resize: 10, size: 10 };
    let config = LoaderConfig { batch: 4, workers: 2, ..Default::default() };

    let mut batches = loader(directory.path(), transform, config).epoch(0);
    assert!(batches.next().unwrap().is_ok() && batches.next().unwrap().is_ok());
    let error = batches.next().unwrap().unwrap_err();
    assert!(matches!(&error, Error::Image { path, .. } if *path == bad), "{error}");
    assert!(batches.next().is_none());
    let folder = ImageFolder::open(directory.path()).unwrap();
    let error = folder.clone().into_memory(2, Damaged::Fail).unwrap_err();
    assert!(error.to_string().contains("1.png"), "{error}");
    let memory = folder.into_memory(2, Damaged::Skip).unwrap();
    assert_eq!((memory.len(), memory.left_out().len()), (12, 1));
    assert!(memory.left_out()[0].to_string().contains("1.png"));
    let labels: Vec<i32> = (0..12).map(|index| memory.label(index)).collect();
    assert_eq!(labels, [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2]);

    let config = LoaderConfig { damaged: Damaged::Skip, ..config };
    let batches: Vec<Batch> =
        loader(directory.path(), transform, config).epoch(0).map(Result::unwrap).collect();
    assert_eq!(batches[2].labels, [1, IGNORED, 2, 2]);
    assert!(batches[2].images[300..600].iter().all(|&value| value == 0));
    assert!(batches[2].damaged[0].to_string().contains("1.png"));
    assert_eq!(batches.iter().map(|batch| batch.damaged.len()).sum::<usize>(), 1);
    assert_eq!(batches.iter().map(Batch::count).sum::<usize>(), 12);
}

/// Cut short anywhere, a JPEG file is an error: half an image is no sample.
#[test]
fn a_jpeg_cut_short_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.jpg");
    let noise = RgbImage::from_fn(64, 64, |x, y| Pixel([(x * y % 251) as u8, (x * 7 % 256) as u8, y as u8]));
    noise.save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(Rgb::read(&path).is_ok());
    for share in [1, 4, 7] {
        fs::write(&path, &bytes[..bytes.len() * share / 8]).unwrap();
        assert!(matches!(Rgb::read(&path), Err(Error::Image { .. })), "{share}/8 of the file");
    }
}

#[test]
fn what_is_no_image_at_all_is_an_error() {
    let directory = small_set();
    for contents in [&b""[..], b"GIF89a", b"not an image, whatever its name says"] {
        let path = directory.path().join("ant/0.png");
        fs::write(&path, contents).unwrap();
        assert!(matches!(Rgb::read(&path), Err(Error::Image { .. })), "{contents:?}");
    }
}

#[test]
fn a_decoder_that_panics_is_an_error_that_names_the_file() {
    struct Broken;
    impl Images for Broken {
        fn len(&self) -> usize {
            40
        }
        fn label(&self, _: usize) -> i32 {
            0
        }
        fn load(&self, index: usize) -> Result<Cow<'_, Rgb>> {
            assert!(index != 25, "a test's panic");
            Ok(Cow::Owned(Rgb { width: 4, height: 4, pixels: vec![1; 48] }))
        }
        fn name(&self, index: usize) -> PathBuf {
            format!("image {index}").into()
        }
    }
    let config = LoaderConfig { batch: 20, workers: 2, ..Default::default() };
    let loader = Loader::new(Broken, Transform::cifar_evaluation(4), config).unwrap();
    let mut batches = loader.epoch(0);
    assert!(batches.next().unwrap().is_ok());
    let error = batches.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("image 25") && error.contains("panicked"), "{error}");
}

#[test]
fn an_epoch_can_be_left_early() {
    let directory = small_set();
    let config = LoaderConfig { batch: 1, workers: 3, prefetch: 1, ..Default::default() };
    let loader = loader(directory.path(), Transform::cifar_evaluation(8), config);
    let mut batches = loader.epoch(0);
    assert!(batches.next().unwrap().is_ok());
    drop(batches);
    assert_eq!(all(&loader, 0).len(), 13);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let directory = small_set();
    let refused = |transform, config| {
        let folder = ImageFolder::open(directory.path()).unwrap();
        matches!(Loader::new(folder, transform, config), Err(Error::Setting { .. }))
    };
    let config = LoaderConfig { batch: 2, ..Default::default() };
    assert!(refused(Transform::cifar_evaluation(8), LoaderConfig { batch: 0, ..config }));
    assert!(refused(Transform::cifar_evaluation(0), config));
    assert!(refused(Transform::CentreCrop { resize: 4, size: 8 }, config));
    let Transform::RandomResizedCrop { size, ratio, flip, .. } = Transform::imagenet_training(8) else {
        panic!("another transform")
    };
    assert!(refused(Transform::RandomResizedCrop { size, scale: [0.5, 0.1], ratio, flip }, config));
    assert!(!refused(Transform::imagenet_training(8), config));
}
