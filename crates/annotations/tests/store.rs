//! The store from outside: changes, questions, several programs at once, and files that are no stores.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use ocelli_annotations::{
    Annotation, AnnotationId, BBox, Boxes, Category, CategoryId, Detection, Error, Filter, Image, ImageId,
    Result, Segmentation, Store,
};

fn image(id: i64) -> Image {
    Image { id: ImageId(id), file_name: format!("{id}.jpg"), width: 640, height: 480 }
}

fn category(id: i64, name: &str) -> Category {
    Category { id: CategoryId(id), name: name.into(), supercategory: "thing".into() }
}

fn annotation(id: i64, image: i64, category: i64, side: f64) -> Annotation {
    Annotation {
        id: AnnotationId(id),
        image: ImageId(image),
        category: CategoryId(category),
        bbox: BBox::new(0.1, 0.2, side, side),
        area: side * side,
        crowd: id % 5 == 0,
    }
}

/// Four images, the last without annotations; three categories; six annotations.
fn sample(path: &Path) -> Store {
    let mut store = Store::create(path).unwrap();
    let transaction = store.transaction().unwrap();
    for id in [4, 2, 3, 1] {
        transaction.add_image(&image(id)).unwrap();
    }
    for (id, name) in [(18, "dog"), (1, "person"), (17, "cat")] {
        transaction.add_category(&category(id, name)).unwrap();
    }
    for (id, image, category, side) in [
        (6, 1, 1, 10.0),
        (2, 1, 18, 32.0),
        (3, 2, 1, 50.0),
        (4, 3, 17, 100.0),
        (5, 3, 1, 200.0),
        (1, 3, 1, 5.0),
    ] {
        transaction.add_annotation(&annotation(id, image, category, side)).unwrap();
    }
    for (name, images) in [("train", &[1, 2][..]), ("val", &[3, 4])] {
        let split = transaction.add_split("set", name, &format!("{name}2017")).unwrap();
        images.iter().for_each(|&image| transaction.put_in_split(split, ImageId(image)).unwrap());
    }
    transaction.commit().unwrap();
    store
}

fn ids(annotations: &[Annotation]) -> Vec<i64> {
    annotations.iter().map(|annotation| annotation.id.0).collect()
}

#[test]
fn questions_by_everything() {
    let directory = tempfile::tempdir().unwrap();
    let store = sample(&directory.path().join("labels.db"));
    let of = |filter: Filter| ids(&store.annotations(&filter).unwrap());
    assert_eq!(of(Filter::default()), [2, 6, 3, 1, 4, 5]);
    assert_eq!(of(Filter { categories: Some(vec![CategoryId(1)]), ..Filter::default() }), [6, 3, 1, 5]);
    assert_eq!(
        of(Filter { categories: Some(vec![CategoryId(17), CategoryId(18)]), ..Filter::default() }),
        [2, 4]
    );
    assert!(of(Filter { categories: Some(vec![]), ..Filter::default() }).is_empty());
    assert_eq!(of(Filter { area: Some((1024.0, 10_000.0)), ..Filter::default() }), [2, 3, 4]);
    assert_eq!(of(Filter { crowd: Some(true), ..Filter::default() }), [5]);
    assert_eq!(of(Filter { split: Some("val".into()), crowd: Some(false), ..Filter::default() }), [1, 4]);
    assert_eq!(of(Filter { split: Some("set/train".into()), ..Filter::default() }), [2, 6, 3]);
    assert_eq!(of(Filter { images: Some(vec![ImageId(3), ImageId(2)]), ..Filter::default() }), [3, 1, 4, 5]);
    assert!(of(Filter { boxes: Boxes::Without, ..Filter::default() }).is_empty());

    let images = |filter: Filter| -> Vec<i64> {
        let images = store.images(&filter).unwrap();
        assert_eq!(store.count_images(&filter).unwrap(), images.len());
        images.iter().map(|image| image.id.0).collect()
    };
    assert_eq!(images(Filter::default()), [1, 2, 3, 4]);
    assert_eq!(images(Filter { boxes: Boxes::With, ..Filter::default() }), [1, 2, 3]);
    assert_eq!(images(Filter { boxes: Boxes::Without, ..Filter::default() }), [4]);
    let cats = Some(vec![CategoryId(17)]);
    assert_eq!(images(Filter { categories: cats.clone(), boxes: Boxes::With, ..Filter::default() }), [3]);
    assert_eq!(images(Filter { categories: cats, boxes: Boxes::Without, ..Filter::default() }), [1, 2, 4]);
    assert_eq!(images(Filter { split: Some("val".into()), boxes: Boxes::Without, ..Filter::default() }), [4]);

    let distribution = store.class_distribution(&Filter::default()).unwrap();
    let counts: Vec<(&str, usize)> =
        distribution.iter().map(|(category, count)| (category.name.as_str(), *count)).collect();
    assert_eq!(counts, [("dog", 1), ("person", 4), ("cat", 1)]);
    assert_eq!(
        store.count_annotations(&Filter { area: Some((0.0, 1024.0)), ..Filter::default() }).unwrap(),
        3
    );
    assert_eq!(store.image_of_file("3.jpg").unwrap(), Some(image(3)));
    assert_eq!(store.image_of_file("5.jpg").unwrap(), None);
    assert_eq!(store.image_files(&Filter::default()).unwrap()[3].0, Path::new("val2017/4.jpg"));
}

