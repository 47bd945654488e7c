//! What is done to the pixels of one image after it has its size.

use super::area::{Rectangle, Size};

/// One step, with its magnitude. Between steps pixels are 8-bit; each step's result is cut off below its point and
/// clamped to `0..=255` unless it says otherwise.
///
/// Source: torchvision, `transforms/v2/functional/_color.py`, on tensors of `uint8`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// Multiplies every value by a factor.
    Brightness(f32),
    /// Blends every value with the mean of the image's grey values: `factor * value + (1 - factor) * mean`. A grey
    /// value is `0.2989 red + 0.587 green + 0.114 blue`, cut off below its point.
    Contrast(f32),
    /// Blends every pixel with its grey value.
    Saturation(f32),
    /// Shifts the hue, in turns of the circle of colours, -0.5 to 0.5. The result in `0..=1` is multiplied by 255.999.
    Hue(f32),
    /// Blends every pixel but those at the border with the mean of its surroundings, 3 x 3 pixels of which the middle
    /// one weighs 5 and the others 1. An image with fewer than three rows or columns stays as it is.
    Sharpness(f32),
    /// Keeps the highest bits of every value, 0 to 8 of them.
    Posterize(u8),
    /// Inverts the values that are at least this.
    Solarize(f32),
    /// Stretches each channel so that its least value is 0 and its largest 255.
    AutoContrast,
    /// Maps each channel's values so that all occur about equally often, by Pillow's rule.
    Equalize,
    /// Moves pixels: the nearest one is taken, and black where there is none.
    Affine(Affine),
    /// Blackens a rectangle.
    Blacken(Rectangle),
}

impl Operation {
    /// Whether a pixel's result depends on other pixels, so that all must have been made before one can go on.
    pub const fn needs_whole_image(&self) -> bool {
        match self {
            Operation::Contrast(_)
            | Operation::Sharpness(_)
            | Operation::AutoContrast
            | Operation::Equalize
            | Operation::Affine(_) => true,
            Operation::Brightness(_)
            | Operation::Saturation(_)
            | Operation::Hue(_)
            | Operation::Posterize(_)
            | Operation::Solarize(_)
            | Operation::Blacken(_) => false,
        }
    }
}

/// An affine map of an image onto one of the same size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// From the result to the source, both counted from the image's middle, in pixels: `x = m[0] x' + m[1] y' + m[2]`
    /// and `y = m[3] x' + m[4] y' + m[5]`.
    pub inverse: [f32; 6],
}

impl Affine {
    /// Shifts the rows: `x = x' + shear * y'`, with `y'` counted from the top edge (AutoAugment's ShearX).
    pub fn shear_x(shear: f64, size: Size) -> Affine {
        // What lies in the top row stays. Counted from the middle, that is a shift by half the height.
        Affine {
            inverse: [1.0, shear, shear * f64::from(size.height) / 2.0, 0.0, 1.0, 0.0].map(|m| m as f32),
        }
    }

    /// Shifts the columns: `y = y' + shear * x'`, with `x'` counted from the left edge.
    pub fn shear_y(shear: f64, size: Size) -> Affine {
        Affine { inverse: [1.0, 0.0, 0.0, shear, 1.0, shear * f64::from(size.width) / 2.0].map(|m| m as f32) }
    }

    /// Moves the image to the right and down, in pixels.
    pub fn translate(right: f64, down: f64) -> Affine {
        Affine { inverse: [1.0, 0.0, -right, 0.0, 1.0, -down].map(|m| m as f32) }
    }

    /// Turns the image about its middle, counterclockwise, in degrees.
    pub fn rotate(degrees: f64) -> Affine {
        let (sin, cos) = (-degrees).to_radians().sin_cos();
        Affine { inverse: [cos, sin, 0.0, -sin, cos, 0.0].map(|m| m as f32) }
    }

    /// The matrix on torch's grid, which reaches from -1 to 1 across the image.
    pub(super) fn on_grid(&self, size: Size) -> [f32; 6] {
        let half = [size.width, size.height].map(|side| 0.5 * side as f32);
        std::array::from_fn(|place| self.inverse[place] / half[place / 3])
    }

    /// The source of a pixel of the result, or `None` where there is none: torchvision's arithmetic in single
    /// precision, which scales to the grid and back before it rounds, half to even.
    pub(super) fn source(&self, x: u32, y: u32, size: Size) -> Option<[u32; 2]> {
        let [width, height] = [size.width, size.height].map(|side| side as f32);
        let across = x as f32 + 0.5 * (1.0 - width);
        let down = y as f32 + 0.5 * (1.0 - height);
        let [a, b, c, d, e, f] = self.on_grid(size);
        let place = |grid: f32, side: f32| (((grid + 1.0) * side - 1.0) / 2.0).round_ties_even();
        let (x, y) = (place(across * a + down * b + c, width), place(across * d + down * e + f, height));
        (x >= 0.0 && x < width && y >= 0.0 && y < height).then_some([x as u32, y as u32])
    }

    /// Where a point of the source goes; corners of pixels, in pixels from the top left corner.
    pub(super) fn forward(&self, [x, y]: [f64; 2], size: Size) -> [f64; 2] {
        let [a, b, c, d, e, f] = self.inverse.map(f64::from);
        let [middle_x, middle_y] = [size.width, size.height].map(|side| f64::from(side) / 2.0);
        let (x, y) = (x - middle_x - c, y - middle_y - f);
        let determinant = a * e - b * d;
        [(e * x - b * y) / determinant + middle_x, (a * y - d * x) / determinant + middle_y]
    }

    /// Where a point of the result comes from.
    pub(super) fn backward(&self, [x, y]: [f64; 2], size: Size) -> [f64; 2] {
        let [a, b, c, d, e, f] = self.inverse.map(f64::from);
        let [middle_x, middle_y] = [size.width, size.height].map(|side| f64::from(side) / 2.0);
        let (x, y) = (x - middle_x, y - middle_y);
        [a * x + b * y + c + middle_x, d * x + e * y + f + middle_y]
    }
}
