//! What an importer found, checked and written.
//!
//! Images and details are written by a thread of their own while the importer reads on; annotations are kept until all
//! images and categories are known, because files name them in any order.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rustc_hash::FxHashMap;

use super::report::{Notes, Outcome, Reason, Report};
use super::{OnBadBox, Options};
use crate::error::{Error, Result};
use crate::store::{Bulk, DetailRow, Row};
use crate::types::{Annotation, AnnotationId, BBox, Category, CategoryId, Image, ImageId};

/// A box may reach so far beyond its image, in pixels: datasets round.
const TOLERANCE: f64 = 1.0;
/// Rows that are handed to the writing thread at once, and bytes of details.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;
/// Batches that may wait for the writing thread.
const WAITING: usize = 8;

/// What the writing thread is given.
enum Batch {
    Images(Vec<(Image, Option<String>)>),
    Details(Vec<DetailRow>),
}

/// The labels of one or more sources on their way into a store.
pub(crate) struct Gathering {
    path: PathBuf,
    options: Options,
    writer: JoinHandle<Result<Bulk>>,
    batches: SyncSender<Batch>,
    images: Vec<(Image, Option<String>)>,
    details: Vec<DetailRow>,
    bytes_of_details: usize,
    last_detail: i64,
    sizes: FxHashMap<i64, (u32, u32)>,
    categories: Vec<(Category, Option<String>)>,
    splits: Vec<Split>,
    /// Of formats with a file for each image: where a file's annotations begin among the rows.
    files: Vec<(usize, PathBuf)>,
    rows: Vec<Row>,
    meta: Vec<(String, String)>,
    notes: Notes,
}

struct Split {
    name: String,
    directory: String,
    images: Vec<i64>,
    /// Where its annotations begin among the rows, and the file that they come from.
    first_row: usize,
    labels: PathBuf,
}

impl Gathering {
    /// Begins a store.
    pub(crate) fn new(path: &Path, options: &Options) -> Result<Gathering> {
        let bulk = Bulk::create(path, options.overwrite)?;
        let (batches, received) = sync_channel(WAITING);
        Ok(Gathering {
            path: path.into(),
            options: options.clone(),
            writer: std::thread::spawn(move || write(bulk, received)),
            batches,
            images: Vec::new(),
            details: Vec::new(),
            bytes_of_details: 0,
            last_detail: 0,
            sizes: FxHashMap::default(),
            categories: Vec::new(),
            splits: Vec::new(),
            files: Vec::new(),
            rows: Vec::new(),
            meta: Vec::new(),
            notes: Notes::default(),
        })
    }

    /// Whether only boxes are wanted.
    pub(crate) fn boxes_only(&self) -> bool {
        self.options.boxes_only
    }

    /// Begins a split: what is added from here on belongs to it.
    pub(crate) fn begin_split(&mut self, name: &str, directory: &Path, labels: &Path) {
        let directory = directory.to_string_lossy().into_owned();
        let (name, labels, first_row) = (name.into(), labels.into(), self.rows.len());
        self.splits.push(Split { name, directory, images: Vec::new(), first_row, labels });
    }

    /// Begins a file of labels, in a format with one for each image: annotations added from here on are its own.
    pub(crate) fn begin_file(&mut self, labels: &Path) {
        self.files.push((self.rows.len(), labels.into()));
    }

    /// Adds an image to the split. Yields whether the writer still works.
    pub(crate) fn image(&mut self, image: Image, extra: Option<String>) -> bool {
        let Image { id, width, height, .. } = image;
        if self.sizes.contains_key(&id.0) {
            self.notes.add(Reason::DuplicateImage, Outcome::Dropped, id);
            return true;
        }
        self.sizes.insert(id.0, (width, height));
        if let Some(split) = self.splits.last_mut() {
            split.images.push(id.0);
        }
        self.images.push((image, extra));
        self.images.len() < BATCH_ROWS || self.send_images()
    }

    /// Puts an image that an earlier split has into this one too.
    pub(crate) fn image_again(&mut self, image: ImageId) {
        if let Some(split) = self.splits.last_mut() {
            split.images.push(image.0);
        }
    }

