//! What feeds the GPU: it has whole batches decoded, and augments them.

use ocelli_cuda::{DeviceBuffer, Event};
use ocelli_nvjpeg::PinnedFile;

use super::batch::{Batch, DamagedImage};
use super::cache::{Pixels, rgb_bytes, size_of};
use super::engines::{Decoded, Engines, Entering};
use super::prepare::{InsteadOf, Payload, Place, Prepared, Worker};
use super::ring::Ring;
use super::shared::Shared;
use super::slab::{Lent, ROUND, Slab};
use crate::augment::kernel::{AugmentedImage, DecodedImage, Layout};
use crate::augment::{ImageSize, Size};
use crate::encoded::IGNORED;
use crate::images::Rgb;
use crate::sampler::State;
use crate::{Error, Result};

/// Images begin at multiples of this many bytes.
const ALIGNMENT: usize = 256;

/// Makes batches, one after another. It takes long to make, and is kept from one epoch to the next.
pub(super) struct Feeder {
    engines: Engines,
    slabs: [Slab; 2],
    rounds: usize,
}

/// A batch on its way, and the event that says when it is there.
pub(super) struct Made {
    pub(super) batch: Batch,
    pub(super) ready: Event,
}

/// A place of a batch, and an image for it that is not on the GPU yet.
struct Pending {
    place: usize,
    image: Box<Prepared>,
    /// Where it begins in the slab, if it goes there.
    offset: usize,
}

/// A place of a batch, and the pixels for it.
struct Ready {
    place: usize,
    image: Box<Prepared>,
    pixels: Pixels,
}

/// A place of a batch, and an image that cannot be decoded.
struct Failed {
    place: usize,
    image: Box<Prepared>,
    error: Error,
}

impl Feeder {
    pub(super) fn new(shared: &Shared) -> Result<Feeder> {
        Ok(Feeder { engines: Engines::new(shared)?, slabs: Default::default(), rounds: 0 })
    }

    /// Makes a batch of what the workers have prepared. None when the ring has stopped.
    pub(super) fn make(
        &mut self,
        places: Vec<Place>,
        state: State,
        ring: &Ring,
        worker: &mut Worker,
    ) -> Result<Option<Made>> {
        let shared = worker.shared();
        let mut contents = Contents::new(places.len(), state);
        let mut pending = Vec::new();
        for (place, content) in places.into_iter().enumerate() {
            match content {
                Place::Image(image) => pending.push(Pending { place, image, offset: 0 }),
                Place::Damaged(damaged) => contents.damaged(place, damaged),
                Place::Empty => {}
            }
        }
        let augmentation = &shared.config.augmentation;
        let canvas = augmentation.canvas(pending.iter().map(|pending| pending.image.drawn.size));
        let mut memory: Option<DeviceBuffer> = None;
        // Also of a batch without images, whose places are zero.
        while !pending.is_empty() || memory.is_none() {
            let round = next_round(&mut pending);
            let (ready, failed) = self.decode(round, &shared)?;
            for Failed { place, image, error } in failed {
                match worker.instead_of_prepared(*image, error)? {
                    Place::Image(image) if fits(image.drawn.size, canvas) => {
                        pending.push(Pending { place, image, offset: 0 });
                    }
                    Place::Image(image) => contents.replacement_left_out(place, *image),
                    Place::Damaged(damaged) => contents.damaged(place, damaged),
                    Place::Empty => {}
                }
            }
            let memory = match &memory {
                Some(memory) => memory,
                None => {
                    let bytes = contents.bytes(canvas, &shared);
                    let taken = shared.counters.wait_room.time(|| ring.take(bytes))?;
                    let Some(taken) = taken else { return Ok(None) };
                    memory.insert(taken)
                }
            };
            shared.counters.submit.time(|| self.augment(ready, memory, canvas, &mut contents, &shared))?;
        }
        let Some(memory) = memory else { return Ok(None) };
        contents.clear_empty(&memory, canvas, &shared)?;
        let ready = shared.stream.record()?;
        shared.counters.batches.add(1);
        Ok(Some(Made { batch: contents.into_batch(memory, canvas, &shared), ready }))
    }

