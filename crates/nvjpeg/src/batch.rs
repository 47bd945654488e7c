//! Many images at once.

use std::ffi::c_int;

use ocelli_cuda::{DeviceBuffer, Stream};
use ocelli_nvjpeg_sys as sys;

use crate::error::check;
use crate::in_flight::InFlight;
use crate::owned::Owned;
use crate::plane::destination;
use crate::{Backend, Error, Frame, Nvjpeg, OutputFormat, PinnedFile, Plane, Result, Subsampling};

/// Pixels of an image for which the engines have memory from the beginning: 130 MiB on an H200.
const FIRST_PIXELS: u64 = 1 << 20;
/// Pixels of the largest image for which they get memory all at once: 1.4 GiB on an H200.
const MOST_PIXELS: u64 = 1 << 24;

/// How batches are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchDecoderConfig {
    /// What is written.
    pub format: OutputFormat,
    /// The most threads of the host that work on a batch, at least 1.
    pub host_threads: u32,
}

impl Default for BatchDecoderConfig {
    fn default() -> BatchDecoderConfig {
        BatchDecoderConfig { format: OutputFormat::RgbInterleaved, host_threads: 1 }
    }
}

/// An image of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchImage<'a> {
    /// The JPEG file.
    pub bytes: &'a [u8],
    /// The frame that the planes were made for.
    pub frame: Frame,
    /// Where the image goes, as [`OutputFormat::plane_sizes`] counts planes.
    pub planes: &'a [Plane],
}

/// An image of a batch whose file lies in page-locked memory, and has been parsed there.
#[derive(Debug)]
pub struct PinnedImage {
    /// The file.
    pub file: PinnedFile,
    /// Where the image goes, as [`OutputFormat::plane_sizes`] counts planes.
    pub planes: Vec<Plane>,
}

/// Decodes batches, one at a time; one for each thread. Owns an `nvjpegJpegState_t`.
///
/// Its memory grows to the largest image and stays: keep it. By itself nvJPEG makes room for a larger image where it is
/// decoded, for one of the places that the engines work from, of which there are fourteen on an H200, and each time frees
/// what was there, which waits for all that the GPU has to do (up to 120 ms beside training, measured); so here all of them
/// get room at once, for images of up to 2^20 pixels from the beginning, and of up to twice as many whenever a larger one
/// comes, until there are 2^24. Several decoders on several threads, each with a stream,
/// keep a GPU busier than one.
#[derive(Debug)]
pub struct BatchDecoder {
    // Waited for before the fields below are dropped.
    in_flight: InFlight,
    /// What the batch in flight is read from, if it lies in page-locked memory of ours.
    files: Vec<PinnedFile>,
    state: Owned,
    /// The size of batch that the state is ready for; none at first, and after a failure.
    ready_for: Option<c_int>,
    /// Pixels of the largest image for which the engines were to have memory.
    room: u64,
    config: BatchDecoderConfig,
    library: Nvjpeg,
}

/// A batch in nvJPEG's words, and the memory in them.
#[derive(Debug, Default)]
struct Batch {
    data: Vec<*const u8>,
    lengths: Vec<usize>,
    destinations: Vec<sys::Image>,
    buffers: Vec<DeviceBuffer>,
    /// Of the largest image for which the engines get memory all at once.
    pixels: u64,
}

impl Batch {
    fn add(&mut self, bytes: &[u8], frame: &Frame, planes: &[Plane], destination: sys::Image) {
        self.data.push(bytes.as_ptr());
        self.lengths.push(bytes.len());
        self.destinations.push(destination);
        self.buffers.extend(planes.iter().map(|plane| plane.buffer.clone()));
        if pixels(frame) <= MOST_PIXELS {
            self.pixels = self.pixels.max(pixels(frame));
        }
    }
}

impl BatchDecoder {
    /// A decoder on the library's backend.
    ///
    /// # Errors
    /// [`Error::Setting`] for no threads; [`Error::Status`]; [`Error::Cuda`].
    pub fn new(library: &Nvjpeg, config: BatchDecoderConfig) -> Result<BatchDecoder> {
        if config.host_threads == 0 || c_int::try_from(config.host_threads).is_err() {
            let what = format!("{} threads cannot work on a batch: at least 1", config.host_threads);
            return Err(Error::Setting { what });
        }
        let state = Owned::new(
            library,
            "nvjpegJpegStateCreate",
            // SAFETY: the handle is alive; the call writes one handle.
            |functions, handle, raw| unsafe { (functions.jpeg_state_create)(handle, raw) },
            |functions| functions.jpeg_state_destroy,
        )?;
        let mut decoder = BatchDecoder {
            in_flight: InFlight::default(),
            files: Vec::new(),
            state,
            ready_for: None,
            room: 0,
            config,
            library: library.clone(),
        };
        decoder.make_room(FIRST_PIXELS);
        Ok(decoder)
    }