    /// Adds a category, unless one of its number is there.
    pub(crate) fn category(&mut self, category: Category, extra: Option<String>) {
        match self.categories.iter().find(|(known, _)| known.id == category.id) {
            Some((known, _)) if known.name == category.name => {
                // Each file of a dataset lists them all.
                if self.splits.len() < 2 {
                    self.notes.add(Reason::DuplicateCategory, Outcome::Dropped, category.id);
                }
            }
            Some(_) => {
                let which = format!("{} ({})", category.id, category.name);
                self.notes.add(Reason::DuplicateCategory, Outcome::Dropped, which);
            }
            None => self.categories.push((category, extra)),
        }
    }

    /// Gives categories other numbers in all annotations so far, for formats that learn of a category by its first
    /// annotation.
    pub(crate) fn renumber_categories(&mut self, number: impl Fn(CategoryId) -> CategoryId) {
        self.rows.iter_mut().for_each(|row| row.annotation.category = number(row.annotation.category));
    }

    /// Adds an annotation to the split, with its segmentation and what else is said of it, as JSON; an area that is not
    /// finite stands for none. Yields whether the writer still works.
    pub(crate) fn annotation(
        &mut self,
        mut annotation: Annotation,
        segmentation: Option<String>,
        extra: Option<String>,
    ) -> bool {
        if !annotation.area.is_finite() {
            annotation.area = annotation.bbox.area();
            self.notes.add(Reason::NoArea, Outcome::Repaired, annotation.id);
        }
        let mut detail = None;
        if !self.options.boxes_only && (segmentation.is_some() || extra.is_some()) {
            self.last_detail += 1;
            detail = Some(self.last_detail);
            self.bytes_of_details +=
                [&segmentation, &extra].into_iter().flatten().map(String::len).sum::<usize>();
            self.details.push(DetailRow { id: self.last_detail, segmentation, extra });
        }
        self.rows.push(Row { annotation, detail });
        (self.details.len() < BATCH_ROWS && self.bytes_of_details < BATCH_BYTES) || self.send_details()
    }

    /// Notes something that the importer found out itself.
    pub(crate) fn note(&mut self, reason: Reason, outcome: Outcome, which: impl std::fmt::Display) {
        self.notes.add(reason, outcome, which);
    }

    /// Notes something of the whole.
    pub(crate) fn meta(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.meta.push((key.into(), value.into()));
    }

    fn send_images(&mut self) -> bool {
        self.batches.send(Batch::Images(std::mem::take(&mut self.images))).is_ok()
    }

    fn send_details(&mut self) -> bool {
        self.bytes_of_details = 0;
        self.batches.send(Batch::Details(std::mem::take(&mut self.details))).is_ok()
    }

    /// The error of an importer whose writer has stopped: what stopped that, or else the importer's own.
    pub(crate) fn failed(self, error: Error) -> Error {
        drop(self.batches);
        match join(self.writer) {
            Err(error) => error,
            Ok(_) => error,
        }
    }

    /// Checks what was gathered and makes the store.
    pub(crate) fn finish(mut self) -> Result<Report> {
        if !(self.send_images() && self.send_details()) {
            let path = self.path.clone();
            return Err(self.failed(Error::Setting { what: format!("{} is not written", path.display()) }));
        }
        self.categories.sort_by_key(|(category, _)| category.id);
        let found = self.rows.len();
        let checked = self.check();
        drop(self.batches);
        let bulk = join(self.writer)?;
        let (hints, mut dropped) = checked?;
        dropped.sort_unstable();
        let (mut rows, splits) = (self.rows, &mut self.splits);
        std::thread::scope(|scope| {
            // As they will be inserted.
            scope.spawn(|| rows.sort_unstable_by_key(|row| (row.annotation.image, row.annotation.id)));
            bulk.remove_details(&dropped)?;
            bulk.categories(&self.categories)?;
            splits.iter_mut().try_for_each(|Split { name, directory, images, .. }| {
                images.sort_unstable();
                bulk.split(&self.options.dataset, name, directory, images)
            })
        })?;
        let labelled = rows.chunk_by(|a, b| a.annotation.image == b.annotation.image).count();
        let report = Report {
            images: self.sizes.len(),
            images_without_annotations: self.sizes.len() - labelled,
            categories: self.categories.len(),
            annotations: rows.len(),
            crowds: rows.iter().filter(|row| row.annotation.crowd).count(),
            annotations_found: found,
            entries: self.notes.entries(),
            hints,
        };
        self.meta.push(("report".into(), serde_json::json!(report).to_string()));
        self.meta.push(("program".into(), concat!("ocelli ", env!("CARGO_PKG_VERSION")).into()));
        self.meta.iter().try_for_each(|(key, value)| bulk.meta(key, value))?;
        bulk.finish(rows)?;
        Ok(report)
    }

