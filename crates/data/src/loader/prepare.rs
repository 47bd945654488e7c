//! What workers do for an image before the GPU has its turn: read it, see which decoder it fits, draw what becomes of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ocelli_cuda::{DeviceBuffer, Event, PinnedBuffer, Stream};
use ocelli_nvjpeg::{
    self as nvjpeg, Bitstream, Decoder, DecoderConfig, Error as NvjpegError, Frame, Nvjpeg, OutputFormat,
    PinnedFile, Plane,
};

use super::batch::DamagedImage;
use super::cache::{Pixels, rgb_bytes};
use super::config::{DecodedForm, OnDamaged};
use super::shared::Shared;
use crate::augment::kernel::Layout;
use crate::augment::{Drawn, ImageSize, Orientation};
use crate::images::Rgb;
use crate::jpeg::{Header, Route, Subsampling};
use crate::{Error, Object, Result};

/// How many images are tried in the place of one that cannot be decoded.
const REPLACEMENTS: usize = 100;

/// What is in a place of a batch.
pub(super) enum Place {
    Image(Box<Prepared>),
    /// An image that could not be decoded, and was skipped.
    Damaged(DamagedImage),
    /// The epoch ended before.
    Empty,
}

impl Place {
    /// How long its pixels are, or its file, in page-locked or device memory.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Place::Image(image) => image.pixels.as_ref().map_or(0, Payload::bytes),
            Place::Damaged(_) | Place::Empty => 0,
        }
    }
}

/// An image that is to be prepared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) epoch: u64,
    /// Its number in the set.
    pub(super) index: usize,
    /// What its random numbers follow from, besides the epoch, if not from its number.
    pub(super) key: Option<u64>,
}

/// An image, ready for the GPU.
pub(super) struct Prepared {
    pub(super) wanted: Wanted,
    pub(super) label: i32,
    pub(super) objects: Vec<Object>,
    pub(super) image: ImageSize,
    pub(super) drawn: Drawn,
    /// None once they are on the GPU.
    pub(super) pixels: Option<Payload>,
    /// The image that this one replaces.
    pub(super) instead_of: Option<InsteadOf>,
}

/// Why an image is where another was meant to be.
pub(super) struct InsteadOf {
    pub(super) damaged: DamagedImage,
    /// How many images were tried.
    tried: usize,
}

/// Where the pixels are to come from.
pub(super) enum Payload {
    /// A file for the GPU's engines, and how its pixels lie when they have decoded it.
    Hardware { file: PinnedFile, layout: Layout },
    /// Pixels in device memory, once the event has passed.
    Device { memory: DeviceBuffer, decoded: Event },
    /// Pixels in page-locked memory.
    Host(PinnedBuffer),
    /// Pixels that were decoded in an earlier epoch.
    Cached(Arc<Pixels>),
}

impl Payload {
    fn bytes(&self) -> usize {
        match self {
            Payload::Hardware { file, .. } => file.bytes().len(),
            Payload::Device { memory, .. } => memory.len(),
            Payload::Host(memory) => memory.len(),
            // Bounded by its cache.
            Payload::Cached(_) => 0,
        }
    }

    /// How the pixels lie in device memory.
    pub(super) fn layout(&self) -> Layout {
        match self {
            Payload::Hardware { layout, .. } => *layout,
            Payload::Device { .. } | Payload::Host(_) => Layout::Interleaved,
            Payload::Cached(pixels) => pixels.layout,
        }
    }
}

/// One thread's means.
pub(super) struct Worker {
    shared: Arc<Shared>,
    /// The file that is being looked at.
    bytes: Vec<u8>,
    tools: Tools,
}

/// What takes long to make, and is kept from one epoch to the next.
#[derive(Default)]
pub(super) struct Tools {
    bitstream: Option<Bitstream>,
    cuda: Option<CudaDecoder>,
}

struct CudaDecoder {
    decoder: Decoder,
    stream: Stream,
}

