//! A picture to draw on with `embedded-graphics`, and lettering of any height.

use std::convert::Infallible;
use std::io::Write;

use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Dimensions, OriginDimensions, Point, Size};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle, iso_8859_1};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageResult, Rgb, RgbImage};

/// Pixels. What is drawn beyond them is left out.
pub(crate) struct Picture {
    pixels: RgbImage,
}

impl Picture {
    /// A picture of these pixels.
    pub(crate) fn new(pixels: RgbImage) -> Picture {
        Picture { pixels }
    }

    /// A picture of one colour.
    pub(crate) fn blank(width: u32, height: u32, color: Rgb888) -> Picture {
        Picture { pixels: RgbImage::from_pixel(width, height, rgb(color)) }
    }

    /// Paints an area.
    pub(crate) fn fill(&mut self, area: &Rectangle, color: Rgb888) {
        let area = area.intersection(&self.bounding_box());
        let (left, top) = (area.top_left.x.max(0) as u32, area.top_left.y.max(0) as u32);
        for y in top..top + area.size.height {
            for x in left..left + area.size.width {
                self.pixels.put_pixel(x, y, rgb(color));
            }
        }
    }

    /// Writes text whose upper left corner is here.
    pub(crate) fn text(&mut self, text: &str, at: Point, lettering: Lettering, color: Rgb888) {
        let text = latin(text);
        let style = MonoTextStyle::new(lettering.font, color);
        let mut target = Scaled { picture: self, at, factor: lettering.factor };
        let Ok(_) = Text::with_baseline(&text, Point::zero(), style, Baseline::Top).draw(&mut target);
    }

    /// Pixels of some colours.
    #[cfg(test)]
    pub(crate) fn count(&self, is_meant: impl Fn(Rgb888) -> bool) -> usize {
        self.pixels.pixels().filter(|Rgb([r, g, b])| is_meant(Rgb888::new(*r, *g, *b))).count()
    }

    /// Writes the picture as a PNG.
    pub(crate) fn write_png(&self, output: impl Write) -> ImageResult<()> {
        let (width, height) = self.pixels.dimensions();
        PngEncoder::new(output).write_image(self.pixels.as_raw(), width, height, ExtendedColorType::Rgb8)
    }
}

fn rgb(color: Rgb888) -> Rgb<u8> {
    Rgb([color.r(), color.g(), color.b()])
}

impl OriginDimensions for Picture {
    fn size(&self) -> Size {
        Size::new(self.pixels.width(), self.pixels.height())
    }
}

impl DrawTarget for Picture {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(Point { x, y }, color) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
                && let Some(pixel) = self.pixels.get_pixel_mut_checked(x, y)
            {
                *pixel = rgb(color);
            }
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Rgb888) -> Result<(), Infallible> {
        self.fill(area, color);
        Ok(())
    }
}

/// A part of a picture in which every pixel is drawn as a square.
struct Scaled<'a> {
    picture: &'a mut Picture,
    at: Point,
    factor: u32,
}

impl Dimensions for Scaled<'_> {
    fn bounding_box(&self) -> Rectangle {
        Rectangle::new(Point::zero(), self.picture.size())
    }
}

impl DrawTarget for Scaled<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, color) in pixels {
            let square = Rectangle::new(self.at + point * self.factor as i32, Size::new_equal(self.factor));
            self.picture.fill(&square, color);
        }
        Ok(())
    }
}

/// Letters of one width, of a height that is near to what is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Lettering {
    font: &'static MonoFont<'static>,
    factor: u32,
}

impl Lettering {
    /// Letters about as high as so many pixels.
    pub(crate) fn of_height(pixels: u32) -> Lettering {
        let (font, factor) = match pixels {
            0..=11 => (&iso_8859_1::FONT_6X10, 1),
            12..=14 => (&iso_8859_1::FONT_7X13_BOLD, 1),
            15..=17 => (&iso_8859_1::FONT_9X15_BOLD, 1),
            18..=29 => (&iso_8859_1::FONT_10X20, 1),
            // 30 to 49 is 2 x 20, and so on.
            _ => (&iso_8859_1::FONT_10X20, ((pixels.saturating_add(10)) / 20).min(64)),
        };
        Lettering { font, factor }
    }

    /// Columns and rows of a line of so many letters.
    pub(crate) fn size(self, letters: usize) -> Size {
        let letter = self.letter();
        Size::new(letter.width.saturating_mul(u32::try_from(letters).unwrap_or(u32::MAX)), letter.height)
    }

    /// How many letters fit into so many columns.
    pub(crate) fn fits(self, columns: u32) -> usize {
        (columns / self.letter().width.max(1)) as usize
    }

    fn letter(self) -> Size {
        self.font.character_size * self.factor
    }
}

/// Text in the letters that there are, those of ISO 8859-1: `?` for any other.
fn latin(text: &str) -> String {
    text.chars()
        .map(|letter| if matches!(letter, ' '..='~' | '\u{a0}'..='ÿ') { letter } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INK: Rgb888 = Rgb888::new(200, 30, 30);

    fn inked(picture: &Picture) -> Vec<(u32, u32)> {
        let is_ink = |(x, y, pixel): (u32, u32, &Rgb<u8>)| (*pixel == rgb(INK)).then_some((x, y));
        picture.pixels.enumerate_pixels().filter_map(is_ink).collect()
    }

    #[test]
    fn what_is_beyond_the_picture_is_left_out() {
        let mut picture = Picture::blank(4, 3, Rgb888::WHITE);
        picture.fill(&Rectangle::new(Point::new(-5, 1), Size::new(7, 100)), INK);
        assert_eq!(inked(&picture), [(0, 1), (1, 1), (0, 2), (1, 2)]);
        picture.fill(&Rectangle::new(Point::new(9, 9), Size::new(5, 5)), INK);
        picture.text("far", Point::new(-300, 2), Lettering::of_height(10), INK);
        picture.text("far", Point::new(i32::MAX - 100, 2), Lettering::of_height(10), INK);
        assert_eq!(inked(&picture).len(), 4);
    }

    #[test]
    fn letters_grow_with_the_height_and_stay_in_their_size() {
        for height in [8, 13, 15, 20, 40, 200] {
            let lettering = Lettering::of_height(height);
            let Size { width, height: rows } = lettering.size(2);
            assert!(rows.abs_diff(height) <= height / 3 + 2, "{rows} for {height}");
            let mut picture = Picture::blank(width + 20, rows + 20, Rgb888::WHITE);
            picture.text("Wg", Point::new(10, 10), lettering, INK);
            let inked = inked(&picture);
            assert!(!inked.is_empty());
            assert!(
                inked.iter().all(|&(x, y)| (10..10 + width).contains(&x) && (10..10 + rows).contains(&y))
            );
            assert_eq!(lettering.fits(width), 2);
        }
    }

    #[test]
    fn letters_that_are_not_there_become_question_marks() {
        assert_eq!(latin("Gänse ÿ¿ 猫\n€"), "Gänse ÿ¿ ???");
    }
}
