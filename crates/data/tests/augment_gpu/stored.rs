//! Random images in every form that a decoder leaves them in, and what libjpeg-turbo would make of them, written anew
//! and plainly: whole planes are scaled up, row by row, before anything is converted.

use ocelli_data::augment::kernel::{Pixels, Plane, Source};
use ocelli_data::augment::{Rectangle, Size};
use ocelli_data::images::Rgb;
use ocelli_data::jpeg::Subsampling;

use crate::random::Random;

/// How an image is stored: red, green and blue in turns, or planes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    Interleaved,
    Planes(Subsampling),
}

pub(crate) const FORMS: [Form; 8] = [
    Form::Interleaved,
    Form::Planes(Subsampling::Grey),
    Form::Planes(Subsampling::S444),
    Form::Planes(Subsampling::S422),
    Form::Planes(Subsampling::S420),
    Form::Planes(Subsampling::S440),
    Form::Planes(Subsampling::S411),
    Form::Planes(Subsampling::S410),
];

/// Samples of one plane.
#[derive(Clone, Debug)]
struct Samples {
    width: usize,
    height: usize,
    values: Vec<u8>,
}

/// A stored image, of which a part has been decoded.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) form: Form,
    pub(crate) decoded: Rectangle,
    whole: Size,
    planes: Vec<Samples>,
}

/// Columns and rows of pixels that share a difference.
fn factors(form: Form) -> [usize; 2] {
    match form {
        Form::Planes(Subsampling::S422) => [2, 1],
        Form::Planes(Subsampling::S420) => [2, 2],
        Form::Planes(Subsampling::S440) => [1, 2],
        Form::Planes(Subsampling::S411) => [4, 1],
        Form::Planes(Subsampling::S410) => [4, 2],
        _ => [1, 1],
    }
}

impl Stored {
    /// Noise over slopes, so that neighbours differ but not by chance alone.
    pub(crate) fn random(form: Form, width: usize, height: usize, random: &mut Random) -> Stored {
        let mut plane = |width: usize, height: usize, samples: usize| {
            let [across, down] = [random.below(7), random.below(5)];
            let values = (0..width * height * samples)
                .map(|i| {
                    let slope = (i / samples % width) * across + (i / samples / width) * down;
                    (slope + random.below(100) + i % samples * 60) as u8
                })
                .collect();
            Samples { width: width * samples, height, values }
        };
        let [across, down] = factors(form);
        let planes = match form {
            Form::Interleaved => vec![plane(width, height, 3)],
            Form::Planes(Subsampling::Grey) => vec![plane(width, height, 1)],
            Form::Planes(_) => {
                let (columns, rows) = (width.div_ceil(across), height.div_ceil(down));
                vec![plane(width, height, 1), plane(columns, rows, 1), plane(columns, rows, 1)]
            }
        };
        let whole = Size { width: width as u32, height: height as u32 };
        let decoded = Rectangle { left: 0, top: 0, width: whole.width, height: whole.height };
        Stored { form, decoded, whole, planes }
    }

    /// An image of given planes.
    pub(crate) fn of_planes(
        subsampling: Subsampling,
        width: usize,
        height: usize,
        planes: [Vec<u8>; 3],
    ) -> Stored {
        let form = Form::Planes(subsampling);
        let [across, down] = factors(form);
        let sizes = [[1, 1], [across, down], [across, down]];
        let planes = planes.into_iter().zip(sizes).map(|(values, [across, down])| Samples {
            width: width.div_ceil(across),
            height: height.div_ceil(down),
            values,
        });
        let whole = Size { width: width as u32, height: height as u32 };
        let decoded = Rectangle { left: 0, top: 0, width: whole.width, height: whole.height };
        Stored { form, decoded, whole, planes: planes.collect() }
    }

    /// The decoded part's samples, one plane after the other with gaps between rows, and the source that they are once
    /// they lie at `address`.
    pub(crate) fn samples(&self, address: u64) -> (Vec<u8>, Source) {
        let Rectangle { left, top, width, height } = self.decoded;
        let mut bytes = Vec::new();
        let mut planes = [Plane::default(); 3];
        for (number, (samples, plane)) in self.planes.iter().zip(&mut planes).enumerate() {
            let [across, down] = if number == 0 { [1, 1] } else { factors(self.form) };
            let bytes_each = if self.form == Form::Interleaved { 3 } else { 1 };
            let columns = left as usize / across..(left + width - 1) as usize / across + 1;
            let rows = top as usize / down..(top + height - 1) as usize / down + 1;
            let pitch = columns.len() * bytes_each + 5 + number;
            *plane = Plane { address: address + bytes.len() as u64, pitch: pitch as u32 };
            for row in rows {
                let start = row * samples.width;
                let columns = columns.start * bytes_each..columns.end * bytes_each;
                bytes.extend_from_slice(&samples.values[start + columns.start..start + columns.end]);
                // What must not be read as a pixel.
                bytes.resize(bytes.len() + 5 + number, 0xee);
            }
        }
        let pixels = match self.form {
            Form::Interleaved => Pixels::Interleaved(planes[0]),
            Form::Planes(subsampling) => Pixels::Planes { planes, subsampling },
        };
        (bytes, Source { pixels, decoded: self.decoded, whole: self.whole })
    }

