//! What an evaluation must not depend on, and what it refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail loudly")]

use ocelli_annotations::{
    Annotation, AnnotationId, BBox, CategoryId, Detection, ImageId,
    evaluation::{Dropped, Error, Evaluation, Evaluator, GroundTruth, Parameters, Unknown},
};

mod evaluation_support;

use evaluation_support::{Data, Random, Rule, bits, category, digest};

/// Everything that was measured.
fn fingerprint(evaluation: &Evaluation) -> [String; 4] {
    [
        digest(evaluation.precision()),
        digest(evaluation.recall()),
        digest(evaluation.scores()),
        bits(&evaluation.summary().stats()).join(" "),
    ]
}

fn evaluate(data: &Data, parameters: Parameters) -> [String; 4] {
    let mut evaluator = Evaluator::new(data.truth(), parameters).unwrap();
    evaluator.add(&data.detections).unwrap();
    fingerprint(&evaluator.evaluate())
}

/// Cases with and without equal scores, and with many detections of an image.
fn cases() -> impl Iterator<Item = Data> {
    [(0, 4), (6, 4), (9, 300)].into_iter().flat_map(|(levels, noise)| {
        (100..104).map(move |seed| Rule { levels, noise, ..Rule::drawn(seed, 12) }.draw())
    })
}

#[test]
fn batches_do_not_matter() {
    let mut random = Random { state: 1 };
    for data in cases() {
        let mut evaluator = Evaluator::new(data.truth(), Parameters::default()).unwrap();
        let mut rest = data.detections.as_slice();
        while !rest.is_empty() {
            let batch;
            (batch, rest) = rest.split_at((random.below(9) as usize).min(rest.len()));
            evaluator.add(batch).unwrap();
        }
        assert_eq!(evaluator.detection_count(), data.detections.len());
        assert_eq!(fingerprint(&evaluator.evaluate()), evaluate(&data, Parameters::default()));
    }
}

#[test]
fn an_evaluation_in_between_changes_nothing() {
    for data in cases() {
        let (front, back) = data.detections.split_at(data.detections.len() / 2);
        let mut evaluator = Evaluator::new(data.truth(), Parameters::default()).unwrap();
        evaluator.add(front).unwrap();
        let between = fingerprint(&evaluator.evaluate());
        evaluator.add(back).unwrap();
        let end = fingerprint(&evaluator.evaluate());
        assert_ne!(between, end);
        assert_eq!(end, evaluate(&data, Parameters::default()));
    }
}

#[test]
fn threads_do_not_matter() {
    for data in cases() {
        let alone = evaluate(&data, Parameters { threads: 1, ..Parameters::default() });
        for threads in [0, 2, 3, 16] {
            assert_eq!(
                evaluate(&data, Parameters { threads, ..Parameters::default() }),
                alone,
                "{threads} threads"
            );
        }
    }
}

#[test]
fn the_order_of_images_and_categories_does_not_matter() {
    let mut random = Random { state: 2 };
    for mut data in cases() {
        let sorted = evaluate(&data, Parameters::default());
        random.shuffle(&mut data.images);
        random.shuffle(&mut data.categories);
        let place = |image: ImageId| data.images.iter().position(|other| *other == image);
        // Stable sorts: within an image the order stays.
        data.annotations.sort_by_key(|annotation| place(annotation.image));
        data.detections.sort_by_key(|detection| place(detection.image));
        assert_eq!(evaluate(&data, Parameters::default()), sorted);
    }
}

#[test]
fn the_ids_of_annotations_do_not_matter() {
    for mut data in cases() {
        let numbered = evaluate(&data, Parameters::default());
        for annotation in &mut data.annotations {
            annotation.id = AnnotationId(0);
        }
        assert_eq!(evaluate(&data, Parameters::default()), numbered);
    }
}

