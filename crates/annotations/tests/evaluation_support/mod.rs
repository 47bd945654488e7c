//! Labels and detections to evaluate: those of `tests/golden/evaluation.json`, and the rules that draw more.
//!
//! The rules are those of `tests/golden/evaluation.py`, to the last bit.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "each test uses a part of it, and may fail loudly"
)]

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use ocelli_annotations::{
    Annotation, AnnotationId, BBox, Category, CategoryId, Detection, ImageId,
    evaluation::{AreaRange, GroundTruth, Parameters},
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    labels: Option<ExplicitLabels>,
    /// Image, category, x, y, width, height and score.
    #[serde(default)]
    detections: Vec<(i64, i64, f64, f64, f64, f64, f64)>,
    rule: Option<Rule>,
    parameters: BTreeMap<String, Value>,
    pub detection_count: usize,
    pub expected: Expected,
    pub errors: Option<ExpectedErrors>,
    /// What pycocotools makes of it if the annotation's id is 0.
    pub stats_with_id_0: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ExplicitLabels {
    images: Vec<i64>,
    categories: Vec<i64>,
    annotations: Vec<ExplicitAnnotation>,
}

/// Id, image, category, x, y, width, height, area, and whether it is a crowd.
type ExplicitAnnotation = (i64, i64, i64, f64, f64, f64, f64, f64, bool);

/// How labels and detections are drawn.
#[derive(Clone, Deserialize)]
pub struct Rule {
    pub seed: u64,
    /// A part of COCO whose labels are taken, instead of drawn by the next five.
    pub split: Option<String>,
    #[serde(default)]
    pub images: u64,
    #[serde(default)]
    pub categories: u64,
    /// At most, of an image.
    #[serde(default)]
    pub annotations: u64,
    /// Of whose multiples coordinates are.
    #[serde(default)]
    pub grid: f64,
    /// Of 16 annotations.
    #[serde(default)]
    pub crowds: u64,
    /// Of 16 annotations.
    pub found: u64,
    /// At most, of an annotation found.
    pub copies: u64,
    /// At most, in 64ths of the box.
    pub jitter: u64,
    /// Of 16 detections.
    pub mislabelled: u64,
    /// At most, of an image.
    pub noise: u64,
    pub levels: u64,
}

#[derive(Deserialize)]
pub struct Expected {
    pub precision: String,
    pub recall: String,
    pub scores: String,
    pub stats: Option<Vec<String>>,
    pub summary: Option<String>,
    pub category_ap: Vec<String>,
}

/// By tidecv, whose names are the keys; in percent.
#[derive(Deserialize)]
pub struct ExpectedErrors {
    pub ap: f64,
    pub counts: BTreeMap<String, usize>,
    pub gains: BTreeMap<String, f64>,
}

/// Labels and detections of a case.
pub struct Data {
    pub images: Vec<ImageId>,
    pub categories: Vec<Category>,
    pub annotations: Vec<Annotation>,
    pub detections: Vec<Detection>,
}

/// The recorded cases.
pub fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../golden/evaluation.json")).unwrap()
}

impl Case {
    /// Whether the labels come from files that do not belong to this repository.
    pub fn is_coco(&self) -> bool {
        self.rule.as_ref().is_some_and(|rule| rule.split.is_some())
    }

    pub fn data(&self) -> Data {
        let data = match (&self.rule, &self.labels) {
            (Some(rule), _) => rule.draw(),
            (None, Some(labels)) => Data {
                images: labels.images.iter().copied().map(ImageId).collect(),
                categories: labels.categories.iter().copied().map(category).collect(),
                annotations: labels
                    .annotations
                    .iter()
                    .map(|&(id, image, category, x, y, width, height, area, crowd)| Annotation {
                        id: AnnotationId(id),
                        image: ImageId(image),
                        category: CategoryId(category),
                        bbox: BBox::new(x, y, width, height),
                        area,
                        crowd,
                    })
                    .collect(),
                detections: self
                    .detections
                    .iter()
                    .map(|&(image, category, x, y, width, height, score)| Detection {
                        image: ImageId(image),
                        category: CategoryId(category),
                        bbox: BBox::new(x, y, width, height),
                        score,
                    })
                    .collect(),
            },
            (None, None) => panic!("{} has neither labels nor a rule", self.name),
        };
        assert_eq!(data.detections.len(), self.detection_count, "{}", self.name);
        data
    }

    pub fn parameters(&self) -> Parameters {
        let mut parameters = Parameters::default();
        for (name, value) in &self.parameters {
            let value = value.clone();
            match name.as_str() {
                "iou_thresholds" => parameters.iou_thresholds = serde_json::from_value(value).unwrap(),
                "recall_thresholds" => parameters.recall_thresholds = serde_json::from_value(value).unwrap(),
                "max_detections" => parameters.max_detections = serde_json::from_value(value).unwrap(),
                "areas" => {
                    let areas: Vec<(String, f64, f64)> = serde_json::from_value(value).unwrap();
                    parameters.areas =
                        areas.into_iter().map(|(name, from, to)| AreaRange { name, from, to }).collect();
                }
                other => panic!("{}: no parameter is called {other}", self.name),
            }
        }
        parameters
    }
}

impl Data {
    pub fn truth(&self) -> GroundTruth {
        GroundTruth::new(
            self.images.iter().copied(),
            self.categories.clone(),
            self.annotations.iter().cloned(),
        )
        .unwrap()
    }
}

