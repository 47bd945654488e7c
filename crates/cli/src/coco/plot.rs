//! The statistics of a dataset as a picture.

use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;
use ocelli_annotations::statistics::{Class, Statistics};

use crate::picture::{Lettering, Picture};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 800;
const MARGIN: i32 = 30;
const TITLE: u32 = 15;
const LABEL: u32 = 13;

/// Classes that are drawn, those with the most annotations.
const CLASSES: usize = 30;
/// Bars of a histogram, at most.
const BARS: usize = 40;

const BAR: Rgb888 = Rgb888::new(0x2f, 0x6f, 0xb0);
const LINE: Rgb888 = Rgb888::new(0x99, 0x99, 0x99);

/// Draws the classes by annotations, the sizes of boxes (the square roots of their areas, in pixels), and the images by
/// annotations.
pub(super) fn draw(statistics: &Statistics, lengths: &[f64]) -> Picture {
    let mut picture = Picture::blank(WIDTH, HEIGHT, Rgb888::WHITE);
    let half = WIDTH as i32 / 2;
    let classes = Rectangle::with_corners(
        Point::new(MARGIN, MARGIN),
        Point::new(half - MARGIN, HEIGHT as i32 - MARGIN),
    );
    draw_classes(&mut picture, classes, statistics);

    let middle = HEIGHT as i32 / 2;
    let right = WIDTH as i32 - MARGIN;
    let upper =
        Rectangle::with_corners(Point::new(half + MARGIN, MARGIN), Point::new(right, middle - MARGIN));
    let sizes = Histogram::of(lengths.iter().map(|&length| (length, 1)), false);
    draw_histogram(&mut picture, upper, "boxes by size: square root of the area, pixels", &sizes);

    let lower =
        Rectangle::with_corners(Point::new(half + MARGIN, middle), Point::new(right, HEIGHT as i32 - MARGIN));
    let images = statistics.images_by_annotations.iter().enumerate();
    let images = Histogram::of(images.map(|(annotations, &images)| (annotations as f64, images)), true);
    draw_histogram(&mut picture, lower, "images by annotations", &images);
    picture
}

fn draw_classes(picture: &mut Picture, area: Rectangle, statistics: &Statistics) {
    let mut classes: Vec<&Class> = statistics.classes.iter().collect();
    // Of equal counts those first that the dataset has first.
    classes.sort_by_key(|class| std::cmp::Reverse(class.annotations));
    let all = classes.len();
    classes.truncate(CLASSES);
    let title = match all > classes.len() {
        true => format!("annotations by class: the first {} of {all}", classes.len()),
        false => "annotations by class".to_owned(),
    };
    let top = draw_title(picture, &area, &title);
    let Some(most) = classes.first().map(|class| class.annotations) else { return };

    let lettering = Lettering::of_height(LABEL);
    let longest = classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
    // Names take up to two fifths, counts what the longest takes.
    let letters = longest.min(lettering.fits(area.size.width * 2 / 5));
    let names = lettering.size(letters + 1).width as i32;
    let counts = lettering.size(most.to_string().len() + 1).width as i32;
    let room = (area.size.width as i32 - names - counts).max(1) as usize;
    let row = (bottom(&area) - top) / CLASSES as i32;
    for (place, class) in classes.iter().enumerate() {
        let y = top + place as i32 * row;
        let name: String = class.name.chars().take(letters).collect();
        picture.text(&name, Point::new(area.top_left.x, y + 3), lettering, Rgb888::BLACK);
        let length = length(class.annotations, most, room);
        let start = Point::new(area.top_left.x + names, y + 2);
        picture.fill(&Rectangle::new(start, Size::new(length, row.max(6) as u32 - 5)), BAR);
        let count = class.annotations.to_string();
        let after = lettering.size(1).width as i32 / 2;
        picture.text(&count, Point::new(start.x + length as i32 + after, y + 3), lettering, Rgb888::BLACK);
    }
}

/// Counts of numbers by equal steps from 0 on.
#[derive(Debug, PartialEq)]
struct Histogram {
    step: f64,
    counts: Vec<usize>,
}

