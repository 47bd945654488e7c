//! Pictures, files of them, sets of files, and what a loader makes of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod cifar;

use std::borrow::Cow;
use std::fs;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use half::{bf16, f16};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageFormat, Rgb as Pixel, RgbImage};
use ocelli_cuda::Device;
use ocelli_data::augment::{Augmentation, Element, Output, host};
use ocelli_data::images::{ImageFolder, Rgb};
use ocelli_data::loader::{Batch, Batches, Loader, LoaderConfig};
use ocelli_data::sampler::{Sampler, State};
use ocelli_data::{Encoded, Object, Result};
use ocelli_nvjpeg::{Backend, Nvjpeg, NvjpegConfig};
use tempfile::TempDir;

/// Decoders of JPEG differ by so many levels: each rounds in ways of its own, before and after the colours are converted.
pub(crate) const JPEG_LEVELS: f32 = 3.0;
/// The kernel and the host differ by so many: sums in single and in double precision.
pub(crate) const LEVELS: f32 = 1.0;

/// The output whose elements are the levels themselves.
pub(crate) fn levels() -> Output {
    Output { dtype: Element::F32, channels: 3, mean: [0.0; 3], deviation: [1.0 / 255.0; 3] }
}

/// A smooth picture, unlike those of other seeds, whose values keep away from black and white, where decoders round in ways
/// of their own.
pub(crate) fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    let wave = |position: u32, period: f32, phase: f32| {
        (position as f32 * std::f32::consts::TAU / period + phase).sin()
    };
    RgbImage::from_fn(width, height, |x, y| {
        Pixel([0, 1, 2].map(|channel| {
            let phase = seed as f32 * 0.7 + channel as f32;
            (128.0 + 30.0 * (wave(x, 61.0, phase) + wave(y, 43.0, 2.0 * phase))).round() as u8
        }))
    })
}

/// A JPEG file whose colour differences are as fine as the luminance.
pub(crate) fn jpeg(image: &RgbImage) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, 92);
    encoder.encode(image, image.width(), image.height(), ExtendedColorType::Rgb8).unwrap();
    file
}

/// A JPEG file of one component.
pub(crate) fn grey_jpeg(image: &RgbImage) -> Vec<u8> {
    let grey = DynamicImage::from(image.clone()).into_luma8();
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, 92);
    encoder.encode(&grey, grey.width(), grey.height(), ExtendedColorType::L8).unwrap();
    file
}

/// A file without losses.
pub(crate) fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A directory with a folder for each class.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file; its name begins with that of its class.
    pub(crate) fn add(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn folder(&self) -> ImageFolder {
        ImageFolder::open(self.0.path()).unwrap()
    }
}

/// Files of 14 images of three classes, of odd sizes: JPEG in colour and grey, PNG in colour and grey.
pub(crate) fn mixed() -> Files {
    let files = Files::new();
    for (index, (width, height)) in
        [(61, 43), (97, 131), (33, 200), (64, 64), (150, 41), (77, 78), (40, 40)].into_iter().enumerate()
    {
        let class = ["ant", "bee", "cat"][index % 3];
        let image = |seed: usize| picture(width, height, seed as u32);
        let coloured = if index % 4 == 3 { grey_jpeg(&image(index)) } else { jpeg(&image(index)) };
        files.add(&format!("{class}/{index}.jpg"), &coloured);
        let other = DynamicImage::from(image(index + 50));
        let other = if index % 4 == 1 { other.grayscale() } else { other };
        files.add(&format!("{class}/{index}.png"), &png(other));
    }
    files
}

/// Files without losses of so many images of one class, of odd sizes.
pub(crate) fn lossless(count: u32) -> Files {
    let files = Files::new();
    for index in 0..count {
        files.add(&format!("ant/{index:03}.png"), &png(picture(31 + 7 * (index % 5), 40 - index % 7, index)));
    }
    files
}

/// Files in memory, named by their numbers, all of class 0.
pub(crate) struct Memory(pub(crate) Vec<Vec<u8>>);

impl Encoded for Memory {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn label(&self, _: usize) -> i32 {
        0
    }

    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(&self.0[index]))
    }

    fn name(&self, index: usize) -> PathBuf {
        format!("memory {index}").into()
    }
}

/// A folder's files, with objects.
pub(crate) struct WithObjects(pub(crate) ImageFolder, pub(crate) fn(usize) -> Vec<Object>);

impl Encoded for WithObjects {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn label(&self, index: usize) -> i32 {
        self.0.label(index)
    }

    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        self.0.bytes(index)
    }

    fn objects(&self, index: usize) -> Result<Vec<Object>> {
        Ok((self.1)(index))
    }

    fn name(&self, index: usize) -> PathBuf {
        self.0.name(index)
    }
}

/// Far longer than anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Batches of small crops, so many ahead, as levels.
pub(crate) fn training(batch: usize, prefetch: usize) -> LoaderConfig {
    LoaderConfig {
        batch,
        prefetch,
        augmentation: Augmentation::imagenet_training(64),
        output: levels(),
        workers: 3,
        ..LoaderConfig::default()
    }
}

/// Whether a GPU has JPEG engines.
pub(crate) fn has_engines(device: &Device) -> bool {
    Nvjpeg::new(device, Backend::Hardware, NvjpegConfig::default()).is_ok()
}

