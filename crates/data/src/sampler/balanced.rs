//! Each class equally often.

use std::collections::BTreeMap;

use super::permutation::Permutation;

/// What permutations of a balanced order are for: the order of classes in a round, or of samples in a class.
const ROUND: u64 = 0;
const CLASS: u64 = 1;

/// The samples of each class.
///
/// An epoch has rounds, in each of which every class comes once, in an order of the round's own. Where the classes do
/// not divide the epoch, some of them come once more at its end: those that follow the ones of the epoch before, so
/// that this evens out. How often a class came in all earlier epochs is therefore known without counting, and the
/// samples of a class can take turns over the whole run.
#[derive(Debug)]
pub(super) struct Classes {
    /// Sample indices, class after class.
    samples: Vec<usize>,
    /// Where each class begins in `samples`, and where the last ends.
    starts: Vec<usize>,
}

impl Classes {
    pub(super) fn new(labels: &[i32]) -> Classes {
        let mut classes: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (index, &label) in labels.iter().enumerate() {
            classes.entry(label).or_default().push(index);
        }
        let (mut samples, mut starts) = (Vec::with_capacity(labels.len()), vec![0]);
        for class in classes.into_values() {
            samples.extend(class);
            starts.push(samples.len());
        }
        Classes { samples, starts }
    }

    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// The sample at a position, which must be less than the length, of an epoch.
    pub(super) fn index(&self, seed: u64, epoch: u64, position: u64) -> usize {
        let (len, classes) = (self.samples.len() as u64, self.starts.len() as u64 - 1);
        let (rounds, remainder) = (len / classes, len % classes);
        let (round, slot) = (position / classes, position % classes);
        // The places at the ends of all earlier epochs, which went to the classes in turns.
        let extra = u128::from(epoch) * u128::from(remainder);
        let (turns, next) = (extra / u128::from(classes), (extra % u128::from(classes)) as u64);
        let class = if round < rounds {
            // One key for each round of a run; 2^64 rounds are more than any has.
            let number = epoch.wrapping_mul(rounds).wrapping_add(round);
            Permutation::new(classes, seed, [ROUND, number]).at(slot)
        } else {
            (next + slot) % classes
        };
        let draws =
            u128::from(epoch) * u128::from(rounds) + turns + u128::from(class < next) + u128::from(round);
        let (start, end) = (self.starts[class as usize], self.starts[class as usize + 1]);
        let members = (end - start) as u64;
        let (cycle, place) = (draws / u128::from(members), (draws % u128::from(members)) as u64);
        let purpose = [CLASS | (class << 1), cycle as u64];
        self.samples[start + Permutation::new(members, seed, purpose).at(place) as usize]
    }
}
