use serde::Serialize;

use super::{
    error::{Error, Result},
    evaluator::Evaluator,
    numeric::descending,
    overlap::overlap,
    scenes::{Detected, Labelled, Scene, Scenes},
};

/// Where an [`ErrorBreakdown`] draws its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorParameters {
    /// The intersection over union from which on a detection is right: up to 1.
    pub foreground_iou: f64,
    /// The one up to which a detection has nothing to do with an annotation: above 0, below the other.
    pub background_iou: f64,
    /// How many detections of an image count over all categories, those of the highest scores.
    pub max_detections: usize,
}

impl Default for ErrorParameters {
    fn default() -> ErrorParameters {
        ErrorParameters { foreground_iou: 0.5, background_iou: 0.1, max_detections: 100 }
    }
}

/// What is wrong with a detector: its mistakes by kind, and what precision would gain without them.
///
/// The kinds and gains are those of Bolya, Foley, Hays and Hoffman, "TIDE: A General Toolbox for Identifying Object
/// Detection Errors", 2020, computed as tidecv 1.0.1 does, but as shares of 1 and not in percent. Five of its choices
/// matter: precision is taken at one overlap, and a category that has detections but no annotations counts, as 0; a
/// detection that a crowd excuses is neither right nor wrong, yet counts as a mistake; of the detections that a
/// correction would make right for the same annotation, the first of the highest score is corrected and the others are
/// removed; and with corrections the wrong ones of equal scores come first, so that the last two gains can be
/// negative where many scores are equal.
///
/// A mistake is of the first kind that fits, in the order below.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorBreakdown {
    /// Mean precision at the foreground overlap.
    pub ap: f64,
    /// The right category, and an overlap from the background's to the foreground's.
    pub localization: Mistakes,
    /// Another category, at an overlap that would be right.
    pub classification: Mistakes,
    /// Right, if a detection of a higher score were not.
    pub duplicate: Mistakes,
    /// An overlap with nothing of more than the background's.
    pub background: Mistakes,
    /// Neither the right category nor enough overlap.
    pub both: Mistakes,
    /// Annotations that were not found, and that no detection would find if its category or its box were corrected.
    pub missed: Mistakes,
    /// What would be gained if every wrong detection came after all right ones.
    pub false_positive_gain: f64,
    /// What would be gained if only the annotations found were to be found.
    pub false_negative_gain: f64,
}

/// The mistakes of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Mistakes {
    /// How many.
    pub count: usize,
    /// How much the mean precision would rise if they alone were corrected: moved, relabelled, removed, or not looked
    /// for.
    pub gain: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Localization,
    Classification,
    Duplicate,
    Background,
    Both,
}

/// A detection that is not right.
struct Mistake {
    kind: Kind,
    point: Point,
    /// A crowd excuses it.
    excused: bool,
    /// The category in which it is right once corrected; otherwise a correction removes it.
    corrected: Option<usize>,
}

/// A detection on the way to precision.
#[derive(Clone, Copy)]
struct Point {
    category: usize,
    score: f64,
    right: bool,
}

/// What was found out image by image.
struct Findings {
    /// The detections that count, in order.
    points: Vec<Point>,
    mistakes: Vec<Mistake>,
    /// By category, the annotations to find; those not found; and those among them that no correction finds.
    to_find: Vec<usize>,
    not_found: Vec<usize>,
    missed: Vec<usize>,
}

impl Evaluator {
    /// What is wrong with the detections added so far.
    ///
    /// # Errors
    ///
    /// If a parameter is out of range.
    pub fn errors(&self, parameters: &ErrorParameters) -> Result<ErrorBreakdown> {
        let ErrorParameters { foreground_iou, background_iou, max_detections } = *parameters;
        if !(foreground_iou > 0.0 && foreground_iou <= 1.0) {
            let what = format!("{foreground_iou} is not above 0 and up to 1");
            return Err(Error::Parameters { setting: "foreground_iou", what });
        }
        if !(background_iou > 0.0 && background_iou < foreground_iou) {
            let what = format!(
                "{background_iou} is not above 0 and below foreground_iou, which is {foreground_iou}"
            );
            return Err(Error::Parameters { setting: "background_iou", what });
        }
        if max_detections == 0 {
            let what = "0 leaves nothing to look at: take 1 or more".to_owned();
            return Err(Error::Parameters { setting: "max_detections", what });
        }
        let categories = self.truth().categories().len();
        let mut findings = Findings {
            points: Vec::new(),
            mistakes: Vec::new(),
            to_find: vec![0; categories],
            not_found: vec![0; categories],
            missed: vec![0; categories],
        };
        for scene in Scenes::new(self).iter() {
            findings.look_at(&scene, parameters);
        }
        Ok(findings.break_down())
    }
}

