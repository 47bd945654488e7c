//! Where a loader's time goes.

use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::cache::CacheCounts;

/// What a loader has done so far. Times of the workers are sums over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Batches that were made.
    pub batches: u64,
    /// Images that the GPU's engines decoded.
    pub hardware: u64,
    /// Images that the workers and the multiprocessors decoded together.
    pub cuda: u64,
    /// Images that the host decoded alone.
    pub host: u64,
    /// Of the images that were decoded alone: those that the engines were given, and did not take.
    pub refused: u64,
    /// Images that were decoded before.
    pub cached: u64,
    /// Images that could not be decoded, each counted once.
    pub damaged: u64,
    /// Bytes of files that were read.
    pub bytes_read: u64,
    /// Workers: reading files.
    pub read: Duration,
    /// Workers: reading headers, drawing augmentation.
    pub prepare: Duration,
    /// Workers: copying files and pixels into page-locked memory.
    pub stage: Duration,
    /// Workers: decoding, with the GPU or alone.
    pub worker_decode: Duration,
    /// The thread that feeds the GPU: waiting for workers.
    pub wait_workers: Duration,
    /// The same: in the calls that decode on the GPU's engines.
    pub hardware_decode: Duration,
    /// The same: decoding what the engines did not take.
    pub host_decode: Duration,
    /// The same: submitting the augmentation.
    pub submit: Duration,
    /// The same: waiting until an earlier batch was augmented, whose decoded images are in the way.
    pub wait_augmentation: Duration,
    /// The same: waiting until a batch was used.
    pub wait_room: Duration,
    /// The thread that asks for batches: waiting for one.
    pub wait_batch: Duration,
    /// Files kept in the host's memory.
    pub encoded_cache: CacheCounts,
    /// Images kept in the GPU's memory.
    pub decoded_cache: CacheCounts,
}

impl Statistics {
    /// Images that were decoded or found in a cache.
    pub fn images(&self) -> u64 {
        self.hardware + self.cuda + self.host + self.cached
    }
}

impl Sub for Statistics {
    type Output = Statistics;

    /// What was done since an earlier time; what the caches hold stays what it is.
    fn sub(self, earlier: Statistics) -> Statistics {
        let counts = |now: CacheCounts, then: CacheCounts| CacheCounts {
            hits: now.hits.saturating_sub(then.hits),
            misses: now.misses.saturating_sub(then.misses),
            ..now
        };
        Statistics {
            batches: self.batches.saturating_sub(earlier.batches),
            hardware: self.hardware.saturating_sub(earlier.hardware),
            cuda: self.cuda.saturating_sub(earlier.cuda),
            host: self.host.saturating_sub(earlier.host),
            refused: self.refused.saturating_sub(earlier.refused),
            cached: self.cached.saturating_sub(earlier.cached),
            damaged: self.damaged.saturating_sub(earlier.damaged),
            bytes_read: self.bytes_read.saturating_sub(earlier.bytes_read),
            read: self.read.saturating_sub(earlier.read),
            prepare: self.prepare.saturating_sub(earlier.prepare),
            stage: self.stage.saturating_sub(earlier.stage),
            worker_decode: self.worker_decode.saturating_sub(earlier.worker_decode),
            wait_workers: self.wait_workers.saturating_sub(earlier.wait_workers),
            hardware_decode: self.hardware_decode.saturating_sub(earlier.hardware_decode),
            host_decode: self.host_decode.saturating_sub(earlier.host_decode),
            submit: self.submit.saturating_sub(earlier.submit),
            wait_augmentation: self.wait_augmentation.saturating_sub(earlier.wait_augmentation),
            wait_room: self.wait_room.saturating_sub(earlier.wait_room),
            wait_batch: self.wait_batch.saturating_sub(earlier.wait_batch),
            encoded_cache: counts(self.encoded_cache, earlier.encoded_cache),
            decoded_cache: counts(self.decoded_cache, earlier.decoded_cache),
        }
    }
}

/// A number that threads add to.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Time that threads add to.
#[derive(Debug, Default)]
pub(super) struct Clock(Counter);

impl Clock {
    /// Does something and adds the time that it took.
    pub(super) fn time<T>(&self, action: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = action();
        self.0.add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        result
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.0.get())
    }
}

/// What the threads of a loader count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) batches: Counter,
    pub(super) hardware: Counter,
    pub(super) cuda: Counter,
    pub(super) host: Counter,
    pub(super) refused: Counter,
    pub(super) cached: Counter,
    pub(super) damaged: Counter,
    pub(super) bytes_read: Counter,
    pub(super) read: Clock,
    pub(super) prepare: Clock,
    pub(super) stage: Clock,
    pub(super) worker_decode: Clock,
    pub(super) wait_workers: Clock,
    pub(super) hardware_decode: Clock,
    pub(super) host_decode: Clock,
    pub(super) submit: Clock,
    pub(super) wait_augmentation: Clock,
    pub(super) wait_room: Clock,
    pub(super) wait_batch: Clock,
}

impl Counters {
    pub(super) fn statistics(&self, encoded_cache: CacheCounts, decoded_cache: CacheCounts) -> Statistics {
        Statistics {
            batches: self.batches.get(),
            hardware: self.hardware.get(),
            cuda: self.cuda.get(),
            host: self.host.get(),
            refused: self.refused.get(),
            cached: self.cached.get(),
            damaged: self.damaged.get(),
            bytes_read: self.bytes_read.get(),
            read: self.read.get(),
            prepare: self.prepare.get(),
            stage: self.stage.get(),
            worker_decode: self.worker_decode.get(),
            wait_workers: self.wait_workers.get(),
            hardware_decode: self.hardware_decode.get(),
            host_decode: self.host_decode.get(),
            submit: self.submit.get(),
            wait_augmentation: self.wait_augmentation.get(),
            wait_room: self.wait_room.get(),
            wait_batch: self.wait_batch.get(),
            encoded_cache,
            decoded_cache,
        }
    }
}
