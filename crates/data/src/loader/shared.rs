//! What all threads of a loader share.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use ocelli_cuda::{Device, DeviceBuffer, MOST_CONNECTIONS, PinnedBuffer, Stream, connections};
use ocelli_nvjpeg::{Backend, Error as NvjpegError, Nvjpeg, NvjpegConfig};

use super::cache::{DecodedCache, EncodedCache};
use super::config::LoaderConfig;
use super::pool::Pool;
use super::statistics::Counters;
use crate::augment::Drawn;
use crate::augment::kernel::{Augmenter, MAX_SIDE};
use crate::canvas::too_large;
use crate::images::Rgb;
use crate::sampler::{Sampler, State};
use crate::{Encoded, Error, Object, Result};

/// Page-locked memory that may lie unused, bytes.
const UNUSED_PINNED: usize = 1 << 30;
/// Device memory for single images that may lie unused, bytes.
const UNUSED_PIECES: usize = 512 << 20;

pub(super) struct Shared {
    /// A device of the loader's own on the same GPU. Its memory is used in the order of its own stream, so that nothing here
    /// touches the stream of those who train, on which they may be capturing a graph.
    pub(super) device: Device,
    /// Where batches are made, those of epochs that overlap too: what one keeps in the cache, another reads.
    pub(super) stream: Stream,
    /// Where batches are used.
    pub(super) consumer: Device,
    pub(super) dataset: Arc<dyn Encoded>,
    pub(super) sampler: Sampler,
    pub(super) config: LoaderConfig,
    /// For single images and headers.
    pub(super) nvjpeg: Nvjpeg,
    /// For the engines, where the GPU has any.
    pub(super) hardware: Option<Nvjpeg>,
    pub(super) augmenter: Augmenter,
    pub(super) pinned: Pool<PinnedBuffer>,
    /// Of a device of their own: nothing runs on its stream, in whose order its memory is used, so that nobody who takes a
    /// piece waits for those who train.
    pub(super) device_pieces: Pool<DeviceBuffer>,
    pub(super) encoded: EncodedCache,
    pub(super) decoded: DecodedCache,
    pub(super) counters: Counters,
    damaged: Mutex<BTreeMap<usize, String>>,
}

impl Shared {
    pub(super) fn new(
        consumer: &Device,
        dataset: Arc<dyn Encoded>,
        sampler: Sampler,
        config: LoaderConfig,
    ) -> Result<Shared> {
        config.check(sampler.len())?;
        let (numbers, images) = (sampler.samples(), dataset.len());
        if numbers > images {
            let what = format!("the sampler is one of {numbers} samples, and the set has {images}");
            return Err(Error::Setting { what });
        }
        let device = &Device::new(consumer.ordinal())?;
        let nvjpeg = Nvjpeg::new(device, Backend::Default, NvjpegConfig::default())?;
        let hardware = match Nvjpeg::new(device, Backend::Hardware, NvjpegConfig::default()) {
            Ok(nvjpeg) => Some(nvjpeg),
            Err(NvjpegError::NoEngines { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if hardware.is_some() && connections() < MOST_CONNECTIONS {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                tracing::warn!(
                    "the GPU's JPEG engines share {} work queues with the network, and stand still while it trains in the \
                     same one: open the device before threads are started, without CUDA_DEVICE_MAX_CONNECTIONS or with \
                     {MOST_CONNECTIONS} in it",
                    connections()
                );
            });
        }
        Ok(Shared {
            device: device.clone(),
            stream: device.stream().clone(),
            consumer: consumer.clone(),
            dataset,
            sampler,
            nvjpeg,
            hardware,
            augmenter: Augmenter::new(device, config.output)?,
            pinned: Pool::new(device, UNUSED_PINNED),
            device_pieces: Pool::new(&Device::new(consumer.ordinal())?, UNUSED_PIECES),
            encoded: EncodedCache::new(config.encoded_cache),
            decoded: DecodedCache::new(device, config.decoded_cache),
            config,
            counters: Counters::default(),
            damaged: Mutex::default(),
        })
    }

    /// Where a run is before a batch of an epoch.
    pub(super) fn state_before(&self, epoch: u64, batch: usize) -> State {
        let position = batch.saturating_mul(self.config.batch).min(self.sampler.len());
        State { seed: self.sampler.seed(), epoch, position: position as u64 }
    }

    /// What an image is called. Sets may be anybody's: one that panics does without.
    pub(super) fn name(&self, index: usize) -> PathBuf {
        catch_unwind(AssertUnwindSafe(|| self.dataset.name(index)))
            .unwrap_or_else(|_| format!("image {index} of the set").into())
    }

    /// Refuses an image with more pixels than are allowed.
    pub(super) fn check_size(&self, index: usize, width: u32, height: u32) -> Result<()> {
        let what = if let Some(claim) = too_large(width, height, self.config.max_pixels) {
            format!("{claim}: replace it, or raise max_pixels")
        } else if width.max(height) > MAX_SIDE {
            format!("it has {width} x {height} pixels, and a side has at most {MAX_SIDE}")
        } else {
            return Ok(());
        };
        Err(Error::Unfit { path: self.name(index), what })
    }

    /// The objects on an image, where the augmentation has put them.
    pub(super) fn objects(&self, index: usize, drawn: &Drawn) -> Result<Vec<Object>> {
        let objects = self.dataset.objects(index)?;
        let bounds: Vec<_> = objects.iter().map(|object| object.bounds).collect();
        let moved = drawn.boxes(&bounds, &self.config.boxes);
        let kept = objects.into_iter().zip(moved);
        Ok(kept.filter_map(|(object, bounds)| Some(Object { bounds: bounds?, ..object })).collect())
    }

    /// Pixels in page-locked memory.
    pub(super) fn stage(&self, rgb: &Rgb) -> Result<PinnedBuffer> {
        self.counters.stage.time(|| {
            let mut memory = self.pinned.take(rgb.pixels.len())?;
            if let Some(target) = memory.as_mut_slice().get_mut(..rgb.pixels.len()) {
                target.copy_from_slice(&rgb.pixels);
            }
            Ok(memory)
        })
    }

    /// Keeps what is wrong with an image that cannot be decoded, and counts it when it is seen for the first time.
    pub(super) fn note_damaged(&self, index: usize, error: &Error) {
        if let Entry::Vacant(entry) = lock(&self.damaged).entry(index) {
            self.counters.damaged.add(1);
            entry.insert(error.to_string());
        }
    }

    /// The images that could not be decoded so far.
    pub(super) fn damaged(&self) -> Vec<(PathBuf, String)> {
        let damaged = lock(&self.damaged);
        damaged.iter().map(|(&index, error)| (self.name(index), error.clone())).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
