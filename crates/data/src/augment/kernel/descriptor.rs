//! What the kernel reads of one image.

use bytemuck::{Pod, Zeroable};

use super::source::{Pixels, Plane, Source, chroma_shift};
use crate::augment::area::{Rectangle, Size};
use crate::augment::drawn::Drawn;
use crate::augment::erasing::Filling;
use crate::augment::interpolation::Interpolation;
use crate::augment::operation::Operation;
use crate::augment::policy::Policy;
use crate::jpeg::Subsampling;
use crate::{Error, Result};

/// Four changes of colour, the most that a policy has, and cutout.
const MAX_STEPS: usize = 4 + Policy::MAX_OPERATIONS as usize + 1;

/// One image of a batch as the kernel sees it: what [`Drawn`] says, where the [`Source`] is, and which place of the
/// batch it goes to. An array of these in device memory is what a launch reads.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Descriptor {
    /// Device addresses.
    planes: [u64; 3],
    /// Where the two copies of the image lie in the scratch memory, bytes from its start.
    scratch: u64,
    /// Bytes from row to row of each plane.
    pitches: [u32; 3],
    /// One of [`format`].
    format: u32,
    /// Binary logarithms of the columns and rows of pixels that share a colour difference.
    chroma_shift: [u32; 2],
    /// Whether colour differences are interpolated.
    smooth_chroma: u32,
    /// The place in the batch.
    place: u32,
    /// The decoded part of the stored image: left, top, width, height.
    decoded: [i32; 4],
    /// From oriented to stored coordinates, as `Orientation::to_stored` gives it.
    to_stored: [i32; 6],
    /// The part of the oriented image that is scaled: left, top, width, height.
    source: [i32; 4],
    /// Columns and rows that it is scaled to.
    scaled: [i32; 2],
    /// The output's first column and row in the scaled image.
    window: [i32; 2],
    /// Columns and rows of the output.
    size: [i32; 2],
    /// Whether columns and rows run backwards.
    flips: [u32; 2],
    /// Whether the filter is the cubic one.
    bicubic: u32,
    /// Whether a step needs the whole image.
    needs_whole_image: u32,
    /// What erased pixels become: one of [`erasing`].
    erasing: u32,
    /// The erased part: left, top, width, height.
    erased: [i32; 4],
    /// Three numbers in single precision, or a key of two.
    filling: [u32; 3],
    /// How many steps there are.
    steps: u32,
    /// The operations.
    step: [Step; MAX_STEPS],
}

/// One operation: its kind, one of [`kind`], and parameters, whole numbers or numbers in single precision.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
struct Step {
    kind: u32,
    parameters: [u32; 6],
}

/// `Format` in `prelude.cu`.
mod format {
    pub(super) const BLANK: u32 = 0;
    pub(super) const INTERLEAVED: u32 = 1;
    pub(super) const PLANES: u32 = 2;
    pub(super) const GREY: u32 = 3;
}

/// `Kind` in `prelude.cu`.
mod kind {
    pub(super) const BRIGHTNESS: u32 = 0;
    pub(super) const CONTRAST: u32 = 1;
    pub(super) const SATURATION: u32 = 2;
    pub(super) const HUE: u32 = 3;
    pub(super) const SHARPNESS: u32 = 4;
    pub(super) const POSTERIZE: u32 = 5;
    pub(super) const SOLARIZE: u32 = 6;
    pub(super) const AUTO_CONTRAST: u32 = 7;
    pub(super) const EQUALIZE: u32 = 8;
    pub(super) const AFFINE: u32 = 9;
    pub(super) const BLACKEN: u32 = 10;
}

/// `Erasing` in `prelude.cu`.
mod erasing {
    pub(super) const NOTHING: u32 = 0;
    pub(super) const CONSTANT: u32 = 1;
    pub(super) const NOISE: u32 = 2;
}

