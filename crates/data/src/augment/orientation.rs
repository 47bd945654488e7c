//! How a photograph is stored, against how it is looked at.

use super::area::{Rectangle, Size};

/// The orientation that EXIF notes (tag 0x0112): what must be done to the stored pixels so that they are looked at
/// upright.
///
/// Source: CIPA DC-008 (Exif 2.32), 4.6.4, "Orientation"; the names are those of the operations that undo it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Orientation {
    /// 1: nothing.
    #[default]
    Upright,
    /// 2: mirror left to right.
    FlipHorizontal,
    /// 3: turn by half.
    Rotate180,
    /// 4: mirror top to bottom.
    FlipVertical,
    /// 5: swap rows and columns.
    Transpose,
    /// 6: turn clockwise by a quarter.
    Rotate90,
    /// 7: swap rows and columns, then turn by half.
    Transverse,
    /// 8: turn clockwise by three quarters.
    Rotate270,
}

impl Orientation {
    /// From EXIF's number; `None` for what is not in 1 to 8.
    pub const fn from_exif(number: u8) -> Option<Orientation> {
        Some(match number {
            1 => Orientation::Upright,
            2 => Orientation::FlipHorizontal,
            3 => Orientation::Rotate180,
            4 => Orientation::FlipVertical,
            5 => Orientation::Transpose,
            6 => Orientation::Rotate90,
            7 => Orientation::Transverse,
            8 => Orientation::Rotate270,
            _ => return None,
        })
    }

    /// Whether rows become columns.
    pub const fn swaps_sides(self) -> bool {
        matches!(
            self,
            Orientation::Transpose | Orientation::Rotate90 | Orientation::Transverse | Orientation::Rotate270
        )
    }

    /// The size of an image, looked at, that is stored with `stored` pixels; and the reverse.
    pub const fn turn(self, stored: Size) -> Size {
        if self.swaps_sides() { Size { width: stored.height, height: stored.width } } else { stored }
    }

    /// Where the pixel that is looked at in column `x` and row `y` is stored, as `[xx, xy, x0, yx, yy, y0]`: in column
    /// `xx * x + xy * y + x0` and row `yx * x + yy * y + y0`. `stored` is the whole stored image's size.
    pub(super) fn to_stored(self, stored: Size) -> [i32; 6] {
        // A side beyond i32 holds no image; what is made of it stays in range.
        let last = |side: u32| i32::try_from(side.max(1) - 1).unwrap_or(i32::MAX);
        let (right, bottom) = (last(stored.width), last(stored.height));
        match self {
            Orientation::Upright => [1, 0, 0, 0, 1, 0],
            Orientation::FlipHorizontal => [-1, 0, right, 0, 1, 0],
            Orientation::Rotate180 => [-1, 0, right, 0, -1, bottom],
            Orientation::FlipVertical => [1, 0, 0, 0, -1, bottom],
            Orientation::Transpose => [0, 1, 0, 1, 0, 0],
            Orientation::Rotate90 => [0, 1, 0, -1, 0, bottom],
            Orientation::Transverse => [0, -1, right, -1, 0, bottom],
            Orientation::Rotate270 => [0, -1, right, 1, 0, 0],
        }
    }

    /// The stored rectangle that is looked at as `part`, for decoding no more than a part of an image; `stored` is the
    /// whole stored image's size.
    pub fn stored_part(self, part: Rectangle, stored: Size) -> Rectangle {
        let [xx, xy, x0, yx, yy, y0] = self.to_stored(stored).map(i64::from);
        let at = |x: u32, y: u32| {
            let (x, y) = (i64::from(x), i64::from(y));
            [xx * x + xy * y + x0, yx * x + yy * y + y0]
        };
        let right = part.left.saturating_add(part.width.max(1) - 1);
        let bottom = part.top.saturating_add(part.height.max(1) - 1);
        let (one, other) = (at(part.left, part.top), at(right, bottom));
        let [left, top] = [0, 1].map(|axis| u32::try_from(one[axis].min(other[axis])).unwrap_or(0));
        let Size { width, height } = self.turn(Size { width: part.width, height: part.height });
        Rectangle { left, top, width, height }
    }
}

/// What must be known of an image before its augmentation is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageSize {
    /// Stored columns, pixels; at least 1.
    pub width: u32,
    /// Stored rows, pixels; at least 1.
    pub height: u32,
    /// What EXIF says; [`Augmentation::exif`](super::Augmentation::exif) decides whether it is heeded.
    pub orientation: Orientation,
}

impl ImageSize {
    /// An image that is looked at as it is stored.
    pub const fn upright(width: u32, height: u32) -> ImageSize {
        ImageSize { width, height, orientation: Orientation::Upright }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter F, three columns and four rows, as it is stored under each orientation (Exif's own picture of them).
    #[test]
    fn every_orientation_looks_the_same() {
        let look = ["##.", "#..", "##.", "#.."];
        let stored: [&[&str]; 8] = [
            &look,
            &[".##", "..#", ".##", "..#"],
            &["..#", ".##", "..#", ".##"],
            &["#..", "##.", "#..", "##."],
            &["####", "#.#.", "...."],
            &["....", "#.#.", "####"],
            &["....", ".#.#", "####"],
            &["####", ".#.#", "...."],
        ];
        for (rows, number) in stored.into_iter().zip(1..) {
            let orientation = Orientation::from_exif(number).unwrap();
            let size = Size { width: rows[0].len() as u32, height: rows.len() as u32 };
            assert_eq!(orientation.turn(size), Size { width: 3, height: 4 });
            let [xx, xy, x0, yx, yy, y0] = orientation.to_stored(size);
            for (y, row) in (0..).zip(look) {
                for (x, pixel) in (0..).zip(row.bytes()) {
                    let (column, line) = (xx * x + xy * y + x0, yx * x + yy * y + y0);
                    assert_eq!(rows[line as usize].as_bytes()[column as usize], pixel, "{orientation:?}");
                    let one = Rectangle { left: x as u32, top: y as u32, width: 1, height: 1 };
                    let expected = Rectangle { left: column as u32, top: line as u32, ..one };
                    assert_eq!(orientation.stored_part(one, size), expected);
                }
            }
            let whole = Rectangle { left: 0, top: 0, width: 3, height: 4 };
            let part = orientation.stored_part(whole, size);
            assert_eq!(part, Rectangle { left: 0, top: 0, width: size.width, height: size.height });
        }
        assert_eq!([0, 9, 255].map(Orientation::from_exif), [None; 3]);
    }
}
