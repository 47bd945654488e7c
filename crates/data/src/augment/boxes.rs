//! What becomes of boxes on an image.

use super::area::Size;
use super::drawn::Drawn;
use super::operation::Operation;
use crate::object::BoundingBox;

/// Which boxes are worth keeping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxLimits {
    /// The least width and height of what is left of a box in the output, pixels.
    pub minimum_side: f32,
    /// The least share of a box's area that may be left, 0 to 1.
    pub minimum_visible: f32,
}

impl Default for BoxLimits {
    /// At least one pixel in each direction.
    fn default() -> BoxLimits {
        BoxLimits { minimum_side: 1.0, minimum_visible: 0.0 }
    }
}

/// Edges in double precision: left, upper, right, lower.
#[derive(Clone, Copy)]
struct Edges([f64; 4]);

impl Edges {
    fn of(b: BoundingBox) -> Edges {
        Edges([b.x_min, b.y_min, b.x_max, b.y_max].map(f64::from))
    }

    fn area(&self) -> f64 {
        let Edges([left, upper, right, lower]) = *self;
        (right - left).max(0.0) * (lower - upper).max(0.0)
    }

    fn clipped(self, size: Size) -> Edges {
        let [width, height] = [size.width, size.height].map(f64::from);
        let Edges([left, upper, right, lower]) = self;
        Edges([
            left.clamp(0.0, width),
            upper.clamp(0.0, height),
            right.clamp(0.0, width),
            lower.clamp(0.0, height),
        ])
    }

    /// The smallest box around the corners' images.
    fn hull(self, map: impl Fn([f64; 2]) -> [f64; 2]) -> Edges {
        let Edges([left, upper, right, lower]) = self;
        let corners = [[left, upper], [right, upper], [right, lower], [left, lower]].map(map);
        let along = |axis: usize| corners.map(|corner| corner[axis]);
        let least = |axis| along(axis).into_iter().fold(f64::INFINITY, f64::min);
        let largest = |axis| along(axis).into_iter().fold(f64::NEG_INFINITY, f64::max);
        Edges([least(0), least(1), largest(0), largest(1)])
    }

    fn single(self) -> BoundingBox {
        let [x_min, y_min, x_max, y_max] = self.0.map(|edge| edge as f32);
        BoundingBox { x_min, y_min, x_max, y_max }
    }
}

impl Drawn {
    /// Boxes on the oriented image as boxes in the output, in the same order: cropped, scaled, mirrored, and under
    /// affine operations the smallest box around the corners, cut off at the output's border after each step
    /// (torchvision's rule). `None` stands for a box of which less than the limits is left, or whose edges are out of
    /// order or no numbers.
    ///
    /// The share that is left is measured against the box around the corners at each step, so that a box which only
    /// grows by being turned has lost nothing.
    pub fn boxes(&self, boxes: &[BoundingBox], limits: &BoxLimits) -> Vec<Option<BoundingBox>> {
        boxes.iter().map(|one| self.map_box(*one, limits)).collect()
    }

    fn map_box(&self, one: BoundingBox, limits: &BoxLimits) -> Option<BoundingBox> {
        let sound = one.x_min < one.x_max && one.y_min < one.y_max;
        let finite = [one.x_min, one.y_min, one.x_max, one.y_max].iter().all(|edge| edge.is_finite());
        if !sound || !finite {
            return None;
        }
        let mut visible = 1.0;
        let mut cut = |edges: Edges, size: Size| {
            let clipped = edges.clipped(size);
            visible *= clipped.area() / edges.area();
            (clipped.area() > 0.0).then_some(clipped)
        };
        // The black border of a window is no part of the image: what does not lie in the crop is lost.
        let Edges([left, upper, right, lower]) = Edges::of(one);
        let (crop_left, crop_top) = (f64::from(self.source.left), f64::from(self.source.top));
        let crop = Size { width: self.source.width, height: self.source.height };
        let inside =
            cut(Edges([left - crop_left, upper - crop_top, right - crop_left, lower - crop_top]), crop)?;
        let mut edges = cut(inside.hull(|corner| self.crop_to_output(corner)), self.size)?;
        for operation in &self.operations {
            if let Operation::Affine(affine) = operation {
                edges = cut(edges.hull(|corner| affine.forward(corner, self.size)), self.size)?;
            }
        }
        let Edges([left, upper, right, lower]) = edges;
        let side = f64::from(limits.minimum_side);
        let keeps = right - left >= side && lower - upper >= side;
        (keeps && visible >= f64::from(limits.minimum_visible)).then(|| edges.single())
    }

    fn crop_to_output(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let scale = self.scale_exactly();
        let point = [x * scale[0] - f64::from(self.window[0]), y * scale[1] - f64::from(self.window[1])];
        self.flipped(point)
    }

    fn flipped(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let x = if self.horizontal_flip { f64::from(self.size.width) - x } else { x };
        let y = if self.vertical_flip { f64::from(self.size.height) - y } else { y };
        [x, y]
    }

    /// A box in the output, such as a prediction, as a box on the oriented image, cut off at the image's border. Where
    /// an affine operation turned the image, the smallest box around the corners.
    pub fn box_in_image(&self, output: BoundingBox) -> BoundingBox {
        let mut edges = Edges::of(output);
        for operation in self.operations.iter().rev() {
            if let Operation::Affine(affine) = operation {
                edges = edges.hull(|corner| affine.backward(corner, self.size));
            }
        }
        let scale = self.scale_exactly();
        let back = |corner: [f64; 2]| {
            let [x, y] = self.flipped(corner);
            [
                (x + f64::from(self.window[0])) / scale[0] + f64::from(self.source.left),
                (y + f64::from(self.window[1])) / scale[1] + f64::from(self.source.top),
            ]
        };
        edges.hull(back).clipped(self.image).single()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Affine, Augmentation, Geometry, ImageSize, Rectangle};

