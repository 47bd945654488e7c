use std::ptr;

use ocelli_cuda::DeviceBuffer;
use ocelli_nvjpeg_sys as sys;

use crate::{Error, Frame, OutputFormat, PlaneSize, Region, Result};

/// The most bytes of a plane. How nvJPEG counts beyond is not documented.
const MAX_PLANE_BYTES: usize = i32::MAX as usize;

/// Where a plane of a decoded image goes.
///
/// The plane takes `pitch` times its rows, which must lie in the buffer altogether; what lies between the end of one row
/// and the start of the next has no defined contents afterwards.
#[derive(Clone, Debug)]
pub struct Plane {
    /// The memory, of the decoder's device.
    pub buffer: DeviceBuffer,
    /// The first row's place in it, bytes.
    pub offset: usize,
    /// From one row to the next, bytes; at least a row.
    pub pitch: usize,
}

impl Plane {
    /// The address of the first row, once the whole plane is known to fit. `plane` is its number.
    pub(crate) fn address(&self, plane: usize, size: PlaneSize) -> Result<*mut u8> {
        let (offset, pitch, length) = (self.offset, self.pitch, self.buffer.len());
        if !fits(size, offset, pitch, length) {
            return Err(Error::PlaneDoesNotFit { plane, size, offset, pitch, length });
        }
        // It fits, so that the sum is an address within the buffer.
        Ok(ptr::without_provenance_mut(self.buffer.ptr() as usize + offset))
    }
}

/// The planes in nvJPEG's words, once all are known to fit.
pub(crate) fn destination(
    format: OutputFormat,
    frame: &Frame,
    region: Option<Region>,
    planes: &[Plane],
) -> Result<sys::Image> {
    let sizes = format.plane_sizes(frame, region)?;
    if sizes.len() != planes.len() {
        return Err(Error::PlaneCount { format, expected: sizes.len(), found: planes.len() });
    }
    let mut image = sys::Image::default();
    let places = image.channel.iter_mut().zip(&mut image.pitch);
    for ((index, (plane, size)), (channel, pitch)) in planes.iter().zip(sizes).enumerate().zip(places) {
        *channel = plane.address(index, size)?;
        *pitch = plane.pitch;
    }
    Ok(image)
}

/// Whether a plane of `size` at `offset` fits in a buffer of `length` bytes.
fn fits(size: PlaneSize, offset: usize, pitch: usize, length: usize) -> bool {
    let end = pitch
        .checked_mul(size.rows)
        .filter(|&bytes| bytes <= MAX_PLANE_BYTES)
        .and_then(|bytes| offset.checked_add(bytes));
    pitch >= size.row_bytes && end.is_some_and(|end| end <= length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_fits_to_the_last_byte_and_no_further() {
        let size = PlaneSize { row_bytes: 15, rows: 4 };
        for (offset, pitch) in [(0, 15), (0, 16), (7, 15), (1000, 32)] {
            let end = offset + 4 * pitch;
            assert!(fits(size, offset, pitch, end));
            assert!(!fits(size, offset, pitch, end - 1));
            assert!(!fits(size, offset + 1, pitch, end));
        }
        assert!(!fits(size, 0, 14, 1 << 20), "rows would overlap");
    }

    #[test]
    fn numbers_that_overflow_do_not_fit() {
        let size = PlaneSize { row_bytes: 1, rows: 2 };
        assert!(!fits(size, usize::MAX, 1, usize::MAX));
        assert!(!fits(size, 0, usize::MAX, usize::MAX));
        assert!(!fits(size, 0, usize::MAX / 2 + 1, usize::MAX));
        let large = PlaneSize { row_bytes: 3 * 65535, rows: 65535 };
        assert!(!fits(large, 0, 3 * 65535, usize::MAX));
    }
}
