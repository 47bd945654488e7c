//! Masks: polygons around a thing, or runs of its pixels.

pub mod rle;

use rle::Rle;
use serde::Deserialize;

/// What an annotation covers of its image.
#[derive(Clone, Debug, PartialEq)]
pub enum Segmentation {
    /// Outlines, each `x0, y0, x1, y1, ..` in pixels: several where a thing is seen in parts.
    Polygons(Vec<Vec<f64>>),
    /// Runs of pixels outside and inside, down the columns: COCO's form for crowds.
    Rle(Rle),
}

impl Segmentation {
    /// Reads what COCO writes: an array of polygons, or `{"size": [height, width], "counts": ..}` with the counts as
    /// numbers or compressed into a string.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(json: &str) -> Result<Segmentation, String> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Counts {
            Numbers(Vec<u32>),
            Compressed(String),
        }
        #[derive(Deserialize)]
        struct Runs {
            size: [u32; 2],
            counts: Counts,
        }
        if json.starts_with('{') {
            let Runs { size: [height, width], counts } =
                serde_json::from_str(json).map_err(|error| error.to_string())?;
            let rle = match counts {
                Counts::Numbers(counts) => Rle::new(height, width, counts),
                Counts::Compressed(text) => Rle::from_compressed(height, width, text.as_bytes()),
            };
            return rle.map(Segmentation::Rle).map_err(|error| error.to_string());
        }
        let polygons: Vec<Vec<f64>> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        match polygons.iter().position(|polygon| polygon.len() < 6 || polygon.len() % 2 == 1) {
            Some(position) => {
                let numbers = polygons[position].len();
                Err(format!("polygon {position} has {numbers} numbers: it takes an even number from 6"))
            }
            None => Ok(Segmentation::Polygons(polygons)),
        }
    }

    /// What COCO would write; runs as numbers.
    pub fn to_json(&self) -> String {
        match self {
            Segmentation::Polygons(polygons) => serde_json::json!(polygons).to_string(),
            Segmentation::Rle(rle) => {
                serde_json::json!({ "size": [rle.height(), rle.width()], "counts": rle.counts() }).to_string()
            }
        }
    }

    /// The pixels that it covers: those of a mask, or those within the polygons by the shoelace formula.
    pub fn area(&self) -> f64 {
        match self {
            Segmentation::Polygons(polygons) => polygons.iter().map(|polygon| shoelace(polygon)).sum(),
            Segmentation::Rle(rle) => rle.area() as f64,
        }
    }
}

fn shoelace(polygon: &[f64]) -> f64 {
    let corners: Vec<[f64; 2]> = polygon.as_chunks().0.to_vec();
    let next = corners.iter().cycle().skip(1);
    let twice: f64 = corners.iter().zip(next).map(|([x, y], [u, v])| x * v - u * y).sum();
    twice.abs() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polygons_and_runs_are_read_and_written() {
        for json in
            ["[[0.0,0.0,4.0,0.0,4.0,3.5],[1.0,2.0,3.0,4.0,5.0,6.0]]", r#"{"counts":[6,1,3,2],"size":[3,4]}"#]
        {
            let read = Segmentation::from_json(json).unwrap();
            assert_eq!(Segmentation::from_json(&read.to_json()).unwrap(), read);
            assert_eq!(read.to_json(), json);
        }
        let compressed = Segmentation::from_json(r#"{"size":[3,4],"counts":"6131"}"#).unwrap();
        assert!(matches!(compressed, Segmentation::Rle(rle) if rle.counts() == [6, 1, 3, 2]));
    }

    #[test]
    fn areas() {
        let area = |json| Segmentation::from_json(json).unwrap().area();
        assert_eq!(area("[[0,0,4,0,4,3]]"), 6.0);
        assert_eq!(area("[[0,0,0,3,4,3],[10,10,12,10,12,12,10,12]]"), 10.0);
        assert_eq!(area(r#"{"size":[3,4],"counts":[6,1,3,2]}"#), 3.0);
    }

    #[test]
    fn what_is_no_mask_is_refused() {
        for (json, expected) in [
            ("[[1,2,3,4]]", "polygon 0 has 4 numbers"),
            ("[[1,2,3,4,5,6],[1,2,3,4,5,6,7]]", "polygon 1 has 7 numbers"),
            ("[1,2]", "invalid type"),
            ("{}", "missing field"),
            (r#"{"size":[3,4],"counts":[6,1]}"#, "7 of 12 pixels"),
            (r#"{"size":[3,4],"counts":[-1,13]}"#, "did not match"),
            (r#"{"size":[3,4],"counts":"6\u00e9"}"#, "byte"),
        ] {
            let error = Segmentation::from_json(json).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
