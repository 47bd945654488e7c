//! JPEG files out of images in device memory.

use std::ffi::c_int;
use std::ptr::{self, null_mut};

use ocelli_cuda::{DeviceBuffer, Stream};
use ocelli_nvjpeg_sys as sys;

use crate::error::check;
use crate::owned::Owned;
use crate::plane::destination;
use crate::{Error, Frame, Nvjpeg, OutputFormat, Plane, Result, Subsampling};

/// How an image is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncodeOptions {
    /// From 1, small, to 100, good: the scale of the Independent JPEG Group.
    pub quality: u8,
    /// How the colour differences are sampled.
    pub subsampling: Subsampling,
    /// Whether Huffman tables are made for the image: smaller, slower. It has failed for images of a few pixels.
    pub optimised_huffman: bool,
    /// Whether the file is progressive.
    pub progressive: bool,
}

impl Default for EncodeOptions {
    fn default() -> EncodeOptions {
        EncodeOptions {
            quality: 90,
            subsampling: Subsampling::S420,
            optimised_huffman: false,
            progressive: false,
        }
    }
}

/// An image in device memory: red, green and blue interleaved, 8 bits each.
#[derive(Clone, Copy, Debug)]
pub struct RgbImage<'a> {
    /// The memory, of the encoder's device.
    pub buffer: &'a DeviceBuffer,
    /// The first row's place in it, bytes.
    pub offset: usize,
    /// From one row to the next, bytes; at least three times the columns. All rows lie in the buffer, with what is
    /// between them.
    pub pitch: usize,
    /// Columns, 1 to 65535.
    pub width: u32,
    /// Rows, 1 to 65535.
    pub height: u32,
}

/// Encodes one image after another, on a stream; one for each thread. Owns an `nvjpegEncoderState_t`.
#[derive(Debug)]
pub struct Encoder {
    state: Owned,
    stream: Stream,
    library: Nvjpeg,
}

impl Encoder {
    /// An encoder that works on `stream`. The library's backend, which is for batches, does not matter to it.
    ///
    /// # Errors
    /// [`Error::Status`]; [`Error::Cuda`].
    pub fn new(library: &Nvjpeg, stream: &Stream) -> Result<Encoder> {
        let state = Owned::new(
            library,
            "nvjpegEncoderStateCreate",
            // SAFETY: handle and stream are alive; the call writes one handle.
            |functions, handle, raw| unsafe { (functions.encoder_state_create)(handle, raw, stream.raw()) },
            |functions| functions.encoder_state_destroy,
        )?;
        Ok(Encoder { state, stream: stream.clone(), library: library.clone() })
    }

    /// The JPEG file of an image, after all work on the stream; waits for it.
    ///
    /// The file has no metadata of another. nvJPEG can copy some, and then keeps copying it into later files (13.0).
    ///
    /// # Errors
    /// [`Error::Setting`] for a quality outside 1 to 100 and for [`Subsampling::Other`]; [`Error::Dimensions`];
    /// [`Error::PlaneDoesNotFit`]; [`Error::Status`]; [`Error::Cuda`].
    pub fn encode(&mut self, image: &RgbImage<'_>, options: &EncodeOptions) -> Result<Vec<u8>> {
        check_options(options)?;
        let source = source(image)?;
        // They stay until the file is there.
        let parameters = self.parameters(options)?;
        let submitted = self.submit(image, &source, &parameters);
        // Also after a failure: what was enqueued before it reads the image.
        let waited = self.stream.synchronize();
        submitted?;
        waited?;
        self.retrieve()
    }

    /// Enqueues the encoding of an image that fits its buffer. It must stay until the stream has passed it.
    fn submit(&mut self, image: &RgbImage<'_>, source: &sys::Image, parameters: &Owned) -> Result<()> {
        // SAFETY: all are alive and this thread's alone; the image fits its buffer, which is borrowed until the caller has
        // waited for the stream.
        let status = unsafe {
            (self.library.functions().encode_image)(
                self.library.raw(),
                self.state.raw(),
                parameters.raw(),
                ptr::from_ref(source),
                sys::NVJPEG_INPUT_RGBI,
                // Sides that were checked, at most 65535.
                image.width as c_int,
                image.height as c_int,
                self.stream.raw(),
            )
        };
        check("nvjpegEncodeImage", status)
    }

