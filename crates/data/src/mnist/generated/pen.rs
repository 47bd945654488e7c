use std::f32::consts::TAU;

use super::{SIDE, random::Random};

/// Straight pieces for each pair of a stroke's points.
const PIECES: usize = 6;

/// Draws the strokes of one digit, all bent and placed in one random way.
pub(super) struct Pen {
    waves: [Wave; 2],
    /// From the bent unit square, its middle at the origin, to pixels.
    matrix: [[f32; 2]; 2],
    middle: [f32; 2],
    radius: f32,
    /// Share of each pixel that is covered, 0 to 1.
    coverage: [f32; SIDE * SIDE],
}

/// A displacement that varies slowly over the unit square, so that strokes bend but stay joined.
struct Wave {
    displacement: [f32; 2],
    frequency: [f32; 2],
    phase: f32,
}

impl Pen {
    pub(super) fn new(random: &mut Random) -> Self {
        let waves = std::array::from_fn(|_| Wave {
            displacement: [0.03 * random.bell(), 0.03 * random.bell()],
            frequency: [random.between(-1.5, 1.5), random.between(-1.5, 1.5)],
            phase: random.between(0.0, 1.0),
        });
        let (sin, cos) = random.between(-0.3, 0.3).sin_cos();
        let shear = random.between(-0.25, 0.35);
        let height = random.between(15.0, 21.0);
        let width = height * random.between(0.65, 1.0);
        // Rotation times shear times scale. The shear leans to the right, as most handwriting does.
        let matrix =
            [[cos * width, -(cos * shear + sin) * height], [sin * width, (cos - sin * shear) * height]];
        let centre = SIDE as f32 / 2.0;
        let middle = [centre + random.between(-2.5, 2.5), centre + random.between(-2.5, 2.5)];
        Pen { waves, matrix, middle, radius: random.between(0.7, 1.6), coverage: [0.0; SIDE * SIDE] }
    }

    /// Draws a smooth line through the points (a Catmull-Rom spline, ends repeated).
    pub(super) fn draw(&mut self, stroke: &[(f32, f32)]) {
        let last = stroke.len() - 1;
        let mut from = self.place(stroke[0]);
        for i in 0..last {
            let points = [stroke[i.saturating_sub(1)], stroke[i], stroke[i + 1], stroke[(i + 2).min(last)]];
            for piece in 1..=PIECES {
                let to = self.place(catmull_rom(points, piece as f32 / PIECES as f32));
                self.line(from, to);
                from = to;
            }
        }
    }

    fn place(&self, (x, y): (f32, f32)) -> [f32; 2] {
        let mut point = [x - 0.5, y - 0.5];
        for Wave { displacement, frequency, phase } in &self.waves {
            let height = (TAU * (frequency[0] * x + frequency[1] * y + phase)).sin();
            point[0] += displacement[0] * height;
            point[1] += displacement[1] * height;
        }
        let row = |i: usize| self.matrix[i][0] * point[0] + self.matrix[i][1] * point[1] + self.middle[i];
        [row(0), row(1)]
    }

    fn line(&mut self, from: [f32; 2], to: [f32; 2]) {
        let reach = self.radius + 0.5;
        let pixels = |i: usize| {
            let low = (from[i].min(to[i]) - reach).max(0.0) as usize;
            let high = (from[i].max(to[i]) + reach).max(0.0) as usize + 1;
            low..high.min(SIDE)
        };
        for y in pixels(1) {
            for x in pixels(0) {
                let distance = distance([x as f32 + 0.5, y as f32 + 0.5], from, to);
                let covered = &mut self.coverage[y * SIDE + x];
                *covered = covered.max((reach - distance).clamp(0.0, 1.0));
            }
        }
    }

    /// Puts the drawing on paper: random ink, random noise.
    pub(super) fn write(&self, random: &mut Random, image: &mut [u8]) {
        let ink = random.between(150.0, 255.0);
        let noise = random.between(0.0, 30.0);
        for (pixel, covered) in image.iter_mut().zip(self.coverage) {
            // The cast saturates, so the background stays black where noise is negative.
            *pixel = (ink * covered + noise * random.bell()) as u8;
        }
    }
}

fn catmull_rom([a, b, c, d]: [(f32, f32); 4], t: f32) -> (f32, f32) {
    let blend = |a: f32, b: f32, c: f32, d: f32| {
        let cubic = ((3.0 * (b - c) + d - a) * t + 2.0 * a - 5.0 * b + 4.0 * c - d) * t + c - a;
        b + 0.5 * t * cubic
    };
    (blend(a.0, b.0, c.0, d.0), blend(a.1, b.1, c.1, d.1))
}

/// From a point to the line between two others.
fn distance(point: [f32; 2], from: [f32; 2], to: [f32; 2]) -> f32 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let offset = [point[0] - from[0], point[1] - from[1]];
    let length_squared = along[0] * along[0] + along[1] * along[1];
    let share = if length_squared > 0.0 {
        ((offset[0] * along[0] + offset[1] * along[1]) / length_squared).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (offset[0] - share * along[0]).hypot(offset[1] - share * along[1])
}
