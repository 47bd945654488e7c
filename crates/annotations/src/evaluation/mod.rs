//! COCO's evaluation of boxes: precision and recall as pycocotools computes them, to the last bit, while detections
//! come in; what is taken for what; and which mistakes cost how much.
//!
//! Detections are matched with annotations of the same image and category, those of the highest scores first, at ten
//! thresholds of intersection over union. Where this differs from pycocotools is said at [`GroundTruth`] (annotations
//! whose id is 0 or occurs twice) and at [`Parameters`] and [`Evaluator::add`] (what is refused).
//!
//! ```
//! use ocelli_annotations::{
//!     Annotation, AnnotationId, BBox, Category, CategoryId, Detection, ImageId,
//!     evaluation::{Error, ErrorParameters, Evaluator, GroundTruth, Parameters},
//! };
//!
//! fn main() -> Result<(), Error> {
//!     let (image, category) = (ImageId(139), CategoryId(17));
//!     let cat = Category { id: category, name: "cat".to_owned(), supercategory: "animal".to_owned() };
//!     let bbox = BBox::new(10.0, 20.0, 200.0, 100.0);
//!     let annotation = Annotation { id: AnnotationId(1), image, category, bbox, area: 14_500.0, crowd: false };
//!     let truth = GroundTruth::new([image], vec![cat], [annotation])?;
//!
//!     let mut evaluator = Evaluator::new(truth, Parameters::default())?;
//!     // For every batch that the network sees:
//!     evaluator.add(&[
//!         Detection { image, category, bbox: BBox::new(12.0, 18.0, 190.0, 104.0), score: 0.9 },
//!         Detection { image, category, bbox: BBox::new(300.0, 18.0, 50.0, 50.0), score: 0.2 },
//!     ])?;
//!
//!     let evaluation = evaluator.evaluate();
//!     println!("{}", evaluation.summary());
//!     for category in evaluation.per_category() {
//!         println!("{}: {:?}", category.name, category.ap);
//!     }
//!     assert_eq!(evaluator.errors(&ErrorParameters::default())?.background.count, 1);
//!     Ok(())
//! }
//! ```

mod category;
mod confusion;
mod error;
mod errors;
mod evaluator;
mod files;
mod lookup;
mod numeric;
mod overlap;
mod parameters;
mod results;
mod scenes;
mod summary;
mod truth;

pub use confusion::{ConfusionMatrix, ConfusionParameters};
pub use error::{Error, Result};
pub use errors::{ErrorBreakdown, ErrorParameters, Mistakes};
pub use evaluator::Evaluator;
pub use files::read_detections;
pub use parameters::{AreaRange, Parameters, Unknown};
pub use results::{Dropped, Evaluation, PrecisionRecall};
pub use summary::{CategorySummary, Summary};
pub use truth::GroundTruth;
