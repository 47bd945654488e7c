//! A store's labels in other formats.

mod coco;

pub use coco::{coco, results};
