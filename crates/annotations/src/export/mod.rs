//! A store's labels as files of other formats.
//!
//! What is written appears under its name when it is whole.

mod coco;
mod yolo;

pub use coco::{coco, results};
pub use yolo::yolo;
