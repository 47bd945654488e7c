//! From image files to batches on the GPU that a network can be trained on.
//!
//! Threads of the host read files ahead and look at their headers; the GPU's JPEG engines decode them, a batch at a time;
//! one kernel crops, scales, augments and normalises, with a second for operations that need the whole image
//! ([`augment`](crate::augment)). What the engines do not take goes to nvJPEG's other decoder (progressive files), or to
//! one on the host (CMYK, PNG and others), and into the same batch.
//!
//! A batch depends on the seeds, the epoch and its place in it, and on nothing else: not on the number of workers, nor on
//! whether the run was interrupted. A loader that [resumes](Loader::resume) from a batch's [`State`] yields the batches that
//! would have followed, byte for byte.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use ocelli_cuda::Device;
//! use ocelli_data::images::ImageFolder;
//! use ocelli_data::loader::{Loader, LoaderConfig};
//! use ocelli_data::sampler::Sampler;
//!
//! fn main() -> Result<(), ocelli_data::Error> {
//!     let device = Device::new(0)?;
//!     let folder = ImageFolder::open("imagenet/train".as_ref())?;
//!     let sampler = Sampler::shuffled(folder.samples().len(), 7);
//!     let loader = Loader::new(&device, Arc::new(folder), sampler, LoaderConfig::default())?;
//!     for epoch in 0..90 {
//!         for batch in loader.epoch(epoch)? {
//!             let batch = batch?;
//!             // batch.images: f16[256, 224, 224, 4] on the GPU, batch.labels: [256]
//!         }
//!     }
//!     println!("{:?}", loader.statistics());
//!     Ok(())
//! }
//! ```
//!
//! # Memory
//!
//! It is bounded, by the largest images that come: on the GPU `prefetch + 1` batches, decoded images of two batches (at most
//! 1 GiB each, or one image, where that is larger), for images whose operations need them whole twice their output's size,
//! what nvJPEG works in (on an H200 130 MiB for each of `hardware_threads`, 1.4 GiB where images have up to 2^24 pixels), and
//! the cache of decoded images; on the host the files of four batches in page-locked memory, up to 1 GiB of it that lies unused,
//! and the cache of files. Images that the engines do not take are decoded before their batch's turn comes, and lie decoded
//! until then, on the GPU or in page-locked memory: those of the batch that is next, those of the batches that are being
//! augmented, and, of later ones, as many as fit into 1 GiB beside the files that the engines are to take, and four more for
//! each worker; up to 512 MiB of such memory lies unused on the GPU. Pixels and files take a power of two of bytes each. Sets
//! of many large such images want small batches. Epochs that overlap have memory for batches, for decoded images and for the
//! engines each.
//!
//! # Beside training
//!
//! nvJPEG gives the engines work on fourteen streams (on an H200). Streams share the work queues between process and GPU, eight
//! of them unless the driver is asked for more, and what is in one queue goes in order: images in the network's queue wait until
//! its step is over. ResNet-50 in fp16, batch 256, has trained at 80 % of its speed on synthetic images so, and at 97 % with all
//! 32 queues (measured on an H200). A process gets those when it opens its first [`Device`] before it starts threads, or with
//! `CUDA_DEVICE_MAX_CONNECTIONS=32` ([`ocelli_cuda::connections()`]).
//!
//! # Regions of interest
//!
//! A random crop needs a part of its image. The engines decode a region no sooner than all of it (measured on an H200: 64
//! images of 500 x 375 in 3.1 ms either way), because the codes before it must be read in any case; so whole images are
//! decoded. With nvJPEG's other decoder it was not measured.

mod assembly;
mod batch;
mod batches;
mod cache;
mod config;
mod engines;
mod feeder;
mod kept;
mod pool;
mod prepare;
mod ring;
mod shared;
mod slab;
mod statistics;

use std::path::PathBuf;
use std::sync::Arc;

use ocelli_cuda::{Device, MemoryStats};