impl Worker {
    pub(super) fn new(shared: &Arc<Shared>, tools: Tools) -> Worker {
        Worker { shared: Arc::clone(shared), bytes: Vec::new(), tools }
    }

    /// What the worker worked with, for another.
    pub(super) fn into_tools(self) -> Tools {
        self.tools
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Fills the place of an image of the set.
    pub(super) fn place(&mut self, wanted: Wanted) -> Result<Place> {
        match self.image(wanted) {
            Ok(prepared) => Ok(Place::Image(Box::new(prepared))),
            Err(error) => self.instead_of(wanted, error),
        }
    }

    /// What comes into the place of an image that turned out to be damaged when it was to be decoded on the GPU.
    pub(super) fn instead_of_prepared(&mut self, prepared: Prepared, error: Error) -> Result<Place> {
        let Prepared { wanted, instead_of, .. } = prepared;
        match instead_of {
            Some(instead_of) if error.is_of_one_image() => {
                self.shared.note_damaged(wanted.index, &error);
                self.replace(wanted, instead_of)
            }
            _ => self.instead_of(wanted, error),
        }
    }

    /// What comes into the place of an image that cannot be decoded.
    fn instead_of(&mut self, wanted: Wanted, error: Error) -> Result<Place> {
        if !error.is_of_one_image() {
            return Err(error);
        }
        let index = wanted.index;
        self.shared.note_damaged(index, &error);
        let path = self.shared.name(index);
        let damaged = DamagedImage { place: 0, index, path, error, replaced_by: None };
        match self.shared.config.damaged {
            OnDamaged::Fail => Err(damaged.error),
            OnDamaged::Skip => Ok(Place::Damaged(damaged)),
            OnDamaged::Replace => self.replace(wanted, InsteadOf { damaged, tried: 0 }),
        }
    }

    /// The next image by number that can be decoded, after those that were tried.
    fn replace(&mut self, wanted: Wanted, instead_of: InsteadOf) -> Result<Place> {
        let InsteadOf { damaged, tried } = instead_of;
        let samples = self.shared.sampler.samples();
        let most = REPLACEMENTS.min(samples.saturating_sub(1));
        for tried in tried + 1..=most {
            let other = (damaged.index + tried) % samples;
            match self.image(Wanted { index: other, ..wanted }) {
                Ok(prepared) => {
                    let damaged = DamagedImage { replaced_by: Some(other), ..damaged };
                    let instead_of = Some(InsteadOf { damaged, tried });
                    return Ok(Place::Image(Box::new(Prepared { instead_of, ..prepared })));
                }
                Err(error) if error.is_of_one_image() => self.shared.note_damaged(other, &error),
                Err(error) => return Err(error),
            }
        }
        Err(Error::NoReplacement { tried: most, source: Box::new(damaged.error) })
    }

    /// An image of the set. Sets may be anybody's, and a thread that ended early would be waited for without end: a panic
    /// is an error of the image.
    fn image(&mut self, wanted: Wanted) -> Result<Prepared> {
        catch_unwind(AssertUnwindSafe(|| self.prepare(wanted))).unwrap_or_else(|_| {
            let path = self.shared.name(wanted.index);
            Err(Error::Unfit { path, what: "what reads it panicked".into() })
        })
    }

    fn prepare(&mut self, wanted: Wanted) -> Result<Prepared> {
        let Wanted { epoch, index, key } = wanted;
        let (image, pixels) = self.pixels(index)?;
        let Shared { config, counters, dataset, .. } = &*self.shared;
        let key = key.unwrap_or(index as u64);
        let drawn = counters.prepare.time(|| config.augmentation.draw(config.seed, epoch, key, image));
        if let Err(error) = drawn.check() {
            return Err(Error::Unfit { path: self.shared.name(index), what: error.to_string() });
        }
        let objects = self.shared.objects(index, &drawn)?;
        let label = dataset.label(index);
        Ok(Prepared { wanted, label, objects, image, drawn, pixels: Some(pixels), instead_of: None })
    }

    /// An image's size, and its pixels or the file that they are in.
    fn pixels(&mut self, index: usize) -> Result<(ImageSize, Payload)> {
        let shared = Arc::clone(&self.shared);
        if let Some(pixels) = shared.decoded.get(index) {
            shared.counters.cached.add(1);
            return Ok((pixels.image, Payload::Cached(pixels)));
        }
        match shared.encoded.get(index) {
            Some(bytes) => self.decode(index, &bytes),
            None => {
                let mut bytes = std::mem::take(&mut self.bytes);
                let pixels = self.read(index, &mut bytes).and_then(|()| self.decode(index, &bytes));
                self.bytes = bytes;
                pixels
            }
        }
    }

    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let shared = &self.shared;
        shared.counters.read.time(|| shared.dataset.read(index, bytes))?;
        shared.counters.bytes_read.add(bytes.len() as u64);
        shared.encoded.offer(index, bytes);
        Ok(())
    }

