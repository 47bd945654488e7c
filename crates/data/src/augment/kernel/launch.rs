//! The launch: all of this module's unsafe code.
//!
//! It stands here, and not in the crate `cuda`, because only whoever decoded the images knows what lies at the
//! addresses in their descriptors; the launch itself is unsafe for that reason, and whatever can be checked is checked
//! first.

use ocelli_cuda::{Device, DeviceBuffer, Function, KernelArgs, Stream};

use super::submit::{AugmentedImage, Workspace};
use super::{Descriptor, arrange_scratch, kernel_source};
use crate::augment::area::Size;
use crate::augment::output::Output;
use crate::{Error, Result};

/// The kernels for one form of output on one device. Cloning is cheap; it may be used from any thread.
#[derive(Clone, Debug)]
pub struct Augmenter {
    tiles: Function,
    whole: Function,
    output: Output,
    device: Device,
}

/// Device memory that a launch reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The device address of a copy of the descriptors.
    pub descriptors: u64,
    /// The device address of the batch, `[places, height, width, channels]`, a multiple of 16.
    pub images: u64,
    /// Places in the batch.
    pub places: u32,
    /// Columns and rows of each place: [`Augmentation::canvas`](crate::augment::Augmentation::canvas).
    pub canvas: Size,
    /// The device address of scratch memory, a multiple of 4; 0 where none is needed.
    pub scratch: u64,
}

/// Columns and rows of a tile, and the rows of threads of its block: `TILE` and `THREAD_ROWS` in `tiles.cu`.
const TILE: u32 = 32;
const THREAD_ROWS: u32 = 8;
/// `WHOLE_THREADS` in `whole.cu`.
const WHOLE_THREADS: u32 = 1024;
/// What the driver permits in the second and third direction of a grid.
const MAX_GRID: u32 = 65_535;

impl Augmenter {
    /// Compiles the kernels, or finds them compiled.
    ///
    /// # Errors
    /// [`Error::Setting`] for an output that makes no sense; [`Error::Cuda`] as [`Device::compile`].
    pub fn new(device: &Device, output: Output) -> Result<Augmenter> {
        output.check()?;
        let module = device.compile(&kernel_source(&output))?;
        let (tiles, whole) = (module.function("augment_tiles")?, module.function("augment_whole")?);
        Ok(Augmenter { tiles, whole, output, device: device.clone() })
    }

    /// What the batch's elements are.
    pub const fn output(&self) -> &Output {
        &self.output
    }

    /// The device whose kernels these are.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Bytes of a batch of `places` images on a canvas.
    ///
    /// # Errors
    /// [`Error::Setting`] where that is more than the address space holds.
    pub fn batch_bytes(&self, places: u32, canvas: Size) -> Result<usize> {
        let sides = [places, canvas.width, canvas.height];
        let bytes = sides
            .iter()
            .try_fold(self.output.pixel_bytes() as u64, |bytes, side| bytes.checked_mul(u64::from(*side)));
        (bytes.and_then(|bytes| usize::try_from(bytes).ok()))
            .ok_or_else(|| Error::Setting { what: format!("a batch of {places} x {canvas:?} is too large") })
    }

