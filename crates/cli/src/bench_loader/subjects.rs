//! What measurements work on: a batch that lies on the GPU, or a loader's.

use ocelli_core::Device;
use ocelli_data::loader::{Batch, Batches, Loader, Statistics};

use super::error::{Error, Result};
use super::measure::Subject;
use super::network::{Labelled, Network};

/// Training on one batch, again and again.
pub(super) struct Resident<'a> {
    pub(super) network: &'a mut Network,
    pub(super) batch: Labelled,
    /// How many images it holds.
    pub(super) images: usize,
}

impl Subject for Resident<'_> {
    type Batch = ();

    fn next(&mut self) -> Result<Option<()>> {
        Ok(Some(()))
    }

    fn work(&mut self, (): ()) -> Result<usize> {
        self.network.train(&self.batch)?;
        Ok(self.images)
    }

    fn statistics(&self) -> Option<Statistics> {
        None
    }
}

/// A loader's batches, and training on them where there is a network.
pub(super) struct Loaded<'a> {
    device: &'a Device,
    network: Option<&'a mut Network>,
    epochs: Epochs,
}

impl<'a> Loaded<'a> {
    /// Of the loader's first epoch, or without end.
    pub(super) fn new(
        device: &'a Device,
        loader: &Loader,
        once: bool,
        network: Option<&'a mut Network>,
    ) -> Result<Loaded<'a>> {
        Ok(Loaded { device, network, epochs: Epochs::new(loader, once)? })
    }
}

impl Subject for Loaded<'_> {
    type Batch = Batch;

    fn next(&mut self) -> Result<Option<Batch>> {
        self.epochs.next()
    }

    fn work(&mut self, batch: Batch) -> Result<usize> {
        // The mean loss over no image is no number.
        if let Some(network) = self.network.as_mut().filter(|_| batch.count() > 0) {
            network.train(&Labelled::loaded(self.device, &batch)?)?;
        }
        Ok(batch.count())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.epochs.loader.statistics())
    }
}

/// The batches of one epoch after the other, or of one. The threads of the next epoch start before one ends, so that nobody
/// waits for their first batch.
struct Epochs {
    loader: Loader,
    epoch: u64,
    batches: Batches,
    next: Option<Batches>,
    once: bool,
}

impl Epochs {
    fn new(loader: &Loader, once: bool) -> Result<Epochs> {
        Ok(Epochs { loader: loader.clone(), epoch: 0, batches: loader.epoch(0)?, next: None, once })
    }

    /// The next batch; `None` where the only epoch has ended.
    fn next(&mut self) -> Result<Option<Batch>> {
        loop {
            if let Some(batch) = self.batches.next() {
                let batch = batch.map_err(|error| Error::of_batch(error, self.loader.config().damaged))?;
                self.prepare()?;
                return Ok(Some(batch));
            }
            let Some(next) = self.next.take() else { return Ok(None) };
            self.batches = next;
        }
    }

    /// Starts the next epoch where no more batches are left of this one than are made ahead.
    fn prepare(&mut self) -> Result<()> {
        let (_, left) = self.batches.size_hint();
        let ending = left.is_some_and(|left| left <= self.loader.config().prefetch);
        if ending && !self.once && self.next.is_none() {
            self.epoch += 1;
            self.next = Some(self.loader.epoch(self.epoch)?);
        }
        Ok(())
    }
}
