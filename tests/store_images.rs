//! A store of labels as a set of images with objects.
#![cfg(all(feature = "annotations", feature = "data"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use image::{Rgb, RgbImage};
use ocelli::StoreImages;
use ocelli::annotations::import::{self, Options, Source};
use ocelli::annotations::{Filter, Store};
use ocelli::cuda::Device;
use ocelli::data::augment::{Augmentation, BoundingBox};
use ocelli::data::loader::{Loader, LoaderConfig, OnDamaged};
use ocelli::data::sampler::Sampler;
use ocelli::data::{Encoded, IGNORED, Object};

const LABELS: &str = r#"{
    "images": [
        {"id": 7, "file_name": "b.jpg", "width": 60, "height": 40},
        {"id": 3, "file_name": "a.jpg", "width": 30, "height": 20},
        {"id": 9, "file_name": "none.jpg", "width": 8, "height": 8}
    ],
    "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 90, "bbox": [10, 5.5, 20, 10], "area": 200, "iscrowd": 0},
        {"id": 2, "image_id": 3, "category_id": 1, "bbox": [0, 0, 30, 20], "area": 600, "iscrowd": 1,
         "segmentation": {"counts": [0, 600], "size": [20, 30]}},
        {"id": 3, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
    ]
}"#;

fn store(directory: &Path) -> Store {
    fs::write(directory.join("labels.json"), LABELS).unwrap();
    let source = Source {
        split: "train".into(),
        labels: directory.join("labels.json"),
        images: directory.join("images"),
    };
    let path = directory.join("labels.db");
    import::coco(&path, &[source], &Options::default(), |_| ()).unwrap();
    Store::open_immutable(path).unwrap()
}

#[test]
fn images_come_by_number_with_their_objects_and_classes_counted_from_0() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("images")).unwrap();
    fs::write(directory.path().join("images/b.jpg"), b"the file").unwrap();
    let images = StoreImages::new(&store(directory.path()), &Filter::default()).unwrap();
    let names: Vec<&str> = images.categories().iter().map(|category| category.name.as_str()).collect();
    assert_eq!(names, ["person", "toothbrush"]);
    assert_eq!((images.len(), images.images()[0].1.id.0, images.images()[2].1.id.0), (3, 3, 9));
    let object = |x_min, y_min, x_max, y_max, class, crowd| Object {
        bounds: BoundingBox { x_min, y_min, x_max, y_max },
        class,
        crowd,
    };
    assert_eq!(images.objects(0).unwrap(), [object(0.0, 0.0, 30.0, 20.0, 0, true)]);
    let two = [object(10.0, 5.5, 30.0, 15.5, 1, false), object(1.0, 2.0, 4.0, 6.0, 0, false)];
    assert_eq!(images.objects(1).unwrap(), two);
    assert_eq!(images.objects(2).unwrap(), []);
    assert_eq!(images.objects(3).unwrap(), []);
    assert_eq!(images.label(1), IGNORED);
    assert_eq!(*images.bytes(1).unwrap(), *b"the file");
    let error = images.bytes(0).unwrap_err().to_string();
    assert!(error.contains("a.jpg") && error.contains("images"), "{error}");
    assert!(images.bytes(3).unwrap_err().to_string().contains("there is no image 3: there are 3"));
}

/// Two images of which one is twice as large as the other, and one that is not there.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_store_is_loaded_and_its_boxes_go_with_the_images() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("images")).unwrap();
    for (name, width, height) in [("b.jpg", 60, 40), ("a.jpg", 30, 20)] {
        let image = RgbImage::from_pixel(width, height, Rgb([200, 100, 50]));
        image.save(directory.path().join("images").join(name)).unwrap();
    }
    let images = StoreImages::new(&store(directory.path()), &Filter::default()).unwrap();
    let device = Device::new(0).unwrap();
    let config = LoaderConfig {
        batch: 3,
        // Both become 60 x 40, on a canvas of a multiple of 32.
        augmentation: Augmentation::detection(40, 100, 32),
        damaged: OnDamaged::Skip,
        ..LoaderConfig::default()
    };
    let loader = Loader::new(&device, Arc::new(images), Sampler::sequential(3), config).unwrap();
    let batches: Vec<_> = loader.epoch(0).unwrap().map(Result::unwrap).collect();
    let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
    assert_eq!((batch.shape(), &batch.valid[..]), ([3, 64, 64, 4], &[true, true, false][..]));
    assert!(batch.damaged[0].path.ends_with("none.jpg"), "{:?}", batch.damaged);
    let bounds = |place: usize| -> Vec<[f32; 4]> {
        let objects = batch.objects[place].iter().map(|object| object.bounds);
        objects.map(|bounds| [bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max]).collect()
    };
    assert_eq!(bounds(0), [[0.0, 0.0, 60.0, 40.0]]);
    assert_eq!(bounds(1), [[10.0, 5.5, 30.0, 15.5], [1.0, 2.0, 4.0, 6.0]]);
    assert!(batch.objects[0][0].crowd && batch.objects[1][0].class == 1);
}
