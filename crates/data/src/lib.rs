//! Datasets, read from disk, downloaded, or generated, and the [`loader`] that makes batches of them on the GPU. Only
//! [`loader`] and [`augment::kernel`] need one.
//!
//! ```no_run
//! use ocelli_data::{Error, mnist};
//!
//! fn main() -> Result<(), Error> {
//!     let directory = std::path::Path::new("datasets/mnist");
//!     let digits = match mnist::fetch(directory, |_| ()) {
//!         Ok(()) => mnist::read(directory)?,
//!         Err(Error::NoNetwork { .. }) => mnist::generated(7, 60_000, 10_000),
//!         Err(error) => return Err(error),
//!     };
//!     println!("{} images to train on, {} to test on", digits.train.count, digits.test.count);
//!     Ok(())
//! }
//! ```

pub mod augment;
mod canvas;
pub mod cifar10;
mod download;
mod encoded;
mod error;
pub mod idx;
pub mod images;
pub mod jpeg;
pub mod loader;
pub mod mnist;
mod object;
mod ordered;
mod random;
pub mod recompress;
pub mod records;
pub mod sampler;
mod set;
pub mod subset;
pub mod survey;
mod target;

pub use download::Progress;
pub use encoded::{Encoded, IGNORED};
pub use error::{Error, Result, with_causes};
pub use object::{BoundingBox, Object};
pub use set::{Fault, ImageSet, LISTED_FAULTS};
pub use target::{Kind, Target};