#[test]
fn images_come_in_order_with_their_annotations() {
    let directory = tempfile::tempdir().unwrap();
    let store = sample(&directory.path().join("labels.db"));
    let visited = |filter: Filter| {
        let mut visited = Vec::new();
        store
            .visit_images(&filter, |image, annotations| -> Result<()> {
                visited.push((image.id.0, ids(annotations)));
                Ok(())
            })
            .unwrap();
        visited
    };
    assert_eq!(visited(Filter::default()), [(1, vec![2, 6]), (2, vec![3]), (3, vec![1, 4, 5]), (4, vec![])]);
    let cats = Some(vec![CategoryId(17)]);
    assert_eq!(
        visited(Filter { categories: cats.clone(), ..Filter::default() }),
        [(1, vec![]), (2, vec![]), (3, vec![4]), (4, vec![])]
    );
    assert_eq!(visited(Filter { categories: cats, boxes: Boxes::With, ..Filter::default() }), [(3, vec![4])]);
    assert_eq!(
        visited(Filter { split: Some("train".into()), ..Filter::default() }),
        [(1, vec![2, 6]), (2, vec![3])]
    );
    // The visitor's error ends the visit and comes back.
    let stopped =
        store.visit_images(&Filter::default(), |_, _| Err(Error::Setting { what: "enough".into() }));
    assert_eq!(stopped.unwrap_err().to_string(), "enough");
}

