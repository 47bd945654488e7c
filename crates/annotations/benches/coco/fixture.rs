//! A dataset of the size and the make-up of COCO 2017, of numbers that mean nothing.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// What is written.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) images: u64,
    pub(crate) annotations: u64,
    pub(crate) detections_of_image: u64,
}

/// As many as `instances_train2017.json` has.
pub(crate) const TRAIN: Size = Size { images: 118_287, annotations: 860_001, detections_of_image: 0 };
/// As many as `instances_val2017.json` has, with 500,000 detections.
pub(crate) const VAL: Size = Size { images: 5_000, annotations: 36_781, detections_of_image: 100 };

/// Of a thousand annotations so many are crowds.
const CROWDS: u64 = 12;

struct Random(u64);

impl Random {
    /// A number below `end`: splitmix64 (G. L. Steele Jr. et al., 2014).
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// A box in an image of 640 x 480 in hundredths of a pixel: small ones are frequent, as in photographs.
    fn bbox(&mut self) -> [u64; 4] {
        let [mut width, mut height] = [64_000, 48_000].map(|side| {
            let share = self.below(1000) * self.below(1000) / 1000;
            200 + (side - 200) * share / 1000
        });
        (width, height) = (width.max(200), height.max(200));
        [self.below(64_000 - width + 1), self.below(48_000 - height + 1), width, height]
    }
}

/// Hundredths as a decimal number.
fn decimal(hundredths: u64) -> String {
    match hundredths % 100 {
        0 => format!("{}.0", hundredths / 100),
        rest if rest.is_multiple_of(10) => format!("{}.{}", hundredths / 100, rest / 10),
        rest => format!("{}.{rest:02}", hundredths / 100),
    }
}

fn category(random: &mut Random) -> u64 {
    // 80 categories whose numbers go up to 90; a third of the things are of the first.
    let class = if random.below(3) == 0 { 0 } else { random.below(80) };
    class + 1 + class / 8
}

/// Writes instances as COCO has them, and detections of most of them and of as many things that are not there.
pub(crate) fn write(instances: &Path, detections: Option<&Path>, size: Size) -> io::Result<()> {
    let mut random = Random(17);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(instances)?);
    write!(
        file,
        "{{\"info\": {{\"description\": \"synthetic\", \"year\": 2017}}, \"licenses\": [], \"images\": ["
    )?;
    for i in 0..size.images {
        let comma = if i == 0 { "" } else { ", " };
        let id = 9 + 4 * i;
        write!(
            file,
            "{comma}{{\"license\": 3, \"file_name\": \"{id:012}.jpg\", \"coco_url\": \
             \"http://images.example.org/train/{id:012}.jpg\", \"height\": 480, \"width\": 640, \"date_captured\": \
             \"2013-11-14 17:02:52\", \"flickr_url\": \"http://example.org/{id:016}_z.jpg\", \"id\": {id}}}"
        )?;
    }
    write!(file, "], \"annotations\": [")?;
    let mut truth: Vec<Vec<([u64; 4], u64)>> = vec![Vec::new(); size.images as usize];
    for i in 0..size.annotations {
        let (image, category) = (random.below(size.images), category(&mut random));
        let bbox @ [x, y, width, height] = random.bbox();
        let crowd = random.below(1000) < CROWDS;
        let area = width * height / 10_000 * 60;
        write!(file, "{}{{\"segmentation\": ", if i == 0 { "" } else { ", " })?;
        if crowd {
            write!(file, "{{\"counts\": [")?;
            let (mut left, mut first) = (640 * 480, true);
            while left > 0 {
                let run = (1 + random.below(4000)).min(left);
                write!(file, "{}{run}", if first { "" } else { ", " })?;
                (left, first) = (left - run, false);
            }
            write!(file, "], \"size\": [480, 640]}}")?;
        } else {
            write!(file, "[[")?;
            for corner in 0..12 + random.below(20) {
                let comma = if corner == 0 { "" } else { ", " };
                let (u, v) = (x + random.below(width), y + random.below(height));
                write!(file, "{comma}{}, {}", decimal(u), decimal(v))?;
            }
            write!(file, "]]")?;
        }
        let [x, y, w, h] = bbox.map(decimal);
        write!(
            file,
            ", \"area\": {}, \"iscrowd\": {}, \"image_id\": {}, \"bbox\": [{x}, {y}, {w}, {h}], \"category_id\": \
             {category}, \"id\": {}}}",
            decimal(area),
            u8::from(crowd),
            9 + 4 * image,
            // Not in order, as COCO's are not.
            1 + (i * 7919) % size.annotations,
        )?;
        if size.detections_of_image > 0 {
            truth[image as usize].push((bbox, category));
        }
    }
    write!(file, "], \"categories\": [")?;
    for class in 0..80 {
        let comma = if class == 0 { "" } else { ", " };
        write!(
            file,
            "{comma}{{\"supercategory\": \"thing\", \"id\": {}, \"name\": \"class {class}\"}}",
            class + 1 + class / 8
        )?;
    }
    write!(file, "]}}")?;
    file.flush()?;
    let Some(detections) = detections else { return Ok(()) };
    let mut file = BufWriter::with_capacity(1 << 20, File::create(detections)?);
    write!(file, "[")?;
    for (image, truth) in truth.iter().enumerate() {
        for i in 0..size.detections_of_image {
            let comma = if image == 0 && i == 0 { "" } else { ", " };
            // Each thing is found three times, more or less well; the rest are things that are not there.
            let (bbox, category) = match truth.get(i as usize / 3) {
                Some(&(bbox, category)) => {
                    let moved = bbox.map(|side| side + random.below(side / 8 + 1));
                    (moved, category)
                }
                None => (random.bbox(), category(&mut random)),
            };
            let [x, y, w, h] = bbox.map(decimal);
            write!(
                file,
                "{comma}{{\"image_id\": {}, \"category_id\": {category}, \"bbox\": [{x}, {y}, {w}, {h}], \"score\": 0.{:05}}}",
                9 + 4 * image,
                random.below(100_000)
            )?;
        }
    }
    write!(file, "]")?;
    file.flush()
}
