//! What was drawn for one image.

use super::area::{Rectangle, Size};
use super::erasing::Erased;
use super::interpolation::Interpolation;
use super::operation::Operation;
use super::orientation::Orientation;
use crate::{Error, Result};

/// What becomes of one image, with nothing left to chance: made by [`Augmentation::draw`](super::Augmentation::draw),
/// or by hand.
///
/// First the orientation is undone. Then `source` is scaled to `scaled`, and `size` pixels are taken from it, from
/// column `window[0]` and row `window[1]` on; what lies outside of `scaled` is black. The result is mirrored, the
/// operations are made in their order, the pixels are normalised, and `erased` is filled.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The orientation that is undone; [`Orientation::Upright`] where EXIF is not heeded.
    pub orientation: Orientation,
    /// The whole image, oriented.
    pub image: Size,
    /// The part of the oriented image that is scaled; the filter sees nothing outside of it.
    pub source: Rectangle,
    /// What `source` is scaled to, pixels.
    pub scaled: Size,
    /// Where the output begins in the scaled image: column and row, negative where a border is black.
    pub window: [i32; 2],
    /// The output before it is padded to its canvas.
    pub size: Size,
    /// The filter that scales.
    pub interpolation: Interpolation,
    /// Whether the output is mirrored left to right.
    pub horizontal_flip: bool,
    /// Whether the output is mirrored top to bottom.
    pub vertical_flip: bool,
    /// What is done to the pixels, in order.
    pub operations: Vec<Operation>,
    /// What is erased.
    pub erased: Option<Erased>,
}

impl Drawn {
    /// Output pixels for each source pixel, across and down. Affine operations do not count.
    pub fn scale(&self) -> [f32; 2] {
        self.scale_exactly().map(|scale| scale as f32)
    }

    pub(super) fn scale_exactly(&self) -> [f64; 2] {
        [(self.scaled.width, self.source.width), (self.scaled.height, self.source.height)]
            .map(|(scaled, source)| f64::from(scaled) / f64::from(source.max(1)))
    }

    /// The part of the stored image that has to be decoded, at least: what `source` is before its orientation is
    /// undone. For smooth colours at its border, 4 more pixels on each side are of use where chroma is subsampled.
    pub fn stored_part(&self) -> Rectangle {
        self.orientation.stored_part(self.source, self.orientation.turn(self.image))
    }

    /// Whether an operation needs all of the image before it can begin.
    pub fn needs_whole_image(&self) -> bool {
        self.operations.iter().any(Operation::needs_whole_image)
    }

    /// Says whether what was drawn, or changed by hand, holds together.
    ///
    /// # Errors [`Error::Setting`] for a source that is empty or reaches beyond the image, and for sizes that are none
    /// or beyond what 31 bits count.
    pub fn check(&self) -> Result<()> {
        let fault = |what: String| Err(Error::Setting { what });
        let Rectangle { left, top, width, height } = self.source;
        let reaches = |first: u32, count: u32, side: u32| {
            count > 0 && first.checked_add(count).is_some_and(|end| end <= side)
        };
        if !reaches(left, width, self.image.width) || !reaches(top, height, self.image.height) {
            return fault(format!("{:?} is no part of an image of {:?}", self.source, self.image));
        }
        for size in [self.image, self.scaled, self.size] {
            if [size.width, size.height].iter().any(|side| !(1..=i32::MAX as u32).contains(side)) {
                return fault(format!("an image cannot have the size {size:?}"));
            }
        }
        // The window's end is counted in 32 bits by the kernel.
        let ends = [(self.window[0], self.size.width), (self.window[1], self.size.height)];
        if ends.iter().any(|&(begin, count)| begin.checked_add_unsigned(count).is_none()) {
            return fault(format!("a window from {:?} of {:?} is too far out", self.window, self.size));
        }
        Ok(())
    }
}
