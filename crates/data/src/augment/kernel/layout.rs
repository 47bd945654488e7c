use super::source::{Pixels, Plane, Source, chroma_shift};
use crate::augment::area::{Rectangle, Size};
use crate::jpeg::Subsampling;

/// How a whole decoded image lies in memory, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Red, green and blue in turns.
    Interleaved,
    /// Luminance, then the differences of blue and of red with fewer columns and rows, rounded up; of
    /// [`Subsampling::Grey`], luminance alone. See [`Pixels::Planes`].
    Planes(Subsampling),
}

/// One plane's place in an image's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanePlace {
    /// Where it begins, bytes from the image's first.
    pub offset: usize,
    /// Bytes of a row.
    pub pitch: usize,
    /// Rows.
    pub rows: usize,
}

impl Layout {
    /// The planes of an image of this size; none of a subsampling without a name.
    pub fn planes(self, size: Size) -> Vec<PlanePlace> {
        let (columns, rows) = (size.width as usize, size.height as usize);
        let sizes = match self {
            Layout::Interleaved => vec![(3 * columns, rows)],
            Layout::Planes(Subsampling::Grey) => vec![(columns, rows)],
            Layout::Planes(subsampling) => match chroma_shift(subsampling) {
                Some([across, down]) => {
                    let differences = (columns.div_ceil(1 << across), rows.div_ceil(1 << down));
                    vec![(columns, rows), differences, differences]
                }
                None => Vec::new(),
            },
        };
        let mut offset = 0;
        let place = |(pitch, rows)| {
            let place = PlanePlace { offset, pitch, rows };
            offset += pitch * rows;
            place
        };
        sizes.into_iter().map(place).collect()
    }

    /// Bytes of an image of this size.
    pub fn bytes(self, size: Size) -> usize {
        self.planes(size).last().map_or(0, |last| last.offset + last.pitch * last.rows)
    }

    /// An image of this size at a device address.
    pub fn source(self, address: u64, size: Size) -> Source {
        let mut planes = [Plane::default(); 3];
        for (plane, place) in planes.iter_mut().zip(self.planes(size)) {
            // Sides are checked when the source is used, and overflow neither.
            *plane = Plane { address: address + place.offset as u64, pitch: place.pitch as u32 };
        }
        let pixels = match self {
            Layout::Interleaved => Pixels::Interleaved(planes[0]),
            Layout::Planes(subsampling) => Pixels::Planes { planes, subsampling },
        };
        let decoded = Rectangle { left: 0, top: 0, width: size.width, height: size.height };
        Source { pixels, decoded, whole: size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_follow_one_another_without_gaps() {
        let size = Size { width: 7, height: 5 };
        let places = |layout: Layout| -> Vec<(usize, usize, usize)> {
            layout.planes(size).iter().map(|place| (place.offset, place.pitch, place.rows)).collect()
        };
        assert_eq!(places(Layout::Interleaved), [(0, 21, 5)]);
        assert_eq!(places(Layout::Planes(Subsampling::Grey)), [(0, 7, 5)]);
        assert_eq!(places(Layout::Planes(Subsampling::S444)), [(0, 7, 5), (35, 7, 5), (70, 7, 5)]);
        assert_eq!(places(Layout::Planes(Subsampling::S420)), [(0, 7, 5), (35, 4, 3), (47, 4, 3)]);
        assert_eq!(places(Layout::Planes(Subsampling::S422)), [(0, 7, 5), (35, 4, 5), (55, 4, 5)]);
        assert_eq!(places(Layout::Planes(Subsampling::S440)), [(0, 7, 5), (35, 7, 3), (56, 7, 3)]);
        assert_eq!(Layout::Planes(Subsampling::S420).bytes(size), 59);
        assert_eq!(Layout::Interleaved.bytes(size), 105);
        assert_eq!(Layout::Planes(Subsampling::Other).bytes(size), 0);
        assert_eq!(Layout::Interleaved.source(512, size), Source::interleaved(512, size));
        let Pixels::Planes { planes, .. } = Layout::Planes(Subsampling::S420).source(512, size).pixels else {
            panic!("other pixels");
        };
        assert_eq!(planes[2], Plane { address: 512 + 47, pitch: 4 });
    }
}
