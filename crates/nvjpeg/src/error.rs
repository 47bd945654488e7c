use ocelli_nvjpeg_sys as sys;

use crate::{Frame, OutputFormat, PlaneSize, Region};

/// What can go wrong in this crate.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no JPEG file that can be read.
    #[error(
        "{call}: the JPEG file is {}: replace it",
        if *.truncated { "cut short" } else { "damaged, or none" }
    )]
    BadImage {
        /// The C function that said so.
        call: &'static str,
        /// Whether the file ends early, as far as nvJPEG can tell: one that is cut short may also be called damaged.
        truncated: bool,
    },
    /// The bytes may well be a JPEG file, but of a kind that this decoder does not take.
    #[error(
        "{call}: this decoder does not take a JPEG file of this kind: use another backend, or a decoder on the host"
    )]
    UnsupportedImage {
        /// The C function that said so.
        call: &'static str,
    },
    /// The GPU has no JPEG engines.
    #[error("{call}: this GPU has no JPEG engines: use another backend than the hardware's")]
    NoEngines {
        /// The C function that said so.
        call: &'static str,
    },
    /// nvJPEG found no driver that it can use.
    #[error(
        "{call}: nvJPEG finds no usable NVIDIA driver: update the driver, or install an nvJPEG that fits it"
    )]
    NoDriver {
        /// The C function that said so.
        call: &'static str,
    },
    /// Another nvJPEG call failed.
    #[error("{call} failed: {meaning} ({name}, {status})")]
    Status {
        /// The C function.
        call: &'static str,
        /// nvJPEG's status.
        status: i32,
        /// The status's name.
        name: &'static str,
        /// What it means.
        meaning: &'static str,
    },
    /// The bytes hold another frame than the one that the planes were made for.
    #[error("the JPEG file holds {found}, not {expected}: make the planes for the frame that is in the file")]
    FrameMismatch {
        /// The frame that was stated.
        expected: Frame,
        /// The frame in the file.
        found: Frame,
    },
    /// A frame without pixels, or with more than JPEG can say.
    #[error("an image of {width} x {height} pixels cannot be: JPEG has 1 to 65535 each way")]
    Dimensions {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The frame's components have sizes that no name describes, so its own planes cannot be laid out.
    #[error("{frame} has no known planes of its own: decode it to RGB")]
    UnknownPlanes {
        /// The frame.
        frame: Frame,
    },
    /// Too few planes, or too many.
    #[error("{format:?} of this image has {expected} planes, {found} were given")]
    PlaneCount {
        /// The output's format.
        format: OutputFormat,
        /// How many the format has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A plane does not fit where it was put.
    #[error(
        "plane {plane} has {} rows of {} bytes, which do not fit at byte {offset}, {pitch} from row to row, of a buffer \
         of {length} bytes (nor may a plane be larger than 2 GiB)",
        size.rows,
        size.row_bytes
    )]
    PlaneDoesNotFit {
        /// Which plane, from 0.
        plane: usize,
        /// Its size.
        size: PlaneSize,
        /// Where it was put, bytes.
        offset: usize,
        /// From one row to the next, bytes.
        pitch: usize,
        /// The buffer's length, bytes.
        length: usize,
    },
    /// A region that cannot be decoded.
    #[error("{region} of {frame} cannot be decoded: {reason}")]
    InvalidRegion {
        /// The region.
        region: Region,
        /// The image's frame.
        frame: Frame,
        /// What is wrong.
        reason: &'static str,
    },
    /// A setting that makes no sense.
    #[error("{what}")]
    Setting {
        /// Which, and why.
        what: String,
    },
    /// An image of a batch is at fault.
    #[error("image {index} of the batch: {source}")]
    Image {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        source: Box<Error>,
    },
    /// The library or the device failed: nvJPEG is not found
    /// ([`LibraryNotFound`](ocelli_cuda::Error::LibraryNotFound)), or older than 12.0
    /// ([`MissingSymbol`](ocelli_cuda::Error::MissingSymbol)), among others.
    #[error(transparent)]
    Cuda(#[from] ocelli_cuda::Error),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error of one image, where it is told which of a batch it was.
    fn of_image(&self) -> &Error {
        match self {
            Error::Image { source, .. } => source.of_image(),
            error => error,
        }
    }

    /// Whether an image is damaged or cut short, so that no backend will decode it.
    pub fn is_bad_image(&self) -> bool {
        matches!(self.of_image(), Error::BadImage { .. })
    }

    /// Whether an image is of a kind that this decoder does not take, so that another may.
    pub fn is_unsupported_image(&self) -> bool {
        matches!(self.of_image(), Error::UnsupportedImage { .. })
    }
}

/// Turns a status into a result.
pub(crate) fn check(call: &'static str, status: sys::Status) -> Result<()> {
    match status {
        sys::NVJPEG_STATUS_SUCCESS => Ok(()),
        sys::NVJPEG_STATUS_BAD_JPEG => Err(Error::BadImage { call, truncated: false }),
        sys::NVJPEG_STATUS_INCOMPLETE_BITSTREAM => Err(Error::BadImage { call, truncated: true }),
        sys::NVJPEG_STATUS_JPEG_NOT_SUPPORTED => Err(Error::UnsupportedImage { call }),
        sys::NVJPEG_STATUS_ARCH_MISMATCH => Err(Error::NoEngines { call }),
        status => Err(Error::Status {
            call,
            status,
            name: sys::status_name(status).unwrap_or("unknown status"),
            meaning: sys::status_meaning(status).unwrap_or("nvJPEG has become newer than this crate."),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_but_success_is_an_error_and_those_to_match_on_have_their_variants() {
        assert!(check("call", sys::NVJPEG_STATUS_SUCCESS).is_ok());
        for status in (-1..200).filter(|&status| status != sys::NVJPEG_STATUS_SUCCESS) {
            let error = check("nvjpegDecode", status).unwrap_err();
            assert!(error.to_string().starts_with("nvjpegDecode"), "{error}");
            let bad =
                [sys::NVJPEG_STATUS_BAD_JPEG, sys::NVJPEG_STATUS_INCOMPLETE_BITSTREAM].contains(&status);
            assert_eq!(error.is_bad_image(), bad, "{error}");
            assert_eq!(error.is_unsupported_image(), status == sys::NVJPEG_STATUS_JPEG_NOT_SUPPORTED);
            assert_eq!(matches!(error, Error::NoEngines { .. }), status == sys::NVJPEG_STATUS_ARCH_MISMATCH);
        }
        let error = check("nvjpegDecode", sys::NVJPEG_STATUS_ALLOCATOR_FAILURE).unwrap_err();
        assert!(error.to_string().contains("NVJPEG_STATUS_ALLOCATOR_FAILURE, 5"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_an_image_of_a_batch_is_seen_through_its_number() {
        let source = Box::new(Error::BadImage { call: "nvjpegGetImageInfo", truncated: true });
        let error = Error::Image { index: 7, source };
        assert!(error.is_bad_image() && !error.is_unsupported_image());
        assert!(error.to_string().starts_with("image 7 of the batch: nvjpegGetImageInfo"), "{error}");
    }
}
