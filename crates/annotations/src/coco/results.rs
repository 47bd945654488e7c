//! COCO's JSON of results, read as a stream: <https://cocodataset.org/#format-results>.

use std::fs::File;
use std::path::Path;

use super::{bbox, field};
use crate::error::{Error, Result};
use crate::json::{self, Reader};
use crate::types::{CategoryId, Detection, ImageId};

/// Reads detections in the order of the file. What else is said of them, such as masks, is left out.
pub(crate) fn read(path: &Path, mut take: impl FnMut(Detection)) -> Result<()> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut reader = Reader::new(file);
    let taken = |detection, _: &Reader<File>| {
        take(detection);
        Ok(())
    };
    let read = reader.array_in_halves(path, json::WORTH_IT, detection, taken).and_then(|()| reader.finish());
    read.map_err(Error::json(path))
}

fn detection(reader: &mut Reader<File>) -> json::Result<Detection> {
    let (mut image, mut category, mut score, mut place) = (None, None, None, None);
    reader.object(|reader, key| {
        match key {
            "image_id" => image = Some(reader.integer()?),
            "category_id" => category = Some(reader.integer()?),
            "bbox" => place = Some(bbox(reader)?),
            "score" => score = Some(reader.number()?),
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let detection = Detection {
        image: ImageId(field(reader, image, "detection", "image_id")?),
        category: CategoryId(field(reader, category, "detection", "category_id")?),
        bbox: field(reader, place, "detection", "bbox")?,
        score: field(reader, score, "detection", "score")?,
    };
    let [x, y, width, height] = detection.bbox.into();
    match [x, y, width, height, detection.score].iter().all(|number| number.is_finite()) {
        true => Ok(detection),
        false => reader.error("the detection that ends here has a number that is not finite"),
    }
}
