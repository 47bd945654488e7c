use std::fmt::{self, Display};

use super::header::MAX_COMPONENTS;

/// The second byte of a marker, whose first is 0xff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Marker(pub u8);

/// The marker's name in T.81, such as `SOF0` or `DQT`.
impl Display for Marker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0x01 => formatter.write_str("TEM"),
            0xc4 => formatter.write_str("DHT"),
            0xc8 => formatter.write_str("JPG"),
            0xcc => formatter.write_str("DAC"),
            kind @ 0xc0..=0xcf => write!(formatter, "SOF{}", kind - 0xc0),
            kind @ 0xd0..=0xd7 => write!(formatter, "RST{}", kind - 0xd0),
            0xd8 => formatter.write_str("SOI"),
            0xd9 => formatter.write_str("EOI"),
            0xda => formatter.write_str("SOS"),
            0xdb => formatter.write_str("DQT"),
            0xdc => formatter.write_str("DNL"),
            0xdd => formatter.write_str("DRI"),
            0xde => formatter.write_str("DHP"),
            0xdf => formatter.write_str("EXP"),
            kind @ 0xe0..=0xef => write!(formatter, "APP{}", kind - 0xe0),
            kind @ 0xf0..=0xfd => write!(formatter, "JPG{}", kind - 0xf0),
            0xfe => formatter.write_str("COM"),
            kind => write!(formatter, "0xff{kind:02x}"),
        }
    }
}

/// Why bytes are not a JPEG file that can be described. Offsets are counted from the file's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not begin as a JPEG file does.
    #[error("not a JPEG file: it does not begin with 0xffd8: decode it as what it is")]
    NotJpeg,

    /// The bytes end before the first scan.
    #[error("the JPEG file ends at byte {offset}, in or just after its {segment} segment: replace it")]
    Truncated {
        /// How many bytes there are.
        offset: usize,
        /// The last segment that began.
        segment: Marker,
    },

    /// No segment begins where one has to.
    #[error("byte {offset} is {found:#04x}, which begins no segment of a JPEG header: replace the file")]
    NoMarker {
        /// Where it is.
        offset: usize,
        /// The byte there: not 0xff, or, after 0xff, not the kind of a segment.
        found: u8,
    },

    /// A segment has another length than what it holds.
    #[error("the {segment} segment at byte {offset} cannot be {length} bytes long: replace the file")]
    Length {
        /// Where its length is.
        offset: usize,
        /// The segment.
        segment: Marker,
        /// Its length as written, which counts the two bytes of the length.
        length: u16,
    },

    /// A scan or the file's end comes before a frame.
    #[error("no frame comes before the {segment} at byte {offset}: there is no image in this JPEG file")]
    NoFrame {
        /// Where the marker is.
        offset: usize,
        /// What comes instead.
        segment: Marker,
    },

    /// The file's end comes before a scan.
    #[error("no scan comes before the end at byte {offset}: there is no image in this JPEG file")]
    NoScan {
        /// Where the marker of the end is.
        offset: usize,
    },

    /// A second frame begins before the first scan.
    #[error("a second frame ({segment}) begins at byte {offset}: replace the file")]
    SeveralFrames {
        /// Where its marker is.
        offset: usize,
        /// Its marker.
        segment: Marker,
    },

    /// A frame without pixels, or one whose height would only come after the scan (DNL).
    #[error("the frame at byte {offset} has {width} x {height} pixels: replace the file")]
    Dimensions {
        /// Where its length is.
        offset: usize,
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },

    /// A frame without components, or with more than any kind of image has.
    #[error("the frame at byte {offset} has {count} components, not 1 to {MAX_COMPONENTS}: replace the file")]
    Components {
        /// Where its length is.
        offset: usize,
        /// How many.
        count: u8,
    },

    /// Sampling factors outside 1 to 4.
    #[error(
        "component {component} of the frame at byte {offset} has sampling factors {horizontal} x {vertical}, \
         not 1 to 4: replace the file"
    )]
    SamplingFactors {
        /// Where the frame's length is.
        offset: usize,
        /// The component's identifier.
        component: u8,
        /// Horizontal factor.
        horizontal: u8,
        /// Vertical factor.
        vertical: u8,
    },

    /// A quantisation table with a number or precision that does not exist.
    #[error(
        "byte {offset} gives a quantisation table the precision {precision} and the number {number}: replace the file"
    )]
    QuantisationTable {
        /// Where both are.
        offset: usize,
        /// The precision, 0 or 1 in a file that is whole.
        precision: u8,
        /// The number, 0 to 3 in a file that is whole.
        number: u8,
    },

    /// The first scan is of a component that the frame lacks.
    #[error("the scan at byte {offset} is of component {component}, which its frame lacks: replace the file")]
    ScanComponent {
        /// Where the scan's length is.
        offset: usize,
        /// The component's identifier.
        component: u8,
    },
}