    /// Checks all annotations. Yields hints, and the details of those that were left out.
    fn check(&mut self) -> Result<(Vec<String>, Vec<i64>)> {
        let mut dropped = Vec::new();
        let mut rows = std::mem::take(&mut self.rows);
        let mut corners = Corners::default();
        let categories: Vec<CategoryId> = self.categories.iter().map(|(category, _)| category.id).collect();
        let mut position = 0;
        let mut failed = None;
        rows.retain_mut(|row| {
            let keep = failed.is_none() && {
                let verdict = self.verdict(&mut row.annotation, position, &categories, &mut corners);
                verdict.unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                })
            };
            position += 1;
            if !keep {
                dropped.extend(row.detail);
            }
            keep
        });
        if let Some(error) = failed {
            return Err(error);
        }
        self.give_numbers(&mut rows, &mut dropped);
        self.rows = rows;
        Ok((corners.hint().into_iter().collect(), dropped))
    }

    /// Whether an annotation is kept; its box may be changed.
    fn verdict(
        &mut self,
        annotation: &mut Annotation,
        position: usize,
        categories: &[CategoryId],
        corners: &mut Corners,
    ) -> Result<bool> {
        let id = annotation.id;
        let Some(&(width, height)) = self.sizes.get(&annotation.image.0) else {
            self.notes.add(Reason::UnknownImage, Outcome::Dropped, id);
            return Ok(false);
        };
        if categories.binary_search(&annotation.category).is_err() {
            self.notes.add(Reason::UnknownCategory, Outcome::Dropped, id);
            return Ok(false);
        }
        let size = (f64::from(width), f64::from(height));
        // Formats with a file for each image say themselves what is a corner, a centre or a size.
        if self.files.is_empty() {
            corners.look_at(annotation.bbox, size);
        }
        let bad = match badness(annotation.bbox, size) {
            Some(bad) => bad,
            None => return Ok(true),
        };
        match (self.options.on_bad_box, clipped(annotation.bbox, size)) {
            (OnBadBox::Error, _) => {
                let [x, y, w, h] = annotation.bbox.into();
                let (path, which) = self.origin(position);
                let what =
                    format!("{bad}: [{x}, {y}, {w}, {h}] in an image of {width} x {height} pixels{which}");
                Err(Error::BadBox { path, annotation: id, what })
            }
            (OnBadBox::Clip, Some(clipped)) if bad == Reason::BeyondImage => {
                annotation.bbox = clipped;
                annotation.area = annotation.area.min(clipped.area());
                self.notes.add(bad, Outcome::Repaired, id);
                Ok(true)
            }
            _ => {
                self.notes.add(bad, Outcome::Dropped, id);
                Ok(false)
            }
        }
    }

    /// The file that a row comes from, and which of its boxes it is where the file does not number them.
    fn origin(&self, row: usize) -> (PathBuf, String) {
        let begun = self.files.partition_point(|(first, _)| *first <= row);
        if let Some((first, path)) = begun.checked_sub(1).map(|last| &self.files[last]) {
            return (path.clone(), format!(", box {} of the file", row - first + 1));
        }
        let of = |split: &&Split| split.first_row <= row;
        let split = self.splits.iter().rev().find(of);
        (split.map_or_else(|| self.path.clone(), |split| split.labels.clone()), String::new())
    }

    /// Leaves out annotations that are there twice, and gives those a new number that bear another one's.
    fn give_numbers(&mut self, rows: &mut Vec<Row>, dropped: &mut Vec<i64>) {
        let mut order: Vec<(AnnotationId, u32)> =
            (0..).zip(rows.iter()).map(|(i, row)| (row.annotation.id, i)).collect();
        order.sort_unstable();
        let mut unused = order.last().map_or(1, |(id, _)| id.0.saturating_add(1));
        let (mut twice, mut renamed): (Vec<u32>, Vec<(u32, i64)>) = (Vec::new(), Vec::new());
        for same in order.chunk_by(|(a, _), (b, _)| a == b) {
            let id = same[0].0;
            if id == AnnotationId(0) {
                self.notes.add(Reason::IdZero, Outcome::Kept, id);
            }
            for (position, &(_, row)) in same.iter().enumerate().skip(1) {
                let annotation = &rows[row as usize].annotation;
                if same[..position]
                    .iter()
                    .any(|&(_, earlier)| rows[earlier as usize].annotation == *annotation)
                {
                    self.notes.add(Reason::Duplicate, Outcome::Dropped, id);
                    twice.push(row);
                    continue;
                }
                self.notes.add(Reason::DuplicateId, Outcome::Repaired, format!("{id} (now {unused})"));
                renamed.push((row, unused));
                unused = unused.saturating_add(1);
            }
        }
        renamed.iter().for_each(|&(row, id)| rows[row as usize].annotation.id = AnnotationId(id));
        if twice.is_empty() {
            return;
        }
        twice.sort_unstable();
        let mut row = 0;
        rows.retain(|Row { detail, .. }| {
            let keep = twice.binary_search(&row).is_err();
            row += 1;
            if !keep {
                dropped.extend(*detail);
            }
            keep
        });
    }
}