impl Findings {
    fn look_at(&mut self, scene: &Scene<'_, '_>, parameters: &ErrorParameters) {
        let ErrorParameters { foreground_iou, background_iou, max_detections } = *parameters;
        let (crowds, targets): (Vec<Labelled<'_>>, Vec<Labelled<'_>>) =
            scene.truths.iter().partition(|labelled| labelled.truth.crowd);
        let detections = &scene.detections[..scene.detections.len().min(max_detections)];
        for target in &targets {
            self.to_find[target.category] += 1;
        }

        let mut found = vec![false; targets.len()];
        let mut wrong = Vec::new();
        for detection in detections {
            let overlaps: Vec<f64> = targets
                .iter()
                .map(|target| overlap(&detection.record.bbox, &target.truth.bbox, false))
                .collect();
            let own = |index: usize| targets[index].category == detection.category;
            let free = greatest(&overlaps, |index| own(index) && !found[index]);
            let right = free.filter(|(_, overlap)| *overlap >= foreground_iou);
            let excused = right.is_none() && is_excused(detection, &crowds, foreground_iou);
            let point =
                Point { category: detection.category, score: detection.record.score, right: right.is_some() };
            if !excused {
                self.points.push(point);
            }
            match right {
                Some((index, _)) => found[index] = true,
                None => wrong.push((point, excused, overlaps)),
            }
        }

        // Which annotations were found is known only now. Of those that were not, the mistake that a correction would
        // turn into a match.
        let mut saviours: Vec<Option<usize>> = vec![None; targets.len()];
        for (point, excused, overlaps) in wrong {
            let own = |index: usize| targets[index].category == point.category;
            let own_best = greatest(&overlaps, own);
            let other_best = greatest(&overlaps, |index| !own(index));
            let reaches = |best: Option<(usize, f64)>| best.filter(|(_, overlap)| *overlap >= foreground_iou);
            let near = own_best.filter(|(_, overlap)| (background_iou..=foreground_iou).contains(overlap));
            let (kind, target) = if let Some((index, _)) = near {
                (Kind::Localization, Some(index))
            } else if let Some((index, _)) = reaches(other_best) {
                (Kind::Classification, Some(index))
            } else if reaches(greatest(&overlaps, |index| own(index) && found[index])).is_some() {
                (Kind::Duplicate, None)
            } else if overlaps.iter().all(|overlap| *overlap <= background_iou) {
                (Kind::Background, None)
            } else {
                (Kind::Both, None)
            };
            if let Some(index) = target.filter(|index| !found[*index]) {
                let saviour = &mut saviours[index];
                if saviour.is_none_or(|other| self.mistakes[other].point.score < point.score) {
                    *saviour = Some(self.mistakes.len());
                }
            }
            self.mistakes.push(Mistake { kind, point, excused, corrected: None });
        }
        for ((target, found), saviour) in targets.iter().zip(&found).zip(saviours) {
            if *found {
                continue;
            }
            self.not_found[target.category] += 1;
            match saviour {
                Some(mistake) => self.mistakes[mistake].corrected = Some(target.category),
                None => self.missed[target.category] += 1,
            }
        }
    }

