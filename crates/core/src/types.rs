//! Element types, shapes and tensor types.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DType {
    /// 32-bit IEEE floating point.
    F32,
    /// 16-bit IEEE floating point.
    F16,
    /// 16-bit brain floating point: the exponent of `F32`, 8 bits of significand.
    BF16,
    /// 32-bit signed integers: labels, indices, counts.
    I32,
    /// 8-bit unsigned integers: pixels.
    U8,
}

impl DType {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::U8 => 1,
        }
    }

    /// Whether the elements are floating-point numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16)
    }

    /// Whether the elements are 16-bit floating-point numbers.
    pub const fn is_half(self) -> bool {
        matches!(self, DType::F16 | DType::BF16)
    }

    /// The type's short name, as PyTorch's users know it.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I32 => "i32",
            DType::U8 => "u8",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The extents of a tensor: at most four, the last one the fastest in memory.
///
/// Images are `[n, h, w, c]`, features `[n, c]`, per-channel values `[c]`, a scalar `[]`, filters `[k, r, s, c]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    rank: u8,
    dims: [usize; 4],
}

impl Shape {
    /// The shape of a scalar.
    pub const SCALAR: Shape = Shape { rank: 0, dims: [1; 4] };

    /// The shape with these extents, or `None` when there are more than four of them or their product overflows.
    pub fn new(extents: &[usize]) -> Option<Shape> {
        if extents.len() > 4 {
            return None;
        }
        extents.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent))?;
        let mut dims = [1; 4];
        dims[..extents.len()].copy_from_slice(extents);
        Some(Shape { rank: extents.len() as u8, dims })
    }

    /// `[n, h, w, c]`.
    pub const fn nhwc(n: usize, h: usize, w: usize, c: usize) -> Shape {
        Shape { rank: 4, dims: [n, h, w, c] }
    }

    /// `[rows, columns]`.
    pub const fn matrix(rows: usize, columns: usize) -> Shape {
        Shape { rank: 2, dims: [rows, columns, 1, 1] }
    }

    /// `[length]`.
    pub const fn vector(length: usize) -> Shape {
        Shape { rank: 1, dims: [length, 1, 1, 1] }
    }

    /// The extents, slowest first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }

    /// How many extents there are.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// How many elements there are (1 for a scalar).
    pub fn elements(&self) -> usize {
        self.dims().iter().product()
    }

    /// The last extent (1 for a scalar): the channels of an image or the columns of a matrix.
    pub fn channels(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }

    /// The four extents of the iteration space: this shape with ones in front.
    pub fn aligned(&self) -> [usize; 4] {
        let mut aligned = [1; 4];
        aligned[4 - self.rank()..].copy_from_slice(self.dims());
        aligned
    }

    /// `(n, h, w, c)` of an image batch, or `None` when the rank is not 4.
    pub fn as_nhwc(&self) -> Option<(usize, usize, usize, usize)> {
        (self.rank == 4).then_some((self.dims[0], self.dims[1], self.dims[2], self.dims[3]))
    }

    /// `(rows, columns)` of a matrix, or `None` when the rank is not 2.
    pub fn as_matrix(&self) -> Option<(usize, usize)> {
        (self.rank == 2).then_some((self.dims[0], self.dims[1]))
    }

    /// Whether a tensor of this shape can be repeated to fill `target`: aligned at the last extent, each extent equal or 1.
    pub fn broadcasts_to(&self, target: &Shape) -> bool {
        self.rank <= target.rank
            && self.aligned().iter().zip(target.aligned()).all(|(&own, wanted)| own == wanted || own == 1)
    }

    /// The smallest shape that both broadcast to.
    pub fn broadcast_with(&self, other: &Shape) -> Option<Shape> {
        let (longer, shorter) = if self.rank >= other.rank { (self, other) } else { (other, self) };
        let (a, b) = (longer.aligned(), shorter.aligned());
        let mut dims = [1; 4];
        for i in 0..4 {
            dims[i] = match (a[i], b[i]) {
                (x, y) if x == y => x,
                (1, y) => y,
                (x, 1) => x,
                _ => return None,
            };
        }
        Shape::new(&dims[4 - longer.rank()..])
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, extent) in self.dims().iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{extent}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a tensor is before its values are known: its element type and its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorType {
    /// The type of the elements.
    pub dtype: DType,
    /// The extents.
    pub shape: Shape,
}

impl TensorType {
    /// The tensor type of this element type and shape.
    pub const fn new(dtype: DType, shape: Shape) -> TensorType {
        TensorType { dtype, shape }
    }

    /// The type of one `f32`.
    pub const fn scalar() -> TensorType {
        TensorType { dtype: DType::F32, shape: Shape::SCALAR }
    }

    /// Bytes of all elements.
    pub fn bytes(&self) -> usize {
        self.shape.elements() * self.dtype.bytes()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// A static number of an operation (a slope, an epsilon), equal and hashed by its bits so that it can be part of a key.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Real(pub f32);

impl PartialEq for Real {
    fn eq(&self, other: &Real) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Real {}

impl Hash for Real {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_aligns_the_last_extent() {
        let image = Shape::nhwc(2, 3, 4, 5);
        assert!(Shape::vector(5).broadcasts_to(&image));
        assert!(!Shape::vector(4).broadcasts_to(&image));
        assert!(Shape::SCALAR.broadcasts_to(&image));
        assert!(Shape::nhwc(2, 1, 1, 5).broadcasts_to(&image));
        assert_eq!(Shape::vector(5).broadcast_with(&image), Some(image));
        assert_eq!(Shape::nhwc(2, 1, 1, 5).broadcast_with(&Shape::nhwc(1, 3, 4, 5)), Some(image));
        assert_eq!(Shape::vector(4).broadcast_with(&image), None);
    }

    #[test]
    fn a_shape_refuses_five_extents_and_overflow() {
        assert!(Shape::new(&[1, 2, 3, 4, 5]).is_none());
        assert!(Shape::new(&[usize::MAX, 2]).is_none());
    }
}