impl Descriptor {
    /// An image for place `place` of the batch, counted from 0. Its scratch memory, if it needs any, is given to it by
    /// [`arrange_scratch`](super::arrange_scratch).
    ///
    /// # Errors [`Error::Setting`] where `drawn` contradicts itself or the source, where pixels that it needs were not
    /// decoded, and where it has more operations than any [`Augmentation`](crate::augment::Augmentation) draws.
    pub fn new(drawn: &Drawn, source: &Source, place: u32) -> Result<Descriptor> {
        drawn.check()?;
        source.check()?;
        let fault = |what: String| Err(Error::Setting { what });
        if drawn.orientation.turn(drawn.image) != source.whole {
            return fault(format!(
                "an augmentation of an image of {:?} does not fit one that is stored as {:?}",
                drawn.image, source.whole
            ));
        }
        let (needed, decoded) = (drawn.stored_part(), source.decoded);
        let inside = needed.left >= decoded.left
            && needed.top >= decoded.top
            && needed.left + needed.width <= decoded.left + decoded.width
            && needed.top + needed.height <= decoded.top + decoded.height;
        if !inside {
            return fault(format!(
                "the augmentation needs {needed:?} of the image, but {decoded:?} was decoded"
            ));
        }
        if drawn.operations.len() > MAX_STEPS {
            return fault(format!(
                "an image has at most {MAX_STEPS} operations, not {}",
                drawn.operations.len()
            ));
        }
        // The kernel counts an image's pixels in 32 bits.
        if drawn.size.width.checked_mul(drawn.size.height).is_none() {
            return fault(format!("an image of {:?} has too many pixels", drawn.size));
        }
        let mut step = [Step::zeroed(); MAX_STEPS];
        for (step, operation) in step.iter_mut().zip(&drawn.operations) {
            *step = Step::new(operation, drawn.size);
        }
        let (erasing, erased, filling) = match drawn.erased {
            None => (erasing::NOTHING, Rectangle::default(), [0; 3]),
            Some(erased) => match erased.filling {
                Filling::Constant(value) => (erasing::CONSTANT, erased.part, value.map(f32::to_bits)),
                Filling::Noise([low, high]) => (erasing::NOISE, erased.part, [low, high, 0]),
            },
        };
        let (format, planes, subsampling) = match source.pixels {
            Pixels::Interleaved(plane) => {
                (format::INTERLEAVED, [plane, Plane::default(), Plane::default()], Subsampling::S444)
            }
            Pixels::Planes { planes, subsampling: Subsampling::Grey } => {
                (format::GREY, [planes[0], Plane::default(), Plane::default()], Subsampling::Grey)
            }
            Pixels::Planes { planes, subsampling } => (format::PLANES, planes, subsampling),
        };
        Ok(Descriptor {
            planes: planes.map(|plane| plane.address),
            scratch: 0,
            pitches: planes.map(|plane| plane.pitch),
            format,
            chroma_shift: chroma_shift(subsampling).unwrap_or_default(),
            smooth_chroma: source.smooth_chroma(subsampling).into(),
            place,
            decoded: corners(decoded),
            to_stored: drawn.orientation.to_stored(source.whole),
            source: corners(drawn.source),
            scaled: sides(drawn.scaled),
            window: drawn.window,
            size: sides(drawn.size),
            flips: [drawn.horizontal_flip.into(), drawn.vertical_flip.into()],
            bicubic: (drawn.interpolation == Interpolation::Bicubic).into(),
            needs_whole_image: drawn.needs_whole_image().into(),
            erasing,
            erased: corners(erased),
            filling,
            steps: drawn.operations.len() as u32,
            step,
        })
    }

    /// A place of the batch without an image, such as those at the end of an epoch: zeros.
    pub fn blank(place: u32) -> Descriptor {
        Descriptor { format: format::BLANK, place, ..Descriptor::zeroed() }
    }

    /// The place in the batch.
    pub const fn place(&self) -> u32 {
        self.place
    }

    /// The output before it is padded; nothing for a blank place.
    pub const fn size(&self) -> Size {
        Size { width: self.size[0] as u32, height: self.size[1] as u32 }
    }

    /// Whether the image needs scratch memory.
    pub const fn needs_whole_image(&self) -> bool {
        self.needs_whole_image != 0
    }

    /// Bytes of scratch memory: two copies of the image, a word for each pixel.
    pub(super) fn scratch_bytes(&self) -> u64 {
        let Size { width, height } = self.size();
        if self.needs_whole_image() { 8 * u64::from(width) * u64::from(height) } else { 0 }
    }

    pub(super) fn set_scratch(&mut self, offset: u64) {
        self.scratch = offset;
    }
}

impl Step {
    fn new(operation: &Operation, size: Size) -> Step {
        let number = |kind, number: f32| Step { kind, parameters: [number.to_bits(), 0, 0, 0, 0, 0] };
        let blend = |kind, factor: f32| {
            let rest = (1.0 - f64::from(factor)) as f32;
            Step { kind, parameters: [factor.to_bits(), rest.to_bits(), 0, 0, 0, 0] }
        };
        match *operation {
            Operation::Brightness(factor) => blend(kind::BRIGHTNESS, factor),
            Operation::Contrast(factor) => blend(kind::CONTRAST, factor),
            Operation::Saturation(factor) => blend(kind::SATURATION, factor),
            Operation::Hue(shift) => number(kind::HUE, shift),
            Operation::Sharpness(factor) if size.width > 2 && size.height > 2 => {
                blend(kind::SHARPNESS, factor)
            }
            // Too small an image stays as it is.
            Operation::Sharpness(_) => blend(kind::SHARPNESS, 1.0),
            Operation::Posterize(bits) => {
                let mask = u32::from((0xff00u16 >> bits.min(8)) as u8);
                Step { kind: kind::POSTERIZE, parameters: [mask << 16 | mask << 8 | mask, 0, 0, 0, 0, 0] }
            }
            Operation::Solarize(threshold) => number(kind::SOLARIZE, threshold),
            Operation::AutoContrast => number(kind::AUTO_CONTRAST, 0.0),
            Operation::Equalize => number(kind::EQUALIZE, 0.0),
            Operation::Affine(affine) => {
                Step { kind: kind::AFFINE, parameters: affine.on_grid(size).map(f32::to_bits) }
            }
            Operation::Blacken(part) => {
                let [left, top, width, height] = corners(part).map(|edge| edge as u32);
                Step { kind: kind::BLACKEN, parameters: [left, top, width, height, 0, 0] }
            }
        }
    }
}

