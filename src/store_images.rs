//! The images of a store of labels, for a loader.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;

use ocelli_annotations::{Annotation, BBox, Category, Filter, Image, ImageId, Store};
use ocelli_data::augment::BoundingBox;
use ocelli_data::images::read_file;
use ocelli_data::{Encoded, IGNORED, Object};

/// The images of a store of labels and the objects on them, for a [loader](ocelli_data::loader): what a detector is trained
/// on. The labels are read once, and take 24 bytes a box; the files are read when they are asked for.
///
/// Classes are counted from 0 in the order of the categories' numbers, which for COCO are 1 to 90 with gaps.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use ocelli::StoreImages;
/// use ocelli::annotations::{Boxes, Filter, Store};
/// use ocelli::data::augment::Augmentation;
/// use ocelli::data::loader::{Loader, LoaderConfig};
/// use ocelli::data::sampler::Sampler;
/// use ocelli::prelude::*;
///
/// # fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
/// let device = Device::new(0)?;
/// let store = Store::open_immutable("coco.db")?;
/// let with_boxes = Filter { split: Some("train".into()), boxes: Boxes::With, ..Filter::default() };
/// let images = StoreImages::new(&store, &with_boxes)?;
/// let sampler = Sampler::shuffled(images.images().len(), 7);
/// let augmentation = Augmentation { horizontal_flip: 0.5, ..Augmentation::detection(800, 1333, 32) };
/// let config = LoaderConfig { batch: 16, augmentation, ..LoaderConfig::default() };
/// let gpu = device.gpu().ok_or("the device is no GPU")?;
/// for batch in Loader::new(gpu.cuda(), Arc::new(images), sampler, config)?.epoch(0)? {
///     let batch = batch?;
///     // batch.image_tensor(&device)?: [16, rows, columns, 4]; batch.objects: boxes in the batch's pixels, classes
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StoreImages {
    files: Vec<(PathBuf, Image)>,
    categories: Vec<Category>,
    objects: Vec<Object>,
    /// Where each image's objects end; they begin where those of the image before end.
    ends: Vec<usize>,
}

impl StoreImages {
    /// The images that pass, by number, and their annotations that pass.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn new(store: &Store, filter: &Filter) -> ocelli_annotations::Result<StoreImages> {
        let mut categories = store.categories()?;
        categories.sort_by_key(|category| category.id);
        let object = |annotation: &Annotation| {
            let class = categories.binary_search_by_key(&annotation.category, |category| category.id).ok()?;
            let BBox { x, y, width, height } = annotation.bbox;
            let [x_min, y_min, x_max, y_max] = [x, y, x + width, y + height].map(|edge| edge as f32);
            let bounds = BoundingBox { x_min, y_min, x_max, y_max };
            Some(Object { bounds, class: i32::try_from(class).ok()?, crowd: annotation.crowd })
        };
        let paths = store.image_files(filter)?;
        let mut paths: HashMap<ImageId, PathBuf> =
            paths.into_iter().map(|(path, image)| (image.id, path)).collect();
        let (mut files, mut objects, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        store.visit_images(filter, |image, annotations| -> ocelli_annotations::Result<()> {
            // An image that somebody has added since the paths were read is for the next time.
            if let Some(path) = paths.remove(&image.id) {
                files.push((path, image.clone()));
                objects.extend(annotations.iter().filter_map(object));
                ends.push(objects.len());
            }
            Ok(())
        })?;
        Ok(StoreImages { files, categories, objects, ends })
    }

    /// The images, by number, and where their files lie.
    pub fn images(&self) -> &[(PathBuf, Image)] {
        &self.files
    }

    /// The categories, by class.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }
}

impl Encoded for StoreImages {
    fn len(&self) -> usize {
        self.files.len()
    }

    /// [`IGNORED`]: an image may show things of many classes.
    fn label(&self, _: usize) -> i32 {
        IGNORED
    }

    fn bytes(&self, index: usize) -> ocelli_data::Result<Cow<'_, [u8]>> {
        let mut bytes = Vec::new();
        self.read(index, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    fn read(&self, index: usize, into: &mut Vec<u8>) -> ocelli_data::Result<()> {
        match self.files.get(index) {
            Some((path, _)) => read_file(path, into),
            None => {
                let what = format!("there is no image {index}: there are {}", self.files.len());
                Err(ocelli_data::Error::Setting { what })
            }
        }
    }

    fn objects(&self, index: usize) -> ocelli_data::Result<Vec<Object>> {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(index).copied().unwrap_or(start);
        Ok(self.objects.get(start..end).unwrap_or_default().to_vec())
    }

    fn name(&self, index: usize) -> PathBuf {
        self.files.get(index).map_or_else(PathBuf::new, |(path, _)| path.clone())
    }
}
