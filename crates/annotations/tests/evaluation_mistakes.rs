//! The confusion matrix and the breakdown of errors, on cases small enough to be done by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail loudly")]

use ocelli_annotations::{
    Annotation, AnnotationId, BBox, CategoryId, Detection, ImageId,
    evaluation::{ConfusionParameters, Error, ErrorParameters, Evaluator, GroundTruth, Mistakes, Parameters},
};

mod evaluation_support;

use evaluation_support::{Rule, category};

const CAT: i64 = 1;
const DOG: i64 = 2;

/// A box of 10 by 10, so far from the left edge.
fn at(x: f64) -> BBox {
    BBox::new(x, 0.0, 10.0, 10.0)
}

fn annotation(category: i64, bbox: BBox) -> Annotation {
    let category = CategoryId(category);
    Annotation { id: AnnotationId(1), image: ImageId(1), category, bbox, area: bbox.area(), crowd: false }
}

fn crowd(category: i64, bbox: BBox) -> Annotation {
    Annotation { crowd: true, ..annotation(category, bbox) }
}

fn detection(category: i64, bbox: BBox, score: f64) -> Detection {
    Detection { image: ImageId(1), category: CategoryId(category), bbox, score }
}

fn evaluator<const N: usize>(annotations: [Annotation; N], detections: &[Detection]) -> Evaluator {
    let truth = GroundTruth::new([ImageId(1)], vec![category(CAT), category(DOG)], annotations).unwrap();
    let mut evaluator = Evaluator::new(truth, Parameters::default()).unwrap();
    evaluator.add(detections).unwrap();
    evaluator
}

fn confusion<const N: usize>(annotations: [Annotation; N], detections: &[Detection]) -> Vec<u64> {
    evaluator(annotations, detections).confusion(&ConfusionParameters::default()).unwrap().counts().to_vec()
}

#[test]
fn things_are_counted_by_what_they_are_and_what_they_were_taken_for() {
    let annotations = [annotation(CAT, at(0.0)), annotation(CAT, at(100.0)), annotation(DOG, at(200.0))];
    let detections = [
        detection(CAT, at(1.0), 0.9),
        detection(DOG, at(101.0), 0.8),
        // Already taken.
        detection(CAT, at(0.0), 0.7),
        // Nothing there.
        detection(DOG, at(300.0), 0.25),
        // Not sure enough.
        detection(DOG, at(200.0), 0.2),
    ];
    assert_eq!(
        confusion(annotations, &detections),
        [
            1, 1, 0, // cats
            0, 0, 1, // dogs
            1, 1, 0, // background
        ]
    );
}

#[test]
fn the_counts_are_found_by_category() {
    let detections = [detection(DOG, at(0.0), 0.9), detection(CAT, at(100.0), 0.9)];
    let evaluator = evaluator([annotation(CAT, at(0.0)), annotation(CAT, at(50.0))], &detections);
    let matrix = evaluator.confusion(&ConfusionParameters::default()).unwrap();
    let (cat, dog) = (Some(CategoryId(CAT)), Some(CategoryId(DOG)));
    assert_eq!((matrix.count(cat, dog), matrix.count(dog, cat), matrix.count(cat, cat)), (1, 0, 0));
    assert_eq!((matrix.count(cat, None), matrix.count(None, cat), matrix.count(None, None)), (1, 1, 0));
    assert_eq!(matrix.count(Some(CategoryId(9)), dog), 0);
    assert_eq!(matrix.rows().map(|row| row.iter().sum::<u64>()).collect::<Vec<_>>(), [2, 0, 1]);
    assert_eq!(matrix.categories().len(), 2);
}

