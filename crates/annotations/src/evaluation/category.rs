//! One category: its detections matched with its annotations, and what precision and recall follow.
//!
//! Detections are looked at from the highest score to the lowest over all images at once. That changes nothing within
//! an image, and saves sorting twice.

use super::{
    numeric::descending,
    overlap::overlap,
    parameters::{AreaRange, Parameters},
    truth::Truth,
};
use crate::types::BBox;

/// The thresholds that are handled at once: one bit each of a word.
const CHUNK: usize = u64::BITS as usize;

/// A detection as it waits for its evaluation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) bbox: BBox,
    pub(super) score: f64,
    /// The image's place among the sorted images.
    pub(super) image: u32,
    /// How many detections came before it.
    pub(super) order: u32,
}

/// What there is to say of a category.
pub(super) struct Cells {
    /// `[iou_thresholds, recall_thresholds, areas, max_detections]`.
    pub(super) points: Vec<Point>,
    /// `[iou_thresholds, areas, max_detections]`: -1 where there is nothing to find.
    pub(super) recalls: Vec<f64>,
}

/// How far precision falls, and down to which score, until a recall is reached.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) precision: f64,
    pub(super) score: f64,
}

impl Point {
    /// Where there is nothing to find.
    const UNDEFINED: Point = Point { precision: -1.0, score: -1.0 };
    /// Where the recall is not reached.
    const UNREACHED: Point = Point { precision: 0.0, score: 0.0 };
}

/// Evaluates one category after the other, and keeps its memory in between.
pub(super) struct CategoryEvaluator<'a> {
    parameters: &'a Parameters,
    /// For every image the place of its first annotation, and at the end the number of annotations.
    first_truths: Vec<u32>,
    /// For every image the number of its detections that were seen.
    seen: Vec<u32>,
    order: Vec<u128>,
    detections: Vec<Ranked>,
    candidates: Vec<Candidate>,
    matching: Matching,
    curves: Vec<Curve>,
    hits_needed: Vec<usize>,
}

/// A detection that is among the first of its image.
struct Ranked {
    score: f64,
    area: f64,
    /// The place in `max_detections` of the least number that lets it count.
    stratum: u32,
    /// Where its candidates end; they begin where those of the detection before it end.
    candidates: usize,
}

/// An annotation that a detection overlaps enough for one threshold at least.
struct Candidate {
    overlap: f64,
    /// The annotation's place in the category.
    truth: u32,
    /// The thresholds of the chunk that the overlap reaches.
    reach: u64,
}

/// What came of the detections at one range of areas and one chunk of thresholds.
#[derive(Default)]
struct Matching {
    /// Whether each annotation is a crowd or outside the range.
    ignored: Vec<bool>,
    /// The thresholds at which each annotation is matched.
    taken: Vec<u64>,
    /// The detections that are not the same at every threshold, or right: few, as every annotation has but one match.
    events: Vec<Event>,
    /// `[events, max_detections]`: how many of the detections before are wrong at every threshold.
    wrong_before: Vec<u32>,
}

/// A detection and the thresholds at which it is right and wrong; at the others it is ignored.
struct Event {
    score: f64,
    stratum: u32,
    right: u64,
    wrong: u64,
}

/// The detections that are right at a threshold.
#[derive(Default)]
struct Curve {
    hits: Vec<Point>,
    /// How many events so far were wrong.
    wrong: u32,
}

