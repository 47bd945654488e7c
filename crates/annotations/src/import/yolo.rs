//! YOLO's text files: a file for each image, a line for each box.

mod names;

use std::collections::{HashMap, HashSet};
use std::path::Path;

pub use names::yolo_names;

use super::files::{self, CHUNK, Found};
use super::report::{Outcome, Reason};
use super::{Gathering, Options, Progress, Report, Source};
use crate::error::{Error, Result};
use crate::parallel;
use crate::segmentation::Segmentation;
use crate::types::{Annotation, AnnotationId, BBox, Category, CategoryId, Image, ImageId};

/// Makes a store from YOLO's text files, one directory of labels and one of images for each split.
///
/// The labels of `images/a/1.jpg` are in `labels/a/1.txt`, where `images` and `labels` stand for the directories of the
/// [`Source`] (which may be the same one); both are searched below, and hidden files are left out. Images are files
/// with the extension jpg, jpeg, png, bmp, webp, tif or tiff. An image without a file of labels is one without boxes. A
/// `classes.txt` beside the labels is not taken for labels.
///
/// Each line is `class cx cy width height`, the box's centre and size as parts of the image's, or
/// `class x1 y1 x2 y2 x3 y3 ..`, a polygon: that is kept as the mask, its extent is the box, and its area the
/// annotation's. The image's size is read from its file; a rotation that the file notes is not made.
///
/// A class's number is its category's, counted from 0, and `names` names them all ([`yolo_names`] reads them). Images
/// are numbered from 1 in the order of their path from the directory on, which is their file name, one source after the
/// other, and annotations from 1 in the same order.
///
/// Labels without an image are left out ([`Reason::NoImageFile`]), and so are images that cannot be read, with their
/// labels ([`Reason::UnreadableImage`]).
///
/// # Errors
/// [`Error::Malformed`] names the file and the line where something else stands than it should, a confidence included,
/// and a class that has no name; [`Error::Setting`] where a directory holds no labels or no images, or no class has a
/// name; [`Error::BadBox`] if [`OnBadBox`](super::OnBadBox) asks for it; [`Error::Exists`]; [`Error::Io`];
/// [`Error::DiskFull`]. There is no store then.
pub fn yolo(
    store: impl AsRef<Path>,
    sources: &[Source],
    names: &[String],
    options: &Options,
    mut progress: impl FnMut(Progress),
) -> Result<Report> {
    if names.is_empty() {
        return Err(Error::Setting { what: "no class has a name: give the names of all classes".into() });
    }
    let sources: Vec<Listed> = sources.iter().map(Listed::new).collect::<Result<_>>()?;
    let total: u64 = sources.iter().map(|source| files::bytes(&source.labels)).sum();
    let mut gathering = Gathering::new(store.as_ref(), options)?;
    for (class, name) in names.iter().enumerate() {
        let category =
            Category { id: CategoryId(class as i64), name: name.clone(), supercategory: String::new() };
        gathering.category(category, None);
    }
    let mut read = 0;
    let mut progress = |bytes| {
        // Several images may share a file of labels: 1.jpg and 1.png.
        read = total.min(read + bytes);
        progress(Progress { read, total: Some(total) });
    };
    let mut import = Import {
        store: store.as_ref(),
        gathering: &mut gathering,
        classes: names.len(),
        images: 0,
        annotations: 0,
    };
    let result = sources.iter().try_for_each(|source| import.source(source, &mut progress));
    match result {
        Ok(()) => gathering.finish(),
        Err(error) => Err(gathering.failed(error)),
    }
}

/// A source and its files.
struct Listed<'a> {
    source: &'a Source,
    labels: Vec<Found>,
    images: Vec<Found>,
}

impl Listed<'_> {
    fn new(source: &Source) -> Result<Listed<'_>> {
        let labels = files::below(&source.labels, &["txt"])?;
        let images = files::below(&source.images, &files::IMAGES)?;
        let none = |what, directory: &Path| {
            let what = format!(
                "there are no {what} below {}: name the directory that holds them",
                directory.display()
            );
            Err(Error::Setting { what })
        };
        if labels.is_empty() {
            return none("labels (.txt)", &source.labels);
        }
        if images.is_empty() {
            return none("images", &source.images);
        }
        Ok(Listed { source, labels, images })
    }
}

/// A box or a polygon of a line, in parts of the image's size.
#[derive(Debug, PartialEq)]
struct Line {
    class: usize,
    /// The centre and the size, or the corners of a polygon.
    numbers: Vec<f64>,
}

struct Import<'a> {
    store: &'a Path,
    gathering: &'a mut Gathering,
    classes: usize,
    /// Images and annotations so far.
    images: i64,
    annotations: i64,
}

