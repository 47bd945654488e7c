//! Crop, scaling, window and flips.

use crate::augment::drawn::Drawn;
use crate::images::Rgb;

/// What an output's column or row is made of: the first source column or row, and weights.
type Taps = Option<(usize, Vec<f64>)>;

/// The output of the oriented image, before operations. `drawn` was checked.
pub(super) fn resize(drawn: &Drawn, image: &Rgb) -> Rgb {
    let (source, scaled, size) = (drawn.source, drawn.scaled, drawn.size);
    let columns = taps(drawn, size.width, drawn.horizontal_flip, 0, source.width, scaled.width);
    let rows = taps(drawn, size.height, drawn.vertical_flip, 1, source.height, scaled.height);
    let (left, top) = (source.left as usize, source.top as usize);
    // Each source row with its columns scaled; clamped, as it is where those who work in 8 bits round.
    let across: Vec<Vec<[f64; 3]>> = (top..top + source.height as usize)
        .map(|row| {
            let row = &image.pixels[(row * image.width + left) * 3..];
            columns
                .iter()
                .map(|taps| sum(taps, |i| [0, 1, 2].map(|c| f64::from(row[i * 3 + c]))))
                .map(|values| values.map(|value| value.clamp(0.0, 255.0)))
                .collect()
        })
        .collect();
    let level = |value: f64| (value + 0.5).floor().clamp(0.0, 255.0) as u8;
    let whole_row = |taps: &Taps| {
        let pixel = |column: usize| sum(taps, |row| across[row][column]).map(level);
        (0..columns.len()).flat_map(pixel).collect::<Vec<u8>>()
    };
    let pixels = rows.iter().flat_map(whole_row).collect();
    Rgb { width: columns.len(), height: rows.len(), pixels }
}

/// `None` for columns or rows of the black border.
fn taps(drawn: &Drawn, count: u32, flips: bool, axis: usize, source: u32, scaled: u32) -> Vec<Taps> {
    (0..count)
        .map(|place| {
            let place = if flips { count - 1 - place } else { place };
            let place = u32::try_from(i64::from(place) + i64::from(drawn.window[axis])).ok()?;
            (place < scaled).then(|| drawn.interpolation.taps(place, source, scaled))
        })
        .collect()
}

fn sum(taps: &Taps, value: impl Fn(usize) -> [f64; 3]) -> [f64; 3] {
    let Some((first, weights)) = taps else { return [0.0; 3] };
    let mut total = [0.0; 3];
    for (place, weight) in (*first..).zip(weights) {
        for (total, value) in total.iter_mut().zip(value(place)) {
            *total += weight * value;
        }
    }
    total
}
