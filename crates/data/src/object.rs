//! What is to be found on images.

/// A box in pixels, from the top left corner of the image: pixel `(0, 0)` reaches from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BoundingBox {
    /// The left edge.
    pub x_min: f32,
    /// The upper edge.
    pub y_min: f32,
    /// The right edge.
    pub x_max: f32,
    /// The lower edge.
    pub y_max: f32,
}

/// Something on an image that a detector should find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Where it is, in pixels.
    pub bounds: BoundingBox,
    /// What it is, counted from 0.
    pub class: i32,
    /// Whether it is a group that is not to be told apart, on which finds are neither right nor wrong.
    pub crowd: bool,
}