#[test]
fn the_greatest_overlap_is_taken_and_of_equal_ones_the_own_category() {
    // Nearer to the dog.
    let annotations = [annotation(CAT, at(0.0)), annotation(DOG, at(3.0))];
    assert_eq!(confusion(annotations.clone(), &[detection(CAT, at(2.0), 0.9)]), [0, 0, 1, 1, 0, 0, 0, 0, 0]);
    // The dog is taken by a detection of a higher score.
    let detections = [detection(CAT, at(2.0), 0.8), detection(DOG, at(3.0), 0.9)];
    assert_eq!(confusion(annotations, &detections), [1, 0, 0, 0, 1, 0, 0, 0, 0]);
    // As near to both.
    let annotations = [annotation(DOG, at(0.0)), annotation(CAT, at(2.0)), annotation(DOG, at(2.0))];
    assert_eq!(confusion(annotations, &[detection(CAT, at(1.0), 0.9)]), [1, 0, 0, 0, 0, 2, 0, 0, 0]);
    // As near to two of its own: the earlier is taken, which leaves the other to the next.
    let annotations = [annotation(CAT, at(0.0)), annotation(CAT, at(2.0))];
    let detections = [detection(CAT, at(1.0), 0.9), detection(CAT, at(4.0), 0.8)];
    assert_eq!(confusion(annotations, &detections), [2, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn crowds_are_neither_counted_nor_punished() {
    let annotations = [crowd(CAT, BBox::new(0.0, 0.0, 100.0, 10.0)), annotation(CAT, at(0.0))];
    let detections = [
        detection(CAT, at(0.0), 0.9),
        detection(CAT, at(20.0), 0.8),
        detection(CAT, at(30.0), 0.7),
        // Another category's crowd excuses nothing.
        detection(DOG, at(40.0), 0.6),
        // Less than half in it.
        detection(CAT, at(96.0), 0.5),
    ];
    assert_eq!(confusion(annotations, &detections), [1, 0, 0, 0, 0, 0, 1, 1, 0]);
}

#[test]
fn every_annotation_has_a_row_and_every_sure_detection_a_column() {
    let data = Rule { crowds: 0, ..Rule::drawn(3, 50) }.draw();
    let mut evaluator = Evaluator::new(data.truth(), Parameters::default()).unwrap();
    evaluator.add(&data.detections).unwrap();
    let matrix =
        evaluator.confusion(&ConfusionParameters { score_threshold: 0.4, iou_threshold: 0.5 }).unwrap();
    for (index, category) in data.categories.iter().enumerate() {
        let own = data.annotations.iter().filter(|annotation| annotation.category == category.id).count();
        assert_eq!(matrix.rows().nth(index).unwrap().iter().sum::<u64>(), own as u64);
        let sure = |detection: &&Detection| detection.category == category.id && detection.score >= 0.4;
        let found = data.detections.iter().filter(sure).count();
        assert_eq!(matrix.rows().map(|row| row[index]).sum::<u64>(), found as u64);
    }
}

#[test]
fn a_mistake_of_each_kind_is_told_from_the_others() {
    let annotations = [
        annotation(CAT, at(0.0)),
        annotation(CAT, at(100.0)),
        annotation(DOG, at(200.0)),
        annotation(DOG, at(300.0)),
        annotation(DOG, at(400.0)),
    ];
    let detections = [
        // Right.
        detection(CAT, at(0.0), 0.9),
        // The cat at 0 again.
        detection(CAT, at(1.0), 0.8),
        // The cat at 100, badly: an overlap of 1/3.
        detection(CAT, at(105.0), 0.7),
        // The dog at 200, taken for a cat.
        detection(CAT, at(201.0), 0.6),
        // The dog at 300, taken for a cat, and badly.
        detection(CAT, at(305.0), 0.5),
        // Nothing.
        detection(DOG, at(500.0), 0.4),
    ];
    let errors = evaluator(annotations, &detections).errors(&ErrorParameters::default()).unwrap();
    let counts = |mistakes: Mistakes| mistakes.count;
    assert_eq!(counts(errors.duplicate), 1);
    assert_eq!(counts(errors.localization), 1);
    assert_eq!(counts(errors.classification), 1);
    assert_eq!(counts(errors.both), 1);
    assert_eq!(counts(errors.background), 1);
    // The dogs at 300 and 400: those at 200 and the cat at 100 would be found.
    assert_eq!(counts(errors.missed), 2);
    // Half the cats at full precision, and no dog. 51 of 101 recalls are up to a half.
    let half = 51.0 / 101.0;
    assert!((errors.ap - half / 2.0).abs() < 1e-12);
    // The second cat third of three, then.
    assert!((errors.localization.gain - (1.0 - half) * (2.0 / 3.0) / 2.0).abs() < 1e-12);
    // One dog of three, at full precision.
    assert!((errors.classification.gain - 34.0 / 101.0 / 2.0).abs() < 1e-12);
    assert_eq!(errors.duplicate.gain, 0.0);
    // All cats found are first already; perfect recall is worth the other half of them, and dogs are none to find.
    assert_eq!(errors.false_positive_gain, 0.0);
    assert!((errors.false_negative_gain - (1.0 - half) / 2.0).abs() < 1e-12);
}

#[test]
fn of_many_corrections_of_an_annotation_the_surest_counts() {
    let annotations = [annotation(CAT, at(0.0))];
    let detections =
        [detection(DOG, at(0.0), 0.5), detection(CAT, at(5.0), 0.8), detection(CAT, at(5.0), 0.8)];
    let errors = evaluator(annotations, &detections).errors(&ErrorParameters::default()).unwrap();
    assert_eq!((errors.classification.count, errors.localization.count, errors.missed.count), (1, 2, 0));
    assert_eq!(errors.ap, 0.0);
    // The category of dogs has detections, but nothing to find: it counts as 0 until they are gone.
    assert_eq!(errors.localization.gain, 0.5);
    // The detection of a dog is removed, as the other would be the correction.
    assert_eq!(errors.classification.gain, 0.0);
}

#[test]
fn of_corrections_as_sure_as_each_other_the_first_counts() {
    let detections = [detection(DOG, at(0.0), 0.8), detection(CAT, at(5.0), 0.8)];
    let errors =
        evaluator([annotation(CAT, at(0.0))], &detections).errors(&ErrorParameters::default()).unwrap();
    assert_eq!((errors.classification.gain, errors.localization.gain), (1.0, 0.0));
}

#[test]
fn nothing_at_all_is_no_error() {
    let errors = evaluator([], &[]).errors(&ErrorParameters::default()).unwrap();
    assert_eq!((errors.ap, errors.missed, errors.false_negative_gain), (0.0, Mistakes::default(), 0.0));
    assert_eq!(confusion([], &[]), [0; 9]);
}

#[test]
fn wrong_parameters_are_refused() {
    let evaluator = evaluator([], &[]);
    let setting = |error: Error| match error {
        Error::Parameters { setting, .. } => setting,
        other => panic!("{other}"),
    };
    let errors = ErrorParameters::default;
    for (parameters, name) in [
        (ErrorParameters { foreground_iou: 1.5, ..errors() }, "foreground_iou"),
        (ErrorParameters { foreground_iou: f64::NAN, ..errors() }, "foreground_iou"),
        (ErrorParameters { background_iou: 0.5, ..errors() }, "background_iou"),
        (ErrorParameters { background_iou: 0.0, ..errors() }, "background_iou"),
        (ErrorParameters { max_detections: 0, ..errors() }, "max_detections"),
    ] {
        assert_eq!(setting(evaluator.errors(&parameters).unwrap_err()), name);
    }
    let confusion = ConfusionParameters::default;
    for (parameters, name) in [
        (ConfusionParameters { iou_threshold: 0.0, ..confusion() }, "iou_threshold"),
        (ConfusionParameters { score_threshold: f64::NAN, ..confusion() }, "score_threshold"),
    ] {
        assert_eq!(setting(evaluator.confusion(&parameters).unwrap_err()), name);
    }
}
