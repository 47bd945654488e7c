//! What the threads of a loader spend their time on.

use std::time::Duration;

use ocelli_data::loader::Statistics;
use serde::Serialize;

use super::measure::ratio;

/// Shares of the time, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Shares {
    /// Of the workers' time: reading files.
    pub(super) workers_read: f64,
    /// Of the workers' time: looking at headers, decoding.
    pub(super) workers_decode: f64,
    /// Of the workers' time: copying into page-locked memory.
    pub(super) workers_copy: f64,
    /// Of the feeding thread's time: decoding on the GPU's engines.
    pub(super) engines: f64,
    /// Of the feeding thread's time: decoding on the host what the engines refused.
    pub(super) host_decode: f64,
    /// Of the feeding thread's time: copies to the GPU and augmentation, with the wait for them.
    pub(super) feed: f64,
    /// Of the images: decoded by the workers alone.
    pub(super) on_host: f64,
    /// Of the images: decoded by workers and multiprocessors.
    pub(super) on_cuda: f64,
    /// Of the images: refused by the engines.
    pub(super) refused: f64,
}

impl Shares {
    /// What the threads did in this time.
    pub(super) fn of(loader: &Statistics, workers: usize, elapsed: Duration) -> Shares {
        let elapsed = elapsed.as_secs_f64();
        // Times are counted when what took them ends, so that some may lie before the beginning.
        let of_workers = |time: Duration| ratio(time.as_secs_f64(), elapsed * workers as f64).min(1.0);
        let of_feeder = |time: Duration| ratio(time.as_secs_f64(), elapsed).min(1.0);
        let of_images = |count: u64| ratio(count as f64, loader.images() as f64);
        Shares {
            workers_read: of_workers(loader.read),
            workers_decode: of_workers(loader.prepare + loader.worker_decode),
            workers_copy: of_workers(loader.stage),
            engines: of_feeder(loader.hardware_decode),
            host_decode: of_feeder(loader.host_decode),
            feed: of_feeder(loader.submit + loader.wait_augmentation),
            on_host: of_images(loader.host.saturating_sub(loader.refused)),
            on_cuda: of_images(loader.cuda),
            refused: of_images(loader.refused),
        }
    }

    pub(super) fn workers(&self) -> f64 {
        self.workers_read + self.workers_decode + self.workers_copy
    }

    pub(super) fn feeder(&self) -> f64 {
        self.engines + self.host_decode + self.feed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_workers_and_of_the_one_that_feeds() {
        let second = Duration::from_secs(1);
        let mut loader = Statistics::default();
        (loader.hardware, loader.cuda, loader.host) = (65, 20, 15);
        // What the engines refuse is decoded on the host as well, but not by the workers.
        loader.refused = 5;
        (loader.read, loader.prepare, loader.worker_decode, loader.stage) =
            (2 * second, second, second, second / 2);
        (loader.submit, loader.wait_augmentation) = (second / 16, second / 16);
        (loader.hardware_decode, loader.host_decode) = (second / 2, second / 4);
        (loader.wait_workers, loader.wait_room) = (second / 16, second / 16);
        let shares = Shares::of(&loader, 4, second);
        let expected = Shares {
            workers_read: 0.5,
            workers_decode: 0.5,
            workers_copy: 0.125,
            engines: 0.5,
            host_decode: 0.25,
            feed: 0.125,
            on_host: 0.1,
            on_cuda: 0.2,
            refused: 0.05,
        };
        assert_eq!(shares, expected);
        assert_eq!((shares.workers(), shares.feeder()), (1.125, 0.875));
        assert_eq!(
            Shares::of(&loader, 4, Duration::ZERO),
            Shares { on_host: 0.1, on_cuda: 0.2, refused: 0.05, ..Shares::default() }
        );
    }
}