    /// What is asked of the encoder.
    fn parameters(&self, options: &EncodeOptions) -> Result<Owned> {
        let stream = self.stream.raw();
        let parameters = Owned::new(
            &self.library,
            "nvjpegEncoderParamsCreate",
            // SAFETY: handle and stream are alive; the call writes one handle.
            |functions, handle, raw| unsafe { (functions.encoder_params_create)(handle, raw, stream) },
            |functions| functions.encoder_params_destroy,
        )?;
        let (functions, raw) = (self.library.functions(), parameters.raw());
        let encoding = if options.progressive {
            sys::NVJPEG_ENCODING_PROGRESSIVE_DCT_HUFFMAN
        } else {
            sys::NVJPEG_ENCODING_BASELINE_DCT
        };
        let quality = c_int::from(options.quality);
        let optimised = c_int::from(options.optimised_huffman);
        // SAFETY: parameters and stream are alive and this thread's alone.
        unsafe {
            check(
                "nvjpegEncoderParamsSetQuality",
                (functions.encoder_params_set_quality)(raw, quality, stream),
            )?;
            check(
                "nvjpegEncoderParamsSetEncoding",
                (functions.encoder_params_set_encoding)(raw, encoding, stream),
            )?;
            check(
                "nvjpegEncoderParamsSetOptimizedHuffman",
                (functions.encoder_params_set_optimized_huffman)(raw, optimised, stream),
            )?;
            check(
                "nvjpegEncoderParamsSetSamplingFactors",
                (functions.encoder_params_set_sampling_factors)(raw, options.subsampling.raw(), stream),
            )?;
        }
        Ok(parameters)
    }

    /// The file that was encoded last.
    fn retrieve(&mut self) -> Result<Vec<u8>> {
        const CALL: &str = "nvjpegEncodeRetrieveBitstream";
        let (functions, handle) = (self.library.functions(), self.library.raw());
        let (state, stream) = (self.state.raw(), self.stream.raw());
        let mut length = 0;
        // SAFETY: all are alive and this thread's alone; without a place for the file, the call writes its length.
        let status = unsafe {
            (functions.encode_retrieve_bitstream)(handle, state, null_mut(), &raw mut length, stream)
        };
        check(CALL, status)?;
        self.stream.synchronize()?;
        let mut file = vec![0; length];
        // SAFETY: as above; the place is as long as stated, and stays until the stream has passed the copy.
        let status = unsafe {
            (functions.encode_retrieve_bitstream)(handle, state, file.as_mut_ptr(), &raw mut length, stream)
        };
        let waited = self.stream.synchronize();
        check(CALL, status)?;
        waited?;
        file.truncate(length);
        Ok(file)
    }
}

fn check_options(options: &EncodeOptions) -> Result<()> {
    let setting = |what: String| Err(Error::Setting { what });
    if !(1..=100).contains(&options.quality) {
        return setting(format!("the quality {} cannot be: 1 to 100", options.quality));
    }
    if options.subsampling == Subsampling::Other {
        return setting("colour differences cannot be sampled in an uncommon way: name one".to_owned());
    }
    Ok(())
}

/// The image in nvJPEG's words, once it is known to fit its buffer.
fn source(image: &RgbImage<'_>) -> Result<sys::Image> {
    let frame =
        Frame { width: image.width, height: image.height, components: 3, subsampling: Subsampling::S444 };
    let plane = Plane { buffer: image.buffer.clone(), offset: image.offset, pitch: image.pitch };
    destination(OutputFormat::RgbInterleaved, &frame, None, &[plane])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_errors() {
        let default = EncodeOptions::default();
        check_options(&default).unwrap();
        for quality in [1, 50, 100] {
            check_options(&EncodeOptions { quality, ..default }).unwrap();
        }
        for quality in [0, 101, 255] {
            let error = check_options(&EncodeOptions { quality, ..default }).unwrap_err();
            assert!(error.to_string().contains(&format!("quality {quality}")), "{error}");
        }
        let uncommon = EncodeOptions { subsampling: Subsampling::Other, ..default };
        assert!(matches!(check_options(&uncommon), Err(Error::Setting { .. })));
    }
}
