//! Arithmetic that has to come out as NumPy's does, to the last bit.

/// `count` numbers from `first` to `last`, both included, rounded as `numpy.linspace` rounds them.
pub(super) fn linspace(first: f64, last: f64, count: usize) -> Vec<f64> {
    let steps = count.saturating_sub(1);
    let step = (last - first) / steps as f64;
    (0..count)
        .map(|index| match index {
            0 => first,
            // Not computed, so that it is met exactly.
            _ if index == steps => last,
            _ => index as f64 * step + first,
        })
        .collect()
}

/// The mean as `numpy.mean` rounds it; none of no numbers.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| pairwise_sum(values) / values.len() as f64)
}

/// The sum in NumPy's order: halves down to 128 numbers, eight partial sums below.
fn pairwise_sum(values: &[f64]) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    if values.len() < LANES {
        return values.iter().fold(0.0, |sum, value| sum + value);
    }
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (front, back) = values.split_at(half - half % LANES);
        return pairwise_sum(front) + pairwise_sum(back);
    }
    let (rows, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for row in rows {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
    rest.iter().fold(sum, |sum, value| sum + value)
}

/// An integer that is the smaller the greater the score, and the same for both zeros.
pub(super) fn descending(score: f64) -> u64 {
    // Adding zero makes the negative zero a positive one.
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    !ascending
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Means of the first so many numbers of the sequence below, by `numpy.mean` 2.4.
    const MEANS: [(usize, u64); 9] = [
        (1, 0x3fdb_15db_eb10_ff40),
        (7, 0x3fe1_6f28_7e1d_d5e2),
        (8, 0x3fdf_0881_6c1f_dc89),
        (13, 0x3fe1_3010_d8f0_f128),
        (128, 0x3fdf_dec2_661b_3f56),
        (129, 0x3fdf_b3a7_e890_2604),
        (1000, 0x3fe0_4117_cf10_60fa),
        (4097, 0x3fe0_0e60_f82c_dfd1),
        (80_800, 0x3fdf_ff49_af05_f838),
    ];

    #[test]
    fn means_are_numpys() {
        let sequence = |count: usize| -> Vec<f64> {
            let mut state = 1_u64;
            (0..count)
                .map(|_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 11) as f64 / (1_u64 << 53) as f64
                })
                .collect()
        };
        assert_eq!(mean(&[]), None);
        for (count, bits) in MEANS {
            assert_eq!(mean(&sequence(count)).unwrap().to_bits(), bits, "of {count} numbers");
        }
    }

    #[test]
    fn spaces_are_numpys() {
        let bits = |values: &[f64]| -> Vec<u64> { values.iter().map(|value| value.to_bits()).collect() };
        assert_eq!(
            bits(&linspace(0.5, 0.95, 10)),
            [
                0x3fe0_0000_0000_0000,
                0x3fe1_9999_9999_999a,
                0x3fe3_3333_3333_3333,
                0x3fe4_cccc_cccc_cccd,
                0x3fe6_6666_6666_6666,
                0x3fe8_0000_0000_0000,
                0x3fe9_9999_9999_999a,
                0x3feb_3333_3333_3333,
                0x3fec_cccc_cccc_cccc,
                0x3fee_6666_6666_6666,
            ]
        );
        let recalls = linspace(0.0, 1.0, 101);
        // Where a multiple of the step and the decimal fraction are different numbers.
        assert_eq!(recalls[35].to_bits(), (35.0_f64 * 0.01).to_bits());
        assert_ne!(recalls[35].to_bits(), 0.35_f64.to_bits());
        assert_eq!((recalls[0], recalls[50], recalls[100]), (0.0, 0.5, 1.0));
        assert_eq!(linspace(0.5, 0.9, 1), [0.5]);
        assert!(linspace(0.5, 0.9, 0).is_empty());
    }

    #[test]
    fn scores_are_ordered_from_the_greatest() {
        let scores = [f64::MAX, 1.0, 0.5, 1e-300, 0.0, -1e-300, -0.5, -1.0, f64::MIN];
        assert!(scores.windows(2).all(|pair| descending(pair[0]) < descending(pair[1])));
        assert_eq!(descending(0.0), descending(-0.0));
    }
}
