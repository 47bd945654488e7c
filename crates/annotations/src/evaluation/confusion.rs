use serde::Serialize;

use super::{
    error::{Error, Result},
    evaluator::Evaluator,
    overlap::overlap,
    scenes::{Scene, Scenes},
};
use crate::types::{Category, CategoryId};

/// What counts in a [`ConfusionMatrix`].
#[derive(Clone, Debug, PartialEq)]
pub struct ConfusionParameters {
    /// The intersection over union from which on a detection can be meant for an annotation: above 0, up to 1.
    pub iou_threshold: f64,
    /// The score from which on a detection counts.
    pub score_threshold: f64,
}

impl Default for ConfusionParameters {
    /// An overlap of 0.5, and a score of 0.25, at which detections are commonly shown.
    fn default() -> ConfusionParameters {
        ConfusionParameters { iou_threshold: 0.5, score_threshold: 0.25 }
    }
}

/// What things were taken for.
///
/// In every image the detections whose score counts are gone through from the highest score to the lowest, equal ones
/// in the order in which they came. Each takes, among the annotations that no detection before it took, the one that
/// it overlaps most, whatever its category, if that is enough; of equal overlaps one of its own category, then the
/// earlier. What is left over stands against the background. Crowds are not taken and not missed, and a detection that
/// takes nothing is not counted where a crowd of its category covers enough of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfusionMatrix {
    categories: Vec<Category>,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// The categories by id: the rows, which are annotations, and the columns, which are detections. The background is
    /// the last of both.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// `[K + 1, K + 1]`: by what things are, then by what they were taken for.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The rows, as [`counts`](ConfusionMatrix::counts) holds them.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.categories.len() + 1)
    }

    /// How many things of a category were taken for another. `None` is the background: as a truth, of what was seen
    /// where nothing is; as a detection, of what was missed. Unknown categories have no counts.
    pub fn count(&self, truth: Option<CategoryId>, detection: Option<CategoryId>) -> u64 {
        let place = |category: Option<CategoryId>| match category {
            None => Some(self.categories.len()),
            Some(id) => self.categories.binary_search_by_key(&id, |category| category.id).ok(),
        };
        let (Some(row), Some(column)) = (place(truth), place(detection)) else { return 0 };
        self.counts[row * (self.categories.len() + 1) + column]
    }
}

impl Evaluator {
    /// What things were taken for, among the detections added so far.
    ///
    /// # Errors
    ///
    /// If a threshold is out of range.
    pub fn confusion(&self, parameters: &ConfusionParameters) -> Result<ConfusionMatrix> {
        let ConfusionParameters { iou_threshold, score_threshold } = *parameters;
        if !(iou_threshold > 0.0 && iou_threshold <= 1.0) {
            let what = format!("{iou_threshold} is not above 0 and up to 1");
            return Err(Error::Parameters { setting: "iou_threshold", what });
        }
        if score_threshold.is_nan() {
            let what = "it is not a number: take a score, or f64::NEG_INFINITY for all".to_owned();
            return Err(Error::Parameters { setting: "score_threshold", what });
        }
        let categories = self.truth().categories().to_vec();
        let background = categories.len();
        let mut counts = vec![0; (background + 1) * (background + 1)];
        let mut count = |truth: usize, detection: usize| counts[truth * (background + 1) + detection] += 1;
        let mut taken = Vec::new();
        for Scene { truths, detections } in Scenes::new(self).iter() {
            taken.clear();
            taken.resize(truths.len(), false);
            for detection in
                detections.iter().take_while(|detection| detection.record.score >= score_threshold)
            {
                let mut best: Option<(f64, bool, usize)> = None;
                let mut in_crowd = false;
                for (index, labelled) in truths.iter().enumerate() {
                    let own = labelled.category == detection.category;
                    let overlap = overlap(&detection.record.bbox, &labelled.truth.bbox, labelled.truth.crowd);
                    if overlap < iou_threshold {
                        continue;
                    }
                    if labelled.truth.crowd {
                        in_crowd |= own;
                    } else if !taken[index]
                        && best.is_none_or(|(most, is_own, _)| (overlap, own) > (most, is_own))
                    {
                        best = Some((overlap, own, index));
                    }
                }
                match best {
                    Some((_, _, index)) => {
                        taken[index] = true;
                        count(truths[index].category, detection.category);
                    }
                    None if in_crowd => {}
                    None => count(background, detection.category),
                }
            }
            for (labelled, taken) in truths.iter().zip(&taken) {
                if !taken && !labelled.truth.crowd {
                    count(labelled.category, background);
                }
            }
        }
        Ok(ConfusionMatrix { categories, counts })
    }
}
