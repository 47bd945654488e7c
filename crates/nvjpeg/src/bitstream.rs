//! A JPEG file that nvJPEG has parsed.

use std::ffi::c_int;

use ocelli_cuda::PinnedBuffer;
use ocelli_nvjpeg_sys as sys;

use crate::error::check;
use crate::owned::Owned;
use crate::{Error, Frame, Nvjpeg, Result, Subsampling};

/// How a file is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Baseline (SOF0).
    Baseline,
    /// Extended sequential with Huffman codes (SOF1).
    Extended,
    /// Progressive with Huffman codes (SOF2).
    Progressive,
    /// Lossless with Huffman codes (SOF3).
    Lossless,
    /// None that nvJPEG knows.
    Other,
}

impl Coding {
    fn from_raw(raw: sys::JpegEncoding) -> Coding {
        match raw {
            sys::NVJPEG_ENCODING_BASELINE_DCT => Coding::Baseline,
            sys::NVJPEG_ENCODING_EXTENDED_SEQUENTIAL_DCT_HUFFMAN => Coding::Extended,
            sys::NVJPEG_ENCODING_PROGRESSIVE_DCT_HUFFMAN => Coding::Progressive,
            sys::NVJPEG_ENCODING_LOSSLESS_HUFFMAN => Coding::Lossless,
            _ => Coding::Other,
        }
    }
}

/// Parses files, one after another; one for each thread. Owns an `nvjpegJpegStream_t`.
#[derive(Debug)]
pub struct Bitstream(Owned);

/// A file that has been parsed, for as long as its bytes and its [`Bitstream`] are borrowed.
#[derive(Debug)]
pub struct Parsed<'a> {
    bitstream: &'a Bitstream,
    /// What the planes of the decoded image depend on.
    pub frame: Frame,
    /// How the file is coded.
    pub coding: Coding,
    /// Bits of a sample; `None` where nvJPEG is older than 12.2.
    pub precision: Option<u32>,
}

/// A file in page-locked memory, from which a [`BatchDecoder`](crate::BatchDecoder) reads it without a copy. It has been
/// parsed, and cannot change any more, so that the frame need not be looked for again.
#[derive(Debug)]
pub struct PinnedFile {
    memory: PinnedBuffer,
    length: usize,
    frame: Frame,
}

impl PinnedFile {
    /// The file.
    pub fn bytes(&self) -> &[u8] {
        self.memory.as_slice().get(..self.length).unwrap_or_default()
    }

    /// What the planes of the decoded image depend on.
    pub fn frame(&self) -> Frame {
        self.frame
    }

    /// The memory, for another file.
    pub fn into_memory(self) -> PinnedBuffer {
        self.memory
    }
}

impl Bitstream {
    /// An empty bitstream.
    ///
    /// # Errors
    /// [`Error::Status`]; [`Error::Cuda`].
    pub fn new(library: &Nvjpeg) -> Result<Bitstream> {
        let owned = Owned::new(
            library,
            "nvjpegJpegStreamCreate",
            // SAFETY: the handle is alive; the call writes one handle.
            |functions, handle, raw| unsafe { (functions.jpeg_stream_create)(handle, raw) },
            |functions| functions.jpeg_stream_destroy,
        )?;
        Ok(Bitstream(owned))
    }