    /// Brings images into device memory. Yields those that are there, or will be in the order of the stream, and those that
    /// cannot be decoded after all.
    fn decode(&mut self, round: Vec<Pending>, shared: &Shared) -> Result<(Vec<Ready>, Vec<Failed>)> {
        self.rounds += 1;
        let slab = &mut self.slabs[self.rounds % 2];
        let bytes = round.last().map_or(0, |last| last.offset + slab_bytes(&last.image));
        let memory = shared.counters.wait_augmentation.time(|| slab.begin(bytes, shared))?;
        let (mut ready, mut entering) = (Vec::new(), Vec::new());
        for Pending { place, mut image, offset } in round {
            let size = image.image;
            let layout = image.pixels.as_ref().map_or(Layout::Interleaved, Payload::layout);
            let in_slab = Pixels { memory: memory.clone(), offset, image: size, layout };
            let pixels = match image.pixels.take() {
                Some(Payload::Hardware { file, .. }) => {
                    let pixels = in_slab.clone();
                    entering.push(Entering { with: Ready { place, image, pixels: in_slab }, file, pixels });
                    continue;
                }
                Some(Payload::Cached(pixels)) => {
                    let kept = (*pixels).clone();
                    slab.lend(Lent::Cached(pixels));
                    ready.push(Ready { place, image, pixels: kept });
                    continue;
                }
                Some(Payload::Host(pinned)) => {
                    shared.stream.copy_to_device(&memory, offset, &pinned, 0, in_slab.bytes())?;
                    slab.lend(Lent::Pinned(pinned));
                    in_slab
                }
                Some(Payload::Device { memory, decoded }) => {
                    shared.stream.wait(&decoded)?;
                    slab.lend(Lent::Piece(memory.clone()));
                    Pixels { memory, offset: 0, image: size, layout }
                }
                None => continue,
            };
            ready.push(Ready { place, image, pixels }.kept(shared)?);
        }
        let Decoded { decoded, refused } =
            shared.counters.hardware_decode.time(|| self.engines.decode(entering, shared))?;
        shared.counters.hardware.add(decoded.len() as u64);
        for decoded in decoded {
            ready.push(decoded.kept(shared)?);
        }
        let mut failed = Vec::new();
        for (mut refused, file) in refused {
            let decoded =
                shared.counters.host_decode.time(|| self.decode_on_host(&mut refused, &file, shared));
            match decoded {
                Ok(()) => ready.push(refused.kept(shared)?),
                Err(error) => failed.push(Failed { place: refused.place, image: refused.image, error }),
            }
            shared.pinned.give_back(file.into_memory());
        }
        Ok((ready, failed))
    }

    /// Decodes a file on the host that was meant for the engines.
    fn decode_on_host(&mut self, refused: &mut Ready, file: &PinnedFile, shared: &Shared) -> Result<()> {
        let path = shared.name(refused.image.wanted.index);
        let rgb = Rgb::decode(file.bytes(), &path)?;
        let image = refused.pixels.image;
        if rgb.pixels.len() != rgb_bytes(image) || rgb.width != image.width as usize {
            return Err(Error::Unfit { path, what: "decoders disagree about its size".into() });
        }
        // It may be larger than its place in the slab.
        let memory = shared.device_pieces.take(rgb.pixels.len())?;
        let pinned = shared.stage(&rgb)?;
        shared.stream.copy_to_device(&memory, 0, &pinned, 0, rgb.pixels.len())?;
        refused.pixels = Pixels { memory: memory.clone(), offset: 0, image, layout: Layout::Interleaved };
        self.slab().lend(Lent::Piece(memory));
        self.slab().lend(Lent::Pinned(pinned));
        shared.counters.refused.add(1);
        shared.counters.host.add(1);
        Ok(())
    }

    /// The slab of this round.
    fn slab(&mut self) -> &mut Slab {
        &mut self.slabs[self.rounds % 2]
    }

    /// Submits the augmentation of images, which ends what this round's slab is needed for.
    fn augment(
        &mut self,
        ready: Vec<Ready>,
        batch: &DeviceBuffer,
        canvas: Size,
        contents: &mut Contents,
        shared: &Shared,
    ) -> Result<()> {
        let images: Vec<AugmentedImage<'_>> = ready
            .iter()
            .map(|Ready { place, image, pixels }| {
                let Pixels { memory, offset, layout, .. } = pixels;
                let decoded = DecodedImage { memory, offset: *offset, size: pixels.size(), layout: *layout };
                AugmentedImage { image: decoded, drawn: &image.drawn, place: *place as u32 }
            })
            .collect();
        let slab = self.slab();
        let places = contents.len() as u32;
        shared.augmenter.submit(&images, batch, places, canvas, slab.workspace(), &shared.stream)?;
        slab.end(shared.stream.record()?);
        ready.into_iter().for_each(|Ready { place, image, .. }| contents.image(place, *image));
        Ok(())
    }

