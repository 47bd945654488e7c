//! Pixels added up on the GPU.
//!
//! Launches a kernel of its own, outside of a plan: there is no tensor here, and the images' sizes all differ. The launch,
//! all of this module's unsafe code, stands here and not in the crate `cuda` because that what the kernel reads lies within
//! the canvas follows from the image that was just decoded into it, which only this module knows.

use std::path::Path;

use ocelli_cuda::{DeviceBuffer, Function, KernelArgs, KernelSource};
use ocelli_nvjpeg::RgbImage;

use super::examine::Failure;
use super::moments::Totals;
use crate::Result;
use crate::canvas::{Canvas, Gpu, is_lack_of_memory, is_of_gpu};
use crate::images::Rgb;

/// Threads of a block: whole warps, as the kernel's sums within a warp need.
const BLOCK: u32 = 256;
/// The most blocks; threads go on to further pixels.
const MOST_BLOCKS: u64 = 512;
/// Sums of three channels, and of their squares.
const TOTALS: usize = 6;

const SOURCE: &str = r#"
// Adds the red, green and blue of all pixels to totals[0..3], and their squares to totals[3..6]. Integers, so that the
// sums are exact and do not depend on the order.
extern "C" __global__ void add_pixels(
    const unsigned char* pixels, unsigned long long count, unsigned long long* totals
) {
    unsigned long long sums[6] = {0, 0, 0, 0, 0, 0};
    unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
    unsigned long long first = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
    for (unsigned long long pixel = first; pixel < count; pixel += step) {
        for (int channel = 0; channel < 3; ++channel) {
            unsigned int value = pixels[3 * pixel + channel];
            sums[channel] += value;
            sums[3 + channel] += value * value;
        }
    }
    for (int k = 0; k < 6; ++k) {
        for (int distance = 16; distance > 0; distance /= 2) {
            sums[k] += __shfl_down_sync(0xffffffffu, sums[k], distance);
        }
        if (threadIdx.x % 32 == 0) {
            atomicAdd(totals + k, sums[k]);
        }
    }
}
"#;

/// The kernel that adds pixels, for compiling it ahead.
pub fn kernel() -> KernelSource {
    KernelSource { name: "survey".to_owned(), source: SOURCE.to_owned(), options: Vec::new() }
}

/// Decodes images and adds their pixels up; for one thread.
pub(super) struct Meter {
    canvas: Canvas,
    add: Function,
    /// Six 64-bit numbers.
    totals: DeviceBuffer,
}

impl Meter {
    pub(super) fn new(gpu: &Gpu) -> Result<Meter> {
        let canvas = Canvas::new(gpu)?;
        let add = gpu.device.compile(&kernel())?.function("add_pixels")?;
        let totals = gpu.device.alloc(8 * TOTALS)?;
        // Memory is reused in the order of the compute stream.
        canvas.stream().wait(&gpu.device.stream().record()?)?;
        Ok(Meter { canvas, add, totals })
    }

    /// The totals of an image, decoded by nvJPEG where it is for the GPU and nvJPEG takes it, otherwise on the host.
    pub(super) fn measure(&mut self, bytes: &[u8], path: &Path, for_gpu: bool) -> Result<Totals, Failure> {
        let decoded = for_gpu
            && match self.canvas.decode(bytes) {
                Ok(()) => true,
                Err(error) if is_of_gpu(&error) => return Err(Failure::Gpu(error.into())),
                // The host's decoder has the last word.
                Err(_) => false,
            };
        if !decoded {
            let image = Rgb::decode(bytes, path).map_err(Failure::File)?;
            self.canvas.upload(&image).map_err(failure)?;
        }
        self.add().map_err(failure)
    }

    /// The totals of the image on the canvas.
    fn add(&mut self) -> ocelli_cuda::Result<Totals> {
        let stream = self.canvas.stream();
        stream.fill_bytes(&self.totals, 0, self.totals.len(), 0)?;
        let RgbImage { buffer, width, height, .. } = self.canvas.image();
        let pixels = u64::from(width) * u64::from(height);
        holds(buffer, pixels)?;
        let mut arguments = KernelArgs::new();
        arguments.push_ptr(buffer.ptr()).push_u64(pixels).push_ptr(self.totals.ptr());
        let blocks = pixels.div_ceil(BLOCK.into()).clamp(1, MOST_BLOCKS) as u32;
        // SAFETY: a pointer, a 64-bit number and a pointer, as the kernel declares. It reads three bytes for each pixel,
        // which the buffer holds, and adds to the six numbers that `totals` was made for. Both buffers and the function
        // are kept, and the host waits below before they can be let go.
        let launched = unsafe { self.add.launch(stream, [blocks, 1, 1], [BLOCK, 1, 1], 0, &arguments) };
        let mut bytes = [0; 8 * TOTALS];
        // Waits, also where the launch failed.
        let downloaded = stream.download(&self.totals, 0, &mut bytes);
        launched?;
        downloaded?;
        let (words, _) = bytes.as_chunks::<8>();
        let number = |place: usize| words.get(place).map_or(0, |&word| u64::from_ne_bytes(word));
        Ok(Totals::of_image(pixels, [0, 1, 2].map(number), [3, 4, 5].map(number)))
    }
}

/// Whose failure an error with an image is: the image's where the GPU's memory does not suffice for it, for the next one
/// may be smaller.
fn failure(error: ocelli_cuda::Error) -> Failure {
    match is_lack_of_memory(&error) {
        true => Failure::File(error.into()),
        false => Failure::Gpu(error.into()),
    }
}

/// Whether a buffer holds as many pixels of three bytes.
fn holds(buffer: &DeviceBuffer, pixels: u64) -> ocelli_cuda::Result<()> {
    let bytes = usize::try_from(pixels).ok().and_then(|pixels| pixels.checked_mul(3)).unwrap_or(usize::MAX);
    if buffer.len() >= bytes {
        return Ok(());
    }
    Err(ocelli_cuda::Error::OutOfBounds { what: "device buffer", offset: 0, bytes, len: buffer.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_too_large_for_the_memory_is_not_the_failure_of_the_gpu() {
        let full = ocelli_cuda::Error::OutOfMemory { requested: 1 << 40, free: 1 << 30, total: 1 << 36 };
        assert!(matches!(failure(full), Failure::File(_)));
        let other = ocelli_cuda::Error::OutOfBounds { what: "device buffer", offset: 0, bytes: 9, len: 8 };
        assert!(matches!(failure(other), Failure::Gpu(_)));
    }
}
