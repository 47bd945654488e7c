//! Operations that look at other pixels.

use super::colours::cut;
use crate::augment::area::Size;
use crate::augment::operation::Affine;
use crate::images::Rgb;

pub(super) fn affine(image: &mut Rgb, affine: &Affine) {
    let size = Size { width: image.width as u32, height: image.height as u32 };
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for y in 0..size.height {
        for x in 0..size.width {
            let source = affine.source(x, y, size);
            let start = source.map(|[x, y]| (y as usize * image.width + x as usize) * 3);
            pixels
                .extend(start.map_or([0; 3], |start| [0, 1, 2].map(|channel| image.pixels[start + channel])));
        }
    }
    image.pixels = pixels;
}

pub(super) fn sharpness(image: &mut Rgb, factor: f32) {
    let (width, height) = (image.width, image.height);
    if width < 3 || height < 3 {
        return;
    }
    let rest = (1.0 - f64::from(factor)) as f32;
    let source = image.pixels.clone();
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            for channel in 0..3 {
                let at = |x: usize, y: usize| u32::from(source[(y * width + x) * 3 + channel]);
                let around: u32 = (y - 1..y + 2)
                    .flat_map(|y| (x - 1..x + 2).map(move |x| (x, y)))
                    .map(|(x, y)| at(x, y))
                    .sum();
                // Thirteenths never lie in the middle between two whole numbers, so that rounding has no doubt.
                let blurred = (2 * (around + 4 * at(x, y)) + 13) / 26;
                let value = at(x, y) as f32;
                image.pixels[(y * width + x) * 3 + channel] =
                    cut((blurred as f32 - value).mul_add(rest, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(width: usize, height: usize) -> Rgb {
        let pixel = |i: usize| [(i % width) as u8 + 1, (i / width) as u8 + 1, 200];
        Rgb { width, height, pixels: (0..width * height).flat_map(pixel).collect() }
    }

    #[test]
    fn a_translation_moves_pixels_and_leaves_black() {
        let mut image = places(7, 5);
        affine(&mut image, &Affine::translate(2.0, -1.0));
        for y in 0..5usize {
            for x in 0..7usize {
                let start = (y * 7 + x) * 3;
                let inside = x >= 2 && y < 4;
                let expected = if inside { [x as u8 - 1, y as u8 + 2, 200] } else { [0; 3] };
                assert_eq!(image.pixels[start..start + 3], expected, "{x} {y}");
            }
        }
    }

    #[test]
    fn four_quarter_turns_are_none_and_two_are_a_half() {
        let mut image = places(6, 6);
        (0..2).for_each(|_| affine(&mut image, &Affine::rotate(90.0)));
        let reversed: Vec<u8> = places(6, 6).pixels.rchunks_exact(3).flatten().copied().collect();
        assert_eq!(image.pixels, reversed);
        (0..2).for_each(|_| affine(&mut image, &Affine::rotate(90.0)));
        assert_eq!(image, places(6, 6));
        // Counterclockwise: the top right corner comes to the top left.
        affine(&mut image, &Affine::rotate(90.0));
        assert_eq!(image.pixels[..3], [6, 1, 200]);
    }

    #[test]
    fn sharpness_leaves_the_border_and_flat_parts() {
        let mut image = Rgb { width: 5, height: 5, pixels: vec![100; 75] };
        image.pixels[36] = 200;
        sharpness(&mut image, 0.0);
        // Red in the middle: (8 * 100 + 5 * 200) / 13 = 138.46; around it (12 * 100 + 200) / 13 = 107.69.
        assert_eq!(image.pixels[36], 138);
        assert_eq!(image.pixels[33], 108);
        assert!(image.pixels[..15].iter().all(|value| *value == 100));
        assert_eq!(image.pixels[37], 100);
    }
}
