//! Images in the host's memory, and their decoding there.

use std::io::{self, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::error::{LimitError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, Limits};

use super::files::read_file;
use crate::{Error, Result};

/// The most bytes of an image's pixels, as the file has them and as red, green and blue: 512 MiB.
const MOST_BYTES: u64 = 512 << 20;

/// An image: rows of pixels, top to bottom, each pixel red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width * 3` values.
    pub pixels: Vec<u8>,
}

impl Rgb {
    /// Decodes an image file of any of the formats of [`EXTENSIONS`](super::EXTENSIONS). Grey images get three equal
    /// channels, an alpha channel is dropped, and a rotation noted in the file is not made; PyTorch's loader does the same.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::Image`] where it is damaged, or its pixels would take
    /// more than 512 MiB, decoded or as red, green and blue; [`Error::Unfit`] for a file of 4 GiB or more.
    pub fn read(path: &Path) -> Result<Rgb> {
        let mut bytes = Vec::new();
        read_file(path, &mut bytes)?;
        Rgb::decode(&bytes, path)
    }

    /// Decodes an image file that is in memory; `path` only names it in errors. Otherwise as [`Rgb::read`].
    ///
    /// # Errors
    /// As [`Rgb::read`].
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Rgb> {
        let damaged = |source| Error::Image { path: path.into(), source: Box::new(source) };
        let reader = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|source| damaged(ImageError::IoError(source)))?;
        if reader.format() == Some(ImageFormat::Jpeg) && !is_whole_jpeg(bytes) {
            return Err(damaged(ImageError::IoError(io::ErrorKind::UnexpectedEof.into())));
        }
        // Decoders are other people's code, fed with other people's data.
        let decoded = catch_unwind(AssertUnwindSafe(|| decode_within(reader)))
            .map_err(|_| Error::Unfit { path: path.into(), what: "its decoder panicked".into() })?
            .map_err(damaged)?;
        let pixels = decoded.into_rgb8();
        let (width, height) = pixels.dimensions();
        Ok(Rgb { width: width as usize, height: height as usize, pixels: pixels.into_raw() })
    }

    /// The size that an image file claims, in any format, without decoding it.
    pub(crate) fn claimed_size(bytes: &[u8]) -> Option<(u32, u32)> {
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?.into_dimensions().ok()
    }
}

/// Decodes an image unless it takes too much memory, which its header tells: as the file has it, and with three bytes for
/// each pixel, three times what a grey one has.
fn decode_within(reader: ImageReader<Cursor<&[u8]>>) -> ImageResult<DynamicImage> {
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_BYTES / 3 {
        return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory)));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    limits.reserve(decoder.total_bytes())?;
    decoder.set_limits(limits)?;
    DynamicImage::from_decoder(decoder)
}

/// Whether the mark of a JPEG file's end follows its first scan. The decoder makes the rest of an image grey where the
/// file was cut short, and says nothing.
///
/// Source: ITU-T T.81, B.1.1: segments begin with 0xff, their kind, and their length, up to the scan (0xda), in which 0xff is
/// never followed by the mark's 0xd9.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        // Any number of 0xff may come before a segment's kind.
        let fill = rest.iter().take_while(|&&byte| byte == 0xff).count();
        match rest.get(fill..) {
            Some([0xda, scan @ ..]) => return scan.windows(2).any(|pair| pair == [0xff, 0xd9]),
            Some([_, segment @ ..]) if fill > 0 => {
                let length =
                    segment.first_chunk().map_or(usize::MAX, |&length| u16::from_be_bytes(length).into());
                rest = segment.get(length..).unwrap_or_default();
            }
            // No segment begins here: what that means is the decoder's to say, if the file has more to come.
            _ => return !rest.is_empty(),
        }
    }
}
