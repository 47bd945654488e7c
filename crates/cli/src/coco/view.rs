//! `ocelli coco view`.

use std::path::{Path, PathBuf};

use clap::Args;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, ImageResult};
use ocelli_annotations::{BBox, Category, CategoryId, Filter, Image, ImageId, Store};

use super::error::{Error, Result};
use super::{Done, open, printed, same_file, write_png};
use crate::picture::{Lettering, Picture};

#[derive(Args)]
#[command(
    after_help = "Crowds are dashed. A picture that its file says is to be shown on its side (EXIF) is turned where the \
                  store's size says that the labels follow it."
)]
pub(crate) struct Options {
    /// The store
    store: PathBuf,
    /// The number by which the dataset knows the image
    #[arg(value_name = "IMAGE_ID", allow_negative_numbers = true)]
    image: i64,
    /// The picture to write, as a PNG
    #[arg(short, long, visible_alias = "out", value_name = "FILE.png")]
    output: PathBuf,
    /// Where the images lie, instead of where the store says
    #[arg(long, value_name = "DIRECTORY")]
    images: Option<PathBuf>,
    /// Also draw what a model found, in thinner lines and with scores
    #[arg(long, value_name = "NAME", requires = "run")]
    model: Option<String>,
    /// The model's run
    #[arg(long, value_name = "NAME", requires = "model")]
    run: Option<String>,
    /// The score from which on what was found is drawn
    #[arg(long, value_name = "SCORE", default_value_t = 0.3)]
    score: f64,
}

pub(crate) fn run(options: &Options) -> Result<Done> {
    let store = open(&options.store)?;
    let image = store.image(ImageId(options.image))?;
    let path = image_file(&store, &image, options.images.as_deref())?;
    if [&options.store, &path].into_iter().any(|input| same_file(input, &options.output)) {
        return Err(Error::OntoInput { path: options.output.clone() });
    }
    let pixels = read(&path, &image).map_err(|source| Error::Picture { path: path.clone(), source })?;
    let (columns, rows) = (pixels.width(), pixels.height());
    if (columns, rows) != (image.width, image.height) {
        eprintln!(
            "warning: {} has {columns} x {rows} pixels, and the store says {} x {}: boxes may be in the wrong place",
            path.display(),
            image.width,
            image.height
        );
    }
    let (annotations, predictions) = boxes(options, &store, &image)?;
    let mut canvas = Canvas::new(Picture::new(pixels.into_rgb8()));
    let shown = annotations.iter().chain(&predictions);
    shown.clone().for_each(|shown| canvas.frame(shown));
    // Over all lines, so that they can be read.
    shown.for_each(|shown| canvas.label(shown));
    write_png(&canvas.picture, &options.output)?;
    let (annotations, predictions, output) = (annotations.len(), predictions.len(), options.output.display());
    let found = options.run.as_ref().map_or(String::new(), |_| format!(" and {predictions} detections"));
    let text = format!("drew {annotations} annotations{found} on image {}: {output}\n", image.id);
    printed(false, &(), || text)
}

/// Where an image's file is.
fn image_file(store: &Store, image: &Image, directory: Option<&Path>) -> Result<PathBuf> {
    let path = match directory {
        Some(directory) => directory.join(&image.file_name),
        None => {
            let filter = Filter { images: Some(vec![image.id]), ..Filter::default() };
            let file = store.image_files(&filter)?.into_iter().next();
            file.map_or_else(|| PathBuf::from(&image.file_name), |(path, _)| path)
        }
    };
    match path.exists() {
        true => Ok(path),
        false => Err(Error::NoImageFile { image: image.id, path }),
    }
}

/// The picture of a file. Decoders are other people's code, fed with other people's data.
fn read(path: &Path, image: &Image) -> ImageResult<DynamicImage> {
    let panicked = |_| Err(ImageError::IoError(std::io::Error::other("its decoder panicked")));
    std::panic::catch_unwind(|| decode(path, image)).unwrap_or_else(panicked)
}

/// The pixels as they lie in the file, unless that is to be shown on its side (EXIF) and the store's size is that of what
/// is to be shown. A half turn or a mirror that a file asks for is not made: sizes do not tell whether labels follow it.
fn decode(path: &Path, image: &Image) -> ImageResult<DynamicImage> {
    let mut decoder = ImageReader::open(path)?.with_guessed_format()?.into_decoder()?;
    let (columns, rows) = decoder.dimensions();
    // Metadata that cannot be read turns nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut pixels = DynamicImage::from_decoder(decoder)?;
    let on_its_side = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let stored = (image.width, image.height);
    if on_its_side && stored != (columns, rows) && stored == (rows, columns) {
        pixels.apply_orientation(orientation);
    }
    Ok(pixels)
}

