//! The evaluation against what pycocotools and tidecv computed: `tests/golden/evaluation.py` says how.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail loudly")]

use std::collections::BTreeMap;

use ocelli_annotations::{
    AnnotationId,
    evaluation::{ErrorParameters, Evaluator},
};

mod evaluation_support;

use evaluation_support::{Case, bits, cases, digest};

fn compare_with_pycocotools(case: &Case) {
    let Case { name, expected, .. } = case;
    let data = case.data();
    let mut evaluator = Evaluator::new(data.truth(), case.parameters()).unwrap();
    evaluator.add(&data.detections).unwrap();
    let evaluation = evaluator.evaluate();
    assert_eq!(digest(evaluation.recall()), expected.recall, "{name}: recall");
    assert_eq!(digest(evaluation.precision()), expected.precision, "{name}: precision");
    assert_eq!(digest(evaluation.scores()), expected.scores, "{name}: scores");
    let summary = evaluation.summary();
    if let Some(stats) = &expected.stats {
        assert_eq!(bits(&summary.stats()), *stats, "{name}: summary");
    }
    if let Some(text) = &expected.summary {
        assert_eq!(format!("{summary}\n"), *text, "{name}");
    }
    let aps: Vec<f64> =
        evaluation.per_category().iter().map(|category| category.ap.unwrap_or(-1.0)).collect();
    assert_eq!(bits(&aps), expected.category_ap, "{name}: precision of categories");
}

#[test]
fn results_are_those_of_pycocotools_to_the_last_bit() {
    for case in cases().iter().filter(|case| !case.is_coco()) {
        compare_with_pycocotools(case);
    }
}

#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA")]
fn results_on_coco_are_those_of_pycocotools_to_the_last_bit() {
    for case in cases().iter().filter(|case| case.is_coco()) {
        compare_with_pycocotools(case);
    }
}

#[test]
fn an_annotation_with_the_id_0_can_be_found() {
    let cases = cases();
    let case = cases.iter().find(|case| case.stats_with_id_0.is_some()).unwrap();
    let mut data = case.data();
    data.annotations[0].id = AnnotationId(0);
    let mut evaluator = Evaluator::new(data.truth(), case.parameters()).unwrap();
    evaluator.add(&data.detections).unwrap();
    let stats = bits(&evaluator.evaluate().summary().stats());
    assert_eq!(Some(&stats), case.expected.stats.as_ref());
    // To pycocotools 0 means that nothing matched.
    assert_ne!(Some(&stats), case.stats_with_id_0.as_ref());
}

fn compare_with_tidecv(case: &Case) {
    let Case { name, .. } = case;
    let Some(expected) = &case.errors else { return };
    let data = case.data();
    let mut evaluator = Evaluator::new(data.truth(), case.parameters()).unwrap();
    evaluator.add(&data.detections).unwrap();
    let errors = evaluator.errors(&ErrorParameters::default()).unwrap();
    let kinds = [
        ("Cls", errors.classification),
        ("Loc", errors.localization),
        ("Both", errors.both),
        ("Dupe", errors.duplicate),
        ("Bkg", errors.background),
        ("Miss", errors.missed),
    ];
    let counts: BTreeMap<String, usize> =
        kinds.iter().map(|(kind, mistakes)| ((*kind).to_owned(), mistakes.count)).collect();
    assert_eq!(counts, expected.counts, "{name}");
    let close = |value: f64, percent: f64, what: &str| {
        assert!((value * 100.0 - percent).abs() < 1e-9, "{name}: {what}: {value}, by tidecv {percent} %");
    };
    close(errors.ap, expected.ap, "precision");
    for (kind, mistakes) in kinds {
        close(mistakes.gain, expected.gains[kind], kind);
    }
    close(errors.false_positive_gain, expected.gains["FalsePos"], "FalsePos");
    close(errors.false_negative_gain, expected.gains["FalseNeg"], "FalseNeg");
}

#[test]
fn errors_are_those_of_tidecv() {
    for case in cases().iter().filter(|case| !case.is_coco()) {
        compare_with_tidecv(case);
    }
}

#[test]
#[cfg_attr(not(ocelli_test_data), ignore = "needs OCELLI_TEST_DATA")]
fn errors_on_coco_are_those_of_tidecv() {
    for case in cases().iter().filter(|case| case.is_coco()) {
        compare_with_tidecv(case);
    }
}