#[test]
fn changes_are_seen_and_undone() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = sample(&directory.path().join("labels.db"));
    let transaction = store.transaction().unwrap();
    let moved =
        Annotation { image: ImageId(4), bbox: BBox::new(1.0, 2.0, 3.0, 4.0), ..annotation(2, 4, 17, 9.0) };
    transaction.update_annotation(&moved).unwrap();
    assert_eq!(transaction.annotations_of(ImageId(4)).unwrap(), std::slice::from_ref(&moved));
    assert_eq!(transaction.annotation(AnnotationId(2)).unwrap(), moved);
    assert_eq!(ids(&transaction.annotations_of(ImageId(1)).unwrap()), [6]);
    drop(transaction);
    assert_eq!(store.annotation(AnnotationId(2)).unwrap().image, ImageId(1));

    let transaction = store.transaction().unwrap();
    assert_eq!(transaction.unused_annotation_id().unwrap(), AnnotationId(7));
    let mask = Segmentation::Polygons(vec![vec![0.0, 0.0, 5.0, 0.0, 5.0, 5.5]]);
    transaction.set_segmentation(AnnotationId(4), Some(&mask)).unwrap();
    transaction.set_annotation_extra(AnnotationId(4), Some(r#"{"pose":"left"}"#)).unwrap();
    transaction.delete_annotation(AnnotationId(3)).unwrap();
    transaction.delete_image(ImageId(1)).unwrap();
    transaction.update_image(&Image { width: 800, ..image(2) }).unwrap();
    transaction.update_category(&category(17, "tiger")).unwrap();
    transaction.set_meta("note", "x").unwrap();
    transaction.commit().unwrap();
    assert_eq!(ids(&store.annotations(&Filter::default()).unwrap()), [1, 4, 5]);
    assert_eq!(store.segmentation(AnnotationId(4)).unwrap(), Some(mask));
    assert_eq!(store.segmentation(AnnotationId(5)).unwrap(), None);
    assert_eq!(store.detail(AnnotationId(4)).unwrap().extra.as_deref(), Some(r#"{"pose":"left"}"#));
    assert_eq!(store.image(ImageId(2)).unwrap().width, 800);
    assert_eq!(store.categories().unwrap()[2].name, "tiger");
    assert_eq!(store.meta("note").unwrap().as_deref(), Some("x"));
    for gone in [store.annotation(AnnotationId(6)).map(drop), store.image(ImageId(1)).map(drop)] {
        assert!(matches!(gone.unwrap_err(), Error::Unknown { .. }));
    }
    // A number that was deleted is free again.
    let transaction = store.transaction().unwrap();
    transaction.add_annotation(&annotation(6, 2, 1, 4.0)).unwrap();
    transaction.commit().unwrap();
    assert_eq!(ids(&store.annotations_of(ImageId(2)).unwrap()), [6]);
}

#[test]
fn categories_keep_their_places() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = sample(&directory.path().join("labels.db"));
    let transaction = store.transaction().unwrap();
    assert!(matches!(transaction.delete_category(CategoryId(1)).unwrap_err(), Error::Conflict { .. }));
    transaction.delete_annotation(AnnotationId(2)).unwrap();
    transaction.delete_category(CategoryId(18)).unwrap();
    transaction.add_category(&category(2, "horse")).unwrap();
    transaction.commit().unwrap();
    let names: Vec<String> = store.categories().unwrap().into_iter().map(|category| category.name).collect();
    assert_eq!(names, ["person", "cat", "horse"]);
}

#[test]
fn what_contradicts_is_refused_with_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = sample(&directory.path().join("labels.db"));
    let transaction = store.transaction().unwrap();
    for (wrong, expected) in [
        (annotation(6, 2, 1, 1.0), "annotation 6 of image 2, category 1: its number is taken"),
        (annotation(9, 99, 1, 1.0), "annotation 9 of image 99"),
        (annotation(9, 2, 99, 1.0), "category 99"),
        (annotation(9, 2, 1, f64::NAN), "annotation 9 has a box or an area that is not finite"),
        (annotation(9, 2, 1, f64::INFINITY), "not finite"),
    ] {
        let error = transaction.add_annotation(&wrong).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(matches!(transaction.add_image(&image(1)).unwrap_err(), Error::Conflict { .. }));
    assert!(matches!(
        transaction.update_annotation(&annotation(77, 1, 1, 1.0)).unwrap_err(),
        Error::Unknown { .. }
    ));
    assert!(matches!(transaction.delete_annotation(AnnotationId(77)).unwrap_err(), Error::Unknown { .. }));
    assert!(
        transaction
            .set_annotation_extra(AnnotationId(6), Some("[1]"))
            .unwrap_err()
            .to_string()
            .contains("JSON object")
    );
    drop(transaction);
    let error = store.annotations(&Filter { split: Some("test".into()), ..Filter::default() }).unwrap_err();
    assert!(error.to_string().contains("there is no split test (there are: train, val)"), "{error}");
}

#[test]
fn predictions_keep_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("labels.db");
    let mut store = sample(&path);
    let found = |image, score| Detection {
        image: ImageId(image),
        category: CategoryId(1),
        bbox: BBox::new(0.0, 0.5, 1.0, 2.0),
        score,
    };
    let transaction = store.transaction().unwrap();
    let run = transaction.add_run("net", "first").unwrap();
    transaction.add_predictions(run, &[found(2, 0.5), found(1, 0.25), found(2, 0.5)]).unwrap();
    transaction.add_predictions(run, &[found(2, 0.75), found(1, 0.5)]).unwrap();
    let error = transaction.add_predictions(run, &[found(99, 0.5)]).unwrap_err();
    assert!(error.to_string().contains("of image 99, and there is none"), "{error}");
    assert!(matches!(
        transaction.add_predictions(run, &[found(1, f64::NAN)]).unwrap_err(),
        Error::Setting { .. }
    ));
    assert!(matches!(transaction.add_run("net", "first").unwrap_err(), Error::Conflict { .. }));
    transaction.commit().unwrap();
    assert_eq!(
        store.predictions_of(run, ImageId(2)).unwrap(),
        [found(2, 0.5), found(2, 0.5), found(2, 0.75)]
    );
    let all: Vec<(i64, f64)> =
        store.predictions(run).unwrap().iter().map(|found| (found.image.0, found.score)).collect();
    assert_eq!(all, [(1, 0.25), (1, 0.5), (2, 0.5), (2, 0.5), (2, 0.75)]);
    assert_eq!(store.run_by_name("net", "first").unwrap(), run);
    assert_eq!(store.runs().unwrap()[0].predictions, 5);
    let transaction = store.transaction().unwrap();
    transaction.delete_run(run).unwrap();
    transaction.commit().unwrap();
    assert_eq!(store.runs().unwrap(), []);
    assert_eq!(store.predictions(run).unwrap(), []);
}

#[test]
fn sixty_four_readers_beside_a_writer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("labels.db");
    let mut store = sample(&path);
    let begun = std::sync::Barrier::new(65);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..64)
            .map(|_| {
                scope.spawn(|| {
                    let store = Store::open_read_only(&path).unwrap();
                    begun.wait();
                    // Every transaction adds two annotations: a reader never sees one of them alone.
                    let mut last = 0;
                    for _ in 0..20 {
                        let count = store.count_annotations(&Filter::default()).unwrap();
                        assert!(count >= last && count.is_multiple_of(2), "{count} after {last}");
                        last = count;
                    }
                })
            })
            .collect();
        begun.wait();
        for step in 0..50 {
            let transaction = store.transaction().unwrap();
            transaction.add_annotation(&annotation(100 + 2 * step, 2, 1, 5.0)).unwrap();
            transaction.add_annotation(&annotation(101 + 2 * step, 2, 1, 5.0)).unwrap();
            transaction.commit().unwrap();
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    assert_eq!(store.count_annotations(&Filter::default()).unwrap(), 106);
}

