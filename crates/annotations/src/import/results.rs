//! Import of COCO's results.

use std::path::Path;

use crate::coco;
use crate::error::Result;
use crate::store::{RunId, Store};
use crate::types::Detection;

/// Adds the detections of a file of COCO's results as a new run of a model, all or none of them.
///
/// # Errors
/// [`Error::Json`](crate::Error::Json) names the place where the file is not what it should be;
/// [`Error::Conflict`](crate::Error::Conflict) where the model has a run of this name, or a detection is of an image or a
/// category that the store does not have.
pub fn results(store: &mut Store, path: impl AsRef<Path>, model: &str, run: &str) -> Result<RunId> {
    let mut detections: Vec<Detection> = Vec::new();
    coco::results::read(path.as_ref(), |detection| detections.push(detection))?;
    // By image, in the order of the file within each: as they will lie in the store.
    detections.sort_by_key(|detection| detection.image);
    let transaction = store.transaction()?;
    let run = transaction.add_run(model, run)?;
    transaction.add_predictions(run, &detections)?;
    transaction.commit()?;
    Ok(run)
}
