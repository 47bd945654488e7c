//! What a file says beside its image.

use super::error::{Error, Marker};
use super::segments::{EOI, RST0, RST7, SOS, Segment, Segments};

const TEM: u8 = 0x01;
const APP0: u8 = 0xe0;
const APP15: u8 = 0xef;
const COM: u8 = 0xfe;

/// The image of one file with what another says beside its own: the segments APPn and COM, in which are EXIF, ICC
/// profiles, and JFIF's and Adobe's notes on colours; those of `image` are left out. Both files must have the same colour
/// space, or the notes would be wrong of the image.
///
/// # Errors
/// See [`Error`], of either file: where it is damaged before its first scan.
pub fn with_metadata(image: &[u8], metadata: &[u8]) -> Result<Vec<u8>, Error> {
    let mut file = vec![0xff, 0xd8];
    visit(metadata, |segment| {
        if is_metadata(segment.marker) {
            append(&mut file, &segment);
        }
    })?;
    let scan = visit(image, |segment| {
        if !is_metadata(segment.marker) {
            append(&mut file, &segment);
        }
    })?;
    file.extend_from_slice(image.get(scan..).unwrap_or_default());
    Ok(file)
}

/// Shows the segments before the first scan, and tells where that begins.
fn visit<'a>(bytes: &'a [u8], mut show: impl FnMut(Segment<'a>)) -> Result<usize, Error> {
    let mut segments = Segments::new(bytes)?;
    loop {
        let segment = segments.next()?;
        match segment.marker.0 {
            SOS => return Ok(segment.start()),
            EOI => return Err(Error::NoScan { offset: segment.start() }),
            // They say nothing before a scan.
            TEM | RST0..=RST7 => {}
            _ => show(segment),
        }
    }
}

fn is_metadata(marker: Marker) -> bool {
    matches!(marker.0, APP0..=APP15 | COM)
}

fn append(file: &mut Vec<u8>, segment: &Segment) {
    // As long as it was when it was read with a length of 16 bits.
    let length = u16::try_from(segment.payload.len() + 2).unwrap_or(u16::MAX);
    file.extend([0xff, segment.marker.0]);
    file.extend(length.to_be_bytes());
    file.extend_from_slice(segment.payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len() + 2).unwrap();
        [&[0xff, kind], &length.to_be_bytes()[..], payload].concat()
    }

    fn file(segments: &[Vec<u8>], scan: &[u8]) -> Vec<u8> {
        [&[0xff, 0xd8], &segments.concat()[..], &segment(SOS, b"scan"), scan, &[0xff, 0xd9]].concat()
    }

    #[test]
    fn metadata_moves_and_all_else_stays() {
        let (jfif, exif, profile) =
            (segment(0xe0, b"JFIF"), segment(0xe1, b"Exif"), segment(0xe2, &[7; 65533]));
        let comment = segment(0xfe, b"a comment");
        let (table, huffman) = (segment(0xdb, b"table"), segment(0xc4, b"codes"));
        let original = file(
            &[jfif.clone(), exif.clone(), segment(0xdb, b"old"), profile.clone(), comment.clone()],
            b"old scan",
        );
        let image = file(
            &[segment(0xe0, b"other"), table.clone(), segment(0xfe, b"encoder"), huffman.clone()],
            &[1, 0xff, 0, 0xff, 0xfe, 0, 3, 9],
        );
        let expected =
            file(&[jfif, exif, profile, comment, table, huffman], &[1, 0xff, 0, 0xff, 0xfe, 0, 3, 9]);
        assert_eq!(with_metadata(&image, &original).unwrap(), expected);
        assert_eq!(with_metadata(&expected, &expected).unwrap(), expected);
    }

    #[test]
    fn fill_and_lone_markers_are_dropped() {
        let original =
            [&[0xff, 0xd8, 0xff, 0x01, 0xff, 0xff][..], &file(&[segment(0xe1, b"x")], b"")[2..]].concat();
        let image = file(&[segment(0xdb, b"t")], b"s");
        let expected = file(&[segment(0xe1, b"x"), segment(0xdb, b"t")], b"s");
        assert_eq!(with_metadata(&image, &original).unwrap(), expected);
    }

    #[test]
    fn a_file_cut_short_before_its_scan_is_an_error() {
        let whole = file(&[segment(0xe1, b"metadata"), segment(0xdb, b"table")], b"scan");
        let scan = 2 + 12 + 9;
        for length in 0..scan {
            assert!(with_metadata(&whole[..length], &whole).is_err(), "{length}");
            assert!(with_metadata(&whole, &whole[..length]).is_err(), "{length}");
        }
        assert!(with_metadata(&whole, &[0xff, 0xd8, 0xff, 0xd9]).is_err());
    }
}