#[test]
fn results_are_found_by_place_and_by_name() {
    let data = Rule::drawn(5, 30).draw();
    let mut evaluator = Evaluator::new(data.truth(), Parameters::default()).unwrap();
    evaluator.add(&data.detections).unwrap();
    let evaluation = evaluator.evaluate();
    assert_eq!(evaluation.shape(), [10, 101, 5, 4, 3]);
    assert_eq!(evaluation.precision().len(), 10 * 101 * 5 * 4 * 3);
    assert_eq!(evaluation.recall().len(), 10 * 5 * 4 * 3);
    assert_eq!(
        evaluation.precision_at([3, 7, 2, 1, 2]),
        Some(evaluation.precision()[((3 * 101 + 7) * 5 + 2) * 12 + 5])
    );
    assert_eq!(evaluation.recall_at([3, 2, 1, 2]), Some(evaluation.recall()[(3 * 5 + 2) * 12 + 5]));
    assert_eq!(evaluation.precision_at([10, 0, 0, 0, 0]), None);
    assert_eq!(evaluation.recall_at([0, 5, 0, 0]), None);

    let curve = evaluation.precision_recall(CategoryId(3), 0.75, "all", 100).unwrap();
    assert_eq!(curve.recall, evaluation.parameters().recall_thresholds);
    for (index, (precision, score)) in curve.precision.iter().zip(&curve.scores).enumerate() {
        assert_eq!(Some(*precision), evaluation.precision_at([5, index, 2, 0, 2]));
        assert_eq!(Some(*score), evaluation.score_at([5, index, 2, 0, 2]));
    }
    assert!(curve.precision.windows(2).all(|pair| pair[0] >= pair[1]));
    for (category, iou, area, count) in
        [(9, 0.75, "all", 100), (3, 0.76, "all", 100), (3, 0.75, "huge", 100), (3, 0.75, "all", 99)]
    {
        assert_eq!(evaluation.precision_recall(CategoryId(category), iou, area, count), None);
    }

    let summary = evaluation.summary();
    assert_eq!(summary.ap, evaluation.mean_precision(None, "all", 100));
    assert_eq!(summary.ap75, evaluation.mean_precision(Some(0.75), "all", 100));
    assert_eq!(summary.ar_10, evaluation.mean_recall(None, "all", 10));
    assert_eq!(evaluation.mean_precision(Some(0.3), "all", 100), None);

    let categories = evaluation.per_category();
    assert_eq!(categories.iter().map(|category| category.category.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let to_find = data.annotations.iter().filter(|annotation| !annotation.crowd).count();
    assert_eq!(categories.iter().map(|category| category.annotations).sum::<usize>(), to_find);
    let mean = categories.iter().filter_map(|category| category.ar).sum::<f64>() / 5.0;
    assert!((mean - summary.ar_100.unwrap()).abs() < 1e-12);
}

const BOX: BBox = BBox { x: 0.0, y: 0.0, width: 40.0, height: 30.0 };

fn annotation() -> Annotation {
    Annotation {
        id: AnnotationId(7),
        image: ImageId(1),
        category: CategoryId(3),
        bbox: BOX,
        area: 1000.0,
        crowd: false,
    }
}

fn detection() -> Detection {
    Detection { image: ImageId(1), category: CategoryId(3), bbox: BOX, score: 0.5 }
}

fn truth_of(annotation: Annotation) -> Result<GroundTruth, Error> {
    GroundTruth::new([ImageId(1), ImageId(2), ImageId(1)], vec![category(3), category(1)], [annotation])
}

#[test]
fn unfit_annotations_are_refused_by_id() {
    let truth = truth_of(annotation()).unwrap();
    assert_eq!((truth.image_count(), truth.annotation_count(), truth.categories().len()), (2, 1, 2));
    assert_eq!(truth.category_index(CategoryId(3)), Some(1));

    let message = |change: fn(&mut Annotation)| {
        let mut annotation = annotation();
        change(&mut annotation);
        truth_of(annotation).unwrap_err().to_string()
    };
    assert_eq!(
        message(|annotation| annotation.image = ImageId(9)),
        "annotation 7 is in image 9, which is not listed: list the image or leave the annotation out"
    );
    assert_eq!(
        message(|annotation| annotation.category = CategoryId(2)),
        "annotation 7 is of category 2, which is not listed: list the category or leave the annotation out"
    );
    assert_eq!(
        message(|annotation| annotation.area = f64::NAN),
        "annotation 7 in image 1: the area is not finite: repair it or leave the annotation out"
    );
    for change in [
        |annotation: &mut Annotation| annotation.bbox.x = f64::INFINITY,
        |annotation: &mut Annotation| annotation.bbox.y = f64::NAN,
        |annotation: &mut Annotation| annotation.bbox.width = f64::NEG_INFINITY,
        |annotation: &mut Annotation| annotation.bbox.height = f64::NAN,
    ] {
        assert!(message(change).contains("the box is not finite"));
    }
    let twice = GroundTruth::new([], vec![category(3), category(1), category(3)], []).unwrap_err();
    assert_eq!(twice, Error::DuplicateCategory { category: CategoryId(3) });
}

#[test]
fn unfit_detections_are_refused_and_none_of_their_call_is_added() {
    let mut evaluator = Evaluator::new(truth_of(annotation()).unwrap(), Parameters::default()).unwrap();
    evaluator.add(&[detection()]).unwrap();
    let before = fingerprint(&evaluator.evaluate());
    let mut refuse = |change: fn(&mut Detection)| {
        let mut unfit = detection();
        change(&mut unfit);
        let error = evaluator.add(&[detection(), detection(), unfit, detection()]).unwrap_err();
        assert_eq!(evaluator.detection_count(), 1);
        assert_eq!(fingerprint(&evaluator.evaluate()), before);
        error
    };
    let image = ImageId(1);
    assert_eq!(
        refuse(|detection| detection.image = ImageId(5)),
        Error::DetectionImage { index: 2, image: ImageId(5) }
    );
    assert_eq!(
        refuse(|detection| detection.category = CategoryId(0)),
        Error::DetectionCategory { index: 2, image, category: CategoryId(0) }
    );
    assert_eq!(
        refuse(|detection| detection.score = f64::NAN),
        Error::BadDetection { index: 2, image, what: "the score" }
    );
    assert_eq!(
        refuse(|detection| detection.score = f64::INFINITY).to_string(),
        "detection 2 of those added (image 1): the score is not finite: did the network diverge?"
    );
    assert_eq!(
        refuse(|detection| detection.bbox.height = f64::NAN),
        Error::BadDetection { index: 2, image, what: "the box" }
    );
}

#[test]
fn unknown_images_and_categories_can_be_dropped() {
    let parameters = Parameters { unknown: Unknown::Drop, ..Parameters::default() };
    let mut evaluator = Evaluator::new(truth_of(annotation()).unwrap(), parameters).unwrap();
    let elsewhere = Detection { image: ImageId(5), ..detection() };
    let other = Detection { category: CategoryId(0), score: 0.9, ..detection() };
    evaluator.add(&[elsewhere, detection(), elsewhere, other]).unwrap();
    // What a refused call dropped is not counted.
    evaluator.add(&[elsewhere, Detection { score: f64::NAN, ..detection() }]).unwrap_err();
    let evaluation = evaluator.evaluate();
    assert_eq!(evaluation.dropped(), Dropped { image: 2, category: 1 });
    assert_eq!(evaluation.summary().ar_100, Some(1.0));
    assert_eq!(evaluation.per_category()[0].ap, None);
}

#[test]
fn wrong_parameters_are_refused() {
    let parameters = Parameters { max_detections: vec![], ..Parameters::default() };
    let error = Evaluator::new(truth_of(annotation()).unwrap(), parameters).unwrap_err();
    assert!(matches!(error, Error::Parameters { setting: "max_detections", .. }));
}
