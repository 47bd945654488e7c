//! One image after another, in two phases.

use std::ptr::null_mut;

use ocelli_cuda::Stream;
use ocelli_nvjpeg_sys as sys;

use crate::bitstream::Bitstream;
use crate::error::check;
use crate::in_flight::InFlight;
use crate::owned::Owned;
use crate::parameters::DecodeParameters;
use crate::plane::destination;
use crate::{Error, Frame, Nvjpeg, OutputFormat, Plane, PlaneSize, Region, Result};

/// Who decodes the Huffman codes of a single image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Huffman {
    /// The host: the better choice for small images. (`NVJPEG_BACKEND_HYBRID`)
    #[default]
    Host,
    /// The device helps: the better choice for large images, of some million pixels. Run lengths beyond the end of a
    /// block, which only damaged files have, are decoded to wrong pixels. (`NVJPEG_BACKEND_GPU_HYBRID`)
    Device,
}

impl Huffman {
    fn raw(self) -> sys::Backend {
        match self {
            Huffman::Host => sys::NVJPEG_BACKEND_HYBRID,
            Huffman::Device => sys::NVJPEG_BACKEND_GPU_HYBRID,
        }
    }
}

/// How single images are decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DecoderConfig {
    /// Who decodes the Huffman codes.
    pub huffman: Huffman,
    /// What is written.
    pub format: OutputFormat,
    /// Whether images of four components, cyan, magenta, yellow and black, are decoded too. They become RGB by plain
    /// subtraction, without a colour profile.
    pub allow_cmyk: bool,
}

/// Decodes one image after another, in two phases; one for each thread.
///
/// [`host`](Decoder::host) decodes the Huffman codes, on the calling thread; [`HostDecoded::device`] enqueues the rest.
/// Two pages of pinned memory take turns, so that the host's phase of an image overlaps the device's of the one before.
/// Its memory grows to the largest image and stays: keep it.
#[derive(Debug)]
pub struct Decoder {
    // Waited for before the fields below are dropped; then the state goes before what it works in, and before its decoder.
    in_flight: InFlight,
    state: Owned,
    decoder: Owned,
    pages: [Page; 2],
    /// The page of the next host phase; the device may still read the other.
    current: usize,
    /// Attached to the state, which works in it.
    _device_buffer: Owned,
    config: DecoderConfig,
    library: Nvjpeg,
}

/// What the host's phase of an image leaves for the device's.
#[derive(Debug)]
struct Page {
    pinned: Owned,
    bitstream: Bitstream,
    parameters: DecodeParameters,
}

impl Page {
    fn new(library: &Nvjpeg, config: DecoderConfig) -> Result<Page> {
        let pinned = Owned::new(
            library,
            "nvjpegBufferPinnedCreate",
            // SAFETY: the handle is alive; a null allocator is CUDA's; the call writes one handle.
            |functions, handle, raw| unsafe { (functions.buffer_pinned_create)(handle, null_mut(), raw) },
            |functions| functions.buffer_pinned_destroy,
        )?;
        let mut parameters = DecodeParameters::new(library, config.format)?;
        parameters.set_allow_cmyk(config.allow_cmyk)?;
        Ok(Page { pinned, bitstream: Bitstream::new(library)?, parameters })
    }
}

/// An image whose Huffman codes are decoded, for the device to do the rest. Dropped, it is forgotten.
#[derive(Debug)]
#[must_use = "the image is decoded only when the device has done its part"]
pub struct HostDecoded<'a> {
    decoder: &'a mut Decoder,
    frame: Frame,
    region: Option<Region>,
}

impl Decoder {
    /// A decoder. The library's backend, which is for batches, does not matter to it.
    ///
    /// # Errors
    /// [`Error::Status`]; [`Error::Cuda`].
    pub fn new(library: &Nvjpeg, config: DecoderConfig) -> Result<Decoder> {
        let decoder = Owned::new(
            library,
            "nvjpegDecoderCreate",
            // SAFETY: the handle is alive; the call writes one handle.
            |functions, handle, raw| unsafe { (functions.decoder_create)(handle, config.huffman.raw(), raw) },
            |functions| functions.decoder_destroy,
        )?;
        let state = Owned::new(
            library,
            "nvjpegDecoderStateCreate",
            // SAFETY: as above; the decoder is alive, and outlives the state.
            |functions, handle, raw| unsafe { (functions.decoder_state_create)(handle, decoder.raw(), raw) },
            |functions| functions.jpeg_state_destroy,
        )?;
        let device_buffer = Owned::new(
            library,
            "nvjpegBufferDeviceCreate",
            // SAFETY: the handle is alive; a null allocator is CUDA's; the call writes one handle.
            |functions, handle, raw| unsafe { (functions.buffer_device_create)(handle, null_mut(), raw) },
            |functions| functions.buffer_device_destroy,
        )?;
        // SAFETY: both are alive, and the buffer outlives the state.
        let status =
            unsafe { (library.functions().state_attach_device_buffer)(state.raw(), device_buffer.raw()) };
        check("nvjpegStateAttachDeviceBuffer", status)?;
        Ok(Decoder {
            in_flight: InFlight::default(),
            state,
            decoder,
            pages: [Page::new(library, config)?, Page::new(library, config)?],
            current: 0,
            _device_buffer: device_buffer,
            config,
            library: library.clone(),
        })
    }

