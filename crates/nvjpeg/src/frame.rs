use std::fmt::{self, Display};

use crate::{Error, Result, Subsampling};

/// The most columns and rows of a frame: JPEG writes both with 16 bits (ITU-T T.81, B.2.2).
pub const MAX_SIDE: u32 = 65535;

/// What decides how large the decoded image is, and its planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Columns, pixels, before any EXIF orientation.
    pub width: u32,
    /// Rows, pixels, before any EXIF orientation.
    pub height: u32,
    /// Number of components, 1 to 4.
    pub components: u32,
    /// How the colour differences are sampled.
    pub subsampling: Subsampling,
}

impl Frame {
    /// The frame whose components have these sizes (columns and rows, in their own samples), as nvJPEG tells them.
    ///
    /// Planes are laid out by the subsampling's name, and written by nvJPEG by the components' sizes: where these are not
    /// what the name says, the name is not believed.
    pub(crate) fn of_components(sizes: &[(u32, u32)], subsampling: Subsampling) -> Result<Frame> {
        let width = sizes.iter().map(|size| size.0).max().unwrap_or(0);
        let height = sizes.iter().map(|size| size.1).max().unwrap_or(0);
        let mut frame = Frame { width, height, components: sizes.len() as u32, subsampling }.checked()?;
        let fits = match (subsampling, sizes) {
            (Subsampling::Grey, [_]) | (Subsampling::Other, _) => true,
            (_, &[luminance, blue, red]) => subsampling.factors().is_some_and(|(columns, rows)| {
                let differences = (width.div_ceil(columns), height.div_ceil(rows));
                luminance == (width, height) && blue == differences && red == differences
            }),
            _ => false,
        };
        if !fits {
            frame.subsampling = Subsampling::Other;
        }
        Ok(frame)
    }

    /// The frame, if it can be.
    pub(crate) fn checked(self) -> Result<Frame> {
        let Frame { width, height, .. } = self;
        let possible = 1..=MAX_SIDE;
        if possible.contains(&width) && possible.contains(&height) {
            Ok(self)
        } else {
            Err(Error::Dimensions { width, height })
        }
    }
}

impl Display for Frame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame { width, height, components, subsampling } = self;
        write!(formatter, "an image of {width} x {height} pixels, components: {components}, {subsampling}")
    }
}

/// A rectangle of an image, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Region {
    /// Its first column.
    pub x: u32,
    /// Its first row.
    pub y: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
}

impl Region {
    /// Whether the rectangle has pixels, all of them in the frame.
    pub(crate) fn check(&self, frame: &Frame) -> Result<()> {
        let invalid = |reason| Err(Error::InvalidRegion { region: *self, frame: *frame, reason });
        let within =
            |start: u32, length: u32, all: u32| start.checked_add(length).is_some_and(|end| end <= all);
        if self.width == 0 || self.height == 0 {
            return invalid("it has no pixels");
        }
        if !within(self.x, self.width, frame.width) || !within(self.y, self.height, frame.height) {
            return invalid("it lies partly outside");
        }
        Ok(())
    }
}

impl Display for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Region { x, y, width, height } = self;
        write!(formatter, "a region of {width} x {height} pixels at ({x}, {y})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_components_sizes_are_believed_before_the_subsampling() {
        let frame = |sizes: &[(u32, u32)], subsampling| Frame::of_components(sizes, subsampling).unwrap();
        let halves = [(17, 9), (9, 5), (9, 5)];
        let good = frame(&halves, Subsampling::S420);
        assert_eq!((good.width, good.height, good.components), (17, 9, 3));
        assert_eq!(good.subsampling, Subsampling::S420);
        for claimed in [Subsampling::S444, Subsampling::S422, Subsampling::S410, Subsampling::Grey] {
            assert_eq!(frame(&halves, claimed).subsampling, Subsampling::Other, "{claimed}");
        }
        // Colour differences finer than the luminance, or unlike each other.
        assert_eq!(frame(&[(9, 5), (17, 9), (17, 9)], Subsampling::S420).subsampling, Subsampling::Other);
        assert_eq!(frame(&[(9, 5), (17, 9), (17, 9)], Subsampling::S420).width, 17);
        assert_eq!(frame(&[(17, 9), (9, 5), (9, 9)], Subsampling::S420).subsampling, Subsampling::Other);
        assert_eq!(frame(&[(17, 9); 4], Subsampling::S444).subsampling, Subsampling::Other);
        assert_eq!(frame(&[(17, 9)], Subsampling::Grey).subsampling, Subsampling::Grey);
    }

    #[test]
    fn a_frame_that_cannot_be_is_an_error() {
        for sizes in [&[][..], &[(0, 5)], &[(5, 0)], &[(65536, 1)], &[(1, u32::MAX)]] {
            let error = Frame::of_components(sizes, Subsampling::Grey).unwrap_err();
            assert!(matches!(error, Error::Dimensions { .. }), "{error}");
        }
        assert!(Frame::of_components(&[(MAX_SIDE, MAX_SIDE)], Subsampling::Grey).is_ok());
    }

    #[test]
    fn regions_lie_within_the_frame() {
        let frame = Frame { width: 20, height: 10, components: 3, subsampling: Subsampling::S444 };
        let check = |x, y, width, height| Region { x, y, width, height }.check(&frame);
        for inside in [(0, 0, 20, 10), (19, 9, 1, 1), (3, 2, 5, 8)] {
            check(inside.0, inside.1, inside.2, inside.3).unwrap();
        }
        let outside =
            [(0, 0, 0, 1), (0, 0, 1, 0), (0, 0, 21, 1), (0, 0, 1, 11), (20, 0, 1, 1), (u32::MAX, 0, 2, 1)];
        for (x, y, width, height) in outside {
            let error = check(x, y, width, height).unwrap_err();
            assert!(matches!(error, Error::InvalidRegion { .. }), "{error}");
        }
    }
}
