//! Photographs through the loader, where `OCELLI_TEST_DATA` was set to a directory that holds `imagenet-sample-500.tar` when
//! the tests were built, and a GPU is there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail loudly")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use ocelli_cuda::Device;
use ocelli_data::Encoded;
use ocelli_data::augment::{Augmentation, Element, Geometry, Interpolation, Output};
use ocelli_data::images::{ImageFolder, Rgb};
use ocelli_data::jpeg::{Header, Route};
use ocelli_data::loader::{DecodedForm, LoaderConfig, Statistics};
use support::{Memory, compare, elements, has_engines, in_order, levels};
use tempfile::TempDir;

/// Red, green and blue of some pixels, as `golden/photographs/make.py` describes.
const SAMPLES: &[u8] = include_bytes!("golden/photographs/samples.bin");
/// Pixels of each photograph in [`SAMPLES`].
const EACH: usize = 64;
/// No photograph has more columns, or rows.
const SIDE: u32 = 1088;

/// Every third photograph, in the order of their names, and the number of each among all.
fn photographs() -> (TempDir, Vec<(usize, PathBuf)>) {
    let archive = Path::new(&env::var_os("OCELLI_TEST_DATA").unwrap()).join("imagenet-sample-500.tar");
    let directory = tempfile::tempdir().unwrap();
    let class = directory.path().join("all");
    fs::create_dir(&class).unwrap();
    assert!(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&class).status().unwrap().success());
    let folder = ImageFolder::open(directory.path()).unwrap();
    assert_eq!(folder.samples().len(), 500);
    let paths = folder.samples().iter().map(|sample| sample.path.clone());
    let third = paths.enumerate().step_by(3).collect();
    (directory, third)
}

fn in_memory(photographs: &[(usize, PathBuf)]) -> Memory {
    Memory(photographs.iter().map(|(_, path)| fs::read(path).unwrap()).collect())
}

/// The columns and rows of the pixels that were sampled of a photograph: the rule of `make.py`.
fn places(number: usize, width: u32, height: u32) -> Vec<(usize, usize)> {
    let mut state = number as u64;
    let mut draw = |side: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % u64::from(side)) as usize
    };
    (0..EACH).map(|_| (draw(width), draw(height))).collect()
}

/// How far the levels of some photographs are from those of libjpeg-turbo.
#[derive(Debug, Default)]
struct Distance {
    most: f32,
    sum: f64,
    count: usize,
}

impl Distance {
    fn add(&mut self, found: f32, expected: u8) {
        let difference = (found - f32::from(expected)).abs();
        self.most = self.most.max(difference);
        self.sum += f64::from(difference);
        self.count += 1;
    }

    fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}

/// The rule for places is the script's: the host's decoder, too, is near libjpeg-turbo there.
#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA")]
fn samples_are_of_the_places_that_the_rule_draws() {
    let (_directory, photographs) = photographs();
    assert_eq!(SAMPLES.len(), photographs.len() * EACH * 3);
    let mut distance = Distance::default();
    for ((number, path), samples) in photographs.iter().zip(SAMPLES.chunks(EACH * 3)) {
        let image = Rgb::read(path).unwrap();
        assert!(image.width.max(image.height) <= SIDE as usize, "{}", path.display());
        let places = places(*number, image.width as u32, image.height as u32);
        for ((column, row), expected) in places.into_iter().zip(samples.as_chunks::<3>().0) {
            let found = &image.pixels[3 * (row * image.width + column)..][..3];
            for (&found, &expected) in found.iter().zip(expected) {
                distance.add(found.into(), expected);
            }
        }
    }
    // Colour differences are scaled up in other ways, which tells only at edges.
    assert!(distance.mean() < 1.0, "{distance:?}");
}

/// Loads photographs, unscaled, and measures those that go the fastest way.
fn measure(hardware_share: f32, decoded: DecodedForm) -> (Distance, Statistics) {
    let (_directory, photographs) = photographs();
    let device = Device::new(0).unwrap();
    // Whole numbers up to 2048 are exact in half precision.
    let output = Output { dtype: Element::F16, channels: 4, ..levels() };
    // An image smaller than what is taken of it lies at the top left, as it is.
    let geometry = Geometry::PaddedCrop { height: SIDE, width: SIDE, padding: 0, cutout: 0 };
    let augmentation = Augmentation::only(geometry);
    let config =
        LoaderConfig { batch: 8, augmentation, output, hardware_share, decoded, ..LoaderConfig::default() };
    let set = in_memory(&photographs);
    let fastest: Vec<bool> = (0..set.len())
        .map(|index| Header::parse(&set.bytes(index).unwrap()).unwrap().route() == Route::Hardware)
        .collect();
    let loader = in_order(&device, set, config);
    let mut distance = Distance::default();
    for batch in loader.epoch(0).unwrap() {
        let batch = batch.unwrap();
        let found = elements(&device, &batch);
        let side = SIDE as usize;
        for (place, found) in found.chunks(side * side * 4).enumerate() {
            let index = batch.indices[place];
            if !batch.valid[place] || !fastest[index] {
                continue;
            }
            let original = batch.originals[place];
            let samples = SAMPLES[index * EACH * 3..].as_chunks::<3>().0;
            let places = places(photographs[index].0, original.width, original.height);
            for ((column, row), expected) in places.into_iter().zip(samples) {
                let pixel = &found[4 * (row * side + column)..][..3];
                for (&found, &expected) in pixel.iter().zip(expected) {
                    distance.add(found, expected);
                }
            }
        }
    }
    assert_eq!(distance.count, fastest.iter().filter(|&&fastest| fastest).count() * EACH * 3);
    println!("a share of {hardware_share}, {decoded:?}: {distance:?}, mean {}", distance.mean());
    (distance, loader.statistics())
}

