//! Labels for vision datasets.
pub mod check;
mod coco;
mod error;
pub mod evaluation;
pub mod export;
pub mod import;
pub mod json;
pub mod segmentation;
pub mod statistics;
mod store;
mod types;

pub use error::{Error, Result};
pub use segmentation::Segmentation;
pub use store::{Boxes, Detail, Filter, Run, RunId, Split, SplitId, Store, Transaction};
pub use types::{Annotation, AnnotationId, BBox, Category, CategoryId, Detection, Image, ImageId};
