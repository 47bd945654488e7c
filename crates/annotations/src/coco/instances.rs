//! COCO's JSON of instances, read as a stream: <https://cocodataset.org/#format-data>.

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};
use crate::json::{self, Kind, Reader};
use crate::types::{Annotation, AnnotationId, Category, CategoryId, Image, ImageId};

/// Values between two calls of the progress.
const STEP: usize = 4096;

/// Takes what a file holds, in its order: annotations may come before the images and categories that they name. What has
/// no field here comes as a JSON object, `extra`. Each yields whether it wants to be given more.
pub(crate) trait Sink {
    /// Whether masks and `extra` are not needed.
    fn boxes_only(&self) -> bool;
    /// An image.
    fn image(&mut self, image: Image, extra: Option<String>) -> bool;
    /// A category.
    fn category(&mut self, category: Category, extra: Option<String>) -> bool;
    /// An annotation; its area is NaN where the file gives none.
    fn annotation(
        &mut self,
        annotation: Annotation,
        segmentation: Option<String>,
        extra: Option<String>,
    ) -> bool;
    /// Something else of the dataset as a whole, as JSON.
    fn other(&mut self, key: &str, json: String) -> bool;
}

/// Reads a file, and yields how long it is.
pub(crate) fn read(path: &Path, sink: &mut dyn Sink, progress: &mut dyn FnMut(u64)) -> Result<u64> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut instances = Instances { sink, progress, values: 0 };
    let mut reader = Reader::new(file);
    let mut found = [false; 3];
    let read = reader
        .object(|reader, key| match key {
            "images" => {
                found[0] = true;
                reader.array(|reader| instances.image(reader))
            }
            "annotations" => {
                found[1] = true;
                instances.annotations(reader, path)
            }
            "categories" => {
                found[2] = true;
                reader.array(|reader| instances.category(reader))
            }
            key => instances.other(reader, key),
        })
        .and_then(|()| reader.finish());
    read.map_err(Error::json(path))?;
    if let Some(missing) = found.iter().position(|&found| !found) {
        let missing = ["images", "annotations", "categories"][missing];
        let what = format!("there is no `{missing}`: these are no instances as COCO writes them");
        return Err(Error::Json { path: path.into(), what, position: reader.position() });
    }
    progress(reader.offset());
    Ok(reader.offset())
}

struct Instances<'a> {
    sink: &'a mut dyn Sink,
    progress: &'a mut dyn FnMut(u64),
    /// Values so far.
    values: usize,
}

/// The members of an object that nobody asks for, as an object.
#[derive(Default)]
struct Extra(Vec<u8>);

impl Extra {
    fn add(&mut self, reader: &mut Reader<File>, key: &str) -> json::Result<()> {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.extend_from_slice(serde_json::Value::from(key).to_string().as_bytes());
        self.0.push(b':');
        let mut value = Vec::new();
        reader.raw(&mut value)?;
        self.0.extend_from_slice(&value);
        Ok(())
    }

    fn finish(mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push(b'}');
        Some(text(self.0))
    }
}

/// Bytes that the reader has found to be UTF-8.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

