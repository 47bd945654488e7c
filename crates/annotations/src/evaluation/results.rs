use std::{ops::Range, sync::Arc};

use serde::Serialize;

use super::{
    category::Cells,
    numeric,
    parameters::Parameters,
    summary::{CategorySummary, Summary},
    truth::GroundTruth,
};
use crate::parallel;
use crate::types::{Category, CategoryId};

/// Precision and recall by threshold, category, range of areas and number of detections.
///
/// The arrays are pycocotools's, in its order (the last index changes first) and to the last bit; -1 stands where there
/// is nothing to find. T counts the thresholds of overlap, R those of recall, K the categories by id, A the ranges of
/// areas, M the numbers of detections.
#[derive(Clone, Debug)]
pub struct Evaluation {
    truth: Arc<GroundTruth>,
    parameters: Parameters,
    precision: Vec<f64>,
    recall: Vec<f64>,
    scores: Vec<f64>,
    dropped: Dropped,
}

/// Detections that were left out, as [`Unknown::Drop`](super::Unknown::Drop) wants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Those whose image is not in the ground truth.
    pub image: usize,
    /// Those whose category is not, of the others.
    pub category: usize,
}

/// Precision over recall.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PrecisionRecall {
    /// [`Parameters::recall_thresholds`].
    pub recall: Vec<f64>,
    /// The greatest precision at this recall or beyond, 0 where it is not reached.
    pub precision: Vec<f64>,
    /// The score down to which detections have to count to reach this recall, 0 where it is not reached.
    pub scores: Vec<f64>,
}

impl Evaluation {
    /// `cells` are those of every category.
    pub(super) fn new(
        truth: Arc<GroundTruth>,
        parameters: Parameters,
        cells: &[Cells],
        dropped: Dropped,
    ) -> Evaluation {
        let thresholds = parameters.iou_thresholds.len();
        let recalls = parameters.recall_thresholds.len();
        let row = parameters.areas.len() * parameters.max_detections.len();
        let recall = (0..thresholds)
            .flat_map(|threshold| cells.iter().map(move |cells| &cells.recalls[threshold * row..][..row]))
            .flatten()
            .copied()
            .collect();

        // Megabytes: each thread takes some of the thresholds.
        let part = recalls * cells.len() * row;
        let mut precision = vec![0.0; thresholds * part];
        let mut scores = vec![0.0; thresholds * part];
        let parts = precision.chunks_exact_mut(part.max(1)).zip(scores.chunks_exact_mut(part.max(1)));
        parallel::for_each(
            parallel::thread_count(parameters.threads),
            parts.enumerate(),
            || (),
            |(), (threshold, (precision, scores))| {
                let mut rows = precision.chunks_exact_mut(row).zip(scores.chunks_exact_mut(row));
                for index in threshold * recalls..(threshold + 1) * recalls {
                    for (cells, (precision, scores)) in cells.iter().zip(&mut rows) {
                        let points = &cells.points[index * row..][..row];
                        for ((precision, score), point) in precision.iter_mut().zip(scores).zip(points) {
                            (*precision, *score) = (point.precision, point.score);
                        }
                    }
                }
            },
        );
        Evaluation { truth, parameters, precision, recall, scores, dropped }
    }

    /// `[T, R, K, A, M]`: the sizes of [`precision`](Evaluation::precision) and [`scores`](Evaluation::scores).
    pub fn shape(&self) -> [usize; 5] {
        let Parameters { iou_thresholds, recall_thresholds, max_detections, areas, .. } = &self.parameters;
        let categories = self.categories().len();
        [iou_thresholds.len(), recall_thresholds.len(), categories, areas.len(), max_detections.len()]
    }

    /// `[T, R, K, A, M]`: the greatest precision at a recall or beyond.
    pub fn precision(&self) -> &[f64] {
        &self.precision
    }

    /// `[T, K, A, M]`: the share of annotations found.
    pub fn recall(&self) -> &[f64] {
        &self.recall
    }

    /// `[T, R, K, A, M]`: the score of the detection that reaches a recall.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The precision at places t, r, k, a, m; none beyond the shape and where there is nothing to find.
    pub fn precision_at(&self, place: [usize; 5]) -> Option<f64> {
        defined(&self.precision, self.shape(), place)
    }

    /// The recall at places t, k, a, m; none beyond the shape and where there is nothing to find.
    pub fn recall_at(&self, place: [usize; 4]) -> Option<f64> {
        let [thresholds, _, categories, areas, counts] = self.shape();
        defined(&self.recall, [thresholds, categories, areas, counts], place)
    }

    /// The score at places t, r, k, a, m; none beyond the shape and where there is nothing to find.
    pub fn score_at(&self, place: [usize; 5]) -> Option<f64> {
        // A score may well be -1: the precision tells whether there is one.
        self.precision_at(place)?;
        let index = flat(self.shape(), place)?;
        self.scores.get(index).copied()
    }

