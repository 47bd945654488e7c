use std::fmt;

use serde::Serialize;

use super::{parameters::Parameters, results::Evaluation};
use crate::types::CategoryId;

/// The twelve numbers by which detectors are compared, each from 0 to 1. Its text is the table that pycocotools prints.
///
/// They mean the same with other [`Parameters`] than COCO's, and follow pycocotools there too: a number is `None` if
/// its threshold of overlap, its range of areas or its number of detections is not among the parameters, as it is
/// where there is nothing to find. `ap` always wants 100 detections. The others take the first, second or third of
/// [`Parameters::max_detections`], whatever it is: where the fields below say 1, 10 and 100. Means over other choices
/// come from [`Evaluation::mean_precision`] and [`Evaluation::mean_recall`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Mean precision over all thresholds of overlap: the one number that is meant by "mAP" on COCO.
    pub ap: Option<f64>,
    /// Mean precision at an overlap of 0.5.
    pub ap50: Option<f64>,
    /// Mean precision at an overlap of 0.75.
    pub ap75: Option<f64>,
    /// Mean precision on areas up to 32².
    pub ap_small: Option<f64>,
    /// Mean precision on areas from 32² to 96².
    pub ap_medium: Option<f64>,
    /// Mean precision on areas from 96².
    pub ap_large: Option<f64>,
    /// Mean recall with one detection per image and category.
    pub ar_1: Option<f64>,
    /// Mean recall with 10 detections per image and category.
    pub ar_10: Option<f64>,
    /// Mean recall with 100 detections per image and category.
    pub ar_100: Option<f64>,
    /// Mean recall on areas up to 32².
    pub ar_small: Option<f64>,
    /// Mean recall on areas from 32² to 96².
    pub ar_medium: Option<f64>,
    /// Mean recall on areas from 96².
    pub ar_large: Option<f64>,
    /// The least and the greatest threshold of overlap.
    #[serde(skip)]
    ious: (f64, f64),
    /// The numbers of detections by [`Count::Place`].
    #[serde(skip)]
    counts: [Option<usize>; 3],
}

/// A line of the table.
struct Line {
    measure: Measure,
    iou: Option<f64>,
    area: &'static str,
    count: Count,
}

#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Precision,
    Recall,
}

/// How many detections of an image and category count.
#[derive(Clone, Copy)]
enum Count {
    /// As many.
    Fixed(usize),
    /// As many as the parameters have at this place.
    Place(usize),
}

/// The lines of the table, in its order.
const LINES: [Line; 12] = {
    const fn line(measure: Measure, iou: Option<f64>, area: &'static str, count: Count) -> Line {
        Line { measure, iou, area, count }
    }
    use Count::{Fixed, Place};
    use Measure::{Precision, Recall};
    [
        line(Precision, None, "all", Fixed(100)),
        line(Precision, Some(0.5), "all", Place(2)),
        line(Precision, Some(0.75), "all", Place(2)),
        line(Precision, None, "small", Place(2)),
        line(Precision, None, "medium", Place(2)),
        line(Precision, None, "large", Place(2)),
        line(Recall, None, "all", Place(0)),
        line(Recall, None, "all", Place(1)),
        line(Recall, None, "all", Place(2)),
        line(Recall, None, "small", Place(2)),
        line(Recall, None, "medium", Place(2)),
        line(Recall, None, "large", Place(2)),
    ]
};

impl Summary {
    pub(super) fn new(evaluation: &Evaluation) -> Summary {
        let Parameters { iou_thresholds, max_detections, .. } = evaluation.parameters();
        let counts = [0, 1, 2].map(|place| max_detections.get(place).copied());
        let values = LINES.map(|Line { measure, iou, area, count }| {
            let count = count.of(&counts)?;
            match measure {
                Measure::Precision => evaluation.mean_precision(iou, area, count),
                Measure::Recall => evaluation.mean_recall(iou, area, count),
            }
        });
        let [ap, ap50, ap75, ap_small, ap_medium, ap_large, ..] = values;
        let [.., ar_1, ar_10, ar_100, ar_small, ar_medium, ar_large] = values;
        let ious = match iou_thresholds[..] {
            [first, .., last] => (first, last),
            [only] => (only, only),
            [] => (f64::NAN, f64::NAN),
        };
        Summary {
            ap,
            ap50,
            ap75,
            ap_small,
            ap_medium,
            ap_large,
            ar_1,
            ar_10,
            ar_100,
            ar_small,
            ar_medium,
            ar_large,
            ious,
            counts,
        }
    }

