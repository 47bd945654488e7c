//! What becomes of a file, as far as its header tells; and whether what came of it may take its place.

use ocelli_nvjpeg::{EncodeOptions, Subsampling as Encoded};

use super::{RecompressConfig, Sampling};
use crate::canvas::too_large;
use crate::jpeg::{Header, Route, Subsampling};

/// The least side of images whose Huffman codes are made for them: it has failed for those of a few pixels.
const LEAST_OPTIMISED: u16 = 32;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome<Bytes> {
    /// It is smaller now.
    Smaller(Bytes),
    /// It stays as it is.
    Kept(Why),
}

/// Why a file stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It has the quality asked for, or a lower one.
    Quality,
    /// No quality makes its tables, and such files are not to be touched.
    UnknownQuality,
    /// It would not become smaller.
    Larger,
    /// It has several names (hard links), of which all but one would keep the old file.
    Linked,
    /// It cannot be decoded, or not be encoded again, by nvJPEG, or is larger than is allowed.
    Undecodable(String),
}

/// How a file is to be encoded, unless it stays as it is.
pub(super) fn plan(bytes: &[u8], config: &RecompressConfig) -> Result<(Header, EncodeOptions), Why> {
    let header = Header::parse(bytes).map_err(|error| Why::Undecodable(error.to_string()))?;
    if let Route::Host(reason) = header.route() {
        return Err(Why::Undecodable(format!("nvJPEG does not take {reason}")));
    }
    match (header.quality, header.nearest_quality()) {
        (None, _) if !config.unknown_quality => return Err(Why::UnknownQuality),
        (_, Some(quality)) if quality <= config.quality => return Err(Why::Quality),
        _ => {}
    }
    if let Some(what) = too_large(header.width.into(), header.height.into(), config.max_pixels) {
        return Err(Why::Undecodable(what));
    }
    let options = EncodeOptions {
        quality: config.quality,
        subsampling: encoded(expected(&header, config)),
        optimised_huffman: header.width.min(header.height) >= LEAST_OPTIMISED,
        progressive: false,
    };
    Ok((header, options))
}

/// How the colour differences of the new file are sampled.
fn expected(original: &Header, config: &RecompressConfig) -> Subsampling {
    match (original.subsampling, config.sampling) {
        (Subsampling::Grey, _) => Subsampling::Grey,
        (subsampling, Sampling::Keep) => subsampling,
        (_, Sampling::S420) => Subsampling::S420,
        (_, Sampling::S444) => Subsampling::S444,
    }
}

/// Whether a new file may take the place of the original. It was made by another library, out of data that somebody else
/// wrote: what is not as it should be is told.
pub(super) fn accept(
    original: (&Header, &[u8]),
    file: Vec<u8>,
    config: &RecompressConfig,
) -> Result<Vec<u8>, Why> {
    let (header, bytes) = original;
    let wrong = |what: &str| Why::Undecodable(format!("nvJPEG made a file of it that {what}"));
    let new = Header::parse(&file).map_err(|error| wrong(&format!("is damaged: {error}")))?;
    if !new.complete {
        return Err(wrong("has no end"));
    }
    if (new.width, new.height) != (header.width, header.height) {
        return Err(wrong("has another size"));
    }
    if new.subsampling != expected(header, config) || new.colour_space != header.colour_space {
        return Err(wrong("has other colours"));
    }
    if new.orientation != header.orientation {
        return Err(wrong("lies otherwise"));
    }
    if new.quality.is_some_and(|quality| quality > config.quality) {
        return Err(wrong("has a higher quality"));
    }
    if file.len() >= bytes.len() { Err(Why::Larger) } else { Ok(file) }
}

