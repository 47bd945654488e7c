//! What a label consists of.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// The number by which a dataset knows an image.
    ImageId
}
id! {
    /// The number by which a dataset knows a category: COCO's go from 1 to 90 and leave ten out.
    CategoryId
}
id! {
    /// The number by which a dataset knows an annotation.
    AnnotationId
}

/// A box as COCO writes it: the corner nearest to the image's first pixel, and the size, in pixels, not rounded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 4]", into = "[f64; 4]")]
pub struct BBox {
    /// Pixels from the image's left edge to the box's.
    pub x: f64,
    /// Pixels from the image's upper edge to the box's.
    pub y: f64,
    /// Pixels from the left edge of the box to its right one.
    pub width: f64,
    /// Pixels from the upper edge of the box to its lower one.
    pub height: f64,
}

impl BBox {
    /// A box by its corner and size.
    pub fn new(x: f64, y: f64, width: f64, height: f64) -> BBox {
        BBox { x, y, width, height }
    }

    /// Width times height, in pixels.
    pub fn area(&self) -> f64 {
        self.width * self.height
    }
}

impl From<[f64; 4]> for BBox {
    fn from([x, y, width, height]: [f64; 4]) -> BBox {
        BBox { x, y, width, height }
    }
}

impl From<BBox> for [f64; 4] {
    fn from(BBox { x, y, width, height }: BBox) -> [f64; 4] {
        [x, y, width, height]
    }
}

/// A kind of thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// The dataset's number for it.
    pub id: CategoryId,
    /// What it is called.
    pub name: String,
    /// The kind of kinds to which it belongs; empty if there is none.
    #[serde(default)]
    pub supercategory: String,
}

/// An image, without its pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The dataset's number for it.
    pub id: ImageId,
    /// Its file, relative to the directory of images.
    pub file_name: String,
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
}

/// A thing in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The dataset's number for it.
    pub id: AnnotationId,
    /// The image that it is in.
    pub image: ImageId,
    /// What it is.
    pub category: CategoryId,
    /// Where it is.
    pub bbox: BBox,
    /// The pixels that it covers: in COCO those of its mask, which are fewer than the box's.
    pub area: f64,
    /// Whether it is many things under one box, which evaluation and training leave out.
    pub crowd: bool,
}

/// What a network found in an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// The image that it is in.
    pub image: ImageId,
    /// What it is.
    pub category: CategoryId,
    /// Where it is.
    pub bbox: BBox,
    /// How sure the network is.
    pub score: f64,
}