fn write(bulk: Bulk, batches: Receiver<Batch>) -> Result<Bulk> {
    for batch in batches {
        match batch {
            Batch::Images(images) => bulk.images(&images)?,
            Batch::Details(details) => bulk.details(&details)?,
        }
    }
    Ok(bulk)
}

fn join(writer: JoinHandle<Result<Bulk>>) -> Result<Bulk> {
    writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What is wrong with a box.
fn badness(bbox: BBox, (columns, rows): (f64, f64)) -> Option<Reason> {
    let BBox { x, y, width, height } = bbox;
    if ![x, y, width, height].iter().all(|number| number.is_finite()) {
        return Some(Reason::NotFinite);
    }
    if width <= 0.0 || height <= 0.0 {
        return Some(Reason::EmptyBox);
    }
    if x >= columns || y >= rows || x + width <= 0.0 || y + height <= 0.0 {
        return Some(Reason::OutsideImage);
    }
    let beyond = (-x).max(-y).max(x + width - columns).max(y + height - rows);
    (beyond > TOLERANCE).then_some(Reason::BeyondImage)
}

/// A box cut at its image's edges, if that leaves anything.
fn clipped(bbox: BBox, (columns, rows): (f64, f64)) -> Option<BBox> {
    let (left, top) = (bbox.x.clamp(0.0, columns), bbox.y.clamp(0.0, rows));
    let (right, bottom) =
        ((bbox.x + bbox.width).clamp(0.0, columns), (bbox.y + bbox.height).clamp(0.0, rows));
    (right > left && bottom > top).then(|| BBox::new(left, top, right - left, bottom - top))
}

/// Whether the boxes of a file look as if they were given by two corners.
#[derive(Default)]
struct Corners {
    boxes: usize,
    /// Boxes whose last two numbers are a corner within the image, beyond the first.
    like_corners: usize,
    /// Boxes that reach beyond their image if the last two numbers are a size.
    beyond: usize,
}

impl Corners {
    fn look_at(&mut self, bbox: BBox, (columns, rows): (f64, f64)) {
        let BBox { x, y, width, height } = bbox;
        self.boxes += 1;
        let within = width <= columns + TOLERANCE && height <= rows + TOLERANCE;
        self.like_corners += usize::from(width > x && height > y && within);
        self.beyond += usize::from(badness(bbox, (columns, rows)) == Some(Reason::BeyondImage));
    }

    fn hint(&self) -> Option<String> {
        // Sizes are rarely larger than positions for all boxes of a file, and rarely too large for a tenth of them.
        let looks =
            self.boxes > 0 && self.like_corners * 100 >= self.boxes * 99 && self.beyond * 10 >= self.boxes;
        looks.then(|| {
            format!(
                "{} of {} boxes reach beyond their image, and the last two numbers of {} would be a corner within it: \
                 are these [x1, y1, x2, y2]? COCO's are [x, y, width, height]",
                self.beyond, self.boxes, self.like_corners
            )
        })
    }
}