/// Left, top, width and height; what lies beyond 31 bits holds no pixel.
fn corners(part: Rectangle) -> [i32; 4] {
    [part.left, part.top, part.width, part.height].map(|edge| i32::try_from(edge).unwrap_or(i32::MAX))
}

fn sides(size: Size) -> [i32; 2] {
    [size.width, size.height].map(|side| i32::try_from(side).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Affine, Augmentation, Geometry, ImageSize, Orientation};

    const WHOLE: Size = Size { width: 60, height: 40 };

    fn drawn() -> Drawn {
        let resize =
            Augmentation { exif: true, ..Augmentation::only(Geometry::Resize { height: 16, width: 16 }) };
        resize.draw(0, 0, 0, ImageSize { width: 60, height: 40, orientation: Orientation::Rotate90 })
    }

    #[test]
    fn the_descriptor_has_the_size_that_the_kernel_expects() {
        assert_eq!(size_of::<Descriptor>(), 560);
    }

    #[test]
    fn pixels_that_are_needed_must_have_been_decoded() {
        // The top left corner, looked at, which is stored at the bottom left.
        let part = Drawn { source: Rectangle { left: 0, top: 0, width: 10, height: 20 }, ..drawn() };
        let source = |decoded| Source { decoded, ..Source::interleaved(256, WHOLE) };
        let enough = Rectangle { left: 0, top: 30, width: 20, height: 10 };
        Descriptor::new(&part, &source(enough), 0).unwrap();
        for decoded in [
            Rectangle { width: 19, ..enough },
            Rectangle { top: 31, height: 9, ..enough },
            Rectangle { left: 1, ..enough },
            Rectangle { left: 0, top: 0, width: 20, height: 39 },
        ] {
            let fault = Descriptor::new(&part, &source(decoded), 0);
            assert!(matches!(fault, Err(Error::Setting { .. })), "{decoded:?}");
        }
    }

    #[test]
    fn sources_that_contradict_themselves_are_refused() {
        let sound = Source::interleaved(256, WHOLE);
        Descriptor::new(&drawn(), &sound, 0).unwrap();
        let planes = |pitches: [u32; 3], subsampling| {
            let planes = pitches.map(|pitch| Plane { address: 256, pitch });
            Source { pixels: Pixels::Planes { planes, subsampling }, ..sound }
        };
        Descriptor::new(&drawn(), &planes([60, 30, 30], Subsampling::S420), 0).unwrap();
        Descriptor::new(&drawn(), &planes([60, 0, 0], Subsampling::Grey), 0).unwrap();
        for wrong in [
            Source { whole: Size { width: 40, height: 60 }, ..sound },
            Source { pixels: Pixels::Interleaved(Plane { address: 256, pitch: 179 }), ..sound },
            Source { decoded: Rectangle { left: u32::MAX, top: 0, width: 60, height: 40 }, ..sound },
            planes([60, 29, 30], Subsampling::S420),
            planes([59, 30, 30], Subsampling::S420),
            planes([60, 60, 60], Subsampling::Other),
        ] {
            let fault = Descriptor::new(&drawn(), &wrong, 0);
            assert!(matches!(fault, Err(Error::Setting { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn drawings_that_contradict_themselves_are_refused() {
        let source = Source::interleaved(256, WHOLE);
        for wrong in [
            Drawn { source: Rectangle { left: 1, top: 0, width: 40, height: 60 }, ..drawn() },
            Drawn { scaled: Size { width: 0, height: 5 }, ..drawn() },
            Drawn { window: [i32::MAX, 0], ..drawn() },
            Drawn { operations: vec![Operation::Equalize; MAX_STEPS + 1], ..drawn() },
            Drawn { size: Size { width: 1 << 16, height: 1 << 16 }, ..drawn() },
        ] {
            let fault = Descriptor::new(&wrong, &source, 0);
            assert!(matches!(fault, Err(Error::Setting { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn only_steps_that_need_all_of_the_image_need_scratch() {
        let with = |operation| {
            let drawn = Drawn { operations: vec![operation], ..drawn() };
            Descriptor::new(&drawn, &Source::interleaved(256, WHOLE), 3).unwrap().scratch_bytes()
        };
        assert_eq!(with(Operation::Hue(0.1)), 0);
        assert_eq!(with(Operation::Blacken(Rectangle::default())), 0);
        assert_eq!(with(Operation::Contrast(0.5)), 2 * 4 * 256);
        assert_eq!(with(Operation::Affine(Affine::rotate(10.0))), 2 * 4 * 256);
        assert_eq!(Descriptor::blank(3).scratch_bytes(), 0);
    }
}
