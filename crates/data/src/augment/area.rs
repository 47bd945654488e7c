//! Sizes and rectangles of pixels.

/// Columns and rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Columns, pixels.
    pub width: u32,
    /// Rows, pixels.
    pub height: u32,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rectangle {
    /// The first column, counted from 0.
    pub left: u32,
    /// The first row.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Rectangle {
    /// Whether the pixel in column `x` and row `y` lies in it.
    pub const fn contains(&self, x: u32, y: u32) -> bool {
        x >= self.left && x - self.left < self.width && y >= self.top && y - self.top < self.height
    }
}