#[test]
#[cfg_attr(not(all(ocelli_gpu, ocelli_test_data)), ignore = "needs an NVIDIA GPU and OCELLI_TEST_DATA")]
fn the_engines_decode_what_libjpeg_turbo_decodes() {
    let (distance, statistics) = measure(1.0, DecodedForm::Rgb);
    assert_eq!((statistics.images(), statistics.damaged), (167, 0));
    // A GPU without engines decodes by CUDA.
    assert_eq!(statistics.hardware > 0, has_engines(&Device::new(0).unwrap()));
    let most = if has_engines(&Device::new(0).unwrap()) { 2.0 } else { 3.0 };
    assert!(distance.most <= most && distance.mean() < 0.5, "{distance:?}, mean {}", distance.mean());
    assert!(distance.count > 100 * EACH * 3, "{distance:?}");
}

#[test]
#[cfg_attr(not(all(ocelli_gpu, ocelli_test_data)), ignore = "needs an NVIDIA GPU and OCELLI_TEST_DATA")]
fn the_engines_planes_become_libjpeg_turbos_pixels_to_the_bit() {
    let (distance, statistics) = measure(1.0, DecodedForm::Planes);
    assert_eq!((statistics.images(), statistics.damaged), (167, 0));
    // A GPU without engines decodes by CUDA, which makes no planes here.
    assert_eq!(statistics.hardware > 0, has_engines(&Device::new(0).unwrap()));
    let most = if has_engines(&Device::new(0).unwrap()) { 0.0 } else { 3.0 };
    // A hair's breadth: 1 / 255 is not exact, nor is half precision.
    assert!(distance.most <= most + 0.01, "{distance:?}");
    assert!(distance.count > 100 * EACH * 3, "{distance:?}");
}

#[test]
#[cfg_attr(not(all(ocelli_gpu, ocelli_test_data)), ignore = "needs an NVIDIA GPU and OCELLI_TEST_DATA")]
fn cuda_decodes_what_libjpeg_turbo_decodes() {
    let (distance, statistics) = measure(0.0, DecodedForm::Rgb);
    assert_eq!((statistics.images(), statistics.damaged, statistics.hardware), (167, 0, 0));
    // Measured: three levels in 3 of 100,000 pixels, otherwise no more than two.
    assert!(distance.most <= 3.0 && distance.mean() < 0.5, "{distance:?}, mean {}", distance.mean());
    assert!(distance.count > 100 * EACH * 3, "{distance:?}");
}

/// The same pixels on both sides: what differs is the scaling alone.
#[test]
#[cfg_attr(not(all(ocelli_gpu, ocelli_test_data)), ignore = "needs an NVIDIA GPU and OCELLI_TEST_DATA")]
fn photographs_are_scaled_as_on_the_host() {
    let (_directory, photographs) = photographs();
    let device = Device::new(0).unwrap();
    let pixmap = |(_, path): &(usize, PathBuf)| {
        let Rgb { width, height, pixels } = Rgb::read(path).unwrap();
        [format!("P6\n{width} {height}\n255\n").as_bytes(), &pixels].concat()
    };
    // The host takes its time.
    let files: Vec<Vec<u8>> = photographs.iter().step_by(9).map(pixmap).collect();
    let set = || Memory(files.clone());
    let bicubic = Interpolation::Bicubic;
    for (augmentation, epochs) in [
        (Augmentation::imagenet_evaluation(224), 1),
        (Augmentation::imagenet_training(224), 5),
        (Augmentation { interpolation: bicubic, ..Augmentation::imagenet_training(224) }, 2),
    ] {
        let config = LoaderConfig { batch: 8, augmentation, output: levels(), ..LoaderConfig::default() };
        let loader = in_order(&device, set(), config);
        for epoch in 0..epochs {
            for batch in loader.epoch(epoch).unwrap() {
                compare(&device, &batch.unwrap(), &set());
            }
        }
        assert_eq!(loader.statistics().images(), epochs * files.len() as u64);
    }
}
