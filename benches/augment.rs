//! Augmentation: 256 decoded images of 500 x 375 pixels into a batch of 224 x 224, as a loader submits it. Of a training
//! step of ResNet-50, which takes 26 ms for as many on an H200, it may take little.

mod common;

use anyhow::Result;
use common::{Bench, Case, Submit};
use ocelli::DType;
use ocelli::cuda::{Device, DeviceBuffer, Event, Stream};
use ocelli::data::augment::kernel::{AugmentedImage, Augmenter, DecodedImage, Layout, Workspace};
use ocelli::data::augment::{Augmentation, Drawn, ImageSize, Interpolation, Output, Policy, Size};
use ocelli::data::jpeg::Subsampling;

const BATCH: u64 = 256;
const STORED: Size = Size { width: 500, height: 375 };
const CANVAS: Size = Size { width: 224, height: 224 };

fn main() -> Result<()> {
    let plain = Augmentation::imagenet_training(CANVAS.width);
    let with = |policy| Augmentation { policy: Some(policy), ..plain };
    common::run("augment", |bench| {
        for (name, augmentation) in [
            ("crop and flip", plain),
            ("bicubic crop and flip", Augmentation { interpolation: Interpolation::Bicubic, ..plain }),
            ("RandAugment", with(Policy::rand_augment())),
            ("TrivialAugment", with(Policy::trivial_augment())),
        ] {
            augment(bench, name, augmentation, Layout::Interleaved, "of RGB")?;
            augment(bench, name, augmentation, Layout::Planes(Subsampling::S420), "of planes")?;
        }
        Ok(())
    })
}

fn augment(
    bench: &mut Bench,
    name: &str,
    augmentation: Augmentation,
    layout: Layout,
    form: &'static str,
) -> Result<()> {
    let size = ImageSize::upright(STORED.width, STORED.height);
    let drawn: Vec<Drawn> = (0..BATCH).map(|sample| augmentation.draw(1, 0, sample, size)).collect();
    let output = Output::default();
    // What lies in the crops is read once.
    let read = drawn.iter().map(|drawn| {
        let part = drawn.stored_part();
        layout.bytes(Size { width: part.width, height: part.height })
    });
    let written = BATCH as usize * CANVAS.width as usize * CANVAS.height as usize * output.pixel_bytes();
    let bytes = (read.sum::<usize>() + written) as f64;
    let case = Case { name: name.to_owned(), direction: form, dtype: DType::F16, flops: 0.0, count: 1 };
    bench.time(case, bytes, 1, || Batches::new(drawn.clone(), layout, output))
}

/// Batches in turn, two on their way at once.
struct Batches {
    augmenter: Augmenter,
    drawn: Vec<Drawn>,
    layout: Layout,
    /// All images, more than an L2 cache holds.
    decoded: DeviceBuffer,
    places: [Place; 2],
    submitted: usize,
}

/// Memory that a batch is made in.
struct Place {
    images: DeviceBuffer,
    workspace: Workspace,
    made: Option<Event>,
}

impl Batches {
    fn new(drawn: Vec<Drawn>, layout: Layout, output: Output) -> Result<Batches> {
        let device = Device::new(0)?;
        let augmenter = Augmenter::new(&device, output)?;
        let bytes = layout.bytes(STORED) * drawn.len();
        let decoded = device.alloc(bytes)?;
        let noise = common::program::random(bytes, |value: f32| (127.5 + 127.5 * value) as u8);
        device.stream().upload(&decoded, 0, &noise)?;
        let place = || -> Result<Place> {
            let images = device.alloc(augmenter.batch_bytes(drawn.len() as u32, CANVAS)?)?;
            Ok(Place { images, workspace: Workspace::default(), made: None })
        };
        let places = [place()?, place()?];
        Ok(Batches { augmenter, drawn, layout, decoded, places, submitted: 0 })
    }
}

impl Submit for Batches {
    fn submit(&mut self) -> Result<()> {
        let Batches { augmenter, drawn, layout, decoded: memory, .. } = self;
        let bytes = layout.bytes(STORED);
        let images: Vec<AugmentedImage<'_>> = (0..)
            .zip(&*drawn)
            .map(|(place, drawn)| {
                let offset = place as usize * bytes;
                let image = DecodedImage { memory, offset, size: STORED, layout: *layout };
                AugmentedImage { image, drawn, place }
            })
            .collect();
        let place = &mut self.places[self.submitted % 2];
        self.submitted += 1;
        if let Some(made) = place.made.take() {
            made.synchronize()?;
        }
        let stream = augmenter.device().stream();
        augmenter.submit(
            &images,
            &place.images,
            images.len() as u32,
            CANVAS,
            &mut place.workspace,
            stream,
        )?;
        place.made = Some(stream.record()?);
        Ok(())
    }

    fn stream(&self) -> Result<Stream> {
        Ok(self.augmenter.device().stream().clone())
    }

    fn launches(&self) -> Result<usize> {
        let two = self.drawn.iter().any(Drawn::needs_whole_image);
        Ok(1 + usize::from(two))
    }
}
