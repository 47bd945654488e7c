//! Which sample comes when: indices that follow from seed, epoch and position, without a list of them.
//!
//! A run can stop anywhere and go on from its [`State`], three numbers, as if it had not stopped; and any position can
//! be looked up without those before it, for instance to read files ahead of time.
//!
//! ```
//! use ocelli_data::sampler::Sampler;
//!
//! # fn main() -> Result<(), ocelli_data::Error> {
//! // The second of eight processes that share an epoch.
//! let sampler = Sampler::shuffled(1_281_167, 7).sharded(1, 8)?;
//! let mut epoch = sampler.epoch(3);
//! let first: Vec<usize> = epoch.by_ref().take(256).collect();
//! let state = epoch.state();
//! assert!(sampler.resume(state)?.eq(epoch));
//! assert_eq!(sampler.index(3, 255), first.last().copied());
//! # Ok(())
//! # }
//! ```

mod balanced;
mod permutation;

use std::iter::FusedIterator;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::balanced::Classes;
use self::permutation::Permutation;
use crate::{Error, Result};

/// Where a run is in its order of samples: kept with a checkpoint, it lets the run go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// The seed of the order.
    pub seed: u64,
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// How many samples of the epoch came already; the same number in all shards that are in step.
    pub position: u64,
}

/// An order of sample indices for each epoch.
#[derive(Clone, Debug)]
pub struct Sampler {
    order: Order,
    seed: u64,
    shard: Shard,
}

#[derive(Clone, Debug)]
enum Order {
    /// Of an epoch with this many samples in all shards.
    Sequential {
        len: usize,
    },
    /// Of an epoch with this many samples in all shards.
    Shuffled {
        len: usize,
    },
    ClassBalanced(Arc<Classes>),
}

/// Every `stride`-th position of an epoch from `first` on.
#[derive(Clone, Copy, Debug)]
struct Shard {
    first: usize,
    stride: usize,
    len: usize,
}

impl Sampler {
    /// `0..len`, in order, each epoch. Its seed is 0.
    pub fn sequential(len: usize) -> Sampler {
        Sampler { order: Order::Sequential { len }, seed: 0, shard: Shard::whole(len) }
    }

    /// `0..len`, in another order each epoch. Takes no memory for the order: a sample's index is computed from its
    /// position by a permutation whose key is the seed and the epoch.
    pub fn shuffled(len: usize, seed: u64) -> Sampler {
        Sampler { order: Order::Shuffled { len }, seed, shard: Shard::whole(len) }
    }

    /// As many indices an epoch as there are labels, but each class equally often: a class comes once in each round of
    /// all classes, in another order each round. Where the number of classes does not divide that of labels, some
    /// classes come once more in an epoch than others, in each epoch the next ones. Every sample of a class comes
    /// before any comes again, over the whole run, each time in another order.
    ///
    /// A class is all samples of one label, whatever its value. Takes the memory of one number for each sample.
    pub fn class_balanced(labels: &[i32], seed: u64) -> Sampler {
        let classes = Classes::new(labels);
        let shard = Shard::whole(classes.len());
        Sampler { order: Order::ClassBalanced(Arc::new(classes)), seed, shard }
    }

    /// The share of one of several processes: those positions of an epoch that leave the remainder `rank` when divided
    /// by `ranks`. Shares are disjoint and of equal length, so that all processes take equally many steps: up to
    /// `ranks - 1` positions at the end of an epoch are dropped. These are other samples each epoch where the order is
    /// another; to evaluate on every sample, choose ranks that divide their number, or go without shards.
    ///
    /// A shard can be sharded again, as for machines and their devices.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is no such rank, or fewer samples than ranks.
    pub fn sharded(self, rank: usize, ranks: usize) -> Result<Sampler> {
        let len = self.len();
        if rank >= ranks {
            let what = format!("there is no rank {rank} among {ranks}: ranks are counted from 0");
            return Err(Error::Setting { what });
        }
        if ranks > len {
            let what = format!("{len} samples cannot be shared by {ranks} ranks: use fewer");
            return Err(Error::Setting { what });
        }
        // Neither overflows: both are at most the length of the whole epoch.
        let first = self.shard.first + rank * self.shard.stride;
        let stride = self.shard.stride * ranks;
        Ok(Sampler { shard: Shard { first, stride, len: len / ranks }, ..self })
    }

