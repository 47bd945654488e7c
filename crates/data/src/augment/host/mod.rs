//! Augmentation on the host: slow and plain, what the GPU's kernel is held against, and of use where there is no GPU.

mod colours;
mod finish;
mod moves;
mod resize;
mod statistics;

use super::area::{Rectangle, Size};
use super::drawn::Drawn;
use super::operation::Operation;
use super::output::Output;
use crate::images::Rgb;
use crate::{Error, Result};

/// One image, augmented and normalised: `[height, width, channels]` of [`Drawn::size`], not rounded to the output's
/// type.
///
/// # Errors
/// As [`pixels`], and [`Error::Setting`] for an output that makes no sense.
pub fn apply(drawn: &Drawn, image: &Rgb, output: &Output) -> Result<Vec<f32>> {
    apply_on_canvas(drawn, image, output, drawn.size)
}

/// The same at the top left of a canvas that is zero elsewhere: `[height, width, channels]` of `canvas`.
///
/// # Errors
/// As [`apply`], and [`Error::Setting`] for a canvas that is smaller than the image.
pub fn apply_on_canvas(drawn: &Drawn, image: &Rgb, output: &Output, canvas: Size) -> Result<Vec<f32>> {
    output.check()?;
    if canvas.width < drawn.size.width || canvas.height < drawn.size.height {
        return Err(Error::Setting {
            what: format!("{:?} is larger than its canvas, {canvas:?}", drawn.size),
        });
    }
    Ok(finish::finish(&pixels(drawn, image)?, drawn, output, canvas))
}

/// One image, augmented, before it is normalised and erased: [`Drawn::size`] pixels.
///
/// # Errors
/// [`Error::Setting`] where the image is not the one that `drawn` was drawn for, or `drawn` contradicts itself.
pub fn pixels(drawn: &Drawn, image: &Rgb) -> Result<Rgb> {
    check(drawn, image)?;
    let mut result = resize::resize(drawn, &oriented(drawn, image));
    for operation in &drawn.operations {
        operate(operation, &mut result);
    }
    Ok(result)
}

fn operate(operation: &Operation, image: &mut Rgb) {
    match *operation {
        Operation::Brightness(factor) => colours::each(image, |pixel| colours::brightness(pixel, factor)),
        Operation::Contrast(factor) => statistics::contrast(image, factor),
        Operation::Saturation(factor) => colours::each(image, |pixel| colours::saturation(pixel, factor)),
        Operation::Hue(shift) => colours::each(image, |pixel| colours::hue(pixel, shift)),
        Operation::Sharpness(factor) => moves::sharpness(image, factor),
        Operation::Posterize(bits) => colours::each(image, |pixel| colours::posterize(pixel, bits)),
        Operation::Solarize(threshold) => colours::each(image, |pixel| colours::solarize(pixel, threshold)),
        Operation::AutoContrast => statistics::auto_contrast(image),
        Operation::Equalize => statistics::equalize(image),
        Operation::Affine(affine) => moves::affine(image, &affine),
        Operation::Blacken(part) => blacken(image, part),
    }
}

fn blacken(image: &mut Rgb, part: Rectangle) {
    for (place, pixel) in image.pixels.chunks_exact_mut(3).enumerate() {
        if part.contains((place % image.width) as u32, (place / image.width) as u32) {
            pixel.fill(0);
        }
    }
}

/// The image with its orientation undone.
fn oriented(drawn: &Drawn, image: &Rgb) -> Rgb {
    let stored = Size { width: image.width as u32, height: image.height as u32 };
    let [xx, xy, x0, yx, yy, y0] = drawn.orientation.to_stored(stored).map(|m| m as isize);
    let (width, height) = (drawn.image.width as usize, drawn.image.height as usize);
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for y in 0..height as isize {
        for x in 0..width as isize {
            let (column, row) = (xx * x + xy * y + x0, yx * x + yy * y + y0);
            let start = (row as usize * image.width + column as usize) * 3;
            pixels.extend_from_slice(&image.pixels[start..start + 3]);
        }
    }
    Rgb { width, height, pixels }
}

fn check(drawn: &Drawn, image: &Rgb) -> Result<()> {
    let fault = |what: String| Err(Error::Setting { what });
    let stored = drawn.orientation.turn(drawn.image);
    if [stored.width as usize, stored.height as usize] != [image.width, image.height] {
        return fault(format!(
            "an augmentation of {} x {} stored pixels does not fit an image of {} x {}",
            stored.width, stored.height, image.width, image.height
        ));
    }
    let bytes = image.width.checked_mul(image.height).and_then(|pixels| pixels.checked_mul(3));
    if bytes != Some(image.pixels.len()) {
        return fault(format!(
            "an image of {} x {} pixels has not {} bytes",
            image.width,
            image.height,
            image.pixels.len()
        ));
    }
    drawn.check()
}
