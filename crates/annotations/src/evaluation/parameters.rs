use std::{cmp::Ordering, fmt::Display};

use super::{
    error::{Error, Result},
    numeric::linspace,
};

/// A range of areas; what lies outside is neither rewarded nor punished.
#[derive(Clone, Debug, PartialEq)]
pub struct AreaRange {
    /// What it is called: the summary looks for "all", "small", "medium" and "large".
    pub name: String,
    /// The least area in the range, in pixels.
    pub from: f64,
    /// The greatest area in the range: an area of 1024 is both small and medium.
    pub to: f64,
}

impl AreaRange {
    /// A range by its name and limits, both of which belong to it.
    pub fn new(name: &str, from: f64, to: f64) -> AreaRange {
        AreaRange { name: name.to_owned(), from, to }
    }

    pub(super) fn contains(&self, area: f64) -> bool {
        self.from <= area && area <= self.to
    }
}

/// What becomes of a detection whose image or category is not in the ground truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// It is refused: mostly the network ran on other images, or its classes were not turned into the dataset's ids.
    #[default]
    Error,
    /// It is left out and counted: to evaluate a part of the images or categories.
    Drop,
}

/// What is evaluated. The default is COCO's.
///
/// Lists have to be ascending and without repeats, which pycocotools expects but does not check.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// The intersections over union from which on a detection counts as right: above 0, up to 1, ascending.
    pub iou_thresholds: Vec<f64>,
    /// The recalls at which precision is read: from 0 to 1, ascending.
    pub recall_thresholds: Vec<f64>,
    /// How many detections of an image and category count, those of the highest scores: ascending.
    pub max_detections: Vec<usize>,
    /// The areas that are looked at by themselves.
    pub areas: Vec<AreaRange>,
    /// What becomes of a detection whose image or category is not in the ground truth.
    pub unknown: Unknown,
    /// How many threads evaluate; 0 is as many as the machine runs at once. Results do not depend on it.
    pub threads: usize,
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters {
            iou_thresholds: linspace(0.5, 0.95, 10),
            recall_thresholds: linspace(0.0, 1.0, 101),
            max_detections: vec![1, 10, 100],
            areas: vec![
                AreaRange::new("all", 0.0, 1e10),
                AreaRange::new("small", 0.0, 1024.0),
                AreaRange::new("medium", 1024.0, 9216.0),
                AreaRange::new("large", 9216.0, 1e10),
            ],
            unknown: Unknown::default(),
            threads: 0,
        }
    }
}

impl Parameters {
    /// Whether an evaluation with these settings means something.
    ///
    /// # Errors
    ///
    /// If a list is empty, out of order or out of range, or a name occurs twice.
    pub fn validate(&self) -> Result<()> {
        let wrong = |setting, what: String| Err(Error::Parameters { setting, what });
        check_list("iou_thresholds", &self.iou_thresholds)?;
        if let Some(threshold) =
            self.iou_thresholds.iter().find(|&&threshold| !(threshold > 0.0 && threshold <= 1.0))
        {
            return wrong("iou_thresholds", format!("{threshold} is not above 0 and up to 1"));
        }
        check_list("recall_thresholds", &self.recall_thresholds)?;
        if let Some(threshold) =
            self.recall_thresholds.iter().find(|threshold| !(0.0..=1.0).contains(*threshold))
        {
            return wrong("recall_thresholds", format!("{threshold} is not from 0 to 1"));
        }
        check_list("max_detections", &self.max_detections)?;
        if self.max_detections.first() == Some(&0) {
            return wrong("max_detections", "0 leaves nothing to evaluate: begin with 1 or more".to_owned());
        }
        if self.areas.is_empty() {
            return wrong(
                "areas",
                "there are none: AreaRange::new(\"all\", 0.0, 1e10) leaves nothing out".to_owned(),
            );
        }
        for (index, AreaRange { name, from, to }) in self.areas.iter().enumerate() {
            if from.partial_cmp(to).is_none_or(Ordering::is_gt) {
                return wrong(
                    "areas",
                    format!("{name:?} is from {from} to {to}: the first must not be above the second"),
                );
            }
            if self.areas[..index].iter().any(|area| area.name == *name) {
                return wrong("areas", format!("two are called {name:?}: each needs a name of its own"));
            }
        }
        Ok(())
    }
}

fn check_list<T: PartialOrd + Display>(setting: &'static str, list: &[T]) -> Result<()> {
    let wrong = |what| Err(Error::Parameters { setting, what });
    if list.is_empty() {
        return wrong("the list is empty: it needs at least one number".to_owned());
    }
    for pair in list.windows(2) {
        if pair[0].partial_cmp(&pair[1]) != Some(Ordering::Less) {
            return wrong(format!(
                "{} comes before {}: each must be above the one before it",
                pair[0], pair[1]
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(change: impl FnOnce(&mut Parameters)) -> String {
        let mut parameters = Parameters::default();
        change(&mut parameters);
        parameters.validate().unwrap_err().to_string()
    }

    #[test]
    fn cocos_are_valid() {
        assert_eq!(Parameters::default().validate(), Ok(()));
    }

    #[test]
    fn wrong_settings_are_refused_by_name() {
        assert_eq!(
            message(|p| p.iou_thresholds.clear()),
            "iou_thresholds of the evaluation: the list is empty: it needs at least one number"
        );
        assert_eq!(
            message(|p| p.iou_thresholds = vec![0.5, 0.5]),
            "iou_thresholds of the evaluation: 0.5 comes before 0.5: each must be above the one before it"
        );
        assert_eq!(
            message(|p| p.iou_thresholds = vec![f64::NAN]),
            "iou_thresholds of the evaluation: NaN is not above 0 and up to 1"
        );
        assert!(message(|p| p.iou_thresholds = vec![0.0, 0.5]).contains("0 is not above 0"));
        assert!(message(|p| p.iou_thresholds = vec![0.5, f64::NAN]).contains("0.5 comes before NaN"));
        assert!(message(|p| p.recall_thresholds = vec![]).starts_with("recall_thresholds"));
        assert!(message(|p| p.recall_thresholds = vec![0.5, 1.5]).contains("1.5 is not from 0 to 1"));
        assert!(message(|p| p.max_detections = vec![100, 10]).contains("100 comes before 10"));
        assert!(message(|p| p.max_detections = vec![0, 10]).contains("begin with 1 or more"));
        assert!(message(|p| p.areas.clear()).contains("there are none"));
        assert!(message(|p| p.areas[1].to = -1.0).contains("\"small\" is from 0 to -1"));
        assert!(message(|p| p.areas[1].from = f64::NAN).contains("\"small\" is from NaN"));
        assert!(message(|p| p.areas[1].name = "all".to_owned()).contains("two are called \"all\""));
    }
}
