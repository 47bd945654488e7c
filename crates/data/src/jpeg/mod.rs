//! What a JPEG file says of itself before its first scan, and which decoder may take it. Nothing is decoded.
//!
//! ```
//! use ocelli_data::jpeg::{Header, Route};
//!
//! # fn decide(bytes: &[u8]) -> Result<(), ocelli_data::jpeg::Error> {
//! let header = Header::parse(bytes)?;
//! println!("{} x {}", header.width, header.height);
//! match header.route() {
//!     Route::Hardware => println!("for the decoding engines"),
//!     Route::Cuda(reason) => println!("for the decoder on CUDA: {reason}"),
//!     Route::Host(reason) => println!("for the decoder on the host: {reason}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Source: ITU-T T.81 (1992) for the markers, T.871 (2011) for JFIF, T.872 (2012) for Adobe's segment.

mod error;
mod exif;
mod header;
mod metadata;
mod quality;
mod route;
mod segments;

pub use error::{Error, Marker};
pub use header::{Coding, ColourSpace, Component, Header, MAX_COMPONENTS, Process, Subsampling};
pub use metadata::with_metadata;
pub use route::{Reason, Route};
