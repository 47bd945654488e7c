//! Which quality a file's quantisation tables were made for.
//!
//! The Independent JPEG Group's encoder, and most after it, scale the two example tables of T.81, K.1 by a quality
//! from 1 to 100: a divisor `d` becomes `(d * s + 50) / 100`, rounded down and limited to 1..=255 (in tables of
//! 16 bits to 1..=32767), with `s = 5000 / quality` below 50 and `s = 200 - 2 * quality` from there on. This is undone
//! exactly: the quality is the one that makes the first component's table out of the example for luminance, and each
//! other component's out of either example. Where there is none, as in files of encoders with tables of their own, or
//! with a quality of its own for chrominance, the quality is `None`, and the nearest one an estimate.

/// Values in zigzag order, as in files.
pub(super) type Values = [u16; 64];

/// A quantisation table of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Whether the values are written with 16 bits.
    pub(super) wide: bool,
    pub(super) values: Values,
}

/// T.81, table K.1, by rows.
#[rustfmt::skip]
const LUMINANCE: [u16; 64] = [
    16, 11, 10, 16,  24,  40,  51,  61,
    12, 12, 14, 19,  26,  58,  60,  55,
    14, 13, 16, 24,  40,  57,  69,  56,
    14, 17, 22, 29,  51,  87,  80,  62,
    18, 22, 37, 56,  68, 109, 103,  77,
    24, 35, 55, 64,  81, 104, 113,  92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103,  99,
];

/// T.81, table K.2, by rows.
#[rustfmt::skip]
const CHROMINANCE: [u16; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
];

/// Where the values of a table in zigzag order lie in one by rows: along the diagonals, up and down in turns (T.81,
/// figure A.6).
const ZIGZAG: [usize; 64] = {
    let mut places = [0; 64];
    let (mut row, mut column, mut index) = (0usize, 0usize, 0);
    while index < 64 {
        places[index] = row * 8 + column;
        index += 1;
        if (row + column) % 2 == 0 {
            // Upwards.
            if column == 7 {
                row += 1;
            } else {
                column += 1;
                row = row.saturating_sub(1);
            }
        } else if row == 7 {
            column += 1;
        } else {
            row += 1;
            column = column.saturating_sub(1);
        }
    }
    places
};

/// The quality of an image whose components have these tables, the first component's first.
pub(super) fn quality(tables: &[Table]) -> Option<u8> {
    let (first, others) = tables.split_first()?;
    let fits = |quality: u8| {
        is_scaled(first, &LUMINANCE, quality)
            && others
                .iter()
                .all(|table| is_scaled(table, &CHROMINANCE, quality) || is_scaled(table, &LUMINANCE, quality))
    };
    (1..=100).find(|&quality| fits(quality))
}

/// The quality whose tables are nearest: the squares of the differences of all divisors have the least sum, where each
/// component but the first may have either example. The higher one of two.
pub(super) fn nearest_quality(tables: &[Table]) -> Option<u8> {
    let (first, others) = tables.split_first()?;
    let distance = |quality: u8| -> u64 {
        let either = |table| distance(table, &CHROMINANCE, quality).min(distance(table, &LUMINANCE, quality));
        distance(first, &LUMINANCE, quality) + others.iter().map(either).sum::<u64>()
    };
    (1..=100).rev().min_by_key(|&quality| distance(quality))
}

/// The squares of the differences of a table's divisors from an example's, scaled.
fn distance(table: &Table, example: &[u16; 64], quality: u8) -> u64 {
    let scaled = ZIGZAG.iter().map(|&place| scaled(example[place], quality, table.wide));
    scaled.zip(&table.values).map(|(scaled, &value)| u64::from(scaled.abs_diff(value)).pow(2)).sum()
}

fn is_scaled(table: &Table, example: &[u16; 64], quality: u8) -> bool {
    ZIGZAG
        .iter()
        .zip(&table.values)
        .all(|(&place, &value)| value == scaled(example[place], quality, table.wide))
}

/// A divisor of an example table, scaled.
fn scaled(divisor: u16, quality: u8, wide: bool) -> u16 {
    let quality = u32::from(quality);
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    let value = (u32::from(divisor) * scale + 50) / 100;
    value.clamp(1, if wide { 32767 } else { 255 }) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(example: &[u16; 64], quality: u8, wide: bool) -> Table {
        Table { wide, values: ZIGZAG.map(|place| scaled(example[place], quality, wide)) }
    }

    #[test]
    fn zigzag_has_its_known_order() {
        assert_eq!(ZIGZAG[..16], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5]);
        assert_eq!(ZIGZAG[60..], [47, 55, 62, 63]);
        let mut sorted = ZIGZAG;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..64));
    }

    #[test]
    fn every_quality_is_found_again() {
        for wide in [false, true] {
            for value in 1..=100 {
                let (luminance, chrominance) =
                    (table(&LUMINANCE, value, wide), table(&CHROMINANCE, value, wide));
                assert_eq!(quality(&[luminance]), Some(value));
                assert_eq!(quality(&[luminance, chrominance, chrominance]), Some(value));
                assert_eq!(quality(&[luminance; 3]), Some(value));
                assert_eq!(nearest_quality(&[luminance, chrominance, chrominance]), Some(value));
            }
        }
        assert_eq!(quality(&[table(&LUMINANCE, 50, false)]), Some(50));
        assert_eq!(table(&LUMINANCE, 50, false).values[..6], [16, 11, 12, 14, 12, 10]);
        assert_eq!(table(&LUMINANCE, 75, false).values[..6], [8, 6, 6, 7, 6, 5]);
    }

    #[test]
    fn other_tables_have_none() {
        assert_eq!(quality(&[]), None);
        let mut other = table(&LUMINANCE, 75, false);
        other.values[63] += 1;
        assert_eq!(quality(&[other]), None);
        assert_eq!(quality(&[table(&CHROMINANCE, 75, false)]), None);
        assert_eq!(quality(&[table(&LUMINANCE, 75, false), table(&CHROMINANCE, 80, false)]), None);
        assert_eq!(quality(&[Table { wide: false, values: [0; 64] }]), None);
    }

    #[test]
    fn other_tables_are_near_some_quality() {
        let mut other = table(&LUMINANCE, 75, false);
        other.values[63] += 1;
        assert_eq!(nearest_quality(&[other]), Some(75));
        // Between the two of them.
        let mixed = [table(&LUMINANCE, 70, false), table(&CHROMINANCE, 90, false)];
        assert!(nearest_quality(&mixed).is_some_and(|quality| (71..90).contains(&quality)), "{mixed:?}");
        // A flat table, as some encoders have for their best.
        assert_eq!(nearest_quality(&[Table { wide: false, values: [1; 64] }]), Some(100));
        assert_eq!(nearest_quality(&[]), None);
    }
}