    /// The categories: the order of K.
    pub fn categories(&self) -> &[Category] {
        self.truth.categories()
    }

    /// The annotations against which it was evaluated.
    pub fn truth(&self) -> &GroundTruth {
        &self.truth
    }

    /// What was evaluated.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// How many detections were left out because their image or category is not in the ground truth.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// The twelve numbers by which detectors are compared.
    pub fn summary(&self) -> Summary {
        Summary::new(self)
    }

    /// The numbers of every category, by id, with the last of [`Parameters::max_detections`].
    pub fn per_category(&self) -> Vec<CategorySummary> {
        (0..self.categories().len()).map(|category| CategorySummary::new(self, category)).collect()
    }

    /// The mean precision over recalls and categories, at one threshold of overlap or over all. None if a threshold,
    /// name or number is not among the parameters, or there is nothing to find.
    pub fn mean_precision(&self, iou: Option<f64>, area: &str, max_detections: usize) -> Option<f64> {
        self.mean_precision_of(0..self.categories().len(), iou, area, max_detections)
    }

    /// The mean recall over categories, at one threshold of overlap or over all. None if a threshold, name or number
    /// is not among the parameters, or there is nothing to find.
    pub fn mean_recall(&self, iou: Option<f64>, area: &str, max_detections: usize) -> Option<f64> {
        self.mean_recall_of(0..self.categories().len(), iou, area, max_detections)
    }

    /// Precision over recall for a category at a threshold of overlap. None if one of the arguments is not among the
    /// parameters and categories, or there is nothing to find.
    pub fn precision_recall(
        &self,
        category: CategoryId,
        iou: f64,
        area: &str,
        max_detections: usize,
    ) -> Option<PrecisionRecall> {
        let category = self.truth.category_index(category)?;
        let threshold = self.thresholds(Some(iou))?.start;
        let (area, count) = self.column(area, max_detections)?;
        let recall = &self.parameters.recall_thresholds;
        let place = |index| [threshold, index, category, area, count];
        let precision =
            (0..recall.len()).map(|index| self.precision_at(place(index))).collect::<Option<_>>()?;
        let scores = (0..recall.len()).map(|index| self.score_at(place(index))).collect::<Option<_>>()?;
        Some(PrecisionRecall { recall: recall.clone(), precision, scores })
    }

    pub(super) fn mean_precision_of(
        &self,
        categories: Range<usize>,
        iou: Option<f64>,
        area: &str,
        max_detections: usize,
    ) -> Option<f64> {
        let thresholds = self.thresholds(iou)?;
        let recalls = self.parameters.recall_thresholds.len();
        let rows = thresholds.start * recalls..thresholds.end * recalls;
        self.mean(&self.precision, rows, categories, self.column(area, max_detections)?)
    }

    pub(super) fn mean_recall_of(
        &self,
        categories: Range<usize>,
        iou: Option<f64>,
        area: &str,
        max_detections: usize,
    ) -> Option<f64> {
        self.mean(&self.recall, self.thresholds(iou)?, categories, self.column(area, max_detections)?)
    }

    /// The mean of what is defined, taken in the order of an array `[rows, K, A, M]`: another order rounds differently.
    fn mean(
        &self,
        array: &[f64],
        rows: Range<usize>,
        categories: Range<usize>,
        (area, count): (usize, usize),
    ) -> Option<f64> {
        let [_, _, all_categories, areas, counts] = self.shape();
        let values: Vec<f64> = rows
            .flat_map(|row| {
                categories.clone().map(move |category| (row * all_categories + category) * areas + area)
            })
            .map(|cell| array[cell * counts + count])
            .filter(|value| *value > -1.0)
            .collect();
        numeric::mean(&values)
    }

    /// The places of one threshold, or of all.
    fn thresholds(&self, iou: Option<f64>) -> Option<Range<usize>> {
        let thresholds = &self.parameters.iou_thresholds;
        match iou {
            None => Some(0..thresholds.len()),
            Some(iou) => {
                let index = thresholds.iter().position(|threshold| *threshold == iou)?;
                Some(index..index + 1)
            }
        }
    }

    /// The places of a range of areas and of a number of detections.
    fn column(&self, area: &str, max_detections: usize) -> Option<(usize, usize)> {
        let Parameters { areas, max_detections: counts, .. } = &self.parameters;
        Some((
            areas.iter().position(|range| range.name == area)?,
            counts.iter().position(|count| *count == max_detections)?,
        ))
    }
}

fn flat<const N: usize>(shape: [usize; N], place: [usize; N]) -> Option<usize> {
    shape.into_iter().zip(place).try_fold(0, |index, (size, at)| (at < size).then_some(index * size + at))
}

fn defined<const N: usize>(array: &[f64], shape: [usize; N], place: [usize; N]) -> Option<f64> {
    array.get(flat(shape, place)?).copied().filter(|value| *value > -1.0)
}
