//! Runs of pixels: how COCO writes the masks of crowds.
//!
//! A mask is taken column by column, each from top to bottom. The first count is of pixels outside, the next of pixels
//! inside, and so on. The compressed form writes a count in groups of five bits from the lowest, each a character from
//! `0` on, 32 more where a group follows, the last one's highest bit the sign; from the fourth count on it is the
//! difference to the one two before.

use std::fmt;

/// A mask by its runs. The runs cover the image exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rle {
    height: u32,
    width: u32,
    counts: Vec<u32>,
}

/// Why runs are no mask.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The runs are fewer or more pixels than the image has.
    Size {
        /// Pixels in all runs, or in those up to the first that goes too far.
        pixels: u64,
        /// Pixels in the image.
        of: u64,
    },
    /// A byte of the compressed form is none of its characters.
    Character {
        /// Where, from 0.
        position: usize,
        /// Which.
        byte: u8,
    },
    /// A count of the compressed form is cut short.
    Truncated,
    /// A count of the compressed form is negative, or far too large.
    Count {
        /// Which count, from 0.
        position: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Size { pixels, of } => write!(f, "the runs are {pixels} of {of} pixels"),
            Error::Character { position, byte } => {
                write!(f, "byte {byte:#04x} at {position} of the compressed runs")
            }
            Error::Truncated => f.write_str("the compressed runs end within a count"),
            Error::Count { position } => {
                write!(f, "run {position} of the compressed runs is no count of pixels")
            }
        }
    }
}

impl std::error::Error for Error {}

/// Groups of a count: a count of 32 bits and its sign take seven.
const GROUPS: u32 = 7;

impl Rle {
    /// A mask from its runs.
    ///
    /// # Errors
    /// [`Error::Size`] where they do not cover the image.
    pub fn new(height: u32, width: u32, counts: Vec<u32>) -> Result<Rle, Error> {
        let of = u64::from(height) * u64::from(width);
        let mut pixels = 0u64;
        for &count in &counts {
            pixels += u64::from(count);
            if pixels > of {
                return Err(Error::Size { pixels, of });
            }
        }
        if pixels < of {
            return Err(Error::Size { pixels, of });
        }
        Ok(Rle { height, width, counts })
    }

    /// A mask from its compressed runs. No more is allocated than the text is long.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_compressed(height: u32, width: u32, text: &[u8]) -> Result<Rle, Error> {
        let mut counts: Vec<u32> = Vec::new();
        let mut bytes = text.iter().enumerate();
        while let Some((mut position, mut byte)) = bytes.next() {
            let (mut value, mut group) = (0i64, 0);
            loop {
                let bits = byte.wrapping_sub(48);
                if bits >= 64 {
                    return Err(Error::Character { position, byte: *byte });
                }
                if group == GROUPS {
                    return Err(Error::Count { position: counts.len() });
                }
                value |= i64::from(bits & 31) << (5 * group);
                group += 1;
                if bits & 32 == 0 {
                    if bits & 16 != 0 {
                        value |= -1 << (5 * group);
                    }
                    break;
                }
                (position, byte) = bytes.next().ok_or(Error::Truncated)?;
            }
            if counts.len() > 2 {
                value += i64::from(counts[counts.len() - 2]);
            }
            let count = u32::try_from(value).map_err(|_| Error::Count { position: counts.len() })?;
            counts.push(count);
        }
        Rle::new(height, width, counts)
    }

    /// The compressed form.
    pub fn to_compressed(&self) -> String {
        let mut text = String::new();
        for (position, &count) in self.counts.iter().enumerate() {
            let before = if position > 2 { i64::from(self.counts[position - 2]) } else { 0 };
            let mut value = i64::from(count) - before;
            loop {
                let bits = (value & 31) as u8;
                value >>= 5;
                let last = if bits & 16 == 0 { value == 0 } else { value == -1 };
                text.push((48 + bits + if last { 0 } else { 32 }) as char);
                if last {
                    break;
                }
            }
        }
        text
    }

    /// Rows of the image.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Columns of the image.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels outside, inside, outside, and so on, down the columns.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Pixels inside.
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).map(|&count| u64::from(count)).sum()
    }

    /// The mask row by row: whether each pixel is inside. An image of more than 2^28 pixels gives `None`: a few runs may
    /// claim any size.
    pub fn to_mask(&self) -> Option<Vec<bool>> {
        let (height, width) = (self.height as usize, self.width as usize);
        let pixels = height.checked_mul(width).filter(|&pixels| pixels <= 1 << 28)?;
        let mut mask = vec![false; pixels];
        let mut at = 0;
        for (position, &count) in self.counts.iter().enumerate() {
            let end = at + count as usize;
            if position % 2 == 1 {
                (at..end).for_each(|pixel| mask[pixel % height * width + pixel / height] = true);
            }
            at = end;
        }
        Some(mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_runs_are_those_of_the_reference() {
        // What pycocotools 2.0.11 makes of these masks (mask.encode).
        for (height, width, counts, text) in [
            (3, 4, vec![6, 1, 3, 2], "6131"),
            (3, 4, vec![0, 12], "0<"),
            (3, 4, vec![12], "<"),
            (100, 100, vec![5000, 1, 99, 1, 4899], "Xl41S30Pf4"),
        ] {
            let rle = Rle::from_compressed(height, width, text.as_bytes());
            let expected = Rle::new(height, width, counts).unwrap();
            assert_eq!(expected.to_compressed(), text);
            assert_eq!(rle.unwrap(), expected);
        }
    }

    #[test]
    fn any_runs_come_back() {
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        for _ in 0..200 {
            let (height, width) = (1 + next() % 300, 1 + next() % 300);
            let mut left = height * width;
            let mut counts = Vec::new();
            while left > 0 {
                let count = (next() >> (next() % 12)).min(left);
                counts.push(count);
                left -= count;
            }
            let rle = Rle::new(height, width, counts).unwrap();
            assert_eq!(Rle::from_compressed(height, width, rle.to_compressed().as_bytes()).unwrap(), rle);
            let mask = rle.to_mask().unwrap();
            assert_eq!(mask.iter().filter(|&&inside| inside).count() as u64, rle.area());
        }
    }

    #[test]
    fn masks_go_down_the_columns() {
        let rle = Rle::new(2, 3, vec![1, 2, 3]).unwrap();
        assert_eq!(rle.to_mask().unwrap(), [false, true, false, true, false, false]);
    }

    #[test]
    fn what_is_no_mask_is_refused() {
        let compressed = |text: &[u8]| Rle::from_compressed(3, 4, text).unwrap_err();
        assert_eq!(compressed(b"6P"), Error::Truncated);
        assert_eq!(compressed(b"6 "), Error::Character { position: 1, byte: b' ' });
        assert_eq!(compressed(b"6\xff"), Error::Character { position: 1, byte: 0xff });
        assert_eq!(compressed(b"O"), Error::Count { position: 0 });
        assert_eq!(compressed(b"oooooooo0"), Error::Count { position: 0 });
        assert_eq!(compressed(b""), Error::Size { pixels: 0, of: 12 });
        assert_eq!(compressed(b"66666"), Error::Size { pixels: 18, of: 12 });
        let all = Rle::new(u32::MAX, u32::MAX, vec![u32::MAX; 3]).unwrap_err();
        assert!(matches!(all, Error::Size { .. }));
        assert_eq!(Rle::new(1 << 29, 1, vec![1 << 29]).unwrap().to_mask(), None);
    }
}