    const fn b(x_min: f32, y_min: f32, x_max: f32, y_max: f32) -> BoundingBox {
        BoundingBox { x_min, y_min, x_max, y_max }
    }

    /// The part from (10, 20), 40 x 20 pixels, scaled to 80 x 60.
    fn drawn() -> Drawn {
        let resize = Augmentation::only(Geometry::Resize { height: 60, width: 80 });
        let drawn = resize.draw(0, 0, 0, ImageSize::upright(100, 50));
        Drawn { source: Rectangle { left: 10, top: 20, width: 40, height: 20 }, ..drawn }
    }

    fn close(a: BoundingBox, b: BoundingBox) -> bool {
        let edges = |b: BoundingBox| [b.x_min, b.y_min, b.x_max, b.y_max];
        edges(a).iter().zip(edges(b)).all(|(a, b)| (a - b).abs() < 1e-3)
    }

    #[test]
    fn boxes_are_cropped_scaled_and_mirrored() {
        let limits = BoxLimits::default();
        let boxes = [b(15.0, 22.0, 25.0, 32.0), b(0.0, 0.0, 20.0, 30.0), b(60.0, 0.0, 70.0, 50.0)];
        assert_eq!(drawn().scale(), [2.0, 3.0]);
        let expected = [Some(b(10.0, 6.0, 30.0, 36.0)), Some(b(0.0, 0.0, 20.0, 30.0)), None];
        assert_eq!(drawn().boxes(&boxes, &limits), expected);
        let mirrored = Drawn { horizontal_flip: true, vertical_flip: true, ..drawn() };
        let expected = [Some(b(50.0, 24.0, 70.0, 54.0)), Some(b(60.0, 30.0, 80.0, 60.0)), None];
        assert_eq!(mirrored.boxes(&boxes, &limits), expected);
    }

    #[test]
    fn limits_say_what_is_kept() {
        // Half of the first box's width and a sixth of the second's.
        let boxes = [b(0.0, 25.0, 20.0, 35.0), b(5.0, 25.0, 11.0, 35.0)];
        let kept = |minimum_side, minimum_visible| {
            let limits = BoxLimits { minimum_side, minimum_visible };
            drawn().boxes(&boxes, &limits).iter().map(Option::is_some).collect::<Vec<_>>()
        };
        assert_eq!(kept(1.0, 0.0), [true, true]);
        assert_eq!(kept(1.0, 0.4), [true, false]);
        assert_eq!(kept(2.5, 0.0), [true, false]);
        assert_eq!(kept(1.0, 0.6), [false, false]);
    }

    #[test]
    fn boxes_that_are_none_are_none() {
        let limits = BoxLimits { minimum_side: 0.0, minimum_visible: 0.0 };
        let wrong = [b(20.0, 25.0, 15.0, 35.0), b(f32::NAN, 0.0, 20.0, 30.0), b(12.0, 25.0, 12.0, 30.0)];
        assert_eq!(drawn().boxes(&wrong, &limits), [None; 3]);
        assert!(drawn().boxes(&[b(f32::NEG_INFINITY, 0.0, 20.0, 30.0)], &limits)[0].is_none());
    }

    #[test]
    fn affine_operations_give_the_box_around_the_corners() {
        let limits = BoxLimits::default();
        let turned = |affine| Drawn { operations: vec![Operation::Affine(affine)], ..drawn() };
        let one = [b(20.0, 25.0, 30.0, 35.0)];
        // In the output without the operation: 20..40 across, 15..45 down.
        let moved = turned(Affine::translate(5.0, -7.0)).boxes(&one, &limits)[0].unwrap();
        assert!(close(moved, b(25.0, 8.0, 45.0, 38.0)), "{moved:?}");
        // A quarter turn counterclockwise about (40, 30): 10 left of the middle becomes 10 below.
        let quarter = turned(Affine::rotate(90.0)).boxes(&one, &limits)[0].unwrap();
        assert!(close(quarter, b(25.0, 30.0, 55.0, 50.0)), "{quarter:?}");
        let size = drawn().size;
        let sheared = turned(Affine::shear_x(0.1, size)).boxes(&one, &limits)[0].unwrap();
        assert!(close(sheared, b(20.0 - 4.5, 15.0, 40.0 - 1.5, 45.0)), "{sheared:?}");
    }

    #[test]
    fn predictions_go_back_to_where_boxes_came_from() {
        let fit = Augmentation { horizontal_flip: 1.0, ..Augmentation::detection(800, 1333, 32) };
        let drawn = fit.draw(0, 0, 0, ImageSize::upright(640, 427));
        let drawn = Drawn { operations: vec![Operation::Affine(Affine::translate(3.0, 4.0))], ..drawn };
        let one = b(100.5, 50.25, 300.0, 400.0);
        let there = drawn.boxes(&[one], &BoxLimits::default())[0].unwrap();
        assert!(close(drawn.box_in_image(there), one));
        let outside = drawn.box_in_image(b(-500.0, -500.0, 5000.0, 5000.0));
        assert_eq!(outside, b(0.0, 0.0, 640.0, 427.0));
    }
}