    /// Decodes a file, or gives it to the engines.
    fn decode(&mut self, index: usize, bytes: &[u8]) -> Result<(ImageSize, Payload)> {
        let shared = Arc::clone(&self.shared);
        let header = shared.counters.prepare.time(|| Header::parse(bytes)).ok();
        let claimed = match &header {
            Some(header) => Some((header.width.into(), header.height.into())),
            None => Rgb::claimed_size(bytes),
        };
        if let Some((width, height)) = claimed {
            shared.check_size(index, width, height)?;
        }
        let Some(header) = header else { return self.decode_on_host(index, bytes, Orientation::Upright) };
        let orientation = header.orientation.and_then(Orientation::from_exif).unwrap_or_default();
        let image = ImageSize { width: header.width.into(), height: header.height.into(), orientation };
        if header.route() == Route::Hardware
            && let Some(engines) = &shared.hardware
            && shared.config.to_hardware(index)
            && let Some(file) = self.parse(bytes, image, header.subsampling, engines)?
        {
            let layout = match shared.config.decoded {
                DecodedForm::Rgb => Layout::Interleaved,
                DecodedForm::Planes => Layout::Planes(header.subsampling),
            };
            return Ok((image, Payload::Hardware { file, layout }));
        }
        if !matches!(header.route(), Route::Host(_))
            && let Some(payload) =
                shared.counters.worker_decode.time(|| self.tools.decode_on_cuda(&shared, bytes, image))?
        {
            shared.counters.cuda.add(1);
            return Ok((image, payload));
        }
        let decoded = self.decode_on_host(index, bytes, orientation);
        match (decoded, header.route()) {
            // The header says more of why.
            (Err(Error::Image { path, source }), Route::Host(reason)) => {
                let what = format!("it has {reason}, and cannot be decoded on the host either: {source}");
                Err(Error::Unfit { path, what })
            }
            (decoded, _) => decoded,
        }
    }

    /// The file in page-locked memory, if nvJPEG finds in it what its header says, and the engines take it.
    fn parse(
        &mut self,
        bytes: &[u8],
        image: ImageSize,
        subsampling: Subsampling,
        engines: &Nvjpeg,
    ) -> Result<Option<PinnedFile>> {
        let shared = &self.shared;
        let memory = shared.counters.stage.time(|| -> Result<PinnedBuffer> {
            let mut memory = shared.pinned.take(bytes.len())?;
            if let Some(target) = memory.as_mut_slice().get_mut(..bytes.len()) {
                target.copy_from_slice(bytes);
            }
            Ok(memory)
        })?;
        let parsed = shared.counters.prepare.time(|| -> Result<_> {
            let bitstream = match &mut self.tools.bitstream {
                Some(bitstream) => bitstream,
                none => none.insert(Bitstream::new(&shared.nvjpeg)?),
            };
            Ok(bitstream.parse_pinned(memory, bytes.len(), engines))
        })?;
        match parsed {
            Ok(file) if is_as_stated(&file.frame(), image, subsampling) => Ok(Some(file)),
            Ok(file) => {
                shared.pinned.give_back(file.into_memory());
                Ok(None)
            }
            Err((memory, error)) => {
                shared.pinned.give_back(memory);
                of_the_file(error).map(|_| None)
            }
        }
    }

