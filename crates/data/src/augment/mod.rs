//! Augmentation: from decoded images of any size to a normalised batch, on the GPU, in one pass over the pixels.
//!
//! The work is in two halves. What is random is drawn on the host: [`Augmentation::draw`] is a pure function of the
//! seed, the epoch and the sample, so that neither the order of the work, nor the number of workers, nor a resumed run
//! changes a pixel. What it returns, [`Drawn`], says exactly what becomes of one image, and of the boxes on it
//! ([`Drawn::boxes`]). The pixels are then made by the GPU ([`kernel::Augmenter`], a whole batch at once), or, slowly
//! and plainly, by [`host::apply`], which the kernel is held against.
//!
//! The order is: EXIF orientation, geometry, flips, changes of colour, policy, cutout, normalisation, erasing, padding.
//! The rules are those of torchvision's transforms (v2, on 8-bit tensors); each item says where it differs.
//!
//! ```
//! use ocelli_data::augment::{Augmentation, ImageSize, Policy};
//!
//! let augmentation = Augmentation { policy: Some(Policy::rand_augment()), ..Augmentation::imagenet_training(224) };
//! augmentation.check()?;
//! let drawn = augmentation.draw(7, 0, 1234, ImageSize::upright(500, 375));
//! assert_eq!(drawn, augmentation.draw(7, 0, 1234, ImageSize::upright(500, 375)));
//! assert_eq!((drawn.size.width, drawn.size.height), (224, 224));
//! # Ok::<(), ocelli_data::Error>(())
//! ```

mod area;
mod augmentation;
mod boxes;
mod colour;
mod drawn;
mod erasing;
mod geometry;
pub mod host;
mod interpolation;
pub mod kernel;
mod operation;
mod orientation;
mod output;
mod policy;

pub use crate::object::BoundingBox;
pub use area::{Rectangle, Size};
pub use augmentation::Augmentation;
pub use boxes::BoxLimits;
pub use colour::ColourJitter;
pub use drawn::Drawn;
pub use erasing::{Erased, ErasingValue, Filling, RandomErasing};
pub use geometry::Geometry;
pub use interpolation::Interpolation;
pub use operation::{Affine, Operation};
pub use orientation::{ImageSize, Orientation};
pub use output::{Element, Output};
pub use policy::Policy;