impl Instances<'_> {
    fn count(&mut self, reader: &Reader<File>) {
        self.values += 1;
        if self.values.is_multiple_of(STEP) {
            (self.progress)(reader.offset());
        }
    }

    fn image(&mut self, reader: &mut Reader<File>) -> json::Result<()> {
        let (mut id, mut file_name, mut width, mut height) = (None, None, None, None);
        let mut extra = Extra::default();
        let boxes_only = self.sink.boxes_only();
        reader.object(|reader, key| {
            match key {
                "id" => id = Some(reader.integer()?),
                "file_name" => file_name = Some(reader.string()?.to_string()),
                "width" => width = Some(size(reader)?),
                "height" => height = Some(size(reader)?),
                _ if boxes_only => reader.skip()?,
                key => extra.add(reader, key)?,
            }
            Ok(())
        })?;
        let image = Image {
            id: ImageId(super::field(reader, id, "image", "id")?),
            file_name: super::field(reader, file_name, "image", "file_name")?,
            width: super::field(reader, width, "image", "width")?,
            height: super::field(reader, height, "image", "height")?,
        };
        self.count(reader);
        written(self.sink.image(image, extra.finish()))
    }

    fn category(&mut self, reader: &mut Reader<File>) -> json::Result<()> {
        let (mut id, mut name, mut supercategory) = (None, None, String::new());
        let mut extra = Extra::default();
        reader.object(|reader, key| {
            match key {
                "id" => id = Some(reader.integer()?),
                "name" => name = Some(reader.string()?.to_string()),
                "supercategory" if reader.kind()? == Kind::String => {
                    supercategory = reader.string()?.to_string()
                }
                key => extra.add(reader, key)?,
            }
            Ok(())
        })?;
        let id = CategoryId(super::field(reader, id, "category", "id")?);
        let name = super::field(reader, name, "category", "name")?;
        written(self.sink.category(Category { id, name, supercategory }, extra.finish()))
    }

    fn annotations(&mut self, reader: &mut Reader<File>, path: &Path) -> json::Result<()> {
        if self.sink.boxes_only() {
            // Masks of half a file are too much to keep; its boxes are not.
            return reader.array_in_halves(
                path,
                json::WORTH_IT,
                |reader| annotation(reader, true),
                |annotation, reader| self.take(annotation, reader),
            );
        }
        reader.array(|reader| {
            let annotation = annotation(reader, false)?;
            self.take(annotation, reader)
        })
    }

    fn take(&mut self, annotation: Labelled, reader: &Reader<File>) -> json::Result<()> {
        let Labelled { annotation, segmentation, extra } = annotation;
        self.count(reader);
        written(self.sink.annotation(annotation, segmentation, extra))
    }

    /// Keeps what is said of the dataset as a whole, such as its licences.
    fn other(&mut self, reader: &mut Reader<File>, key: &str) -> json::Result<()> {
        let mut value = Vec::new();
        reader.raw(&mut value)?;
        written(self.sink.other(key, text(value)))
    }
}

/// An annotation with its segmentation and what else is said of it.
struct Labelled {
    annotation: Annotation,
    segmentation: Option<String>,
    extra: Option<String>,
}

fn annotation(reader: &mut Reader<File>, boxes_only: bool) -> json::Result<Labelled> {
    let (mut id, mut image, mut category, mut bbox) = (None, None, None, None);
    let (mut area, mut crowd) = (f64::NAN, false);
    let mut segmentation = None;
    let mut extra = Extra::default();
    reader.object(|reader, key| {
        match key {
            "id" => id = Some(reader.integer()?),
            "image_id" => image = Some(reader.integer()?),
            "category_id" => category = Some(reader.integer()?),
            "bbox" => bbox = Some(super::bbox(reader)?),
            "area" if reader.kind()? == Kind::Number => area = reader.number()?,
            "iscrowd" => crowd = flag(reader)?,
            _ if boxes_only => reader.skip()?,
            "segmentation" => {
                // Most fit, and do not grow.
                let mut value = Vec::with_capacity(512);
                reader.raw(&mut value)?;
                segmentation = Some(text(value));
            }
            key => extra.add(reader, key)?,
        }
        Ok(())
    })?;
    let annotation = Annotation {
        id: AnnotationId(super::field(reader, id, "annotation", "id")?),
        image: ImageId(super::field(reader, image, "annotation", "image_id")?),
        category: CategoryId(super::field(reader, category, "annotation", "category_id")?),
        bbox: super::field(reader, bbox, "annotation", "bbox")?,
        area,
        crowd,
    };
    Ok(Labelled { annotation, segmentation, extra: extra.finish() })
}

/// An error that ends the reading; whoever wants no more knows why.
fn written(works: bool) -> json::Result<()> {
    if works { Ok(()) } else { Err(json::Error::Io(std::io::ErrorKind::BrokenPipe.into())) }
}

fn size<R: std::io::Read>(reader: &mut Reader<R>) -> json::Result<u32> {
    let size = reader.integer()?;
    match u32::try_from(size) {
        Ok(size) => Ok(size),
        Err(_) => reader.error(format!("{size} before this is no number of pixels")),
    }
}

fn flag<R: std::io::Read>(reader: &mut Reader<R>) -> json::Result<bool> {
    if reader.kind()? == Kind::Boolean {
        return reader.boolean();
    }
    match reader.integer()? {
        0 => Ok(false),
        1 => Ok(true),
        other => reader.error(format!("expected 0 or 1 before this, found {other}")),
    }
}