/// A box that is drawn.
struct Shown {
    bbox: BBox,
    color: Rgb888,
    text: String,
    crowd: bool,
    /// Found by a model.
    found: bool,
}

/// The annotations, and what was found.
fn boxes(options: &Options, store: &Store, image: &Image) -> Result<(Vec<Shown>, Vec<Shown>)> {
    let categories = store.categories()?;
    let mut annotations = Vec::new();
    for annotation in store.annotations_of(image.id)? {
        let (color, text) = look(&categories, annotation.category);
        annotations.push(Shown { bbox: annotation.bbox, color, text, crowd: annotation.crowd, found: false });
    }
    let mut predictions = Vec::new();
    if let (Some(model), Some(run)) = (&options.model, &options.run) {
        let run = store.run_by_name(model, run)?;
        for detection in store.predictions_of(run, image.id)? {
            if detection.score >= options.score {
                let (color, name) = look(&categories, detection.category);
                let text = format!("{name} {:.2}", detection.score);
                predictions.push(Shown { bbox: detection.bbox, color, text, crowd: false, found: true });
            }
        }
    }
    Ok((annotations, predictions))
}

/// A category's colour and name.
fn look(categories: &[Category], id: CategoryId) -> (Rgb888, String) {
    match categories.iter().position(|category| category.id == id) {
        Some(position) => (color(position), categories[position].name.clone()),
        None => (Rgb888::WHITE, format!("category {id}")),
    }
}