fn encoded(subsampling: Subsampling) -> Encoded {
    match subsampling {
        Subsampling::Grey => Encoded::Grey,
        Subsampling::S444 => Encoded::S444,
        Subsampling::S422 => Encoded::S422,
        Subsampling::S420 => Encoded::S420,
        Subsampling::S440 => Encoded::S440,
        Subsampling::S411 => Encoded::S411,
        Subsampling::S410 => Encoded::S410,
        Subsampling::Other => Encoded::Other,
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};

    use super::*;

    fn jpeg(quality: u8, [width, height]: [u32; 2], grey: bool) -> Vec<u8> {
        let (colours, channels) =
            if grey { (ExtendedColorType::L8, 1) } else { (ExtendedColorType::Rgb8, 3) };
        let pixels: Vec<u8> = (0..width * height * channels).map(|i| ((i * i) >> 4) as u8).collect();
        let mut file = Vec::new();
        JpegEncoder::new_with_quality(&mut file, quality)
            .write_image(&pixels, width, height, colours)
            .unwrap();
        file
    }

    fn config(quality: u8) -> RecompressConfig {
        RecompressConfig { quality, ..RecompressConfig::default() }
    }

    #[test]
    fn only_files_of_a_higher_quality_are_encoded() {
        let file = jpeg(85, [40, 33], false);
        for (asked, expected) in [(84, true), (85, false), (86, false), (100, false), (1, true)] {
            let planned = plan(&file, &config(asked));
            assert_eq!(planned.is_ok(), expected, "{asked}");
            if let Ok((_, options)) = planned {
                assert_eq!((options.quality, options.optimised_huffman), (asked, true));
            }
        }
        assert_eq!(plan(&file, &config(85)), Err(Why::Quality));
        let small = jpeg(85, [40, 31], false);
        assert!(!plan(&small, &config(50)).unwrap().1.optimised_huffman);
    }

    #[test]
    fn tables_that_no_quality_makes_are_left_alone_unless_asked_for() {
        let mut file = jpeg(85, [40, 33], false);
        let table = file.windows(2).position(|pair| pair == [0xff, 0xdb]).unwrap();
        file[table + 5] += 1;
        assert_eq!(plan(&file, &config(1)), Err(Why::UnknownQuality));
        let config = RecompressConfig { unknown_quality: true, ..config(70) };
        assert_eq!(plan(&file, &config).unwrap().1.quality, 70);
        // Not upwards either, as far as can be told.
        let config = RecompressConfig { quality: 85, ..config };
        assert_eq!(plan(&file, &config), Err(Why::Quality));
    }

    #[test]
    fn what_claims_more_pixels_than_are_allowed_is_not_decoded() {
        let mut file = jpeg(85, [40, 33], false);
        let most = |max_pixels| RecompressConfig { max_pixels, ..config(50) };
        assert!(plan(&file, &most(40 * 33)).is_ok());
        let why = plan(&file, &most(40 * 33 - 1)).unwrap_err();
        assert!(matches!(&why, Why::Undecodable(reason) if reason.contains("40 x 33")), "{why:?}");
        // A small file that claims to be enormous.
        let frame = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        file[frame + 5..frame + 9].fill(0xff);
        let why = plan(&file, &config(50)).unwrap_err();
        assert!(matches!(&why, Why::Undecodable(reason) if reason.contains("65535 x 65535")), "{why:?}");
        // One that stays anyway does so for that reason.
        assert_eq!(plan(&file, &config(85)), Err(Why::Quality));
    }

    #[test]
    fn sampling_is_kept_or_as_asked_and_grey_stays_grey() {
        let (colour, grey) = (jpeg(95, [40, 40], false), jpeg(95, [40, 40], true));
        let own = Header::parse(&colour).unwrap().subsampling;
        for (sampling, expected) in
            [(Sampling::Keep, encoded(own)), (Sampling::S420, Encoded::S420), (Sampling::S444, Encoded::S444)]
        {
            let config = RecompressConfig { sampling, ..config(50) };
            assert_eq!(plan(&colour, &config).unwrap().1.subsampling, expected);
            assert_eq!(plan(&grey, &config).unwrap().1.subsampling, Encoded::Grey);
        }
    }

    #[test]
    fn what_nvjpeg_does_not_take_is_told() {
        let mut png = std::io::Cursor::new(Vec::new());
        RgbImage::new(4, 4).write_to(&mut png, ImageFormat::Png).unwrap();
        let file = jpeg(85, [40, 33], false);
        for bytes in [&b""[..], b"text", png.get_ref(), &file[..file.len() / 2]] {
            let why = plan(bytes, &config(50)).unwrap_err();
            assert!(matches!(&why, Why::Undecodable(reason) if !reason.is_empty()), "{why:?}");
        }
    }

    #[test]
    fn a_new_file_takes_the_place_of_a_larger_one_that_it_fits() {
        let original = jpeg(90, [64, 48], false);
        let header = Header::parse(&original).unwrap();
        let accept = |file: Vec<u8>| accept((&header, &original), file, &config(50));
        let smaller = jpeg(50, [64, 48], false);
        assert_eq!(accept(smaller.clone()), Ok(smaller.clone()));
        assert_eq!(accept(jpeg(40, [64, 48], false)).map(|file| file.len() < smaller.len()), Ok(true));
        // Padded after its end, it is whole, and too large.
        let padded = [&smaller[..], &vec![0; original.len()]].concat();
        assert_eq!(accept(padded), Err(Why::Larger));
        for (file, expected) in [
            (smaller[..smaller.len() - 9].to_vec(), "no end"),
            (b"text".to_vec(), "damaged"),
            (jpeg(50, [48, 64], false), "size"),
            (jpeg(50, [64, 48], true), "colours"),
            (jpeg(51, [64, 48], false), "higher quality"),
        ] {
            let why = accept(file).unwrap_err();
            assert!(matches!(&why, Why::Undecodable(reason) if reason.contains(expected)), "{why:?}");
        }
    }
}
