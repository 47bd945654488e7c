use ocelli_nvjpeg_sys as sys;

use crate::{Error, Frame, Region, Result, Subsampling};

/// What a decoder writes: 8 bits for each sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OutputFormat {
    /// Red, green and blue, interleaved in one plane.
    #[default]
    RgbInterleaved,
    /// Red, green and blue, a plane each.
    Rgb,
    /// Luminance and the differences of blue and red as they are sampled in the file, a plane each; of a grey image the
    /// luminance alone.
    Yuv,
    /// Luminance alone.
    Y,
}

/// How much a plane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlaneSize {
    /// Bytes of a row that belong to the image.
    pub row_bytes: usize,
    /// Number of rows.
    pub rows: usize,
}

impl OutputFormat {
    /// The planes of a decoded image, or of a region of it, in their order.
    ///
    /// A colour difference of odd sizes is rounded up, as in ITU-T T.81, A.1.1.
    ///
    /// # Errors
    /// [`Error::Dimensions`]; [`Error::InvalidRegion`], in [`Yuv`](OutputFormat::Yuv) also for a region that begins
    /// between two samples of a colour difference; [`Error::UnknownPlanes`] in [`Yuv`](OutputFormat::Yuv) where the
    /// subsampling is [`Other`](Subsampling::Other).
    pub fn plane_sizes(self, frame: &Frame, region: Option<Region>) -> Result<Vec<PlaneSize>> {
        let frame = frame.checked()?;
        if let Some(region) = region {
            region.check(&frame)?;
        }
        let (width, height) =
            region.map_or((frame.width, frame.height), |region| (region.width, region.height));
        let whole = plane(width, height, 1);
        match self {
            OutputFormat::RgbInterleaved => Ok(vec![plane(width, height, 3)]),
            OutputFormat::Rgb => Ok(vec![whole; 3]),
            OutputFormat::Y => Ok(vec![whole]),
            OutputFormat::Yuv if frame.subsampling == Subsampling::Grey => Ok(vec![whole]),
            OutputFormat::Yuv => {
                let (columns, rows) = frame.subsampling.factors().ok_or(Error::UnknownPlanes { frame })?;
                if let Some(region) = region
                    .filter(|region| !region.x.is_multiple_of(columns) || !region.y.is_multiple_of(rows))
                {
                    let reason = "it begins between two samples of a colour difference";
                    return Err(Error::InvalidRegion { region, frame, reason });
                }
                let difference = plane(width.div_ceil(columns), height.div_ceil(rows), 1);
                Ok(vec![whole, difference, difference])
            }
        }
    }

    pub(crate) fn raw(self) -> sys::OutputFormat {
        match self {
            OutputFormat::RgbInterleaved => sys::NVJPEG_OUTPUT_RGBI,
            OutputFormat::Rgb => sys::NVJPEG_OUTPUT_RGB,
            OutputFormat::Yuv => sys::NVJPEG_OUTPUT_YUV,
            OutputFormat::Y => sys::NVJPEG_OUTPUT_Y,
        }
    }
}

/// Sizes that a frame has been checked to have, at most 65535, fit.
fn plane(width: u32, height: u32, samples: usize) -> PlaneSize {
    PlaneSize { row_bytes: width as usize * samples, rows: height as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u32, height: u32, subsampling: Subsampling) -> Frame {
        let components = if subsampling == Subsampling::Grey { 1 } else { 3 };
        Frame { width, height, components, subsampling }
    }

    fn sizes(format: OutputFormat, frame: &Frame, region: Option<Region>) -> Vec<(usize, usize)> {
        let sizes = format.plane_sizes(frame, region).unwrap();
        sizes.into_iter().map(|size| (size.row_bytes, size.rows)).collect()
    }

    #[test]
    fn colour_differences_of_odd_images_are_rounded_up() {
        for (subsampling, difference) in [
            (Subsampling::S444, (17, 9)),
            (Subsampling::S422, (9, 9)),
            (Subsampling::S420, (9, 5)),
            (Subsampling::S440, (17, 5)),
            (Subsampling::S411, (5, 9)),
            (Subsampling::S410, (5, 5)),
            (Subsampling::S410V, (9, 3)),
        ] {
            let expected = [(17, 9), difference, difference];
            assert_eq!(sizes(OutputFormat::Yuv, &frame(17, 9, subsampling), None), expected, "{subsampling}");
            // An image of one pixel has one sample of everything.
            assert_eq!(sizes(OutputFormat::Yuv, &frame(1, 1, subsampling), None), [(1, 1); 3]);
        }
        assert_eq!(sizes(OutputFormat::Yuv, &frame(17, 9, Subsampling::Grey), None), [(17, 9)]);
    }

    #[test]
    fn other_formats_do_not_depend_on_the_subsampling() {
        for subsampling in [Subsampling::Grey, Subsampling::S420, Subsampling::S410V, Subsampling::Other] {
            let frame = frame(17, 9, subsampling);
            assert_eq!(sizes(OutputFormat::RgbInterleaved, &frame, None), [(51, 9)]);
            assert_eq!(sizes(OutputFormat::Rgb, &frame, None), [(17, 9); 3]);
            assert_eq!(sizes(OutputFormat::Y, &frame, None), [(17, 9)]);
        }
    }

    #[test]
    fn a_region_has_planes_of_its_own_size() {
        let frame = frame(17, 9, Subsampling::S420);
        let region = |x, y| Some(Region { x, y, width: 5, height: 3 });
        assert_eq!(sizes(OutputFormat::RgbInterleaved, &frame, region(3, 1)), [(15, 3)]);
        assert_eq!(sizes(OutputFormat::Yuv, &frame, region(4, 2)), [(5, 3), (3, 2), (3, 2)]);
        for (x, y) in [(3, 2), (4, 1), (13, 2)] {
            let error = OutputFormat::Yuv.plane_sizes(&frame, region(x, y)).unwrap_err();
            assert!(matches!(error, Error::InvalidRegion { .. }), "{error}");
        }
    }

    #[test]
    fn what_has_no_planes_is_an_error() {
        let unknown = OutputFormat::Yuv.plane_sizes(&frame(17, 9, Subsampling::Other), None);
        assert!(matches!(unknown, Err(Error::UnknownPlanes { .. })));
        for (width, height) in [(0, 1), (1, 0), (u32::MAX, 1), (65536, 65536)] {
            let impossible = OutputFormat::Rgb.plane_sizes(&frame(width, height, Subsampling::S444), None);
            assert!(matches!(impossible, Err(Error::Dimensions { .. })));
        }
    }
}
