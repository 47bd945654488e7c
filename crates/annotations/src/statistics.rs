//! What a dataset is made of: things by class, sizes of boxes, things by image.

use std::fmt;

use serde::Serialize;

use crate::error::Result;
use crate::store::{Filter, Store};
use crate::types::{BBox, Category, CategoryId};

/// The least, the middle and the largest of some numbers, and their mean; zeros where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// Half of them are at most this: the lower of two in the middle.
    pub median: f64,
    /// Their mean.
    pub mean: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of these numbers, which are put in order.
    pub fn of(numbers: &mut [f64]) -> Spread {
        numbers.sort_unstable_by(f64::total_cmp);
        let (Some(&least), Some(&most)) = (numbers.first(), numbers.last()) else { return Spread::default() };
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        Spread { least, median: numbers[(numbers.len() - 1) / 2], mean, most }
    }
}

/// The annotations of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Class {
    /// Its number.
    pub id: CategoryId,
    /// Its name.
    pub name: String,
    /// Its annotations.
    pub annotations: usize,
    /// Of these, crowds.
    pub crowds: usize,
    /// Images in which it is.
    pub images: usize,
}

/// What a dataset is made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// Images.
    pub images: usize,
    /// Annotations.
    pub annotations: usize,
    /// Of these, crowds.
    pub crowds: usize,
    /// Annotations by COCO's sizes: of up to 32 x 32 pixels, up to 96 x 96, and larger. One on a limit counts as smaller.
    pub sizes: [usize; 3],
    /// Columns of the boxes.
    pub width: Spread,
    /// Rows of the boxes.
    pub height: Spread,
    /// Pixels that annotations cover.
    pub area: Spread,
    /// Width over height of the boxes that have both.
    pub aspect: Spread,
    /// The classes, in the order of the store's.
    pub classes: Vec<Class>,
    /// How many images have 0, 1, 2, .. annotations.
    pub images_by_annotations: Vec<usize>,
}

impl Statistics {
    /// Of the images and annotations that pass.
    ///
    /// # Errors
    /// Those of reading.
    pub fn of(store: &Store, filter: &Filter) -> Result<Statistics> {
        let categories = store.categories()?;
        let mut classes: Vec<Class> = categories
            .into_iter()
            .map(|Category { id, name, .. }| Class { id, name, annotations: 0, crowds: 0, images: 0 })
            .collect();
        let mut positions: Vec<(CategoryId, usize)> =
            classes.iter().enumerate().map(|(position, class)| (class.id, position)).collect();
        positions.sort_unstable();
        let (mut images, mut crowds, mut sizes) = (0, 0, [0; 3]);
        let [mut widths, mut heights, mut areas, mut aspects] = [const { Vec::new() }; 4];
        let mut images_by_annotations = Vec::new();
        let mut seen = vec![0usize; classes.len()];
        store.visit_images(filter, |_, annotations| -> Result<()> {
            images += 1;
            if images_by_annotations.len() <= annotations.len() {
                images_by_annotations.resize(annotations.len() + 1, 0);
            }
            images_by_annotations[annotations.len()] += 1;
            for annotation in annotations {
                let BBox { width, height, .. } = annotation.bbox;
                let size =
                    [32.0 * 32.0, 96.0 * 96.0].iter().filter(|&&limit| annotation.area > limit).count();
                sizes[size] += 1;
                widths.push(width);
                heights.push(height);
                areas.push(annotation.area);
                if height > 0.0 {
                    aspects.push(width / height);
                }
                let crowd = usize::from(annotation.crowd);
                crowds += crowd;
                if let Ok(place) = positions.binary_search_by_key(&annotation.category, |&(id, _)| id) {
                    let position = positions[place].1;
                    let class = &mut classes[position];
                    class.annotations += 1;
                    class.crowds += crowd;
                    class.images += usize::from(seen[position] != images);
                    seen[position] = images;
                }
            }
            Ok(())
        })?;
        Ok(Statistics {
            images,
            annotations: areas.len(),
            crowds,
            sizes,
            width: Spread::of(&mut widths),
            height: Spread::of(&mut heights),
            area: Spread::of(&mut areas),
            aspect: Spread::of(&mut aspects),
            classes,
            images_by_annotations,
        })
    }
}

/// Columns of the longest bar of a histogram.
const BAR: usize = 40;
/// Lines of the histogram of annotations by image, but for the last, which takes all beyond.
const LINES: usize = 16;

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [small, medium, large] = self.sizes;
        writeln!(f, "{} images, {} annotations, {} crowds", self.images, self.annotations, self.crowds)?;
        writeln!(f, "{small} small (to 32 x 32 pixels), {medium} medium (to 96 x 96), {large} large\n")?;
        writeln!(f, "{:<12} {:>10} {:>10} {:>10} {:>10}", "boxes", "least", "median", "mean", "most")?;
        let rows = [
            ("width", self.width),
            ("height", self.height),
            ("area", self.area),
            ("width/height", self.aspect),
        ];
        for (name, Spread { least, median, mean, most }) in rows {
            writeln!(f, "{name:<12} {least:>10.2} {median:>10.2} {mean:>10.2} {most:>10.2}")?;
        }
        let longest = self.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max(5);
        writeln!(f, "\n{:<longest$} {:>7} {:>8} {:>8}", "class", "things", "crowds", "images")?;
        let most = self.classes.iter().map(|class| class.annotations).max().unwrap_or(0);
        for Class { name, annotations, crowds, images, .. } in &self.classes {
            let bar = bar(*annotations, most);
            writeln!(f, "{name:<longest$} {annotations:>7} {crowds:>8} {images:>8} {bar}")?;
        }
        writeln!(f, "\nthings in an image   images")?;
        let (shown, beyond) =
            self.images_by_annotations.split_at(LINES.min(self.images_by_annotations.len()));
        let beyond: usize = beyond.iter().sum();
        let most = shown.iter().copied().chain([beyond]).max().unwrap_or(0);
        for (things, &images) in shown.iter().enumerate() {
            writeln!(f, "{things:>18} {images:>8} {}", bar(images, most))?;
        }
        if beyond > 0 {
            writeln!(f, "{:>18} {beyond:>8} {}", format!("{LINES} or more"), bar(beyond, most))?;
        }
        Ok(())
    }
}

fn bar(count: usize, most: usize) -> String {
    // What is there shows.
    let length = if count == 0 { 0 } else { (count * BAR / most.max(1)).max(1) };
    "#".repeat(length)
}