impl Import<'_> {
    fn source(&mut self, listed: &Listed<'_>, progress: &mut impl FnMut(u64)) -> Result<()> {
        let Listed { source, labels, images } = listed;
        self.gathering.begin_split(&source.split, &source.images, &source.labels);
        let description = files::describe(&source.labels, &source.images, labels);
        self.gathering.meta(format!("source/{}", source.split), description);

        let stems: HashSet<&str> = images.iter().map(Found::stem).collect();
        for label in labels.iter().filter(|label| !stems.contains(label.stem())) {
            if label.path.file_name().is_none_or(|name| name != "classes.txt") {
                self.gathering.note(Reason::NoImageFile, Outcome::Dropped, label.path.display());
            }
            progress(label.bytes);
        }

        let labels: HashMap<&str, &Found> = labels.iter().map(|label| (label.stem(), label)).collect();
        let classes = self.classes;
        for images in images.chunks(CHUNK) {
            let pairs: Vec<_> =
                images.iter().map(|image| (image, labels.get(image.stem()).copied())).collect();
            let read = parallel::in_order(&pairs, |(image, labels)| {
                let lines = labels.map_or(Ok(Vec::new()), |labels| lines(&labels.path, classes));
                (files::size(&image.path), lines)
            });
            let bytes = pairs.iter().filter_map(|(_, labels)| *labels).map(|labels| labels.bytes).sum();
            for ((image, labels), (size, lines)) in pairs.into_iter().zip(read) {
                let lines = lines?;
                match size {
                    Ok(size) => self.image(image, size, labels, lines)?,
                    Err(error) => self.gathering.note(Reason::UnreadableImage, Outcome::Dropped, error),
                }
            }
            progress(bytes);
        }
        Ok(())
    }

    fn image(
        &mut self,
        image: &Found,
        (width, height): (u32, u32),
        labels: Option<&Found>,
        lines: Vec<Line>,
    ) -> Result<()> {
        self.images += 1;
        let id = ImageId(self.images);
        let mut works =
            self.gathering.image(Image { id, file_name: image.name.clone(), width, height }, None);
        if let Some(labels) = labels {
            self.gathering.begin_file(&labels.path);
        }
        for line in lines {
            self.annotations += 1;
            let (bbox, polygon) = line.in_pixels(f64::from(width), f64::from(height));
            let annotation = Annotation {
                id: AnnotationId(self.annotations),
                image: id,
                category: CategoryId(line.class as i64),
                bbox,
                area: polygon.as_ref().map_or(bbox.area(), Segmentation::area),
                crowd: false,
            };
            works &= self.gathering.annotation(annotation, polygon.map(|polygon| polygon.to_json()), None);
        }
        if works { Ok(()) } else { Err(files::unheard(self.store)) }
    }
}

/// The lines of a file of labels.
fn lines(path: &Path, classes: usize) -> Result<Vec<Line>> {
    let text = files::text(path)?;
    let mut lines = Vec::new();
    for (position, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let line = Line::parse(line.trim(), classes);
        lines.push(line.map_err(|what| files::malformed(path, format!("line {}: {what}", position + 1)))?);
    }
    Ok(lines)
}

impl Line {
    fn parse(line: &str, classes: usize) -> Result<Line, String> {
        if line.contains('\r') {
            return Err("a carriage return within it: end lines with a line feed".into());
        }
        let mut words = line.split_whitespace();
        let class = words.next().unwrap_or_default();
        let class: usize =
            class.parse().map_err(|_| format!("{class:?} is no class: expected its number from 0"))?;
        if class >= classes {
            return Err(format!("class {class} has no name: there are {classes} names, counted from 0"));
        }
        let number = |word: &str| match word.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!("{word:?} is no finite number")),
        };
        let numbers: Vec<f64> = words.map(number).collect::<Result<_, String>>()?;
        match numbers.len() {
            4 => Ok(Line { class, numbers }),
            5 => {
                Err("six numbers: the last seems to be a confidence, and these predictions, not labels"
                    .into())
            }
            count if count >= 6 && count.is_multiple_of(2) => Ok(Line { class, numbers }),
            count => Err(format!(
                "{count} numbers after the class: a box has 4 (centre and size), a polygon an even number from 6"
            )),
        }
    }

    /// The box, and the polygon if it is one.
    fn in_pixels(&self, columns: f64, rows: f64) -> (BBox, Option<Segmentation>) {
        if let [cx, cy, width, height] = self.numbers[..] {
            let (x, y) = ((cx - width / 2.0) * columns, (cy - height / 2.0) * rows);
            return (BBox::new(x, y, width * columns, height * rows), None);
        }
        let corners = self.numbers.as_chunks().0.iter().map(|&[x, y]| [x * columns, y * rows]);
        let empty = (f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY);
        let (left, top, right, bottom) = corners.clone().fold(empty, |(left, top, right, bottom), [x, y]| {
            (left.min(x), top.min(y), right.max(x), bottom.max(y))
        });
        let polygon = corners.flatten().collect();
        (BBox::new(left, top, right - left, bottom - top), Some(Segmentation::Polygons(vec![polygon])))
    }
}