    fn break_down(&self) -> ErrorBreakdown {
        let ap = mean_precision(self.points.iter().copied(), &self.to_find);
        let of_kind = |kind: Kind| {
            let precision = mean_precision(self.corrected(Some(kind)), &self.to_find);
            Mistakes {
                count: self.mistakes.iter().filter(|mistake| mistake.kind == kind).count(),
                // Below 0 only by the order of equal scores.
                gain: (precision - ap).max(0.0),
            }
        };
        let without = |fewer: &[usize]| -> Vec<usize> {
            self.to_find.iter().zip(fewer).map(|(to_find, fewer)| to_find - fewer).collect()
        };
        let sorted_out = |point: Point| Point { score: f64::from(u8::from(point.right)), ..point };
        let missed = mean_precision(self.corrected(None), &without(&self.missed));
        ErrorBreakdown {
            ap,
            localization: of_kind(Kind::Localization),
            classification: of_kind(Kind::Classification),
            duplicate: of_kind(Kind::Duplicate),
            background: of_kind(Kind::Background),
            both: of_kind(Kind::Both),
            missed: Mistakes { count: self.missed.iter().sum(), gain: (missed - ap).max(0.0) },
            false_positive_gain: mean_precision(self.corrected(None).map(sorted_out), &self.to_find) - ap,
            false_negative_gain: mean_precision(self.corrected(None), &without(&self.not_found)) - ap,
        }
    }

    /// The detections once all mistakes of a kind are corrected. Of equal scores the wrong ones come first.
    fn corrected(&self, kind: Option<Kind>) -> impl Iterator<Item = Point> {
        let mistakes = self.mistakes.iter().filter_map(move |mistake| {
            if Some(mistake.kind) == kind {
                mistake.corrected.map(|category| Point { category, right: true, ..mistake.point })
            } else {
                (!mistake.excused).then_some(mistake.point)
            }
        });
        mistakes.chain(self.points.iter().copied().filter(|point| point.right))
    }
}

/// The greatest overlap among those that count, and its place; of equal ones the first.
fn greatest(overlaps: &[f64], counts: impl Fn(usize) -> bool) -> Option<(usize, f64)> {
    let mut best: Option<(usize, f64)> = None;
    for (index, overlap) in overlaps.iter().enumerate() {
        if counts(index) && best.is_none_or(|(_, most)| *overlap > most) {
            best = Some((index, *overlap));
        }
    }
    best
}

fn is_excused(detection: &Detected<'_>, crowds: &[Labelled<'_>], foreground_iou: f64) -> bool {
    crowds.iter().any(|crowd| {
        crowd.category == detection.category
            && overlap(&detection.record.bbox, &crowd.truth.bbox, true) > foreground_iou
    })
}

/// The mean over the categories that have detections or anything to find.
fn mean_precision(points: impl Iterator<Item = Point>, to_find: &[usize]) -> f64 {
    let mut by_category: Vec<Vec<(f64, bool)>> = vec![Vec::new(); to_find.len()];
    for Point { category, score, right } in points {
        by_category[category].push((score, right));
    }
    let mut sum = 0.0;
    let mut count = 0;
    for (points, to_find) in by_category.iter_mut().zip(to_find) {
        if !points.is_empty() || *to_find > 0 {
            sum += precision(points, *to_find);
            count += 1;
        }
    }
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// The mean over 101 recalls of the greatest precision there or beyond.
fn precision(points: &mut [(f64, bool)], to_find: usize) -> f64 {
    const STEPS: usize = 100;
    if to_find == 0 {
        return 0.0;
    }
    points.sort_by_key(|(score, _)| descending(*score));
    let mut right = 0;
    let mut curve: Vec<(f64, f64)> = points
        .iter()
        .enumerate()
        .map(|(before, (_, is_right))| {
            right += usize::from(*is_right);
            (right as f64 / to_find as f64, right as f64 / (before + 1) as f64)
        })
        .collect();
    let mut greatest = 0.0_f64;
    for (_, precision) in curve.iter_mut().rev() {
        greatest = greatest.max(*precision);
        *precision = greatest;
    }
    let mut rest = curve.iter().peekable();
    let sum: f64 = (0..=STEPS)
        .map(|step| {
            let recall = step as f64 / STEPS as f64;
            while rest.next_if(|(reached, _)| *reached < recall).is_some() {}
            rest.peek().map_or(0.0, |(_, precision)| *precision)
        })
        .sum();
    sum / (STEPS + 1) as f64
}