    /// Enqueues the augmentation of images of a batch: `batch` is `[places, canvas.height, canvas.width, channels]`, and
    /// every element of the places that have an image is written. As everywhere, work on the same memory that runs on
    /// other streams is ordered by events, and memory is kept until the stream has passed its use.
    ///
    /// # Errors
    /// [`Error::Setting`] for images and places that do not fit their memory, two images of one place, and an image larger
    /// than the canvas; [`Error::Cuda`].
    pub fn submit(
        &self,
        images: &[AugmentedImage<'_>],
        batch: &DeviceBuffer,
        places: u32,
        canvas: Size,
        workspace: &mut Workspace,
        stream: &Stream,
    ) -> Result<()> {
        let needed = self.batch_bytes(places, canvas)?;
        if batch.len() < needed {
            let what = format!("a batch of {needed} bytes does not fit in memory of {}", batch.len());
            return Err(Error::Setting { what });
        }
        if images.is_empty() {
            return Ok(());
        }
        let mut descriptors =
            images.iter().map(AugmentedImage::descriptor).collect::<Result<Vec<Descriptor>>>()?;
        let scratch = arrange_scratch(&mut descriptors)?;
        let (memory, scratch) = workspace.upload(&descriptors, scratch, self.device(), stream)?;
        let launch = Batch { descriptors: memory, images: batch.ptr(), places, canvas, scratch };
        // SAFETY: the descriptors have been copied, earlier on the stream, with the scratch memory that they were given;
        // that is as large as was asked for, as is the batch; every image lies within its memory. That the workspace is
        // idle, and memory is kept and ordered, is the convention of everything that works on streams.
        unsafe { self.launch(stream, &launch, &descriptors) }
    }

    /// Enqueues the augmentation of a batch: every element of every place that has a descriptor is written.
    /// `descriptors` are those at the address [`Batch::descriptors`].
    ///
    /// # Errors
    /// [`Error::Setting`] for addresses that are not aligned, for two descriptors of one place, for a place beyond the
    /// batch's, and for an image larger than the canvas; [`Error::Cuda`] as [`Function::launch`].
    ///
    /// # Safety
    /// Until the stream has run the launch:
    /// - at [`Batch::descriptors`] lies a copy of `descriptors`, in which [`arrange_scratch`](super::arrange_scratch)
    ///   gave out the scratch memory;
    /// - at [`Batch::scratch`] lie as many bytes as it returned, which nothing else uses;
    /// - at [`Batch::images`] lie as many bytes as [`batch_bytes`](Augmenter::batch_bytes) says, which nothing else
    ///   writes or reads;
    /// - every plane of every descriptor's source holds the rows of the decoded part, and was written by earlier work
    ///   that the stream waits for;
    /// - the device lives, whose stream this is.
    pub unsafe fn launch(&self, stream: &Stream, batch: &Batch, descriptors: &[Descriptor]) -> Result<()> {
        if descriptors.is_empty() {
            return Ok(());
        }
        let count = check(batch, descriptors)?;
        let arguments = self.arguments(batch);
        let tiles = [batch.canvas.width.div_ceil(TILE), batch.canvas.height.div_ceil(TILE), count];
        // SAFETY: the arguments are those of the kernel's declaration, in its order. It writes the places of the batch,
        // and scratch memory, where `check` and the caller's promise say; and reads what the caller promises. The
        // device keeps the module loaded.
        unsafe { self.tiles.launch(stream, tiles, [TILE, THREAD_ROWS, 1], 0, &arguments)? };
        if descriptors.iter().any(Descriptor::needs_whole_image) {
            // SAFETY: as above; it reads of the scratch memory what the first kernel wrote, earlier on the same stream.
            unsafe { self.whole.launch(stream, [count, 1, 1], [WHOLE_THREADS, 1, 1], 0, &arguments)? };
        }
        Ok(())
    }

    fn arguments(&self, batch: &Batch) -> KernelArgs {
        let (factor, addend) = self.output.affine();
        let mut arguments = KernelArgs::new();
        arguments.push_ptr(batch.descriptors).push_ptr(batch.scratch).push_ptr(batch.images);
        arguments.push_u32(batch.canvas.width).push_u32(batch.canvas.height);
        for number in factor.into_iter().chain(addend) {
            arguments.push_f32(number);
        }
        arguments
    }
}

/// The number of descriptors, if they and the batch fit each other and a grid.
fn check(batch: &Batch, descriptors: &[Descriptor]) -> Result<u32> {
    let fault = |what: String| Err(Error::Setting { what });
    let Size { width, height } = batch.canvas;
    let most = MAX_GRID * TILE;
    if ![width, height].iter().all(|side| (1..=most).contains(side)) {
        return fault(format!("a canvas of {width} x {height} pixels must have sides between 1 and {most}"));
    }
    let aligned = [(batch.descriptors, 8), (batch.images, 16), (batch.scratch, 4)];
    if !aligned.iter().all(|(address, alignment)| address.is_multiple_of(*alignment)) {
        return fault(format!("an address of {batch:x?} is not aligned"));
    }
    let Some(count) = u32::try_from(descriptors.len()).ok().filter(|count| *count <= MAX_GRID) else {
        return fault(format!("a launch has at most {MAX_GRID} images, not {}", descriptors.len()));
    };
    let mut taken: Vec<u32> = descriptors.iter().map(Descriptor::place).collect();
    taken.sort_unstable();
    if let Some(pair) = taken.windows(2).find(|pair| pair[0] == pair[1]) {
        return fault(format!("two images go to place {} of the batch", pair[0]));
    }
    if let Some(place) = taken.last().filter(|place| **place >= batch.places) {
        return fault(format!("there is no place {place} in a batch of {}", batch.places));
    }
    if let Some(large) =
        descriptors.iter().map(Descriptor::size).find(|size| size.width > width || size.height > height)
    {
        return fault(format!(
            "an image of {large:?} is larger than its canvas of {width} x {height} pixels"
        ));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::kernel::Source;
    use crate::augment::{Augmentation, ImageSize};

    #[test]
    fn launches_that_do_not_fit_are_refused() {
        let canvas = Size { width: 32, height: 32 };
        let batch = Batch { descriptors: 512, images: 1024, places: 2, canvas, scratch: 0 };
        let drawn = Augmentation::cifar_evaluation(32).draw(0, 0, 0, ImageSize::upright(40, 40));
        let source = Source::interleaved(256, Size { width: 40, height: 40 });
        let image = |place| Descriptor::new(&drawn, &source, place).unwrap();
        assert_eq!(check(&batch, &[image(1), Descriptor::blank(0)]).unwrap(), 2);
        let one = [image(0)];
        for (batch, descriptors) in [
            (batch, &[image(1), Descriptor::blank(1)][..]),
            (batch, &[image(2)]),
            (Batch { canvas: Size { width: 32, height: 31 }, ..batch }, &one),
            (Batch { canvas: Size { width: u32::MAX, height: 32 }, ..batch }, &one),
            (Batch { images: 1032, ..batch }, &one),
            (Batch { scratch: 2, ..batch }, &one),
        ] {
            assert!(matches!(check(&batch, descriptors), Err(Error::Setting { .. })), "{batch:?}");
        }
    }
}
