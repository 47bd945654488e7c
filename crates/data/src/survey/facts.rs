//! What the header of an image file says.

use std::io::Cursor;
use std::panic::catch_unwind;
use std::path::Path;

use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, ImageResult};

use crate::jpeg::{Header, Process, Subsampling};
use crate::{Error, Result};

/// What the header of an image file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The format's name in small letters.
    pub(super) format: &'static str,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Whether there is one channel, without counting transparency.
    pub(super) grey: bool,
    /// Of a JPEG file.
    pub(super) jpeg: Option<Header>,
}

impl Facts {
    /// What the header of a file says, whose path only names it in errors.
    pub(super) fn read(bytes: &[u8], path: &Path) -> Result<Facts> {
        if bytes.starts_with(&[0xff, 0xd8]) {
            let unfit =
                |error: crate::jpeg::Error| Error::Unfit { path: path.into(), what: error.to_string() };
            let header = Header::parse(bytes).map_err(unfit)?;
            return Ok(Facts {
                format: "jpeg",
                width: header.width.into(),
                height: header.height.into(),
                grey: header.components().len() == 1,
                jpeg: Some(header),
            });
        }
        // Decoders are other people's code, fed with other people's data.
        catch_unwind(|| read_other(bytes))
            .map_err(|_| Error::Unfit { path: path.into(), what: "its decoder panicked".into() })?
            .map_err(|source| Error::Image { path: path.into(), source: Box::new(source) })
    }
}

fn read_other(bytes: &[u8]) -> ImageResult<Facts> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let format = reader.format().map_or("unknown", format_name);
    let decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let grey =
        matches!(decoder.color_type(), ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16);
    Ok(Facts { format, width, height, grey, jpeg: None })
}

fn format_name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "png",
        ImageFormat::Bmp => "bmp",
        ImageFormat::Pnm => "pnm",
        ImageFormat::Tiff => "tiff",
        ImageFormat::WebP => "webp",
        _ => "other",
    }
}

/// A word for a subsampling.
pub(super) fn subsampling_name(subsampling: Subsampling) -> &'static str {
    match subsampling {
        Subsampling::Grey => "grey",
        Subsampling::S444 => "444",
        Subsampling::S422 => "422",
        Subsampling::S420 => "420",
        Subsampling::S440 => "440",
        Subsampling::S411 => "411",
        Subsampling::S410 => "410",
        Subsampling::Other => "other",
    }
}

/// A word for a process.
pub(super) fn process_name(process: Process) -> &'static str {
    match process {
        Process::Baseline => "baseline",
        Process::Extended => "extended",
        Process::Progressive => "progressive",
        Process::Lossless => "lossless",
        Process::Hierarchical => "hierarchical",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage};

    use super::*;

    #[test]
    fn every_format_says_how_large_and_how_grey_it_is() {
        let colour = DynamicImage::from(RgbImage::from_pixel(7, 5, Rgb([1, 2, 3])));
        let grey = DynamicImage::from(GrayImage::new(7, 5));
        for (format, name) in [
            (ImageFormat::Jpeg, "jpeg"),
            (ImageFormat::Png, "png"),
            (ImageFormat::Bmp, "bmp"),
            (ImageFormat::Pnm, "pnm"),
            (ImageFormat::Tiff, "tiff"),
            (ImageFormat::WebP, "webp"),
        ] {
            let file = |image: &DynamicImage| {
                let mut file = Cursor::new(Vec::new());
                image.write_to(&mut file, format).ok().map(|()| file.into_inner())
            };
            let bytes = file(&colour).unwrap();
            let facts = Facts::read(&bytes, "x".as_ref()).unwrap();
            assert_eq!((facts.format, facts.width, facts.height, facts.grey), (name, 7, 5, false));
            assert_eq!(facts.jpeg.is_some(), name == "jpeg");
            // Cut short anywhere, it is an error or still that image.
            for length in 0..bytes.len() {
                if let Ok(facts) = Facts::read(&bytes[..length], "x".as_ref()) {
                    assert_eq!((facts.format, facts.width, facts.height), (name, 7, 5), "{length}");
                }
            }
            // Some formats know no grey.
            if let (Some(bytes), false) = (file(&grey), ["bmp", "webp"].contains(&name)) {
                assert!(Facts::read(&bytes, "x".as_ref()).unwrap().grey, "{name}");
            }
        }
    }
}