    /// How batches are decoded.
    pub fn config(&self) -> &BatchDecoderConfig {
        &self.config
    }

    /// Allocates for batches of up to `images` images of up to the size of `largest`, so that decoding them does not.
    ///
    /// # Errors
    /// [`Error::Setting`] for too many images; [`Error::Dimensions`]; [`Error::Status`]; [`Error::Cuda`], also with what
    /// the batch before failed with.
    pub fn allocate(&mut self, images: usize, largest: &Frame) -> Result<()> {
        let images = batch_size(images)?;
        let Frame { width, height, subsampling, .. } = largest.checked()?;
        self.in_flight.wait()?;
        self.library.bind()?;
        // SAFETY: handle and state are alive, and nothing works with the state.
        let status = unsafe {
            (self.library.functions().decode_batched_pre_allocate)(
                self.library.raw(),
                self.state.raw(),
                images,
                width as c_int,
                height as c_int,
                subsampling.raw(),
                self.config.format.raw(),
            )
        };
        // Whether it also makes the state ready for another size is not documented.
        self.ready_for = None;
        check("nvjpegDecodeBatchedPreAllocate", status)?;
        if subsampling == Subsampling::S444 {
            // No other needs more.
            self.room = self.room.max(pixels(largest));
        }
        Ok(())
    }

    /// Gives the engines memory for images of so many pixels, if they have less: for up to twice as many, so that it is done
    /// seldom, and once, whatever comes of it.
    fn make_room(&mut self, pixels: u64) {
        if self.library.backend() != Backend::Hardware || pixels <= self.room {
            return;
        }
        self.room = pixels.next_power_of_two();
        let exponent = self.room.ilog2();
        let (width, height) = (1 << exponent.div_ceil(2), 1 << (exponent / 2));
        // How many images there are does not matter to the engines' memory (measured).
        let largest = Frame { width, height, components: 3, subsampling: Subsampling::S444 };
        if let Err(error) = self.allocate(1, &largest) {
            // Then nvJPEG makes room itself, where it needs some; if it cannot, decoding fails and says why.
            tracing::debug!(%error, "the engines get no memory for images of {} pixels beforehand", self.room);
        }
    }

    /// Decodes a batch on `stream`, and waits until the device has done so: it might read the files for as long, if they
    /// happen to lie in page-locked memory. [`decode_pinned`](BatchDecoder::decode_pinned) keeps its files, and does not
    /// wait.
    ///
    /// Each header is read again by nvJPEG, and the frame held against the one that the planes were made for. One bad
    /// image fails all, and what has been written to the planes by then is undefined; the next batch is decoded as if
    /// nothing had been. [Parse](crate::Bitstream::parse) files of unknown origin first: damage behind the header is not
    /// seen before, and shows as an error of the whole batch. On the hardware backend the planes must be idle: see the
    /// crate's page.
    ///
    /// # Errors
    /// [`Error::Image`] with [`Error::BadImage`], [`Error::UnsupportedImage`], [`Error::FrameMismatch`],
    /// [`Error::PlaneDoesNotFit`] and their like, for the image of a batch that is at fault; [`Error::BadImage`] and
    /// [`Error::UnsupportedImage`] where nvJPEG does not say which; [`Error::Status`]; [`Error::Cuda`], also with what the
    /// batch before failed with.
    pub fn decode(&mut self, images: &[BatchImage<'_>], stream: &Stream) -> Result<()> {
        let mut batch = Batch::default();
        for (index, image) in images.iter().enumerate() {
            let destination = self.check(image).map_err(|error| of_image(index, error))?;
            batch.add(image.bytes, &image.frame, image.planes, destination);
        }
        // SAFETY: the bytes are borrowed until the wait below is over; their headers state the frames that the planes were
        // checked for.
        let submitted = unsafe { self.submit(batch, stream) };
        // Also where it failed: a part may have been enqueued.
        let waited = self.in_flight.wait().inspect_err(|_| self.ready_for = None);
        submitted.and(waited)
    }

    /// As [`decode`](BatchDecoder::decode), but enqueued on `stream` after the host has waited for the batch before: with
    /// files in page-locked memory, from which the device reads them, and whose frames are known. This is the fastest way:
    /// the host copies nothing and reads no header. The files are kept until the stream has passed the batch; those of the
    /// batch before, which is over, are returned.
    ///
    /// # Errors
    /// As [`decode`](BatchDecoder::decode), with the images, which are idle again. The files of the batch before then come
    /// with the next batch.
    pub fn decode_pinned(
        &mut self,
        images: Vec<PinnedImage>,
        stream: &Stream,
    ) -> std::result::Result<Vec<PinnedFile>, (Error, Vec<PinnedImage>)> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        match self.submit_pinned(&images, stream) {
            Ok(()) => {
                let files = images.into_iter().map(|image| image.file).collect();
                Ok(std::mem::replace(&mut self.files, files))
            }
            Err(error) => {
                // A part may have been enqueued, and read them.
                let waited = self.in_flight.wait();
                Err((waited.err().unwrap_or(error), images))
            }
        }
    }

