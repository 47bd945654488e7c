/*!
Labels of images, from collecting them to judging what a network finds: a store in one SQLite file, which a labelling
program writes to and training reads from; COCO, YOLO and Pascal VOC in and out; COCO's evaluation of boxes, to the last
bit; statistics and checks. Nothing here needs a GPU.

```no_run
use ocelli_annotations::evaluation::{Evaluator, GroundTruth, Parameters};
use ocelli_annotations::import::{self, Options, Source};
use ocelli_annotations::{Boxes, Detection, Filter, Result, Store, export};

fn detect(_path: &std::path::Path) -> Vec<Detection> {
    Vec::new() // a network
}

fn main() -> Result<()> {
    let split = |name: &str| Source {
        split: name.into(),
        labels: format!("coco/annotations/instances_{name}2017.json").into(),
        images: format!("coco/{name}2017").into(),
    };
    let report = import::coco("coco.db", &[split("train"), split("val")], &Options::default(), |_| ())?;
    println!("{report}"); // what was kept, repaired and dropped, and why

    // Training: one file that nobody changes, read in the order in which it lies.
    let store = Store::open_immutable("coco.db")?;
    let things = Filter { split: Some("train".into()), crowd: Some(false), boxes: Boxes::With, ..Filter::default() };
    store.visit_images(&things, |image, annotations| -> Result<()> {
        println!("{}: {} things", image.file_name, annotations.len());
        Ok(())
    })?;

    // Evaluation, while a network runs.
    let held_out = Filter { split: Some("val".into()), ..Filter::default() };
    let mut evaluator = Evaluator::new(GroundTruth::of_store(&store, &held_out)?, Parameters::default())?;
    for (path, _) in store.image_files(&held_out)? {
        evaluator.add(&detect(&path))?;
    }
    println!("{}", evaluator.evaluate().summary());
    export::coco(&store, &held_out, "val.json")
}
```
*/

pub mod check;
mod coco;
mod error;
pub mod evaluation;
pub mod export;
pub mod import;
pub mod json;
mod parallel;
pub mod segmentation;
pub mod statistics;
mod store;
mod types;

pub use error::{Error, Result};
pub use segmentation::Segmentation;
pub use store::{Boxes, Detail, Filter, Run, RunId, Split, SplitId, Store, Transaction};
pub use types::{Annotation, AnnotationId, BBox, Category, CategoryId, Detection, Image, ImageId};
