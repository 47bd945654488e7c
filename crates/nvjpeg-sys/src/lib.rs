//! Raw bindings to nvJPEG 12 and 13, NVIDIA's JPEG decoder and encoder, opened at run time.
//!
//! [`functions`] opens the library that [`ocelli_cuda::library`] chooses and returns a table of function pointers: every
//! function of nvJPEG 13, where those that came after 12.0 may be missing. Every C enum is an integer here: a value that
//! a newer library invents must not become an invalid Rust enum. Nothing is linked and no toolkit is needed to build.
//! What each call asks of its arguments is on [NVIDIA's page](https://docs.nvidia.com/cuda/nvjpeg/index.html).
//!
//! ```no_run
//! let (major, minor, patch) = ocelli_nvjpeg_sys::version()?;
//! println!("nvJPEG {major}.{minor}.{patch}");
//! # Ok::<(), ocelli_cuda::Error>(())
//! ```
//!
//! # Traps
//!
//! - *Supported* is 0: the three `*_supported*` functions write 0 for yes and another number for no.
//! - The hardware backend ignores the order of streams on Hopper (nvJPEG 12.3.5 to 13.2.1): `decode_batched` writes its
//!   outputs when it is called, even behind an event that the stream waits for. The host must wait for whoever still
//!   reads an output buffer before it hands the buffer over. ([Report](https://github.com/pytorch/vision/pull/9606).)
//! - A bad image fails its whole batch, and the batch must be initialised again before the next.
//! - [`NVJPEG_STATUS_EXECUTION_FAILED`] of `create_ex` and its like means that there is no usable driver. The handle is
//!   not written then.
//! - Headers of others are data: check dimensions before allocating for them, and parse the whole stream
//!   (`jpeg_stream_parse`, not `jpeg_stream_parse_header`) before the hardware backend sees it.
//! - Handles and states belong to the device that was current when they were made, and are used with it only. Their
//!   memory grows to the largest image, and making them in a loop has leaked: keep and reuse them.
//! - A library handle may be shared by threads. Decoder states, bitstreams, pinned and device buffers and encoder states
//!   may not: one of each per thread. Allocators are called from any thread that uses the handle.

mod constants;
mod functions;
#[cfg(test)]
mod header;
mod types;

pub use constants::*;
pub use functions::*;
pub use types::*;