/// A bright colour for each position: the hues of neighbours are a golden angle apart.
fn color(position: usize) -> Rgb888 {
    let hue = (position as f64 * 0.381_966_011_25).fract() * 6.0;
    let channel = |offset: f64| {
        let place = (hue + offset) % 6.0;
        let share = ((place - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        (50.0 + 205.0 * share) as u8
    };
    Rgb888::new(channel(0.0), channel(4.0), channel(2.0))
}

/// Black or white, whichever can be read on a colour.
fn ink(color: Rgb888) -> Rgb888 {
    let light = 299 * u32::from(color.r()) + 587 * u32::from(color.g()) + 114 * u32::from(color.b());
    if light > 128_000 { Rgb888::BLACK } else { Rgb888::WHITE }
}

struct Canvas {
    picture: Picture,
    /// Pixels of a line.
    line: i32,
    lettering: Lettering,
}

impl Canvas {
    fn new(picture: Picture) -> Canvas {
        let Size { width, height } = picture.size();
        let longer = width.max(height);
        Canvas {
            picture,
            line: (longer / 400).max(2) as i32,
            lettering: Lettering::of_height((longer / 50).max(10)),
        }
    }

    /// The left, upper, right and lower edges of a box in whole pixels, of which there is at least one.
    fn edges(&self, bbox: BBox) -> [i32; 4] {
        let Size { width, height } = self.picture.size();
        // A pixel beyond the picture shows that a box goes on.
        let pixel =
            |place: f64, size: u32| (place.round() as i32).clamp(-1 - self.line, size as i32 + 1 + self.line);
        let (left, top) = (pixel(bbox.x, width), pixel(bbox.y, height));
        let (right, bottom) = (pixel(bbox.x + bbox.width, width), pixel(bbox.y + bbox.height, height));
        [left, top, right.max(left + 1), bottom.max(top + 1)]
    }

    /// Draws a box's lines, which lie within it.
    fn frame(&mut self, &Shown { bbox, color, crowd, found, .. }: &Shown) {
        let [left, top, right, bottom] = self.edges(bbox);
        let line = if found { (self.line / 2).max(1) } else { self.line };
        let (across, down) = (line.min(right - left), line.min(bottom - top));
        for [left, top, right, bottom] in [
            [left, top, right, top + down],
            [left, bottom - down, right, bottom],
            [left, top, left + across, bottom],
            [right - across, top, right, bottom],
        ] {
            if !crowd {
                self.fill([left, top, right, bottom], color);
                continue;
            }
            let (dash, gap) = (5 * self.line, 3 * self.line);
            let level = right - left > bottom - top;
            let (start, end) = if level { (left, right) } else { (top, bottom) };
            for at in (start..end).step_by((dash + gap) as usize) {
                let to = (at + dash).min(end);
                let edges = if level { [at, top, to, bottom] } else { [left, at, right, to] };
                self.fill(edges, color);
            }
        }
    }

    fn fill(&mut self, [left, top, right, bottom]: [i32; 4], color: Rgb888) {
        let size = Size::new((right - left).max(0) as u32, (bottom - top).max(0) as u32);
        self.picture.fill(&Rectangle::new(Point::new(left, top), size), color);
    }

    /// Writes a box's name within the picture: above the box, or in it where there is no room; that of what was found
    /// below it.
    fn label(&mut self, Shown { bbox, color, text, found, .. }: &Shown) {
        let Size { width, height } = self.picture.size();
        let border = (self.line / 2).max(1);
        let letters = self.lettering.fits(width.saturating_sub(2 * border as u32));
        let text: String = text.chars().take(letters).collect();
        let size = self.lettering.size(text.chars().count()) + Size::new_equal(2 * border as u32);
        let [left, top, _, bottom] = self.edges(*bbox);
        let rows = size.height as i32;
        let y = match found {
            false if top >= rows => top - rows,
            false => top,
            true if bottom + rows <= height as i32 => bottom,
            true => bottom - rows,
        };
        let last = |size: u32, taken: u32| size.saturating_sub(taken) as i32;
        let at = Point::new(left.clamp(0, last(width, size.width)), y.clamp(0, last(height, size.height)));
        self.picture.fill(&Rectangle::new(at, size), *color);
        self.picture.text(&text, at + Point::new_equal(border), self.lettering, ink(*color));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bbox: [f64; 4], crowd: bool) -> Shown {
        Shown {
            bbox: bbox.into(),
            color: color(0),
            text: "猫 in the window of a shop".into(),
            crowd,
            found: false,
        }
    }

    #[test]
    fn colours_differ_and_can_be_written_on() {
        let colors: Vec<Rgb888> = (0..80).map(color).collect();
        for (place, one) in colors.iter().enumerate() {
            assert!(colors[..place].iter().all(|other| other != one), "{place}");
        }
        assert_eq!(ink(Rgb888::new(255, 255, 50)), Rgb888::BLACK);
        assert_eq!(ink(Rgb888::new(50, 50, 255)), Rgb888::WHITE);
    }

    #[test]
    fn labels_are_whole_and_within_the_picture() {
        for at in [[0.0, 0.0], [390.0, 0.0], [0.0, 290.0], [390.0, 290.0], [200.0, 150.0], [-50.0, 500.0]] {
            for found in [false, true] {
                let mut canvas = Canvas::new(Picture::blank(400, 300, Rgb888::new(1, 2, 3)));
                let shown = Shown { found, ..shown([at[0], at[1], 10.0, 10.0], false) };
                let size = canvas.lettering.size(shown.text.chars().count()) + Size::new_equal(2);
                canvas.label(&shown);
                let drawn = canvas.picture.count(|color| color != Rgb888::new(1, 2, 3));
                assert_eq!(drawn, (size.width * size.height) as usize, "{at:?}");
            }
        }
    }

    #[test]
    fn the_line_of_a_crowd_has_gaps() {
        let drawn = |crowd| {
            let mut canvas = Canvas::new(Picture::blank(400, 300, Rgb888::BLACK));
            canvas.frame(&shown([100.0, 100.0, 80.0, 40.0], crowd));
            canvas.picture.count(|color| color == self::color(0))
        };
        // Two lines of 80 and two of 40, two pixels broad, which share corners.
        assert_eq!(drawn(false), 2 * 2 * (80 + 40) - 4 * 4);
        assert!((drawn(false) / 2..drawn(false) * 3 / 4).contains(&drawn(true)), "{}", drawn(true));
    }

    #[test]
    fn any_box_is_drawn_on_any_picture() {
        for (width, height) in [(1, 1), (3, 200), (640, 480), (5000, 4)] {
            for bbox in [
                [0.0, 0.0, 0.0, 0.0],
                [-1e300, -1e300, f64::MAX, f64::MAX],
                [f64::NAN, 1.0, f64::INFINITY, -3.0],
                [1e9, 1e9, 10.0, 10.0],
                [0.2, 0.2, 0.5, 0.5],
            ] {
                for crowd in [false, true] {
                    let mut canvas = Canvas::new(Picture::blank(width, height, Rgb888::WHITE));
                    canvas.frame(&shown(bbox, crowd));
                    canvas.label(&Shown { found: crowd, ..shown(bbox, crowd) });
                }
            }
        }
    }
}