    /// Waits for everything, and gives back what was lent.
    pub(super) fn rest(&mut self, shared: &Shared) -> Result<()> {
        self.engines.rest(shared)?;
        self.slabs.iter_mut().try_for_each(|slab| slab.finish(shared))
    }
}

impl Ready {
    /// Offers the pixels to the cache.
    fn kept(self, shared: &Shared) -> Result<Ready> {
        shared.decoded.offer(self.image.wanted.index, &self.pixels)?;
        Ok(self)
    }
}

/// Takes images, in their order, that a slab has room for together, and gives each its place in it.
fn next_round(pending: &mut Vec<Pending>) -> Vec<Pending> {
    let mut end = 0;
    let mut count = 0;
    for pending in pending.iter_mut() {
        let bytes = slab_bytes(&pending.image);
        if count > 0 && end + bytes > ROUND {
            break;
        }
        pending.offset = end;
        end += bytes;
        count += 1;
    }
    let rest = pending.split_off(count);
    std::mem::replace(pending, rest)
}

/// What an image takes of a slab.
fn slab_bytes(image: &Prepared) -> usize {
    match &image.pixels {
        Some(payload @ (Payload::Hardware { .. } | Payload::Host(_))) => {
            payload.layout().bytes(size_of(image.image)).next_multiple_of(ALIGNMENT)
        }
        _ => 0,
    }
}

fn fits(size: Size, canvas: Size) -> bool {
    size.width <= canvas.width && size.height <= canvas.height
}

/// What is known of a batch so far.
struct Contents {
    state: State,
    images: Vec<Option<Prepared>>,
    damaged: Vec<DamagedImage>,
}

impl Contents {
    fn new(places: usize, state: State) -> Contents {
        Contents { state, images: (0..places).map(|_| None).collect(), damaged: Vec::new() }
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn damaged(&mut self, place: usize, damaged: DamagedImage) {
        self.damaged.push(DamagedImage { place, ..damaged });
    }

    fn image(&mut self, place: usize, mut image: Prepared) {
        if let Some(InsteadOf { damaged, .. }) = image.instead_of.take() {
            self.damaged(place, damaged);
        }
        if let Some(content) = self.images.get_mut(place) {
            *content = Some(image);
        }
    }

    /// Leaves a place empty whose replacement is too large for the batch.
    fn replacement_left_out(&mut self, place: usize, image: Prepared) {
        if let Some(InsteadOf { damaged, .. }) = image.instead_of {
            self.damaged(place, DamagedImage { replaced_by: None, ..damaged });
        }
    }

    /// Bytes of one image in the batch.
    fn image_bytes(canvas: Size, shared: &Shared) -> usize {
        canvas.width as usize * canvas.height as usize * shared.config.output.pixel_bytes()
    }

    fn bytes(&self, canvas: Size, shared: &Shared) -> usize {
        self.len() * Contents::image_bytes(canvas, shared)
    }

    /// Makes the places zero that hold no image.
    fn clear_empty(&self, batch: &DeviceBuffer, canvas: Size, shared: &Shared) -> Result<()> {
        let bytes = Contents::image_bytes(canvas, shared);
        let empty = self.images.iter().enumerate().filter(|(_, image)| image.is_none());
        for (place, _) in empty {
            shared.stream.fill_bytes(batch, place * bytes, bytes, 0)?;
        }
        Ok(())
    }

    fn into_batch(self, images: DeviceBuffer, size: Size, shared: &Shared) -> Batch {
        let mut batch = Batch {
            images,
            size,
            output: shared.config.output,
            labels: Vec::with_capacity(self.len()),
            valid: Vec::with_capacity(self.len()),
            indices: Vec::with_capacity(self.len()),
            originals: Vec::with_capacity(self.len()),
            scales: Vec::with_capacity(self.len()),
            drawn: Vec::with_capacity(self.len()),
            objects: Vec::with_capacity(self.len()),
            damaged: self.damaged,
            state: self.state,
        };
        batch.damaged.sort_by_key(|damaged| damaged.place);
        for image in self.images {
            batch.valid.push(image.is_some());
            batch.labels.push(image.as_ref().map_or(IGNORED, |image| image.label));
            batch.indices.push(image.as_ref().map_or(0, |image| image.wanted.index));
            batch.originals.push(image.as_ref().map_or(ImageSize::upright(0, 0), |image| image.image));
            batch.scales.push(image.as_ref().map_or([0.0; 2], |image| image.drawn.scale()));
            let (drawn, objects) = image.map(|image| (image.drawn, image.objects)).unzip();
            batch.drawn.push(drawn);
            batch.objects.push(objects.unwrap_or_default());
        }
        batch
    }
}