    /// Parses a whole file: its header and the marks of its scans. Nothing is copied or decoded.
    ///
    /// # Errors
    /// [`Error::BadImage`]; [`Error::UnsupportedImage`]; [`Error::Dimensions`]; [`Error::Status`]; [`Error::Cuda`].
    pub fn parse<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Parsed<'a>> {
        // SAFETY: the result borrows the bytes, and nothing but it makes use of them.
        unsafe { self.parse_keeping(bytes, false) }
    }

    /// Parses the whole file in the first `length` bytes of page-locked memory, and keeps the two together, for the backend
    /// of `library`.
    ///
    /// # Errors
    /// The memory, and why: as [`parse`](Bitstream::parse); [`Error::UnsupportedImage`] where the backend does not take it;
    /// [`Error::Setting`] where there are fewer bytes.
    pub fn parse_pinned(
        &mut self,
        memory: PinnedBuffer,
        length: usize,
        library: &Nvjpeg,
    ) -> std::result::Result<PinnedFile, (PinnedBuffer, Error)> {
        const CALL: &str = "nvjpegDecodeBatchedSupported";
        let parsed = match memory.as_slice().get(..length) {
            Some(bytes) => self.parse(bytes).and_then(|parsed| match parsed.is_supported_by(library)? {
                true => Ok(parsed.frame),
                false => Err(Error::UnsupportedImage { call: CALL }),
            }),
            None => {
                let what = format!("a file of {length} bytes does not lie in {}", memory.len());
                Err(Error::Setting { what })
            }
        };
        match parsed {
            Ok(frame) => Ok(PinnedFile { memory, length, frame }),
            Err(error) => Err((memory, error)),
        }
    }

    /// The bitstream, with what was parsed last in it.
    pub(crate) fn raw(&self) -> sys::JpegStream {
        self.0.raw()
    }

    /// Parses a whole file and keeps a copy of it, so that the bytes need not stay.
    pub(crate) fn parse_copy(&mut self, bytes: &[u8]) -> Result<Parsed<'_>> {
        // SAFETY: the bytes are kept.
        unsafe { self.parse_keeping(bytes, true) }
    }

    /// # Safety
    /// Unless they are kept, `bytes` outlive the result.
    unsafe fn parse_keeping(&mut self, bytes: &[u8], keep: bool) -> Result<Parsed<'_>> {
        const CALL: &str = "nvjpegJpegStreamParse";
        if bytes.is_empty() {
            return Err(Error::BadImage { call: CALL, truncated: true });
        }
        let library = self.0.library();
        library.bind()?;
        // SAFETY: handle and bitstream are alive, and the bitstream is this thread's alone; the caller sees to the bytes.
        let status = unsafe {
            (library.functions().jpeg_stream_parse)(
                library.raw(),
                bytes.as_ptr(),
                bytes.len(),
                // No metadata.
                0,
                c_int::from(keep),
                self.0.raw(),
            )
        };
        check(CALL, status)?;
        Ok(Parsed {
            frame: self.frame()?,
            coding: self.coding()?,
            precision: self.precision()?,
            bitstream: self,
        })
    }

    /// The frame of the file that was parsed.
    fn frame(&self) -> Result<Frame> {
        let (functions, raw) = (self.0.library().functions(), self.0.raw());
        let (mut components, mut subsampling) = (0, sys::NVJPEG_CSS_UNKNOWN);
        // SAFETY: the bitstream is alive and parsed; each call writes one number.
        unsafe {
            let status = (functions.jpeg_stream_get_components_num)(raw, &raw mut components);
            check("nvjpegJpegStreamGetComponentsNum", status)?;
            let status = (functions.jpeg_stream_get_chroma_subsampling)(raw, &raw mut subsampling);
            check("nvjpegJpegStreamGetChromaSubsampling", status)?;
        }
        // More components than nvJPEG has places for are not asked about.
        let sizes = (0..components.min(sys::NVJPEG_MAX_COMPONENT as u32)).map(|component| {
            let (mut width, mut height) = (0, 0);
            // SAFETY: as above; the call writes two numbers.
            let status = unsafe {
                (functions.jpeg_stream_get_component_dimensions)(
                    raw,
                    component,
                    &raw mut width,
                    &raw mut height,
                )
            };
            check("nvjpegJpegStreamGetComponentDimensions", status).map(|()| (width, height))
        });
        Frame::of_components(&sizes.collect::<Result<Vec<_>>>()?, Subsampling::from_raw(subsampling))
    }

    fn coding(&self) -> Result<Coding> {
        let mut encoding = sys::NVJPEG_ENCODING_UNKNOWN;
        // SAFETY: the bitstream is alive and parsed; the call writes one number.
        let status = unsafe {
            (self.0.library().functions().jpeg_stream_get_jpeg_encoding)(self.0.raw(), &raw mut encoding)
        };
        check("nvjpegJpegStreamGetJpegEncoding", status)?;
        Ok(Coding::from_raw(encoding))
    }

    fn precision(&self) -> Result<Option<u32>> {
        let Some(get) = self.0.library().functions().jpeg_stream_get_sample_precision else {
            return Ok(None);
        };
        let mut precision = 0;
        // SAFETY: as in `coding`.
        check("nvjpegJpegStreamGetSamplePrecision", unsafe { get(self.0.raw(), &raw mut precision) })?;
        Ok(Some(precision))
    }
}

impl Parsed<'_> {
    /// Whether the library's backend decodes the file in a batch.
    ///
    /// # Errors
    /// [`Error::Status`]; [`Error::Cuda`].
    pub fn is_supported_by(&self, library: &Nvjpeg) -> Result<bool> {
        library.bind()?;
        let mut unsupported = -1;
        // SAFETY: handle and bitstream are alive, and the bitstream is parsed; the call writes one number.
        let status = unsafe {
            (library.functions().decode_batched_supported)(library.raw(), self.raw(), &raw mut unsupported)
        };
        check("nvjpegDecodeBatchedSupported", status)?;
        // 0 is yes.
        Ok(unsupported == 0)
    }

    /// The bitstream, parsed.
    pub(crate) fn raw(&self) -> sys::JpegStream {
        self.bitstream.raw()
    }
}
