use std::ops::Range;

use super::{
    error::{Error, Result},
    lookup::Lookup,
};
use crate::types::{Annotation, BBox, Category, CategoryId, ImageId};

/// What is in the images, against which detections are evaluated.
///
/// An annotation's own id plays no part in the evaluation. In pycocotools it does: an annotation with the id 0 that is
/// found counts as not found, and of two with the same id one is evaluated twice. Here both count as what they are.
#[derive(Clone, Debug)]
pub struct GroundTruth {
    images: Lookup,
    categories: Vec<Category>,
    category_ids: Lookup,
    /// By category, then image, then the order in which they came.
    truths: Vec<Truth>,
    /// Where in `truths` each category begins, and where the last one ends.
    starts: Vec<usize>,
}

/// An annotation as the evaluation needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truth {
    pub(super) bbox: BBox,
    pub(super) area: f64,
    /// The image's place among the sorted images.
    pub(super) image: u32,
    /// The annotation's place among those given.
    pub(super) order: u32,
    pub(super) crowd: bool,
}

impl GroundTruth {
    /// Gathers the annotations of the images listed. Images without any belong to the list too: what a network finds
    /// there is wrong. An image may be listed twice. Of two boxes that a detection overlaps equally the later is
    /// matched, so the order of annotations within an image matters, as it does in pycocotools.
    ///
    /// # Errors
    ///
    /// If an annotation's image or category is not listed, its box or area is not finite, or a category is listed
    /// twice.
    pub fn new(
        images: impl IntoIterator<Item = ImageId>,
        categories: Vec<Category>,
        annotations: impl IntoIterator<Item = Annotation>,
    ) -> Result<GroundTruth> {
        let mut images: Vec<i64> = images.into_iter().map(|image| image.0).collect();
        images.sort_unstable();
        images.dedup();
        let images = numbered(images, "images")?;

        let mut categories = categories;
        categories.sort_by_key(|category| category.id);
        if let Some(pair) = categories.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(Error::DuplicateCategory { category: pair[0].id });
        }
        let category_ids = numbered(categories.iter().map(|category| category.id.0).collect(), "categories")?;

        let mut unsorted = Vec::new();
        // One integer for category and image, and the place: cheaper to sort than what they stand for.
        let mut keys: Vec<(u64, u32)> = Vec::new();
        for Annotation { id: annotation, image, category, bbox, area, crowd } in annotations {
            let order = u32::try_from(unsorted.len()).map_err(|_| Error::TooMany { what: "annotations" })?;
            let image_index = images.find(image.0).ok_or(Error::UnknownImage { annotation, image })?;
            let category_index =
                category_ids.find(category.0).ok_or(Error::UnknownCategory { annotation, category })?;
            let unfit = if area.is_finite() { not_finite(&bbox) } else { Some("the area") };
            if let Some(what) = unfit {
                return Err(Error::BadAnnotation { annotation, image, what });
            }
            keys.push((u64::from(category_index) << 32 | u64::from(image_index), order));
            unsorted.push(Truth { bbox, area, image: image_index, order, crowd });
        }
        keys.sort_unstable();
        let truths = keys.iter().map(|(_, order)| unsorted[*order as usize]).collect();
        let starts = (0..=categories.len() as u64)
            .map(|category| keys.partition_point(|(key, _)| key >> 32 < category))
            .collect();
        Ok(GroundTruth { images, categories, category_ids, truths, starts })
    }

    /// The categories, sorted by id: the order in which results hold them.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// The place of a category among those sorted by id.
    pub fn category_index(&self, category: CategoryId) -> Option<usize> {
        self.category_ids.find(category.0).map(|index| index as usize)
    }

    /// How many images there are.
    pub fn image_count(&self) -> usize {
        self.images.len()
    }

    /// How many annotations there are, crowds included.
    pub fn annotation_count(&self) -> usize {
        self.truths.len()
    }

    pub(super) fn image_index(&self, image: ImageId) -> Option<u32> {
        self.images.find(image.0)
    }

    /// All annotations, by category, then image, then the order in which they came.
    pub(super) fn truths(&self) -> &[Truth] {
        &self.truths
    }

    /// Where among them those of a category lie.
    pub(super) fn category_range(&self, category: usize) -> Range<usize> {
        self.starts[category]..self.starts[category + 1]
    }
}

fn numbered(ids: Vec<i64>, what: &'static str) -> Result<Lookup> {
    // The last number is not given out: it would leave no room for a count.
    if ids.len() >= u32::MAX as usize { Err(Error::TooMany { what }) } else { Ok(Lookup::new(ids)) }
}

/// What about a box is infinite or not a number.
pub(super) fn not_finite(bbox: &BBox) -> Option<&'static str> {
    // A sum is finite only if both its terms are.
    let finite =
        (bbox.x + bbox.width).is_finite() && (bbox.y + bbox.height).is_finite() && bbox.area().is_finite();
    (!finite).then_some("the box")
}
