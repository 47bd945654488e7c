//! nvJPEG made safe: JPEG files become planes in device memory, and images in device memory become JPEG files.
//!
//! An [`Nvjpeg`] is the library on a device, shared by threads. Each thread has decoders of its own: a [`BatchDecoder`]
//! for many images at once, on any backend, or a [`Decoder`] for one after another, which decodes the Huffman codes of an
//! image on the host while the device works on the one before. A [`Bitstream`] tells what a file holds and who decodes
//! it; an [`Encoder`] writes files. Before anything is written, the frame that nvJPEG itself finds in the bytes is held
//! against the planes that it is to fill.
//!
//! ```no_run
//! use ocelli_cuda::Device;
//! use ocelli_nvjpeg::{
//!     Backend, BatchDecoder, BatchDecoderConfig, BatchImage, Nvjpeg, NvjpegConfig, OutputFormat, Plane,
//! };
//!
//! let device = Device::new(0)?;
//! let nvjpeg = Nvjpeg::new(&device, Backend::Default, NvjpegConfig::default())?;
//! let mut decoder = BatchDecoder::new(&nvjpeg, BatchDecoderConfig::default())?;
//!
//! # let bytes: &[u8] = &[];
//! let frame = nvjpeg.read_frame(bytes)?;
//! let size = OutputFormat::RgbInterleaved.plane_sizes(&frame, None)?[0];
//! let buffer = device.alloc(size.row_bytes * size.rows)?;
//! let planes = [Plane { buffer, offset: 0, pitch: size.row_bytes }];
//! decoder.decode(&[BatchImage { bytes, frame, planes: &planes }], device.stream())?;
//! # Ok::<(), ocelli_nvjpeg::Error>(())
//! ```
//!
//! # Memory and streams
//!
//! A decode is enqueued on the caller's stream, and ended only when the stream has passed it. Until then the decoder keeps
//! clones of the planes' buffers; it waits for them when it is used again or dropped. Three things are left to the caller:
//!
//! - Streams and buffers are the device's that the [`Nvjpeg`] was made for, and no stream is being captured.
//! - Work on the same memory that runs on other streams is ordered by events, as everywhere. The pool of
//!   [`Device::alloc`](ocelli_cuda::Device::alloc) reuses memory in the order of the compute stream: before a decode on
//!   another stream into a fresh buffer, that stream waits for an event of the compute stream.
//! - **The hardware backend ignores the order of streams on Hopper** (nvJPEG 12.3.5 to 13.2.1,
//!   [report](https://github.com/pytorch/vision/pull/9606)): it writes when it is called, even where the stream waits for
//!   an event. Before a destination is handed to it, the host must have waited for all work that reads or writes it.
//!
//! # Unsafe code
//!
//! This crate is to `ocelli-nvjpeg-sys` what `ocelli-cudnn` is to `ocelli-cudnn-sys`: the place where calls of a C library
//! become safe, so that nothing above it needs `unsafe` to decode. Each handle has one owner, which destroys it after what
//! it works on is over; before each call the planes are held against the frame that nvJPEG found in the bytes, and what
//! the device may still read or write is kept until it has been waited for.

mod backend;
mod batch;
mod bitstream;
mod decoder;
mod encoder;
mod error;
mod format;
mod frame;
mod in_flight;
mod nvjpeg;
mod owned;
mod parameters;
mod plane;
mod subsampling;

pub use backend::{Backend, NvjpegConfig};
pub use batch::{BatchDecoder, BatchDecoderConfig, BatchImage, PinnedImage};
pub use bitstream::{Bitstream, Coding, Parsed, PinnedFile};
pub use decoder::{Decoder, DecoderConfig, HostDecoded, Huffman};
pub use encoder::{EncodeOptions, Encoder, RgbImage};
pub use error::{Error, Result};
pub use format::{OutputFormat, PlaneSize};
pub use frame::{Frame, MAX_SIDE, Region};
pub use nvjpeg::{Engines, Nvjpeg};
pub use plane::Plane;
pub use subsampling::Subsampling;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync + Clone>() {}

    #[test]
    fn the_library_is_shared_by_threads_and_the_rest_is_sent_between_them() {
        is_shared::<Nvjpeg>();
        is_send::<Bitstream>();
        is_send::<BatchDecoder>();
        is_send::<Decoder>();
        is_send::<Encoder>();
        is_send::<Error>();
    }
}