    fn decode_on_host(
        &self,
        index: usize,
        bytes: &[u8],
        orientation: Orientation,
    ) -> Result<(ImageSize, Payload)> {
        let shared = &self.shared;
        let path = shared.name(index);
        let rgb = shared.counters.worker_decode.time(|| Rgb::decode(bytes, &path))?;
        let (Ok(width), Ok(height)) = (u32::try_from(rgb.width), u32::try_from(rgb.height)) else {
            return Err(Error::Unfit { path, what: "it has too many pixels".into() });
        };
        shared.check_size(index, width, height)?;
        if width == 0 || height == 0 {
            return Err(Error::Unfit { path, what: "it has no pixels".into() });
        }
        shared.counters.host.add(1);
        let memory = shared.stage(&rgb)?;
        Ok((ImageSize { width, height, orientation }, Payload::Host(memory)))
    }
}

impl Tools {
    /// Pixels in device memory; none where nvJPEG does not take the file.
    fn decode_on_cuda(&mut self, shared: &Shared, bytes: &[u8], image: ImageSize) -> Result<Option<Payload>> {
        let cuda = match &mut self.cuda {
            Some(cuda) => cuda,
            none => {
                let config =
                    DecoderConfig { format: OutputFormat::RgbInterleaved, ..DecoderConfig::default() };
                let decoder = Decoder::new(&shared.nvjpeg, config)?;
                none.insert(CudaDecoder { decoder, stream: shared.device.new_stream()? })
            }
        };
        let on_host = match cuda.decoder.host(bytes, None) {
            Ok(on_host) => on_host,
            Err(error) => return of_the_file(error).map(|_| None),
        };
        if (on_host.frame().width, on_host.frame().height) != (image.width, image.height) {
            return Ok(None);
        }
        let memory = shared.device_pieces.take(rgb_bytes(image))?;
        let pitch = 3 * image.width as usize;
        let planes = [Plane { buffer: memory.clone(), offset: 0, pitch }];
        match on_host.device(&planes, &cuda.stream) {
            Ok(()) => Ok(Some(Payload::Device { memory, decoded: cuda.stream.record()? })),
            Err(error) => {
                cuda.stream.synchronize()?;
                shared.device_pieces.give_back(memory);
                of_the_file(error).map(|_| None)
            }
        }
    }
}

/// What nvJPEG says of a file; of anything else, it is an error of ours.
pub(super) fn of_the_file(error: NvjpegError) -> Result<NvjpegError> {
    match error {
        NvjpegError::Cuda(_) | NvjpegError::NoDriver { .. } | NvjpegError::NoEngines { .. } => {
            Err(error.into())
        }
        of_the_file => Ok(of_the_file),
    }
}

/// Whether nvJPEG finds the frame in a file that our reading of its header has found: memory is laid out by the latter.
fn is_as_stated(frame: &Frame, image: ImageSize, subsampling: Subsampling) -> bool {
    let same = match subsampling {
        Subsampling::Grey => frame.subsampling == nvjpeg::Subsampling::Grey,
        Subsampling::S444 => frame.subsampling == nvjpeg::Subsampling::S444,
        Subsampling::S422 => frame.subsampling == nvjpeg::Subsampling::S422,
        Subsampling::S420 => frame.subsampling == nvjpeg::Subsampling::S420,
        Subsampling::S440 => frame.subsampling == nvjpeg::Subsampling::S440,
        // The engines take no others.
        _ => false,
    };
    same && (frame.width, frame.height) == (image.width, image.height)
}
