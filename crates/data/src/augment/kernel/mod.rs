//! The kernel that augments a batch.
//!
//! Two kernels, in fact. The first makes tiles of 32 x 32 pixels, of all images at once, whatever their sizes: for most
//! augmentations it is the only one. Some operations need the whole image before they can begin (contrast, sharpness,
//! automatic contrast, equalisation, affine maps). An image that has such is left by the first kernel, scaled and
//! cropped, in scratch memory, and a block of the second goes over it step by step. A single kernel would have one
//! block do all of such an image's scaling, and leave most of the GPU idle where every image has one.

mod descriptor;
mod launch;
mod layout;
mod source;
mod submit;

pub use descriptor::Descriptor;
pub use launch::{Augmenter, Batch};
pub use layout::{Layout, PlanePlace};
pub use source::{MAX_SIDE, Pixels, Plane, Source};
pub use submit::{AugmentedImage, DecodedImage, Workspace};

use ocelli_cuda::KernelSource;

use super::output::{Element, Output};
use crate::{Error, Result};

/// Gives each image that needs scratch memory its own part of it, and returns how many bytes all of them take.
///
/// # Errors
/// [`Error::Setting`] where that is more than the address space holds.
pub fn arrange_scratch(descriptors: &mut [Descriptor]) -> Result<usize> {
    let mut bytes = 0u64;
    for descriptor in descriptors.iter_mut() {
        descriptor.set_scratch(bytes);
        bytes = bytes.saturating_add(descriptor.scratch_bytes());
    }
    // 2^63 bytes are no more to be had than what does not fit.
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= isize::MAX as usize)
        .ok_or_else(|| Error::Setting { what: format!("{bytes} bytes of scratch memory cannot be had") })
}

/// The kernels' source for an output's type and channels: `augment_tiles` and `augment_whole`, CUDA C++ without
/// includes, for every architecture from sm_75 on. Mean and deviation are arguments.
pub fn kernel_source(output: &Output) -> KernelSource {
    let element = match output.dtype {
        Element::F16 => "f16",
        Element::Bf16 => "bf16",
        Element::F32 => "float",
    };
    let channels = output.channels;
    let mut source = format!("#define ELEMENT {element}\n#define CHANNELS {channels}\n");
    for part in [
        include_str!("prelude.cu"),
        include_str!("source.cu"),
        include_str!("operations.cu"),
        include_str!("tiles.cu"),
        include_str!("whole.cu"),
    ] {
        source.push_str(part);
        source.push('\n');
    }
    KernelSource {
        name: format!("augment_{element}x{channels}"),
        source,
        options: vec!["--fmad=false".into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Augmentation, Drawn, Geometry, ImageSize, Operation, Size};

    #[test]
    fn every_image_gets_scratch_memory_of_its_own() {
        let drawn = Augmentation::only(Geometry::Resize { height: 10, width: 20 });
        let drawn = drawn.draw(0, 0, 0, ImageSize::upright(8, 8));
        let source = Source::interleaved(256, Size { width: 8, height: 8 });
        let plain = Descriptor::new(&drawn, &source, 0).unwrap();
        let whole = Drawn { operations: vec![Operation::Equalize], ..drawn };
        let whole = Descriptor::new(&whole, &source, 1).unwrap();
        let mut descriptors = [whole, plain, Descriptor::blank(2), whole];
        assert_eq!(arrange_scratch(&mut descriptors).unwrap(), 2 * 1600);
        let mut second = whole;
        second.set_scratch(1600);
        assert_eq!((descriptors[0], descriptors[3]), (whole, second));
        assert_eq!(arrange_scratch(&mut [plain]).unwrap(), 0);
    }
}