impl Rule {
    /// A rule that draws labels of so many images as well.
    pub fn drawn(seed: u64, images: u64) -> Rule {
        Rule {
            seed,
            split: None,
            images,
            categories: 5,
            annotations: 8,
            grid: 8.0,
            crowds: 1,
            found: 14,
            copies: 2,
            jitter: 8,
            mislabelled: 2,
            noise: 4,
            levels: 0,
        }
    }

    pub fn draw(&self) -> Data {
        let mut random = Random { state: self.seed };
        let mut data = match &self.split {
            Some(split) => coco_labels(split),
            None => self.draw_labels(&mut random),
        };
        self.draw_detections(&mut random, &mut data);
        data
    }

    fn draw_labels(&self, random: &mut Random) -> Data {
        let mut annotations = Vec::new();
        for image in 1..=self.images as i64 {
            for _ in 0..random.below(self.annotations + 1) {
                let category = CategoryId(1 + random.below(self.categories) as i64);
                let x = random.below(64) as f64 * self.grid;
                let y = random.below(64) as f64 * self.grid;
                let width = (1 + random.below(16)) as f64 * self.grid;
                let height = (1 + random.below(16)) as f64 * self.grid;
                let quarters = 4 - random.below(8).saturating_sub(4);
                annotations.push(Annotation {
                    id: AnnotationId(annotations.len() as i64 + 1),
                    image: ImageId(image),
                    category,
                    bbox: BBox::new(x, y, width, height),
                    area: width * height * quarters as f64 / 4.0,
                    crowd: random.below(16) < self.crowds,
                });
            }
        }
        Data {
            images: (1..=self.images as i64).map(ImageId).collect(),
            categories: (1..=self.categories as i64).map(category).collect(),
            annotations,
            detections: Vec::new(),
        }
    }

    fn draw_detections(&self, random: &mut Random, data: &mut Data) {
        let Data { images, categories, annotations, detections } = data;
        for annotation in annotations {
            if random.below(16) >= self.found {
                continue;
            }
            for _ in 0..1 + random.below(self.copies) {
                let mut shift = || (random.below(2 * self.jitter + 1) as f64 - self.jitter as f64) / 64.0;
                let [dx, dy, dw, dh] = [shift(), shift(), shift(), shift()];
                let BBox { x, y, width, height } = annotation.bbox;
                let bbox =
                    BBox::new(x + width * dx, y + height * dy, width + width * dw, height + height * dh);
                let category = if random.below(16) < self.mislabelled {
                    categories[random.below(categories.len() as u64) as usize].id
                } else {
                    annotation.category
                };
                let score = random.score(self.levels);
                detections.push(Detection { image: annotation.image, category, bbox, score });
            }
        }
        for image in images {
            for _ in 0..random.below(self.noise + 1) {
                let category = categories[random.below(categories.len() as u64) as usize].id;
                let [x, y] = [random.below(400), random.below(400)].map(|at| at as f64);
                let [width, height] = [random.below(200), random.below(200)].map(|size| (1 + size) as f64);
                let score = random.score(self.levels);
                detections.push(Detection {
                    image: *image,
                    category,
                    bbox: BBox::new(x, y, width, height),
                    score,
                });
            }
        }
        random.shuffle(detections);
    }
}

/// Splitmix64.
pub struct Random {
    pub state: u64,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    pub fn below(&mut self, count: u64) -> u64 {
        ((self.next() >> 32) * count) >> 32
    }

    fn score(&mut self, levels: u64) -> f64 {
        if levels > 0 {
            (self.below(levels) as f64 - 4.0) / 16.0
        } else {
            (self.next() >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            values.swap(last, other);
        }
    }
}

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A sum of words that tells apart any two arrays with a bit of difference, whatever its place.
pub fn digest(array: &[f64]) -> String {
    let words = (1_u64..).zip(array).map(|(place, value)| mix(value.to_bits() ^ mix(place)));
    format!("{:016x}", words.fold(0, u64::wrapping_add))
}

pub fn bits(values: &[f64]) -> Vec<String> {
    values.iter().map(|value| format!("{:016x}", value.to_bits())).collect()
}

pub fn category(id: i64) -> Category {
    Category { id: CategoryId(id), name: format!("category {id}"), supercategory: String::new() }
}

/// What `coco-tiny` in `OCELLI_TEST_DATA` labels.
fn coco_labels(split: &str) -> Data {
    #[derive(Deserialize)]
    struct File {
        images: Vec<Image>,
        categories: Vec<Category>,
        annotations: Vec<Label>,
    }
    #[derive(Deserialize)]
    struct Image {
        id: ImageId,
    }
    #[derive(Deserialize)]
    struct Label {
        id: AnnotationId,
        image_id: ImageId,
        category_id: CategoryId,
        bbox: BBox,
        area: f64,
        iscrowd: u8,
    }
    let directory = PathBuf::from(env::var_os("OCELLI_TEST_DATA").unwrap());
    let file = directory.join(format!("coco-tiny/annotations/instances_{split}2017.json"));
    let mut file: File = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    file.images.sort_by_key(|image| image.id);
    file.categories.sort_by_key(|category| category.id);
    let annotations = file.annotations.into_iter().map(|label| Annotation {
        id: label.id,
        image: label.image_id,
        category: label.category_id,
        bbox: label.bbox,
        area: label.area,
        crowd: label.iscrowd != 0,
    });
    Data {
        images: file.images.into_iter().map(|image| image.id).collect(),
        categories: file.categories,
        annotations: annotations.collect(),
        detections: Vec::new(),
    }
}