    /// How images are decoded.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The host's phase: parses a file and decodes its Huffman codes, or those of a region. It needs no stream, and waits
    /// for none; the bytes may go when it returns.
    ///
    /// # Errors
    /// [`Error::BadImage`]; [`Error::UnsupportedImage`]; as [`OutputFormat::plane_sizes`]; [`Error::Status`];
    /// [`Error::Cuda`].
    pub fn host(&mut self, bytes: &[u8], region: Option<Region>) -> Result<HostDecoded<'_>> {
        let page = &mut self.pages[self.current];
        // The device has been waited for since it last read this page: it reads the other, if any.
        let parsed = page.bitstream.parse_copy(bytes)?;
        let frame = parsed.frame;
        self.config.format.plane_sizes(&frame, region)?;
        page.parameters.set_region(region)?;

        let (functions, handle) = (self.library.functions(), self.library.raw());
        let (decoder, state) = (self.decoder.raw(), self.state.raw());
        let (bitstream, parameters) = (parsed.raw(), page.parameters.raw());
        let mut unsupported = -1;
        // SAFETY: decoder, bitstream and parameters are alive, and the bitstream is parsed; the call writes one number.
        let status = unsafe {
            (functions.decoder_jpeg_supported)(decoder, bitstream, parameters, &raw mut unsupported)
        };
        const SUPPORTED: &str = "nvjpegDecoderJpegSupported";
        check(SUPPORTED, status)?;
        // 0 is yes.
        if unsupported != 0 {
            return Err(Error::UnsupportedImage { call: SUPPORTED });
        }
        // SAFETY: all are alive and this thread's alone; the page's pinned memory is idle, and outlives the state.
        unsafe {
            check(
                "nvjpegStateAttachPinnedBuffer",
                (functions.state_attach_pinned_buffer)(state, page.pinned.raw()),
            )?;
            check(
                "nvjpegDecodeJpegHost",
                (functions.decode_jpeg_host)(handle, decoder, state, parameters, bitstream),
            )?;
        }
        Ok(HostDecoded { decoder: self, frame, region })
    }
}

impl HostDecoded<'_> {
    /// The file's frame.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The planes that the device's phase writes, in their order.
    ///
    /// # Errors
    /// None that the host's phase has not found.
    pub fn plane_sizes(&self) -> Result<Vec<PlaneSize>> {
        self.decoder.config.format.plane_sizes(&self.frame, self.region)
    }

    /// The device's phase: enqueued on `stream`, after the host has waited for the device's phase of the image before.
    ///
    /// # Errors
    /// [`Error::PlaneCount`]; [`Error::PlaneDoesNotFit`]; [`Error::Status`]; [`Error::Cuda`], also with what the image
    /// before failed with. What has been written to the planes by then is undefined.
    pub fn device(self, planes: &[Plane], stream: &Stream) -> Result<()> {
        let HostDecoded { decoder: this, frame, region } = self;
        let mut destination = destination(this.config.format, &frame, region, planes)?;
        // The state's device memory belongs to the image before until it is over, and may now move to grow.
        this.in_flight.wait()?;
        this.library.bind()?;
        let page = &this.pages[this.current];
        // Whatever becomes of this image, the device may read its page.
        this.current = 1 - this.current;

        let (functions, handle) = (this.library.functions(), this.library.raw());
        let (decoder, state) = (this.decoder.raw(), this.state.raw());
        let bitstream = page.bitstream.raw();
        // SAFETY: all are alive and this thread's alone; the state holds the host's phase of this bitstream. The planes
        // fit the frame that was parsed, and are kept until the stream has passed the work.
        let submitted = unsafe {
            check(
                "nvjpegDecodeJpegTransferToDevice",
                (functions.decode_jpeg_transfer_to_device)(handle, decoder, state, bitstream, stream.raw()),
            )
            .and_then(|()| {
                check(
                    "nvjpegDecodeJpegDevice",
                    (functions.decode_jpeg_device)(
                        handle,
                        decoder,
                        state,
                        &raw mut destination,
                        stream.raw(),
                    ),
                )
            })
        };
        let held = this.in_flight.hold(stream, planes.iter().map(|plane| plane.buffer.clone()));
        submitted.and(held)
    }
}