impl<'a> CategoryEvaluator<'a> {
    pub(super) fn new(parameters: &'a Parameters, images: usize) -> CategoryEvaluator<'a> {
        CategoryEvaluator {
            parameters,
            first_truths: vec![0; images + 1],
            seen: vec![0; images],
            order: Vec::new(),
            detections: Vec::new(),
            candidates: Vec::new(),
            matching: Matching::default(),
            curves: Vec::new(),
            hits_needed: Vec::new(),
        }
    }

    /// `truths` are those of the category, by image; `records` its detections in the order in which they came.
    pub(super) fn evaluate(&mut self, truths: &[Truth], records: &[Record]) -> Cells {
        let Parameters { iou_thresholds, recall_thresholds, max_detections, areas, .. } = self.parameters;
        let row = areas.len() * max_detections.len();
        let mut cells = Cells {
            points: vec![Point::UNDEFINED; iou_thresholds.len() * recall_thresholds.len() * row],
            recalls: vec![-1.0; iou_thresholds.len() * row],
        };
        if truths.iter().all(|truth| truth.crowd) {
            return cells;
        }
        // Just below 1 an exact copy passes, however its overlap is rounded.
        let thresholds: Vec<f64> =
            iou_thresholds.iter().map(|threshold| threshold.min(1.0 - 1e-10)).collect();
        self.rank(truths, records, thresholds[0]);
        let best_score = self.detections.first().map_or(0.0, |detection| detection.score);
        for (chunk_index, chunk) in thresholds.chunks(CHUNK).enumerate() {
            for candidate in &mut self.candidates {
                candidate.reach = ones(chunk.partition_point(|threshold| *threshold <= candidate.overlap));
            }
            self.curves.resize_with(chunk.len(), Curve::default);
            for (area_index, area) in areas.iter().enumerate() {
                let ignored = truths.iter().map(|truth| truth.crowd || !area.contains(truth.area));
                self.matching.ignored.clear();
                self.matching.ignored.extend(ignored);
                let to_find = self.matching.ignored.iter().filter(|ignored| !**ignored).count();
                if to_find == 0 {
                    continue;
                }
                self.matching.run(
                    truths,
                    &self.detections,
                    &self.candidates,
                    ones(chunk.len()),
                    max_detections.len(),
                    area,
                );
                self.hits_needed.clear();
                self.hits_needed.extend(recall_thresholds.iter().map(|recall| hits_needed(*recall, to_find)));
                for count_index in 0..max_detections.len() {
                    self.matching.draw(&mut self.curves, count_index, max_detections.len());
                    let cell = area_index * max_detections.len() + count_index;
                    for (index, curve) in self.curves.iter_mut().enumerate() {
                        let threshold = chunk_index * CHUNK + index;
                        cells.recalls[threshold * row + cell] = curve.hits.len() as f64 / to_find as f64;
                        let first = threshold * recall_thresholds.len() * row + cell;
                        let points = cells.points[first..].iter_mut().step_by(row);
                        curve.read(&self.hits_needed, best_score, points);
                    }
                }
            }
        }
        cells
    }

    /// Sorts the detections by score, then image, then the order in which they came; leaves out what exceeds the
    /// greatest number per image, and finds each one's candidates.
    fn rank(&mut self, truths: &[Truth], records: &[Record], least_overlap: f64) {
        self.first_truths.fill(0);
        for truth in truths {
            self.first_truths[truth.image as usize + 1] += 1;
        }
        let mut sum = 0;
        for first in &mut self.first_truths {
            sum += *first;
            *first = sum;
        }
        self.order.clear();
        self.order.extend(records.iter().enumerate().map(|(index, record)| {
            u128::from(descending(record.score)) << 64 | u128::from(record.image) << 32 | index as u128
        }));
        self.order.sort_unstable();

        let max_detections = &self.parameters.max_detections;
        self.seen.fill(0);
        self.detections.clear();
        self.candidates.clear();
        for key in &self.order {
            let record = &records[*key as u32 as usize];
            let image = record.image as usize;
            let rank = self.seen[image];
            let stratum = max_detections.iter().filter(|count| **count <= rank as usize).count();
            if stratum == max_detections.len() {
                continue;
            }
            self.seen[image] += 1;
            let own = self.candidates.len();
            for truth in self.first_truths[image]..self.first_truths[image + 1] {
                let Truth { bbox, crowd, .. } = &truths[truth as usize];
                let overlap = overlap(&record.bbox, bbox, *crowd);
                if overlap >= least_overlap {
                    self.candidates.push(Candidate { overlap, truth, reach: 0 });
                }
            }
            // The best first; of equal ones the later, as pycocotools has it.
            self.candidates[own..]
                .sort_unstable_by(|a, b| b.overlap.total_cmp(&a.overlap).then(b.truth.cmp(&a.truth)));
            self.detections.push(Ranked {
                score: record.score,
                area: record.bbox.area(),
                stratum: stratum as u32,
                candidates: self.candidates.len(),
            });
        }
    }
}

impl Matching {
    /// Matches every detection, at every threshold of a chunk at once, with the annotation that it overlaps most among
    /// those that no detection before it took; with an ignored one only if there is no other.
    fn run(
        &mut self,
        truths: &[Truth],
        detections: &[Ranked],
        candidates: &[Candidate],
        all: u64,
        strata: usize,
        area: &AreaRange,
    ) {
        self.taken.clear();
        self.taken.resize(truths.len(), 0);
        self.events.clear();
        self.wrong_before.clear();
        // By stratum, the detections so far that are wrong at every threshold.
        let mut wrong_everywhere = vec![0; strata];
        let mut first = 0;
        for detection in detections {
            let own = &candidates[first..detection.candidates];
            first = detection.candidates;
            // The thresholds at which the detection is not matched yet.
            let mut open = all;
            let mut right = 0;
            if !own.is_empty() {
                for ignored in [false, true] {
                    for candidate in own {
                        let truth = candidate.truth as usize;
                        if self.ignored[truth] != ignored {
                            continue;
                        }
                        // A crowd can be matched any number of times.
                        let taken = if truths[truth].crowd { 0 } else { self.taken[truth] };
                        let matches = open & candidate.reach & !taken;
                        self.taken[truth] |= matches;
                        open &= !matches;
                        if !ignored {
                            right |= matches;
                        }
                    }
                }
            }
            let wrong = if area.contains(detection.area) { open } else { 0 };
            if right == 0 && (wrong == 0 || wrong == all) {
                wrong_everywhere[detection.stratum as usize] += u32::from(wrong != 0);
                continue;
            }
            self.events.push(Event { score: detection.score, stratum: detection.stratum, right, wrong });
            self.wrong_before.extend(wrong_everywhere.iter().scan(0, |sum, wrong| {
                *sum += wrong;
                Some(*sum)
            }));
        }
    }

