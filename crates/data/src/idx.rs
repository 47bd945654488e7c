//! The IDX format of the MNIST files: a magic number, the dimensions, then the values, big-endian.
//!
//! Source: "The MNIST database of handwritten digits", LeCun, Cortes and Burges, "File formats". Only arrays of
//! unsigned bytes are read, plain or gzipped; which of the two a file is, its first bytes say, not its name.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use crate::{Error, Result};

/// The most bytes of values a file may hold: 1 GiB, beyond the largest published set in this format
/// (EMNIST, 0.6 GB). A small gzip file can claim, and unpack to, a thousand times its size.
pub const MAX_BYTES: u64 = 1 << 30;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const UNSIGNED_BYTE: u32 = 0x08;

/// An array of unsigned bytes, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array<const RANK: usize> {
    /// The size of each dimension, outermost first; none is zero.
    pub dimensions: [usize; RANK],
    /// As many values as the product of the dimensions.
    pub data: Vec<u8>,
}

/// Reads the array in a file.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, otherwise as [`parse`].
pub fn read<const RANK: usize>(path: &Path) -> Result<Array<RANK>> {
    let file = File::open(path).map_err(|source| Error::Io { action: "open", path: path.into(), source })?;
    parse(BufReader::new(file), path)
}

/// Reads the array in a stream; `path` only names it in errors.
///
/// Memory grows with the bytes that really come, never by what the header claims.
///
/// # Errors
/// [`Error::Malformed`] if the magic number is another, a dimension is zero, the values are more than
/// [`MAX_BYTES`], or fewer or more than the dimensions say; or if the gzip stream is damaged.
pub fn parse<const RANK: usize>(mut stream: impl BufRead, path: &Path) -> Result<Array<RANK>> {
    let start = stream.fill_buf().map_err(|error| unreadable(path, error))?;
    if start.starts_with(&GZIP_MAGIC) {
        parse_plain(MultiGzDecoder::new(stream), path)
    } else {
        parse_plain(stream, path)
    }
}

fn parse_plain<const RANK: usize>(mut stream: impl Read, path: &Path) -> Result<Array<RANK>> {
    let malformed = |what: &str, expected, found| Error::Malformed {
        path: path.into(),
        what: what.into(),
        expected,
        found,
    };

    let magic = read_u32(&mut stream, path)?;
    let expected_magic = (UNSIGNED_BYTE << 8) | RANK as u32;
    if magic != expected_magic {
        return Err(malformed("magic number", describe_magic(expected_magic), describe_magic(magic)));
    }

    let mut dimensions = [0; RANK];
    for dimension in &mut dimensions {
        *dimension = read_u32(&mut stream, path)?;
    }
    let size = dimensions
        .iter()
        .try_fold(1u64, |size, &dimension| size.checked_mul(dimension.into()))
        .filter(|size| (1..=MAX_BYTES).contains(size))
        .ok_or_else(|| {
            malformed("dimensions", format!("1 to {MAX_BYTES} values"), format!("{dimensions:?}"))
        })?;

    let mut data = Vec::new();
    stream.take(size + 1).read_to_end(&mut data).map_err(|error| unreadable(path, error))?;
    match data.len() as u64 {
        found if found == size => {}
        found if found < size => return Err(malformed("values", size.to_string(), found.to_string())),
        _ => return Err(malformed("values", size.to_string(), "more".into())),
    }
    Ok(Array { dimensions: dimensions.map(|dimension| dimension as usize), data })
}

fn read_u32(stream: &mut impl Read, path: &Path) -> Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).map_err(|error| unreadable(path, error))?;
    Ok(u32::from_be_bytes(bytes))
}

fn describe_magic(magic: u32) -> String {
    let kind = match magic {
        0x801 => " (labels)",
        0x803 => " (images)",
        _ => "",
    };
    format!("{magic:#010x}{kind}")
}

/// Tells damage (the stream ends early or does not uncompress) from a disk that fails.
fn unreadable(path: &Path, error: io::Error) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let expected = match error.kind() {
        UnexpectedEof => "a complete file",
        InvalidData | InvalidInput => "an undamaged gzip stream",
        _ => return Error::Io { action: "read", path: path.into(), source: error },
    };
    Error::Malformed {
        path: path.into(),
        what: "contents".into(),
        expected: expected.into(),
        found: error.to_string(),
    }
}