/// A loader of a set in order.
pub(crate) fn in_order(device: &Device, set: impl Encoded + 'static, config: LoaderConfig) -> Loader {
    let sampler = Sampler::sequential(set.len());
    Loader::new(device, Arc::new(set), sampler, config).unwrap()
}

/// A batch on the host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Copied {
    pub(crate) images: Vec<u8>,
    pub(crate) labels: Vec<i32>,
    pub(crate) valid: Vec<bool>,
    pub(crate) indices: Vec<usize>,
    pub(crate) state: State,
}

impl Copied {
    pub(crate) fn of(device: &Device, batch: &Batch) -> Copied {
        Copied {
            images: bytes(device, batch),
            labels: batch.labels.clone(),
            valid: batch.valid.clone(),
            indices: batch.indices.clone(),
            state: batch.state,
        }
    }

    /// The bytes of one place.
    pub(crate) fn place(&self, place: usize) -> &[u8] {
        let bytes = self.images.len() / self.labels.len();
        &self.images[place * bytes..][..bytes]
    }
}

/// What is left of an epoch, on the host.
pub(crate) fn rest(device: &Device, batches: Batches) -> Vec<Copied> {
    batches.map(|batch| Copied::of(device, &batch.unwrap())).collect()
}

/// An epoch on the host.
pub(crate) fn epoch(loader: &Loader, epoch: u64) -> Vec<Copied> {
    rest(loader.consumer(), loader.epoch(epoch).unwrap())
}

/// The batch's images as they are in memory.
pub(crate) fn bytes(device: &Device, batch: &Batch) -> Vec<u8> {
    let elements: usize = batch.shape().into_iter().product();
    assert_eq!(batch.images.len(), elements * batch.output.dtype.bytes());
    let mut bytes = vec![0xa5; batch.images.len()];
    device.stream().download(&batch.images, 0, &mut bytes).unwrap();
    bytes
}

/// The batch's elements.
pub(crate) fn elements(device: &Device, batch: &Batch) -> Vec<f32> {
    numbers(&bytes(device, batch), batch.output.dtype)
}

/// The elements in some bytes.
pub(crate) fn numbers(bytes: &[u8], dtype: Element) -> Vec<f32> {
    let halves = || bytes.as_chunks::<2>().0.iter();
    match dtype {
        Element::F16 => halves().map(|&half| f16::from_ne_bytes(half).to_f32()).collect(),
        Element::Bf16 => halves().map(|&half| bf16::from_ne_bytes(half).to_f32()).collect(),
        Element::F32 => bytes.as_chunks::<4>().0.iter().map(|&single| f32::from_ne_bytes(single)).collect(),
    }
}

/// How two lists of numbers differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    /// The largest difference.
    pub(crate) most: f32,
    /// The mean of all.
    pub(crate) mean: f64,
    /// The share of numbers that differ by more than 1.
    pub(crate) beyond: f64,
}

impl Difference {
    pub(crate) fn between(found: &[f32], expected: &[f32]) -> Difference {
        assert_eq!(found.len(), expected.len());
        let (mut most, mut sum, mut beyond) = (0.0f32, 0.0, 0);
        for (found, expected) in found.iter().zip(expected) {
            let difference = (found - expected).abs();
            assert!(difference.is_finite(), "{found} for {expected}");
            most = most.max(difference);
            sum += f64::from(difference);
            // Levels that are a hair's breadth from whole numbers are not counted.
            beyond += usize::from(difference > 1.01);
        }
        let count = found.len().max(1) as f64;
        Difference { most, mean: sum / count, beyond: beyond as f64 / count }
    }
}

/// What the host makes of each place's file, as its draw says; zeros where there is none.
pub(crate) fn expected(batch: &Batch, set: &dyn Encoded) -> Vec<Vec<f32>> {
    let blank = vec![0.0; batch.shape()[1..].iter().product()];
    (0..batch.labels.len())
        .map(|place| match &batch.drawn[place] {
            Some(drawn) => {
                let index = batch.indices[place];
                let image = Rgb::decode(&set.bytes(index).unwrap(), &set.name(index)).unwrap();
                host::apply_on_canvas(drawn, &image, &batch.output, batch.size).unwrap()
            }
            None => blank.clone(),
        })
        .collect()
}

/// Whether a file's decoders may differ.
pub(crate) fn is_jpeg(set: &dyn Encoded, index: usize) -> bool {
    set.bytes(index).unwrap().starts_with(&[0xff, 0xd8])
}

/// Holds a batch of [`levels`] against the host, with its tolerances for each kind of file.
pub(crate) fn compare(device: &Device, batch: &Batch, set: &dyn Encoded) {
    let found = elements(device, batch);
    let expected = expected(batch, set);
    for (place, (found, expected)) in found.chunks(expected[0].len()).zip(&expected).enumerate() {
        let index = batch.indices[place];
        let tolerance = if is_jpeg(set, index) { JPEG_LEVELS } else { LEVELS };
        let difference = Difference::between(found, expected);
        // A hair's breadth more: 1 / 255 is not exact.
        assert!(difference.most <= tolerance + 0.01, "{}: {difference:?}", set.name(index).display());
    }
}

/// Fails, rather than waits without end, where something hangs.
pub(crate) fn within<T: Send + 'static>(limit: Duration, action: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    let thread = thread::spawn(move || sender.send(action()).unwrap());
    match receiver.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs: nothing came within {limit:?}"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panicked) => resume_unwind(panicked),
            Ok(()) => panic!("the thread ended without a result"),
        },
    }
}
