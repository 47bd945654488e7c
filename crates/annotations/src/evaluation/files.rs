//! Ground truth and detections from COCO's files and from a store.

use std::path::Path;

use super::GroundTruth;
use crate::coco::{instances, results};
use crate::error::Result;
use crate::store::{Filter, Store};
use crate::types::{Annotation, Category, Detection, Image, ImageId};

#[derive(Default)]
struct Gathered {
    images: Vec<ImageId>,
    categories: Vec<Category>,
    annotations: Vec<Annotation>,
}

impl instances::Sink for Gathered {
    fn boxes_only(&self) -> bool {
        true
    }

    fn image(&mut self, image: Image, _: Option<String>) -> bool {
        self.images.push(image.id);
        true
    }

    fn category(&mut self, category: Category, _: Option<String>) -> bool {
        self.categories.push(category);
        true
    }

    fn annotation(&mut self, annotation: Annotation, _: Option<String>, _: Option<String>) -> bool {
        self.annotations.push(annotation);
        true
    }

    fn other(&mut self, _: &str, _: String) -> bool {
        true
    }
}

impl GroundTruth {
    /// What a file of COCO's instances holds, as it is written there: no box is repaired or left out.
    ///
    /// # Errors
    /// [`Error::Json`](crate::Error::Json) names the place where the file is not what it should be; else those of
    /// [`new`](GroundTruth::new).
    pub fn read(path: impl AsRef<Path>) -> Result<GroundTruth> {
        let mut gathered = Gathered::default();
        instances::read(path.as_ref(), &mut gathered, &mut |_| ())?;
        let Gathered { images, categories, annotations } = gathered;
        Ok(GroundTruth::new(images, categories, annotations)?)
    }

    /// The images and annotations of a store that pass, an image's annotations in the order of their numbers.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn of_store(store: &Store, filter: &Filter) -> Result<GroundTruth> {
        let mut gathered = Gathered { categories: store.categories()?, ..Gathered::default() };
        store.visit_images(filter, |image, annotations| -> Result<()> {
            gathered.images.push(image.id);
            gathered.annotations.extend_from_slice(annotations);
            Ok(())
        })?;
        let Gathered { images, categories, annotations } = gathered;
        Ok(GroundTruth::new(images, categories, annotations)?)
    }
}

/// What a file of COCO's results holds, in its order.
///
/// # Errors
/// [`Error::Json`](crate::Error::Json) names the place where the file is not what it should be.
pub fn read_detections(path: impl AsRef<Path>) -> Result<Vec<Detection>> {
    let mut detections = Vec::new();
    results::read(path.as_ref(), |detection| detections.push(detection))?;
    Ok(detections)
}