#[test]
fn two_writers_take_turns() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("labels.db");
    drop(sample(&path));
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let path = &path;
            scope.spawn(move || {
                let mut store = Store::open(path).unwrap();
                for step in 0..50 {
                    let transaction = store.transaction().unwrap();
                    let id = 100 + 50 * writer + step;
                    transaction.add_annotation(&annotation(id, 2, 1, 5.0)).unwrap();
                    transaction.commit().unwrap();
                }
            });
        }
    });
    let store = Store::open_read_only(&path).unwrap();
    assert_eq!(store.count_annotations(&Filter::default()).unwrap(), 106);
}

#[test]
fn a_writer_that_does_not_end_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("labels.db");
    let mut first = sample(&path);
    let mut second = Store::open(&path).unwrap();
    second.set_patience(std::time::Duration::from_millis(50)).unwrap();
    let transaction = first.transaction().unwrap();
    let error = second.transaction().unwrap_err();
    assert!(matches!(&error, Error::Locked { path: locked } if *locked == path), "{error}");
    drop(transaction);
    second.transaction().unwrap();
}

#[test]
fn a_reader_cannot_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("labels.db");
    drop(sample(&path));
    for open in [Store::open_read_only, Store::open_immutable] {
        let mut store = open(path.as_path()).unwrap();
        let error = match store.transaction() {
            Ok(transaction) => transaction.add_image(&image(9)).unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
    }
}

#[test]
fn an_immutable_reader_does_not_miss_changes_silently() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("labels.db");
    let store = sample(&path);
    let error = Store::open_immutable(&path).unwrap_err();
    assert!(matches!(error, Error::Unmerged { .. }), "{error}");
    drop(store);
    let store = Store::open_immutable(&path).unwrap();
    assert_eq!(store.count_annotations(&Filter::default()).unwrap(), 6);
}

#[test]
fn a_store_on_a_read_only_file_system_can_be_trained_from() {
    // What SQLite needs for a log beside the file cannot be made in such a place; an immutable reader needs none.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd name?#%&.db");
    drop(sample(&path));
    let store = Store::open_immutable(&path).unwrap();
    assert_eq!(ids(&store.annotations_of(ImageId(3)).unwrap()), [1, 4, 5]);
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["odd name?#%&.db"]);
}

#[test]
fn files_that_are_no_stores() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("labels.db");
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Store::open_immutable(&path).unwrap_err()
    };
    assert!(matches!(open(b""), Error::NotAStore { .. }));
    assert!(matches!(open(b"{\"images\": []}"), Error::NotAStore { .. }));
    assert!(matches!(open(&[b'x'; 5000]), Error::NotAStore { .. }));
    let missing = Store::open(directory.path().join("none.db")).unwrap_err();
    assert!(
        missing.to_string().contains("there is no") && !directory.path().join("none.db").exists(),
        "{missing}"
    );
    assert!(Store::open(directory.path()).is_err());
}

#[test]
fn a_store_that_was_cut_short_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("labels.db");
    drop(sample(&path));
    let whole = std::fs::read(&path).unwrap();
    for length in [whole.len() - 1, whole.len() / 2, 200, 100] {
        std::fs::write(&path, &whole[..length]).unwrap();
        for open in [Store::open, Store::open_read_only, Store::open_immutable] {
            let error = open(path.as_path()).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{length}: {error}");
        }
    }
    // Pages of something else in the middle: an error when they are read, and no panic.
    let mut overwritten = whole.clone();
    let middle = overwritten.len() / 4;
    overwritten[middle..].fill(0xa5);
    std::fs::write(&path, &overwritten).unwrap();
    if let Ok(store) = Store::open_immutable(&path) {
        let read = store.annotations(&Filter::default()).and_then(|_| store.images(&Filter::default()));
        assert!(matches!(read, Err(Error::Damaged { .. } | Error::Sqlite { .. })), "{read:?}");
    }
}

#[test]
fn a_store_is_not_made_over_another_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("labels.db");
    std::fs::write(&path, "mine").unwrap();
    assert!(matches!(Store::create(&path).unwrap_err(), Error::Exists { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let error = Store::create(directory.path().join("no/such/labels.db")).unwrap_err();
    assert!(error.to_string().contains("no/such"), "{error}");
}
