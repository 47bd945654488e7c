//! What is found out about a store: whether its images are what it says, and what it is made of.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use image::{ImageFormat, RgbImage};
use ocelli_annotations::check::{Problem, check};
use ocelli_annotations::statistics::{Spread, Statistics};
use ocelli_annotations::{
    Annotation, AnnotationId, BBox, Category, CategoryId, Filter, Image, ImageId, Store,
};

/// A JPEG of so many pixels, which says that it is to be shown turned.
fn write_jpeg(path: &Path, columns: u32, rows: u32, orientation: Option<u8>) {
    let mut jpeg = Vec::new();
    let pixels = RgbImage::from_fn(columns, rows, |x, y| image::Rgb([x as u8, y as u8, 99]));
    pixels.write_to(&mut std::io::Cursor::new(&mut jpeg), ImageFormat::Jpeg).unwrap();
    if let Some(orientation) = orientation {
        // After the start of the image: a segment of EXIF, TIFF of the big end first with the one tag 0x0112, a short.
        let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
        jpeg.splice(2..2, exif);
    }
    std::fs::write(path, jpeg).unwrap();
}

fn store(directory: &Path, sizes: &[(u32, u32)]) -> Store {
    let mut store = Store::create(directory.join("labels.db")).unwrap();
    let transaction = store.transaction().unwrap();
    let split = transaction.add_split("set", "train", directory.to_str().unwrap()).unwrap();
    for (id, &(width, height)) in sizes.iter().enumerate() {
        let id = ImageId(id as i64);
        transaction.add_image(&Image { id, file_name: format!("{id}.jpg"), width, height }).unwrap();
        transaction.put_in_split(split, id).unwrap();
    }
    transaction.commit().unwrap();
    store
}

#[test]
fn images_that_are_not_what_the_store_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = |id: usize| directory.path().join(format!("{id}.jpg"));
    let store = store(
        directory.path(),
        &[(30, 20), (30, 20), (30, 20), (30, 20), (30, 20), (30, 20), (30, 20), (30, 20)],
    );
    write_jpeg(&path(0), 30, 20, None);
    // 1 is missing.
    std::fs::write(path(2), "no image").unwrap();
    write_jpeg(&path(3), 31, 20, None);
    write_jpeg(&path(4), 30, 20, Some(6));
    write_jpeg(&path(5), 20, 30, Some(8));
    write_jpeg(&path(6), 20, 30, Some(3));
    write_jpeg(&path(7), 30, 20, Some(1));
    let problem = |finding: &ocelli_annotations::check::Finding| match &finding.problem {
        Problem::Unreadable { .. } => Problem::Unreadable { what: String::new() },
        problem => problem.clone(),
    };
    let expected = [
        (1, Problem::Missing),
        (2, Problem::Unreadable { what: String::new() }),
        (3, Problem::Size { stored: [30, 20], file: [31, 20] }),
        (4, Problem::Rotated { orientation: 6, as_stored: true }),
        (5, Problem::Rotated { orientation: 8, as_stored: false }),
        (6, Problem::Size { stored: [30, 20], file: [20, 30] }),
    ];
    for place in [None, Some(directory.path())] {
        let findings = check(&store, &Filter::default(), place).unwrap();
        let found: Vec<_> = findings.iter().map(|finding| (finding.image.0, problem(finding))).collect();
        assert_eq!(found, expected);
        assert!(findings[3].to_string().contains("EXIF orientation 6"), "{}", findings[3]);
    }
    assert_eq!(check(&store, &Filter::default(), Some(Path::new("/no/such"))).unwrap().len(), 8);
}

#[test]
fn what_a_dataset_is_made_of() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = store(directory.path(), &[(100, 100), (100, 100), (100, 100)]);
    let transaction = store.transaction().unwrap();
    for (id, name) in [(5, "cat"), (3, "dog")] {
        let category = Category { id: CategoryId(id), name: name.into(), supercategory: String::new() };
        transaction.add_category(&category).unwrap();
    }
    for (id, image, category, width, height) in
        [(1, 0, 5, 32.0, 32.0), (2, 0, 5, 33.0, 32.0), (3, 2, 5, 96.0, 96.0), (4, 2, 3, 97.0, 97.0)]
    {
        let annotation = Annotation {
            id: AnnotationId(id),
            image: ImageId(image),
            category: CategoryId(category),
            bbox: BBox::new(0.0, 0.0, width, height),
            area: width * height,
            crowd: id == 4,
        };
        transaction.add_annotation(&annotation).unwrap();
    }
    transaction.commit().unwrap();
    let statistics = Statistics::of(&store, &Filter::default()).unwrap();
    assert_eq!((statistics.images, statistics.annotations, statistics.crowds), (3, 4, 1));
    // An area on a limit counts as smaller.
    assert_eq!(statistics.sizes, [1, 2, 1]);
    assert_eq!(statistics.width, Spread { least: 32.0, median: 33.0, mean: 64.5, most: 97.0 });
    assert_eq!(statistics.images_by_annotations, [1, 0, 2]);
    let classes: Vec<_> = statistics
        .classes
        .iter()
        .map(|class| (class.name.as_str(), class.annotations, class.crowds, class.images))
        .collect();
    assert_eq!(classes, [("cat", 3, 0, 2), ("dog", 1, 1, 1)]);
    let text = statistics.to_string();
    assert!(text.contains("3 images, 4 annotations, 1 crowds") && text.contains("cat         3"), "{text}");
    let crowds = Statistics::of(&store, &Filter { crowd: Some(true), ..Filter::default() }).unwrap();
    assert_eq!((crowds.images, crowds.annotations, crowds.images_by_annotations), (3, 1, vec![2, 1]));
}