impl Histogram {
    /// Of numbers from 0 on, each with how often it is there, in at most [`BARS`] steps of a round size.
    fn of(numbers: impl Iterator<Item = (f64, usize)> + Clone, whole: bool) -> Histogram {
        let finite = numbers.filter(|(number, _)| number.is_finite());
        let most = finite.clone().map(|(number, _)| number).fold(0.0, f64::max);
        let mut step = if whole { 1.0 } else { 0.01 };
        // 1, 2, 5, 10, 20, 50, ..
        for factor in [2.0, 2.5, 2.0].into_iter().cycle() {
            if most / step < BARS as f64 {
                break;
            }
            step *= factor;
        }
        let place = |number: f64| ((number / step) as usize).min(BARS - 1);
        let mut counts = vec![0; place(most) + 1];
        for (number, count) in finite {
            counts[place(number)] += count;
        }
        Histogram { step, counts }
    }
}

fn draw_histogram(
    picture: &mut Picture,
    area: Rectangle,
    title: &str,
    Histogram { step, counts }: &Histogram,
) {
    let top = draw_title(picture, &area, title);
    let lettering = Lettering::of_height(LABEL);
    let most = counts.iter().copied().max().unwrap_or(0);
    let letter = lettering.size(1);
    let left = area.top_left.x + lettering.size(most.to_string().len()).width as i32 + letter.width as i32;
    let base = bottom(&area) - letter.height as i32 - 6;
    let width = (area.top_left.x + area.size.width as i32 - left) / counts.len().max(1) as i32;
    // Few bars are no reason for broad ones.
    let width = width.min(60);

    picture.text(&most.to_string(), Point::new(area.top_left.x, top), lettering, Rgb888::BLACK);
    picture.text(
        "0",
        Point::new(left - 2 * letter.width as i32, base - letter.height as i32),
        lettering,
        Rgb888::BLACK,
    );
    let axis = Size::new((width * counts.len() as i32).max(1) as u32, 1);
    for y in [top, base] {
        picture.fill(&Rectangle::new(Point::new(left, y), axis), LINE);
    }

    let numbers: Vec<String> = (0..counts.len()).map(|place| number(place as f64 * step)).collect();
    let longest = numbers.iter().map(String::len).max().unwrap_or(0);
    // Some bars go without a number, so that numbers do not touch.
    let every = (lettering.size(longest + 1).width as usize).div_ceil(width.max(1) as usize).max(1);
    for (place, (&count, number)) in counts.iter().zip(&numbers).enumerate() {
        let x = left + place as i32 * width;
        let height = length(count, most, (base - top).max(1) as usize);
        let bar = Rectangle::new(
            Point::new(x + 1, base - height as i32),
            Size::new((width - 1).max(1) as u32, height),
        );
        picture.fill(&bar, BAR);
        if place % every == 0 {
            picture.fill(&Rectangle::new(Point::new(x, base), Size::new(1, 5)), LINE);
            picture.text(number, Point::new(x, base + 6), lettering, Rgb888::BLACK);
        }
    }
}

/// Writes a title, and says where the rest begins.
fn draw_title(picture: &mut Picture, area: &Rectangle, title: &str) -> i32 {
    let lettering = Lettering::of_height(TITLE);
    picture.text(title, area.top_left, lettering, Rgb888::BLACK);
    area.top_left.y + lettering.size(0).height as i32 + 10
}

/// The pixels of a bar; what is there shows.
fn length(count: usize, most: usize, room: usize) -> u32 {
    match count {
        0 => 0,
        count => (((count as f64 / most as f64) * room as f64) as u32).max(1),
    }
}

fn number(number: f64) -> String {
    match number.fract() == 0.0 {
        true => format!("{number}"),
        false => format!("{number:.2}"),
    }
}

fn bottom(area: &Rectangle) -> i32 {
    area.top_left.y + area.size.height as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        let of = |numbers: &[f64], whole| Histogram::of(numbers.iter().map(|&number| (number, 1)), whole);
        assert_eq!(of(&[0.0, 1.0, 1.0, 3.0], true), Histogram { step: 1.0, counts: vec![1, 2, 0, 1] });
        assert_eq!(of(&[], true), Histogram { step: 1.0, counts: vec![0] });
        let histogram = of(&[0.0, 19.9, 20.0, 640.0, f64::NAN, f64::INFINITY], false);
        assert_eq!((histogram.step, histogram.counts.len()), (20.0, 33));
        assert_eq!((histogram.counts[0], histogram.counts[1], histogram.counts[32]), (2, 1, 1));
        assert!(of(&[1e300], false).counts.len() <= BARS);
        assert_eq!(of(&[40.0], true).step, 2.0);
    }
}