    fn submit_pinned(&mut self, images: &[PinnedImage], stream: &Stream) -> Result<()> {
        let mut batch = Batch::default();
        for (index, PinnedImage { file, planes }) in images.iter().enumerate() {
            let destination = destination(self.config.format, &file.frame(), None, planes)
                .map_err(|error| of_image(index, error))?;
            batch.add(file.bytes(), &file.frame(), planes, destination);
        }
        // SAFETY: the files were parsed and do not change, and are kept; the planes fit their frames.
        unsafe { self.submit(batch, stream) }
    }

    /// Waits for the last batch, and returns the files of [`decode_pinned`](BatchDecoder::decode_pinned) that were kept.
    ///
    /// # Errors
    /// [`Error::Cuda`] with what it failed with.
    pub fn finish(&mut self) -> Result<Vec<PinnedFile>> {
        self.in_flight.wait()?;
        Ok(std::mem::take(&mut self.files))
    }

    /// Where an image goes, if its file is what was stated and the planes fit.
    fn check(&self, image: &BatchImage<'_>) -> Result<sys::Image> {
        let found = self.library.read_frame(image.bytes)?;
        if found != image.frame {
            return Err(Error::FrameMismatch { expected: image.frame, found });
        }
        destination(self.config.format, &found, None, image.planes)
    }

    /// # Safety
    /// Each pointer is that of a JPEG file of its length, in memory that the backend reads and that stays as it is until
    /// `in_flight` has been waited for, whose frame is the one that the destination was made for; `batch.buffers` has every
    /// buffer that is written.
    unsafe fn submit(&mut self, mut batch: Batch, stream: &Stream) -> Result<()> {
        if batch.data.is_empty() {
            return Ok(());
        }
        let size = batch_size(batch.data.len())?;
        // The state's buffers, and the parameters, belong to the batch before until it is over; if that failed on the
        // device, the state needs a new start.
        self.in_flight.wait().inspect_err(|_| self.ready_for = None)?;
        self.library.bind()?;
        self.make_room(batch.pixels);
        self.initialise(size)?;
        // Whatever goes wrong from here on, the state needs a new start.
        self.ready_for = None;
        let (functions, handle, state) = (self.library.functions(), self.library.raw(), self.state.raw());
        let (data, lengths) = (batch.data.as_ptr(), batch.lengths.as_ptr());
        let destinations = batch.destinations.as_mut_ptr();
        // SAFETY: all handles are alive and this thread's alone; the arrays are as long as the batch that the state was
        // made ready for; the planes fit, as the caller promises, and are kept until the stream has passed the batch.
        let status =
            unsafe { (functions.decode_batched)(handle, state, data, lengths, destinations, stream.raw()) };
        let submitted = check("nvjpegDecodeBatched", status);
        // A batch that failed may have enqueued a part of itself.
        let held = self.in_flight.hold(stream, batch.buffers);
        submitted?;
        held?;
        self.ready_for = Some(size);
        Ok(())
    }

    /// Makes the state ready for batches of a size.
    fn initialise(&mut self, size: c_int) -> Result<()> {
        if self.ready_for == Some(size) {
            return Ok(());
        }
        self.ready_for = None;
        // SAFETY: handle and state are alive, and nothing works with the state. The number of threads has been checked.
        let status = unsafe {
            (self.library.functions().decode_batched_initialize)(
                self.library.raw(),
                self.state.raw(),
                size,
                self.config.host_threads as c_int,
                self.config.format.raw(),
            )
        };
        check("nvjpegDecodeBatchedInitialize", status)?;
        self.ready_for = Some(size);
        Ok(())
    }
}

fn pixels(frame: &Frame) -> u64 {
    u64::from(frame.width) * u64::from(frame.height)
}

fn of_image(index: usize, error: Error) -> Error {
    Error::Image { index, source: Box::new(error) }
}

fn batch_size(images: usize) -> Result<c_int> {
    c_int::try_from(images)
        .map_err(|_| Error::Setting { what: format!("{images} images are too many for a batch") })
}
