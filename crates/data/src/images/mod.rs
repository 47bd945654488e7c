//! Images in folders, one for each class: found, decoded, augmented and put into batches on the host.
//!
//! A batch does not depend on how many threads made it: what is random is drawn by a counter-based generator from the
//! seed, the epoch and the image's place in the folder. So a run can be resumed at any batch of any epoch.
//!
//! ```no_run
//! use ocelli_data::images::{ImageFolder, Loader, LoaderConfig, Transform};
//!
//! fn main() -> Result<(), ocelli_data::Error> {
//!     let folder = ImageFolder::open("imagenet/train".as_ref())?;
//!     println!("{} images of {} classes", folder.samples().len(), folder.classes().len());
//!     let config = LoaderConfig { batch: 256, shuffle: true, drop_last: true, ..LoaderConfig::default() };
//!     let loader = Loader::new(folder, Transform::imagenet_training(224), config)?;
//!     for epoch in 0..90 {
//!         for batch in loader.epoch(epoch) {
//!             let batch = batch?;
//!             // batch.images: [256, 224, 224, 3], batch.labels: [256]
//!         }
//!     }
//!     Ok(())
//! }
//! ```

mod folder;
mod loader;
mod transform;

pub(crate) use folder::threads;
pub use folder::{EXTENSIONS, ImageFolder, Images, Memory, Rgb, Sample};
pub use loader::{Batch, Batches, Damaged, IGNORED, Loader, LoaderConfig};
pub use transform::Transform;
