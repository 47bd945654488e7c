//! How large images are.

use std::collections::BTreeMap;

use serde::Serialize;

/// How many columns and rows the images of a set have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Sizes {
    /// Columns.
    pub width: Spread,
    /// Rows.
    pub height: Spread,
}

/// How numbers are spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Spread {
    /// The least.
    pub least: u32,
    /// The mean.
    pub mean: f64,
    /// The median: of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The largest.
    pub largest: u32,
}

/// How often each number of columns and of rows has come.
#[derive(Debug, Default)]
pub(super) struct Tally {
    widths: BTreeMap<u32, u64>,
    heights: BTreeMap<u32, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, width: u32, height: u32) {
        *self.widths.entry(width).or_default() += 1;
        *self.heights.entry(height).or_default() += 1;
    }

    /// `None` where nothing was added.
    pub(super) fn sizes(&self) -> Option<Sizes> {
        Some(Sizes { width: spread(&self.widths)?, height: spread(&self.heights)? })
    }
}

fn spread(counts: &BTreeMap<u32, u64>) -> Option<Spread> {
    let (&least, _) = counts.first_key_value()?;
    let (&largest, _) = counts.last_key_value()?;
    let count: u64 = counts.values().sum();
    let sum: u128 = counts.iter().map(|(&value, &count)| u128::from(value) * u128::from(count)).sum();
    let mut passed = 0;
    let (lower, upper) = ((count - 1) / 2, count / 2);
    let (mut at_lower, mut at_upper) = (None, None);
    for (&value, &count) in counts {
        passed += count;
        if passed > lower {
            at_lower.get_or_insert(value);
        }
        if passed > upper {
            at_upper.get_or_insert(value);
        }
    }
    let median = (f64::from(at_lower?) + f64::from(at_upper?)) / 2.0;
    Some(Spread { least, mean: sum as f64 / count as f64, median, largest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread_of = |values: &[u32]| {
            let mut tally = Tally::default();
            values.iter().for_each(|&value| tally.add(value, 1));
            tally.sizes().map(|sizes| sizes.width)
        };
        assert_eq!(spread_of(&[]), None);
        let one = spread_of(&[7]).unwrap();
        assert_eq!((one.least, one.mean, one.median, one.largest), (7, 7.0, 7.0, 7));
        let odd = spread_of(&[9, 1, 4, 4, 1]).unwrap();
        assert_eq!((odd.least, odd.mean, odd.median, odd.largest), (1, 3.8, 4.0, 9));
        assert_eq!(spread_of(&[1, 2, 10, 20]).unwrap().median, 6.0);
        assert_eq!(spread_of(&[2, 2, 10, 20]).unwrap().median, 6.0);
        assert_eq!(spread_of(&[2, 2, 2, 20]).unwrap().median, 2.0);
    }
}
