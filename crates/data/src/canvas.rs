//! Images in device memory, decoded there by nvJPEG or brought there, one after another.

use std::sync::{Mutex, PoisonError};

use ocelli_cuda::{Device, DeviceBuffer, Stream};
use ocelli_nvjpeg::{Backend, Decoder, DecoderConfig, Nvjpeg, NvjpegConfig, OutputFormat, Plane, RgbImage};

use crate::images::Rgb;
use crate::ordered::threads;
use crate::{Error, Result};

/// The most threads that decode unless more are asked for: each takes memory of the GPU's, and more decode no faster.
const MOST_THREADS: usize = 16;

/// The most pixels of an image, unless others are asked for.
pub(crate) const MOST_PIXELS: u64 = 1 << 28;

/// What is wrong with an image that claims more pixels than are allowed. Headers are easily made to claim more than there is.
pub(crate) fn too_large(width: u32, height: u32, most: u64) -> Option<String> {
    let pixels = u64::from(width) * u64::from(height);
    (pixels > most).then(|| format!("its header claims {width} x {height} pixels, and {most} are allowed"))
}

/// That images of no pixels are none, if none are allowed.
pub(crate) fn check_most_pixels(most: u64) -> Result<()> {
    match most {
        0 => Err(Error::Setting { what: "images of no pixels are none: allow more with max_pixels".into() }),
        _ => Ok(()),
    }
}

/// A GPU with nvJPEG on it, which threads share.
#[derive(Clone, Debug)]
pub(crate) struct Gpu {
    pub(crate) device: Device,
    pub(crate) nvjpeg: Nvjpeg,
}

impl Gpu {
    /// The GPU of this number, from 0.
    pub(crate) fn open(number: usize) -> Result<Gpu> {
        let device = Device::new(number)?;
        let nvjpeg = Nvjpeg::new(&device, Backend::Hybrid, NvjpegConfig::default())?;
        Ok(Gpu { device, nvjpeg })
    }
}

/// A GPU that is opened when it is first needed, by whichever thread needs it.
#[derive(Debug)]
pub(crate) struct SharedGpu {
    number: usize,
    opened: Mutex<Option<Gpu>>,
}

impl SharedGpu {
    pub(crate) fn new(number: usize) -> SharedGpu {
        SharedGpu { number, opened: Mutex::new(None) }
    }

    pub(crate) fn get(&self) -> Result<Gpu> {
        // A thread that panicked left either a whole GPU or none.
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        match &*opened {
            Some(gpu) => Ok(gpu.clone()),
            None => Ok(opened.insert(Gpu::open(self.number)?).clone()),
        }
    }
}

/// How many threads decode: as many as asked for, or, for 0, as suits.
pub(crate) fn decoding_threads(asked: usize) -> usize {
    if asked > 0 { asked } else { threads(0).min(MOST_THREADS) }
}

/// Whether it was the GPU that failed, and not an image: nothing more can be expected of it. An image that is too large
/// for its memory is not its failure.
pub(crate) fn is_of_gpu(error: &ocelli_nvjpeg::Error) -> bool {
    match error {
        ocelli_nvjpeg::Error::Cuda(error) => !is_lack_of_memory(error),
        _ => false,
    }
}

/// Whether it was the GPU's memory that did not suffice.
pub(crate) fn is_lack_of_memory(error: &ocelli_cuda::Error) -> bool {
    matches!(error, ocelli_cuda::Error::OutOfMemory { .. })
}

/// One image in device memory, red, green and blue interleaved without gaps; for one thread.
///
/// The host waits after each image, so that nothing works on the memory when it is let go or the image is read.
#[derive(Debug)]
pub(crate) struct Canvas {
    decoder: Decoder,
    stream: Stream,
    buffer: DeviceBuffer,
    width: u32,
    height: u32,
    device: Device,
}

impl Canvas {
    pub(crate) fn new(gpu: &Gpu) -> Result<Canvas> {
        let config = DecoderConfig { format: OutputFormat::RgbInterleaved, ..DecoderConfig::default() };
        let device = gpu.device.clone();
        Ok(Canvas {
            decoder: Decoder::new(&gpu.nvjpeg, config)?,
            stream: device.new_stream()?,
            buffer: device.alloc(0)?,
            width: 0,
            height: 0,
            device,
        })
    }

    /// Decodes a JPEG file. After an error there is no image.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> ocelli_nvjpeg::Result<()> {
        (self.width, self.height) = (0, 0);
        let decoded = self.decoder.host(bytes, None)?;
        let (width, height) = (decoded.frame().width, decoded.frame().height);
        let row_bytes = 3 * width as usize;
        grow(&mut self.buffer, row_bytes * height as usize, &self.device, &self.stream)?;
        let plane = Plane { buffer: self.buffer.clone(), offset: 0, pitch: row_bytes };
        let submitted = decoded.device(&[plane], &self.stream);
        // Also after a failure: a part may have been enqueued.
        let waited = self.stream.synchronize();
        submitted?;
        waited?;
        (self.width, self.height) = (width, height);
        Ok(())
    }

    /// Takes an image that was decoded on the host.
    pub(crate) fn upload(&mut self, image: &Rgb) -> ocelli_cuda::Result<()> {
        (self.width, self.height) = (0, 0);
        grow(&mut self.buffer, image.pixels.len(), &self.device, &self.stream)?;
        self.stream.upload(&self.buffer, 0, &image.pixels)?;
        // At most 512 MiB of pixels were decoded; should a side not fit, there is no image.
        if let (Ok(width), Ok(height)) = (image.width.try_into(), image.height.try_into()) {
            (self.width, self.height) = (width, height);
        }
        Ok(())
    }

    /// The stream on which all is done.
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The image.
    pub(crate) fn image(&self) -> RgbImage<'_> {
        RgbImage {
            buffer: &self.buffer,
            offset: 0,
            pitch: 3 * self.width as usize,
            width: self.width,
            height: self.height,
        }
    }
}

/// Makes a buffer at least as large, for work on a stream. Its contents are lost.
fn grow(
    buffer: &mut DeviceBuffer,
    bytes: usize,
    device: &Device,
    stream: &Stream,
) -> ocelli_cuda::Result<()> {
    if buffer.len() < bytes {
        // First the old one, so that its memory can be used again.
        *buffer = device.alloc(0)?;
        *buffer = device.alloc(bytes)?;
        // Memory is reused in the order of the compute stream.
        stream.wait(&device.stream().record()?)?;
    }
    Ok(())
}
