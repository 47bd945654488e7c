//! A decoded image in device memory.

use crate::augment::area::{Rectangle, Size};
use crate::jpeg::Subsampling;
use crate::{Error, Result};

/// Samples in device memory, row by row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plane {
    /// The device address of the first one.
    pub address: u64,
    /// Bytes from one row to the next.
    pub pitch: u32,
}

/// In which form an image was decoded, 8 bits a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// Red, green and blue in turns.
    Interleaved(Plane),
    /// JPEG's own form: luminance, then the differences of blue and of red with fewer columns and rows. They are scaled
    /// up and converted as libjpeg-turbo does it by default: where there are half as many columns or rows, the nearest
    /// sample weighs three times what the next one does ("fancy upsampling"; not across where an image has no more than
    /// two columns of differences), otherwise the nearest is taken. Of [`Subsampling::Grey`] only the first plane is
    /// there.
    Planes {
        /// Luminance and differences.
        planes: [Plane; 3],
        /// How many columns and rows the differences have, rounded up.
        subsampling: Subsampling,
    },
}

/// A decoded image, or the decoded part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where its samples are.
    pub pixels: Pixels,
    /// Which part of the stored image was decoded; all of it, unless a part was asked for. Planes of differences begin
    /// with the sample of the part's first pixel. Where the part ends before the image does, its last differences are
    /// repeated, so that a few pixels more than [`Drawn::stored_part`](crate::augment::Drawn::stored_part) are worth
    /// having.
    pub decoded: Rectangle,
    /// The whole stored image.
    pub whole: Size,
}

impl Source {
    /// A whole image of red, green and blue in turns, rows without gaps.
    pub fn interleaved(address: u64, whole: Size) -> Source {
        let plane = Plane { address, pitch: whole.width.saturating_mul(3) };
        let decoded = Rectangle { left: 0, top: 0, width: whole.width, height: whole.height };
        Source { pixels: Pixels::Interleaved(plane), decoded, whole }
    }

    /// Says whether the rows of every plane are long enough and the decoded part lies in the image.
    pub(super) fn check(&self) -> Result<()> {
        let fault = |what: String| Err(Error::Setting { what });
        let Size { width, height } = self.whole;
        if [width, height].iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return fault(format!(
                "a decoded image of {width} x {height} pixels is not between 1 and {MAX_SIDE}"
            ));
        }
        let part = self.decoded;
        let reaches = |first: u32, count: u32, side: u32| {
            count > 0 && first.checked_add(count).is_some_and(|end| end <= side)
        };
        if !reaches(part.left, part.width, width) || !reaches(part.top, part.height, height) {
            return fault(format!(
                "the decoded {part:?} is no part of an image of {width} x {height} pixels"
            ));
        }
        let short = match self.pixels {
            Pixels::Interleaved(plane) => plane.pitch < 3 * part.width,
            Pixels::Planes { planes, subsampling } => {
                let Some([across, _]) = chroma_shift(subsampling) else {
                    return fault(format!("planes with the subsampling {subsampling:?} cannot be converted"));
                };
                let columns = ((part.left + part.width - 1) >> across) - (part.left >> across) + 1;
                let colours = subsampling != Subsampling::Grey;
                planes[0].pitch < part.width
                    || colours && planes[1..].iter().any(|plane| plane.pitch < columns)
            }
        };
        if short {
            return fault(format!("rows of {part:?} do not fit between the pitches of {:?}", self.pixels));
        }
        Ok(())
    }

    /// Whether differences are interpolated.
    pub(super) fn smooth_chroma(&self, subsampling: Subsampling) -> bool {
        match subsampling {
            // libjpeg-turbo interpolates columns only where there are three or more.
            Subsampling::S422 | Subsampling::S420 => self.whole.width.div_ceil(2) > 2,
            Subsampling::S440 => true,
            _ => false,
        }
    }
}

/// Up to here the kernel's 32-bit arithmetic on places holds; JPEG's limit is 65,535.
pub const MAX_SIDE: u32 = 1 << 18;

/// Binary logarithms of how many columns and rows of pixels share a difference; nothing for ratios that have no name.
pub(super) const fn chroma_shift(subsampling: Subsampling) -> Option<[u32; 2]> {
    Some(match subsampling {
        Subsampling::Grey | Subsampling::S444 => [0, 0],
        Subsampling::S422 => [1, 0],
        Subsampling::S420 => [1, 1],
        Subsampling::S440 => [0, 1],
        Subsampling::S411 => [2, 0],
        Subsampling::S410 => [2, 1],
        Subsampling::Other => return None,
    })
}