pub use batch::{Batch, DamagedImage};
pub use batches::Batches;
pub use cache::CacheCounts;
pub use config::{DecodedForm, LastBatch, LoaderConfig, OnDamaged};
pub use statistics::Statistics;

use crate::sampler::{Sampler, State};
use crate::{Encoded, Error, Result};
use kept::Kept;
use shared::Shared;

/// Makes batches on a GPU out of image files.
///
/// What takes long to set up, and the caches, are kept from one epoch to the next.
#[derive(Clone)]
pub struct Loader {
    shared: Arc<Shared>,
    kept: Arc<Kept>,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Loader").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Loader {
    /// A loader of a set, in the sampler's order, for the compute stream of a device.
    ///
    /// # Errors
    /// [`Error::Setting`] where the configuration makes no sense, or the sampler's numbers are not the set's;
    /// [`Error::Nvjpeg`] where nvJPEG is missing or cannot be used; [`Error::Cuda`].
    pub fn new(
        device: &Device,
        dataset: Arc<dyn Encoded>,
        sampler: Sampler,
        config: LoaderConfig,
    ) -> Result<Loader> {
        let shared = Arc::new(Shared::new(device, dataset, sampler, config)?);
        Ok(Loader { shared, kept: Arc::default() })
    }

    /// How batches are made.
    pub fn config(&self) -> &LoaderConfig {
        &self.shared.config
    }

    /// The device on whose compute stream batches are used.
    pub fn consumer(&self) -> &Device {
        &self.shared.consumer
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        self.shared.config.batches(self.shared.sampler.len())
    }

    /// Samples of an epoch.
    pub fn samples(&self) -> usize {
        self.shared.sampler.len()
    }

    /// Starts the threads that make an epoch's batches, counted from 0.
    ///
    /// # Errors
    /// [`Error::Cuda`]; [`Error::Nvjpeg`].
    pub fn epoch(&self, epoch: u64) -> Result<Batches> {
        Batches::start(&self.shared, &self.kept, epoch, 0)
    }

    /// An epoch's batches from where an earlier run stopped, the same that would have followed there.
    ///
    /// # Errors
    /// [`Error::Setting`] for a state of another seed, or of another size of batches; otherwise as [`Loader::epoch`].
    pub fn resume(&self, state: State) -> Result<Batches> {
        let first = self.first_batch(state)?;
        Batches::start(&self.shared, &self.kept, state.epoch, first)
    }

    fn first_batch(&self, state: State) -> Result<usize> {
        let shared = &self.shared;
        // Refuses another seed, and positions beyond the end.
        shared.sampler.resume(state)?;
        let size = shared.config.batch;
        let position = usize::try_from(state.position).unwrap_or(usize::MAX);
        if position.is_multiple_of(size) || position == shared.sampler.len() {
            return Ok(position.div_ceil(size));
        }
        let what = format!(
            "the state to resume is at sample {position} of an epoch, which is not where a batch of {size} begins: use \
             batches of the size that it was made with"
        );
        Err(Error::Setting { what })
    }

    /// The GPU's memory that the loader has, besides what nvJPEG works in. The peak is an upper bound.
    ///
    /// # Errors
    /// [`Error::Cuda`] where the GPU cannot be asked.
    pub fn memory(&self) -> Result<MemoryStats> {
        let (mut memory, pieces) =
            (self.shared.device.memory()?, self.shared.device_pieces.device().memory()?);
        memory.in_use += pieces.in_use;
        memory.reserved += pieces.reserved;
        // Which may have been at different times.
        memory.peak += pieces.peak;
        Ok(memory)
    }

    /// What has been done so far, and where the time went.
    pub fn statistics(&self) -> Statistics {
        let shared = &self.shared;
        shared.counters.statistics(shared.encoded.counts(), shared.decoded.counts())
    }

    /// The images that could not be decoded so far, and what is wrong with each.
    pub fn damaged(&self) -> Vec<(PathBuf, String)> {
        self.shared.damaged()
    }
}