    /// Collects the right detections of every threshold, and the precision at each, where so many of an image count as
    /// the number at this place of `max_detections` says.
    fn draw(&self, curves: &mut [Curve], count_index: usize, strata: usize) {
        for curve in &mut *curves {
            curve.hits.clear();
            curve.wrong = 0;
        }
        for (event, wrong_before) in self.events.iter().zip(self.wrong_before.chunks_exact(strata)) {
            if event.stratum as usize > count_index {
                continue;
            }
            for threshold in bits(event.wrong) {
                curves[threshold].wrong += 1;
            }
            for threshold in bits(event.right) {
                let Curve { hits, wrong } = &mut curves[threshold];
                let right = (hits.len() + 1) as f64;
                let wrong = f64::from(*wrong) + f64::from(wrong_before[count_index]);
                hits.push(Point { precision: right / (wrong + right + f64::EPSILON), score: event.score });
            }
        }
    }
}

impl Curve {
    /// Writes, for every recall, the greatest precision there or beyond, and the score of the detection that reaches
    /// it. A recall of 0 is reached by the best detection, right or wrong.
    fn read<'p>(
        &mut self,
        hits_needed: &[usize],
        best_score: f64,
        points: impl Iterator<Item = &'p mut Point>,
    ) {
        let mut greatest = 0.0_f64;
        for hit in self.hits.iter_mut().rev() {
            greatest = greatest.max(hit.precision);
            hit.precision = greatest;
        }
        for (point, needed) in points.zip(hits_needed) {
            *point = match needed.checked_sub(1) {
                None => Point { precision: greatest, score: best_score },
                Some(last) => self.hits.get(last).copied().unwrap_or(Point::UNREACHED),
            };
        }
    }
}

/// How many of those to find have to be found for a recall.
fn hits_needed(recall: f64, to_find: usize) -> usize {
    if recall <= 0.0 {
        return 0;
    }
    // The product is rounded; the quotients are what recall is.
    let near = (recall * to_find as f64) as usize;
    let mut hits = near.saturating_sub(1);
    while hits < to_find && (hits as f64 / to_find as f64) < recall {
        hits += 1;
    }
    hits
}

/// A word whose `count` lowest bits are set.
fn ones(count: usize) -> u64 {
    if count < CHUNK { (1 << count) - 1 } else { u64::MAX }
}

/// The places of the bits that are set.
fn bits(word: u64) -> impl Iterator<Item = usize> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let place = rest.trailing_zeros() as usize;
        rest &= rest.checked_sub(1)?;
        Some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::{super::numeric::linspace, *};

    #[test]
    fn words_hold_thresholds() {
        assert_eq!((ones(0), ones(1), ones(10), ones(64)), (0, 1, 1023, u64::MAX));
        assert_eq!(bits(0).count(), 0);
        assert_eq!(bits(1 << 63 | 0b1010).collect::<Vec<_>>(), [1, 3, 63]);
        assert_eq!(bits(u64::MAX).count(), 64);
    }

    #[test]
    fn as_many_hits_are_needed_as_a_search_finds() {
        for to_find in 1..300 {
            for recall in linspace(0.0, 1.0, 101) {
                let found = (0..=to_find).position(|hits| hits as f64 / to_find as f64 >= recall);
                assert_eq!(Some(hits_needed(recall, to_find)), found, "{recall} of {to_find}");
            }
        }
    }
}
