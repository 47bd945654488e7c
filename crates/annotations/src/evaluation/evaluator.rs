use std::{cmp::Reverse, sync::Arc};

use super::{
    category::{CategoryEvaluator, Cells, Record},
    error::{Error, Result},
    parameters::{Parameters, Unknown},
    results::{Dropped, Evaluation},
    truth::{GroundTruth, not_finite},
};
use crate::parallel;
use crate::types::Detection;

/// Collects detections, and evaluates them.
///
/// Detections may be added in batches of any size while a network runs, those of one image in several. The result is
/// the same as if all had been added at once in that order. The order of images does not matter; within an image it
/// decides between equal scores. A detection takes 48 bytes.
#[derive(Clone, Debug)]
pub struct Evaluator {
    truth: Arc<GroundTruth>,
    parameters: Parameters,
    /// By category, in the order in which they came.
    pending: Vec<Vec<Record>>,
    count: u32,
    dropped: Dropped,
}

impl Evaluator {
    /// An evaluator without detections. Many can share one ground truth in an [`Arc`].
    ///
    /// # Errors
    ///
    /// If the parameters are not [valid](Parameters::validate).
    pub fn new(truth: impl Into<Arc<GroundTruth>>, parameters: Parameters) -> Result<Evaluator> {
        parameters.validate()?;
        let truth = truth.into();
        let pending = vec![Vec::new(); truth.categories().len()];
        Ok(Evaluator { truth, parameters, pending, count: 0, dropped: Dropped::default() })
    }

    /// Adds detections, of one image or of many.
    ///
    /// # Errors
    ///
    /// If an image or a category is not in the ground truth, unless [`Parameters::unknown`] says otherwise, or a score
    /// or a box is not finite. Then none of the call's detections is added.
    pub fn add(&mut self, detections: &[Detection]) -> Result<()> {
        let before = (self.count, self.dropped);
        let added = self.append(detections);
        if added.is_err() {
            (self.count, self.dropped) = before;
            for records in &mut self.pending {
                records.truncate(records.partition_point(|record| record.order < self.count));
            }
        }
        added
    }

    fn append(&mut self, detections: &[Detection]) -> Result<()> {
        let mut last = None;
        for (index, Detection { image, category, bbox, score }) in detections.iter().enumerate() {
            // Those of an image mostly follow each other.
            let found = match last {
                Some((id, found)) if id == *image => found,
                _ => self.truth.image_index(*image),
            };
            last = Some((*image, found));
            let Some(image_index) = found else {
                match self.parameters.unknown {
                    Unknown::Error => return Err(Error::DetectionImage { index, image: *image }),
                    Unknown::Drop => self.dropped.image += 1,
                }
                continue;
            };
            let Some(category_index) = self.truth.category_index(*category) else {
                match self.parameters.unknown {
                    Unknown::Error => {
                        return Err(Error::DetectionCategory { index, image: *image, category: *category });
                    }
                    Unknown::Drop => self.dropped.category += 1,
                }
                continue;
            };
            let unfit = if score.is_finite() { not_finite(bbox) } else { Some("the score") };
            if let Some(what) = unfit {
                return Err(Error::BadDetection { index, image: *image, what });
            }
            let next = self.count.checked_add(1).ok_or(Error::TooMany { what: "detections" })?;
            self.pending[category_index].push(Record {
                bbox: *bbox,
                score: *score,
                image: image_index,
                order: self.count,
            });
            self.count = next;
        }
        Ok(())
    }

    /// Evaluates what was added so far. More may be added afterwards, for another evaluation.
    pub fn evaluate(&self) -> Evaluation {
        let truth = &*self.truth;
        let threads = parallel::thread_count(self.parameters.threads);
        let mut categories: Vec<usize> = (0..self.pending.len()).collect();
        categories.sort_by_key(|category| Reverse(self.pending[*category].len()));
        let mut cells: Vec<(usize, Cells)> = parallel::for_each(
            threads,
            categories.into_iter(),
            || CategoryEvaluator::new(&self.parameters, truth.image_count()),
            |evaluator, category| {
                let truths = &truth.truths()[truth.category_range(category)];
                (category, evaluator.evaluate(truths, &self.pending[category]))
            },
        );
        cells.sort_unstable_by_key(|(category, _)| *category);
        let cells: Vec<Cells> = cells.into_iter().map(|(_, cells)| cells).collect();
        Evaluation::new(Arc::clone(&self.truth), self.parameters.clone(), &cells, self.dropped)
    }

    /// The annotations against which it evaluates.
    pub fn truth(&self) -> &GroundTruth {
        &self.truth
    }

    /// How many detections were added, without those dropped.
    pub fn detection_count(&self) -> usize {
        self.count as usize
    }

    /// The detections by category, in the order in which they came.
    pub(super) fn pending(&self) -> &[Vec<Record>] {
        &self.pending
    }
}