    /// The twelve numbers in the order of the table, which is that of the fields; -1 for `None`.
    pub fn stats(&self) -> [f64; 12] {
        [
            self.ap,
            self.ap50,
            self.ap75,
            self.ap_small,
            self.ap_medium,
            self.ap_large,
            self.ar_1,
            self.ar_10,
            self.ar_100,
            self.ar_small,
            self.ar_medium,
            self.ar_large,
        ]
        .map(|value| value.unwrap_or(-1.0))
    }
}

impl Count {
    fn of(self, counts: &[Option<usize>; 3]) -> Option<usize> {
        match self {
            Count::Fixed(count) => Some(count),
            Count::Place(place) => counts[place],
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (Line { measure, iou, area, count }, value)) in LINES.iter().zip(self.stats()).enumerate()
        {
            let (title, short) = match measure {
                Measure::Precision => ("Average Precision", "(AP)"),
                Measure::Recall => ("Average Recall", "(AR)"),
            };
            let ious = match iou {
                Some(iou) => format!("{iou:.2}"),
                None => format!("{:.2}:{:.2}", self.ious.0, self.ious.1),
            };
            let count = count.of(&self.counts).map_or_else(|| "-".to_owned(), |count| count.to_string());
            let line_end = if index == 0 { "" } else { "\n" };
            write!(
                f,
                "{line_end} {title:<18} {short} @[ IoU={ious:<9} | area={area:>6} | maxDets={count:>3} ] = {value:.3}"
            )?;
        }
        Ok(())
    }
}

/// The numbers of one category, each from 0 to 1, over all thresholds of overlap where nothing else is said; `None`
/// where there is nothing to find, or the parameters lack the threshold or the range of areas.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CategorySummary {
    /// The category.
    pub category: CategoryId,
    /// What it is called.
    pub name: String,
    /// How many annotations there are to find, crowds left out.
    pub annotations: usize,
    /// Mean precision.
    pub ap: Option<f64>,
    /// Mean precision at an overlap of 0.5.
    pub ap50: Option<f64>,
    /// Mean precision at an overlap of 0.75.
    pub ap75: Option<f64>,
    /// Mean precision on areas up to 32².
    pub ap_small: Option<f64>,
    /// Mean precision on areas from 32² to 96².
    pub ap_medium: Option<f64>,
    /// Mean precision on areas from 96².
    pub ap_large: Option<f64>,
    /// Mean recall.
    pub ar: Option<f64>,
    /// Mean recall on areas up to 32².
    pub ar_small: Option<f64>,
    /// Mean recall on areas from 32² to 96².
    pub ar_medium: Option<f64>,
    /// Mean recall on areas from 96².
    pub ar_large: Option<f64>,
}

impl CategorySummary {
    pub(super) fn new(evaluation: &Evaluation, index: usize) -> CategorySummary {
        let category = &evaluation.categories()[index];
        let truth = evaluation.truth();
        let truths = &truth.truths()[truth.category_range(index)];
        let count = evaluation.parameters().max_detections.last().copied().unwrap_or_default();
        let precision = |iou, area| evaluation.mean_precision_of(index..index + 1, iou, area, count);
        let recall = |area| evaluation.mean_recall_of(index..index + 1, None, area, count);
        CategorySummary {
            category: category.id,
            name: category.name.clone(),
            annotations: truths.iter().filter(|truth| !truth.crowd).count(),
            ap: precision(None, "all"),
            ap50: precision(Some(0.5), "all"),
            ap75: precision(Some(0.75), "all"),
            ap_small: precision(None, "small"),
            ap_medium: precision(None, "medium"),
            ap_large: precision(None, "large"),
            ar: recall("all"),
            ar_small: recall("small"),
            ar_medium: recall("medium"),
            ar_large: recall("large"),
        }
    }
}