    /// The whole image as libjpeg-turbo would decode it.
    pub(crate) fn rgb(&self) -> Rgb {
        let (width, height) = (self.whole.width as usize, self.whole.height as usize);
        let pixels = match self.form {
            Form::Interleaved => self.planes[0].values.clone(),
            Form::Planes(Subsampling::Grey) => {
                self.planes[0].values.iter().flat_map(|value| [*value; 3]).collect()
            }
            Form::Planes(subsampling) => {
                let [blue, red] = [1, 2].map(|plane| self.planes[plane].scaled_up(subsampling));
                let place = |i: usize| i / width * blue.width + i % width;
                (0..width * height)
                    .flat_map(|i| rgb(self.planes[0].values[i], blue.values[place(i)], red.values[place(i)]))
                    .collect()
            }
        };
        Rgb { width, height, pixels }
    }
}

impl Samples {
    fn scaled_up(&self, subsampling: Subsampling) -> Samples {
        let [across, down] = factors(Form::Planes(subsampling));
        match subsampling {
            Subsampling::S422 if self.width > 2 => self.fancy_columns(),
            Subsampling::S420 if self.width > 2 => self.fancy_both(),
            Subsampling::S440 => self.fancy_rows(),
            _ => self.repeated(across, down),
        }
    }

    fn repeated(&self, across: usize, down: usize) -> Samples {
        let (width, height) = (self.width * across, self.height * down);
        let values = (0..width * height)
            .map(|i| self.values[i / width / down * self.width + i % width / across])
            .collect();
        Samples { width, height, values }
    }

    fn row(&self, row: isize) -> &[u8] {
        let row = row.clamp(0, self.height as isize - 1) as usize;
        &self.values[row * self.width..(row + 1) * self.width]
    }

    fn fancy_columns(&self) -> Samples {
        let mut values = Vec::new();
        for row in 0..self.height as isize {
            let row: Vec<u32> = self.row(row).iter().map(|value| u32::from(*value)).collect();
            for column in 0..row.len() {
                let (before, after) = (row[column.saturating_sub(1)], row[(column + 1).min(row.len() - 1)]);
                values.push(((3 * row[column] + before + 1) / 4) as u8);
                values.push(((3 * row[column] + after + 2) / 4) as u8);
            }
        }
        Samples { width: 2 * self.width, height: self.height, values }
    }

    /// Three times a row, and the row before or after it.
    fn weighed_rows(&self, row: isize) -> Vec<u32> {
        let (near, far) = (row.div_euclid(2), if row % 2 == 0 { row / 2 - 1 } else { row / 2 + 1 });
        self.row(near)
            .iter()
            .zip(self.row(far))
            .map(|(near, far)| 3 * u32::from(*near) + u32::from(*far))
            .collect()
    }

    fn fancy_rows(&self) -> Samples {
        let rows = 2 * self.height as isize;
        let row = |row: isize| {
            self.weighed_rows(row).into_iter().map(move |sum| ((sum + 1 + row as u32 % 2) / 4) as u8)
        };
        Samples { width: self.width, height: rows as usize, values: (0..rows).flat_map(row).collect() }
    }

    fn fancy_both(&self) -> Samples {
        let rows = 2 * self.height as isize;
        let mut values = Vec::new();
        for row in 0..rows {
            let row = self.weighed_rows(row);
            for column in 0..row.len() {
                let (before, after) = (row[column.saturating_sub(1)], row[(column + 1).min(row.len() - 1)]);
                values.push(((3 * row[column] + before + 8) / 16) as u8);
                values.push(((3 * row[column] + after + 7) / 16) as u8);
            }
        }
        Samples { width: 2 * self.width, height: rows as usize, values }
    }
}

/// JFIF's conversion with 16 bits after the point: the products are rounded one by one for red and blue, together for
/// green.
fn rgb(luma: u8, blue_difference: u8, red_difference: u8) -> [u8; 3] {
    let fixed = |factor: f64| (factor * 65536.0 + 0.5) as i64;
    let (y, cb, cr) = (i64::from(luma), i64::from(blue_difference) - 128, i64::from(red_difference) - 128);
    let rounded = |product: i64| (product + 32768).div_euclid(65536);
    let red = y + rounded(fixed(1.402) * cr);
    let green = y + rounded(-fixed(0.34414) * cb - fixed(0.71414) * cr);
    let blue = y + rounded(fixed(1.772) * cb);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}