    /// How many indices an epoch has, of this shard.
    pub fn len(&self) -> usize {
        self.shard.len
    }

    /// Whether an epoch has no indices.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The seed of the order.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many samples the indices are of, in all shards.
    pub fn samples(&self) -> usize {
        match &self.order {
            Order::Sequential { len } | Order::Shuffled { len } => *len,
            Order::ClassBalanced(classes) => classes.len(),
        }
    }

    /// What tells a position of an epoch from all others, in all shards, where one index may come more than once in an epoch;
    /// `None` where the index does. Random numbers are drawn by the one or the other.
    pub fn key(&self, position: usize) -> Option<u64> {
        match self.order {
            Order::Sequential { .. } | Order::Shuffled { .. } => None,
            Order::ClassBalanced(_) => Some((self.shard.first + position * self.shard.stride) as u64),
        }
    }

    /// The index at a position of an epoch, or `None` beyond the epoch's end.
    pub fn index(&self, epoch: u64, position: usize) -> Option<usize> {
        if position >= self.shard.len {
            return None;
        }
        let position = self.shard.first + position * self.shard.stride;
        Some(match &self.order {
            Order::Sequential { .. } => position,
            Order::Shuffled { len } => {
                Permutation::new(*len as u64, self.seed, [epoch, 0]).at(position as u64) as usize
            }
            Order::ClassBalanced(classes) => classes.index(self.seed, epoch, position as u64),
        })
    }

    /// The indices of an epoch.
    pub fn epoch(&self, epoch: u64) -> Indices<'_> {
        Indices { sampler: self, epoch, position: 0 }
    }

    /// The indices of an epoch from a position on, the same that [`Sampler::epoch`] yields there.
    ///
    /// # Errors
    /// [`Error::Setting`] where the state is one of another seed, or beyond the epoch's end.
    pub fn resume(&self, state: State) -> Result<Indices<'_>> {
        let State { seed, epoch, position } = state;
        if seed != self.seed {
            let what = format!(
                "the state to resume has seed {seed}, the sampler {}: use that of the state",
                self.seed
            );
            return Err(Error::Setting { what });
        }
        match usize::try_from(position) {
            Ok(position) if position <= self.len() => Ok(Indices { sampler: self, epoch, position }),
            _ => {
                let len = self.len();
                let what = format!(
                    "the state to resume is at sample {position} of an epoch of {len}: \
                     use the dataset and the number of ranks that it was made with"
                );
                Err(Error::Setting { what })
            }
        }
    }
}

impl Shard {
    fn whole(len: usize) -> Shard {
        Shard { first: 0, stride: 1, len }
    }
}

/// The sample indices of an epoch, from a position on.
#[derive(Clone, Debug)]
pub struct Indices<'a> {
    sampler: &'a Sampler,
    epoch: u64,
    position: usize,
}

impl Indices<'_> {
    /// Where the iteration is: [`Sampler::resume`] goes on with what [`Iterator::next`] would yield.
    pub fn state(&self) -> State {
        State { seed: self.sampler.seed, epoch: self.epoch, position: self.position as u64 }
    }
}

impl Iterator for Indices<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let index = self.sampler.index(self.epoch, self.position)?;
        self.position += 1;
        Some(index)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.sampler.len() - self.position;
        (left, Some(left))
    }

    fn nth(&mut self, count: usize) -> Option<usize> {
        self.position = self.position.saturating_add(count).min(self.sampler.len());
        self.next()
    }
}

impl ExactSizeIterator for Indices<'_> {}

impl FusedIterator for Indices<'_> {}
