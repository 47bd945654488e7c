//! COCO's two files: the instances of a dataset, and the results of a detector.

pub(crate) mod instances;
pub(crate) mod results;

use std::io::Read;

use crate::json::{self, Reader};
use crate::types::BBox;

/// The value of a field that must be there.
fn field<R: Read, T>(reader: &Reader<R>, value: Option<T>, what: &str, name: &str) -> json::Result<T> {
    match value {
        Some(value) => Ok(value),
        None => reader.error(format!("the {what} that ends here has no `{name}`")),
    }
}

/// A box: an array of four numbers.
fn bbox<R: Read>(reader: &mut Reader<R>) -> json::Result<BBox> {
    let mut numbers = [0.0; 4];
    let mut count = 0;
    reader.array(|reader| {
        let number = reader.number()?;
        if let Some(place) = numbers.get_mut(count) {
            *place = number;
        }
        count += 1;
        Ok(())
    })?;
    if count != 4 {
        return reader
            .error(format!("the box that ends here has {count} numbers, not x, y, width and height"));
    }
    Ok(numbers.into())
}
