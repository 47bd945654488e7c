//! The orientation in a photograph's EXIF segment.
//!
//! Source: CIPA DC-008 (Exif 2.3), 4.5 and 4.6; Adobe, "TIFF Revision 6.0", 1992.

const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;
/// Bytes of an entry of a directory: tag, type, count, value.
const ENTRY: usize = 12;

/// The orientation, 1 to 8, that a segment notes, or `None` where it notes none that can be found.
pub(super) fn orientation(app1: &[u8]) -> Option<u8> {
    let tiff = app1.strip_prefix(b"Exif\0\0")?;
    let reader = Reader { tiff, little_endian: tiff.starts_with(b"II*\0") };
    if !reader.little_endian && !tiff.starts_with(b"MM\0*") {
        return None;
    }
    let directory = usize::try_from(reader.u32(4)?).ok()?;
    let entries = usize::from(reader.u16(directory)?);
    // Entries beyond the segment are not there, whatever their number is said to be.
    (0..entries)
        .map_while(|entry| directory.checked_add(2 + entry * ENTRY))
        .map_while(|offset| Some((offset, reader.u16(offset)?)))
        .find(|&(_, tag)| tag == ORIENTATION)
        .filter(|&(offset, _)| reader.u16(offset + 2) == Some(SHORT) && reader.u32(offset + 4) == Some(1))
        .and_then(|(offset, _)| u8::try_from(reader.u16(offset + 8)?).ok())
        .filter(|orientation| (1..=8).contains(orientation))
}

struct Reader<'a> {
    tiff: &'a [u8],
    little_endian: bool,
}

impl Reader<'_> {
    fn u16(&self, offset: usize) -> Option<u16> {
        let bytes = *self.tiff.get(offset..)?.first_chunk()?;
        Some(if self.little_endian { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&self, offset: usize) -> Option<u32> {
        let bytes = *self.tiff.get(offset..)?.first_chunk()?;
        Some(if self.little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An EXIF segment with three entries, the second of which is the orientation.
    fn exif(little_endian: bool, directory: u32, kind: u16, orientation: u16) -> Vec<u8> {
        let u16 = |value: u16| if little_endian { value.to_le_bytes() } else { value.to_be_bytes() };
        let u32 = |value: u32| if little_endian { value.to_le_bytes() } else { value.to_be_bytes() };
        let mut bytes = b"Exif\0\0".to_vec();
        bytes.extend(if little_endian { b"II*\0" } else { b"MM\0*" });
        bytes.extend(u32(directory));
        bytes.extend(vec![0xee; (directory as usize).saturating_sub(8).min(64)]);
        bytes.extend(u16(3));
        for (tag, kind, value) in [(0x010f, 2, 9), (ORIENTATION, kind, orientation), (0x0213, SHORT, 1)] {
            bytes.extend([u16(tag), u16(kind)].concat());
            bytes.extend(u32(1));
            bytes.extend([u16(value), u16(0)].concat());
        }
        bytes
    }

    #[test]
    fn all_orientations_are_found_in_both_byte_orders() {
        for little_endian in [false, true] {
            for directory in [8, 10, 40] {
                for value in 1..=8 {
                    let found = orientation(&exif(little_endian, directory, SHORT, value));
                    assert_eq!(found, Some(value as u8));
                }
            }
        }
    }

    #[test]
    fn what_is_no_orientation_is_none() {
        for little_endian in [false, true] {
            for value in [0, 9, 256, 257, u16::MAX] {
                assert_eq!(orientation(&exif(little_endian, 8, SHORT, value)), None);
            }
            assert_eq!(orientation(&exif(little_endian, 8, 4, 6)), None);
            for directory in [0x7fff_ffff, u32::MAX - 1, u32::MAX] {
                assert_eq!(orientation(&exif(little_endian, directory, SHORT, 6)), None);
            }
        }
        for bytes in [&b""[..], b"Exif\0\0", b"Exif\0\0IM*\0\0\0\0\x08", b"http://ns.adobe.com/xap/1.0/\0"] {
            assert_eq!(orientation(bytes), None);
        }
    }

    #[test]
    fn a_segment_cut_short_anywhere_has_an_orientation_or_none() {
        for little_endian in [false, true] {
            let whole = exif(little_endian, 8, SHORT, 6);
            let value = 6 + 8 + 2 + ENTRY + 8;
            for length in 0..whole.len() {
                let expected = (length >= value + 2).then_some(6);
                assert_eq!(orientation(&whole[..length]), expected, "{length}");
            }
        }
    }
}
