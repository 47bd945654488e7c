//! COCO's JSON.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use ocelli_files::{PartFile, file_beside};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::store::{Filter, RunId, Store};
use crate::types::{AnnotationId, BBox, CategoryId, ImageId};

/// Writes the images and annotations that pass as COCO's JSON of instances, with all categories. What an import kept is
/// there again: masks, licences, and fields of which the store knows nothing. Images are in the order of their numbers,
/// annotations in that of their images'.
///
/// # Errors
/// Those of reading and writing; there is no file then, or the one that was there.
pub fn coco(store: &Store, filter: &Filter, path: impl AsRef<Path>) -> Result<()> {
    write_whole(path.as_ref(), |file| Instances { store, filter, path: path.as_ref() }.write(file))
}

/// Writes what a run found as COCO's JSON of results, by image.
///
/// # Errors
/// Those of reading and writing; there is no file then, or the one that was there.
pub fn results(store: &Store, run: RunId, path: impl AsRef<Path>) -> Result<()> {
    #[derive(Serialize)]
    struct Detection {
        image_id: ImageId,
        category_id: CategoryId,
        bbox: BBox,
        score: f64,
    }
    let path = path.as_ref();
    write_whole(path, |file| {
        let mut list = List::begin(file, path)?;
        store.visit_predictions(run, |detection| {
            let crate::Detection { image: image_id, category: category_id, bbox, score } = detection;
            list.add(&Detection { image_id, category_id, bbox, score }, None)
        })?;
        list.end()
    })
}

type Out<'a> = BufWriter<&'a mut PartFile>;

/// Writes a file under another name and gives it its own when it is whole.
fn write_whole(path: &Path, write: impl FnOnce(&mut Out<'_>) -> Result<()>) -> Result<()> {
    let mut file = file_beside(path).map_err(Error::io("create", path))?;
    let mut out = BufWriter::with_capacity(1 << 20, &mut file);
    write(&mut out)?;
    out.flush().map_err(Error::io("write", path))?;
    drop(out);
    file.persist().map_err(Error::io("write", path))
}

/// A JSON array that is written value by value.
struct List<'a, 'b> {
    out: &'a mut Out<'b>,
    path: &'a Path,
    first: bool,
}

impl<'a, 'b> List<'a, 'b> {
    fn begin(out: &'a mut Out<'b>, path: &'a Path) -> Result<List<'a, 'b>> {
        out.write_all(b"[").map_err(Error::io("write", path))?;
        Ok(List { out, path, first: true })
    }

    /// Adds an object, with the members of another one, which is given as JSON.
    fn add(&mut self, object: &impl Serialize, members: Option<&str>) -> Result<()> {
        self.write(object, members).map_err(Error::io("write", self.path))
    }

    fn write(&mut self, object: &impl Serialize, members: Option<&str>) -> io::Result<()> {
        self.out.write_all(if self.first { b"\n" } else { b",\n" })?;
        self.first = false;
        let Some(members) = members else { return Ok(serde_json::to_writer(&mut *self.out, object)?) };
        let object = serde_json::to_string(object)?;
        // `{..}` and `{..}` to `{.., ..}`.
        let open = object.strip_suffix('}').unwrap_or(&object);
        let rest = members.trim_start().strip_prefix('{').unwrap_or("}");
        let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
        write!(self.out, "{open}{comma}{rest}")
    }

    fn end(self) -> Result<()> {
        self.out.write_all(b"\n]").map_err(Error::io("write", self.path))
    }
}

struct Instances<'a> {
    store: &'a Store,
    filter: &'a Filter,
    path: &'a Path,
}

#[derive(Serialize)]
struct Image<'a> {
    id: ImageId,
    file_name: &'a str,
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct Annotation<'a> {
    id: AnnotationId,
    image_id: ImageId,
    category_id: CategoryId,
    bbox: BBox,
    area: f64,
    iscrowd: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    segmentation: Option<&'a RawValue>,
}

impl Instances<'_> {
    fn write(&self, out: &mut Out<'_>) -> Result<()> {
        let text = |out: &mut Out<'_>, text: &str| {
            out.write_all(text.as_bytes()).map_err(Error::io("write", self.path))
        };
        text(out, "{")?;
        for (key, json) in self.store.kept_of_coco(self.filter.split.as_deref())? {
            text(out, &format!("{}:{json},\n", serde_json::Value::from(key)))?;
        }
        text(out, "\"images\":")?;
        self.images(out)?;
        text(out, ",\n\"annotations\":")?;
        self.annotations(out)?;
        text(out, ",\n\"categories\":")?;
        let mut list = List::begin(out, self.path)?;
        for category in self.store.categories()? {
            list.add(&category, self.store.category_extra(category.id)?.as_deref())?;
        }
        list.end()?;
        text(out, "}\n")
    }

    fn images(&self, out: &mut Out<'_>) -> Result<()> {
        let mut list = List::begin(out, self.path)?;
        self.store.visit_image_extras(self.filter, |image, extra| {
            let crate::Image { id, file_name, width, height } = &image;
            list.add(&Image { id: *id, file_name, width: *width, height: *height }, extra.as_deref())
        })?;
        list.end()
    }

    fn annotations(&self, out: &mut Out<'_>) -> Result<()> {
        let mut list = List::begin(out, self.path)?;
        self.store.visit_details(self.filter, |annotation, detail| {
            let crate::Annotation { id, image: image_id, category: category_id, bbox, area, crowd } =
                annotation;
            let segmentation: Option<&RawValue> =
                detail.segmentation.as_deref().map(serde_json::from_str).transpose().map_err(|error| {
                    let what = format!("the segmentation of annotation {id}: {error}");
                    Error::Malformed { path: self.store.path().into(), what }
                })?;
            let iscrowd = u8::from(crowd);
            let annotation = Annotation { id, image_id, category_id, bbox, area, iscrowd, segmentation };
            list.add(&annotation, detail.extra.as_deref())
        })?;
        list.end()
    }
}
