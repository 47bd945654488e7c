//! Permutations that are computed and not stored.

use crate::random::{Use, philox};

/// Twice the four rounds that suffice in large domains (Luby and Rackoff, "How to construct pseudorandom permutations
/// from pseudorandom functions", 1988): in small ones the round functions have few values.
const ROUNDS: u32 = 8;

/// A permutation of `0..len`, chosen by a key: a Feistel network over the least power of four that is not smaller,
/// walked along until a value of the range comes (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
/// Since the power is less than four times the length, that takes less than four steps on average.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permutation {
    len: u64,
    /// Bits of each half of the network.
    bits: u32,
    key: [u32; 2],
}

impl Permutation {
    /// The permutation of `0..len` for a seed and a pair of numbers that say what it is for.
    pub(super) fn new(len: u64, seed: u64, [first, second]: [u64; 2]) -> Permutation {
        let halves = |number: u64| [number as u32, (number >> 32) as u32];
        let derive = |key, number| {
            let [low, high] = halves(number);
            let [first, second, ..] = philox([low, high, 0, Use::Key as u32], key);
            [first, second]
        };
        let bits = (u64::BITS - len.saturating_sub(1).leading_zeros()).div_ceil(2);
        Permutation { len, bits, key: derive(derive(halves(seed), first), second) }
    }

    /// The value at a place, which must be less than the length.
    pub(super) fn at(&self, place: u64) -> u64 {
        let mut value = place;
        // The network permutes its domain, so that the walk comes back to the range that it set out from.
        loop {
            value = self.step(value);
            if value < self.len {
                return value;
            }
        }
    }

    fn step(&self, value: u64) -> u64 {
        let mask = ((1u64 << self.bits) - 1) as u32;
        let (mut left, mut right) = ((value >> self.bits) as u32 & mask, value as u32 & mask);
        for round in 0..ROUNDS {
            let [word, ..] = philox([right, round, 0, Use::Round as u32], self.key);
            (left, right) = (right, left ^ (word & mask));
        }
        (u64::from(left) << self.bits) | u64::from(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_permuted() {
        for len in 0..200 {
            let mut seen = vec![false; len as usize];
            let permutation = Permutation::new(len, 7, [len, 0]);
            for place in 0..len {
                let value = permutation.at(place) as usize;
                assert!(!seen[value], "{len}: {value} comes twice");
                seen[value] = true;
            }
        }
    }

    #[test]
    fn lengths_up_to_the_largest_have_values_in_range() {
        for len in [1 << 20, (1 << 20) + 1, (1 << 33) - 5, 1 << 62, (1 << 62) + 1, u64::MAX] {
            let permutation = Permutation::new(len, 3, [0, 0]);
            for place in [0, 1, len / 2, len - 1] {
                assert!(permutation.at(place) < len);
            }
        }
    }

    #[test]
    fn three_items_come_in_all_orders_equally_often() {
        let mut counts = std::collections::BTreeMap::new();
        for key in 0..6000 {
            let permutation = Permutation::new(3, 1, [key, 0]);
            *counts.entry([0, 1, 2].map(|place| permutation.at(place))).or_insert(0u32) += 1;
        }
        // Chi-square with 5 degrees of freedom: 20.5 is exceeded once in a thousand.
        let chi: f64 = counts.values().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
        assert!(counts.len() == 6 && chi < 20.5, "{chi}: {counts:?}");
    }

    #[test]
    fn each_seed_and_purpose_has_an_order_of_its_own() {
        let order = |seed, purpose| -> Vec<u64> {
            let permutation = Permutation::new(50, seed, purpose);
            (0..50).map(|place| permutation.at(place)).collect()
        };
        let orders = [
            order(1, [0, 0]),
            order(2, [0, 0]),
            order(1 << 32, [0, 0]),
            order(1, [1, 0]),
            order(1, [0, 1]),
            order(1, [1 << 32, 0]),
            order(1, [0, 1 << 32]),
        ];
        assert_eq!(orders.iter().collect::<std::collections::HashSet<_>>().len(), orders.len());
        assert_eq!(order(1, [0, 0]), orders[0]);
    }
}
