//! Threads that make batches ahead of the one that trains.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::folder::{Images, threads};
use super::transform::{Transform, Transformer};
use crate::random::{Random, Use};
use crate::{Error, Result};

/// The label of places in a batch that hold no image. Ocelli's cross entropy leaves them out of the mean, and they are
/// among nobody's best guesses.
pub const IGNORED: i32 = -100;

/// Images that a thread transforms before it looks for other work.
const CHUNK: usize = 16;

/// What happens when an image cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Damaged {
    /// It is an error that names the file, and no more batches follow.
    #[default]
    Fail,
    /// A loader puts a black image labelled [`IGNORED`] in its place, and [`Batch::damaged`] has the error.
    Skip,
}

/// How batches are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Images of a batch.
    pub batch: usize,
    /// Go through the images in another order each epoch.
    pub shuffle: bool,
    /// Leave out what does not fill a batch at the end of an epoch. Otherwise the last batch is filled with black images
    /// labelled [`IGNORED`], so that all batches have one shape.
    pub drop_last: bool,
    /// Seeds order and augmentation.
    pub seed: u64,
    /// Threads that decode and transform; 0 for as many as the machine runs at once.
    pub workers: usize,
    /// How many batches may wait to be used.
    pub prefetch: usize,
    /// What happens when an image cannot be decoded.
    pub damaged: Damaged,
}

impl Default for LoaderConfig {
    fn default() -> LoaderConfig {
        LoaderConfig {
            batch: 256,
            shuffle: false,
            drop_last: false,
            seed: 0,
            workers: 0,
            prefetch: 4,
            damaged: Damaged::Fail,
        }
    }
}

/// Images and labels of a training step.
#[derive(Debug)]
pub struct Batch {
    /// `[batch, size, size, 3]`, red, green and blue, 0 to 255.
    pub images: Vec<u8>,
    /// The class of each image, or [`IGNORED`].
    pub labels: Vec<i32>,
    /// What was wrong with the images that were skipped.
    pub damaged: Vec<Error>,
}

impl Batch {
    /// How many places hold an image.
    pub fn count(&self) -> usize {
        self.labels.iter().filter(|&&label| label != IGNORED).count()
    }
}

/// Makes batches out of images, on threads of its own.
#[derive(Clone)]
pub struct Loader {
    images: Arc<dyn Images>,
    transform: Transform,
    config: LoaderConfig,
}

impl Loader {
    /// A loader of these images.
    ///
    /// # Errors
    /// [`Error::Setting`] for a batch of no images or of more than there are, and for a transform that makes no sense.
    pub fn new(images: impl Images + 'static, transform: Transform, config: LoaderConfig) -> Result<Loader> {
        let fault = match config {
            LoaderConfig { batch: 0, .. } => Some("a batch must hold at least one image".to_string()),
            LoaderConfig { batch, drop_last: true, .. } if batch > images.len() => Some(format!(
                "{} images do not fill a batch of {batch}, and what does not fill one is left out",
                images.len()
            )),
            _ => transform.fault(),
        };
        match fault {
            Some(what) => Err(Error::Setting { what }),
            None => Ok(Loader { images: Arc::new(images), transform, config }),
        }
    }

    /// How many images there are.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        let (images, batch) = (self.images.len(), self.config.batch);
        if self.config.drop_last { images / batch } else { images.div_ceil(batch) }
    }

    /// Rows and columns of an image.
    pub fn size(&self) -> usize {
        self.transform.size()
    }

    /// Starts the threads that make an epoch's batches.
    pub fn epoch(&self, epoch: usize) -> Batches {
        self.resume(epoch, 0)
    }

    /// An epoch's batches from `first` on, the same that [`Loader::epoch`] yields there.
    pub fn resume(&self, epoch: usize, first: usize) -> Batches {
        let mut order: Vec<u32> = (0..self.images.len() as u32).collect();
        if self.config.shuffle {
            Random::new(self.config.seed, Use::Order, epoch, 0).shuffle(&mut order);
        }
        let work = Arc::new(Work {
            images: Arc::clone(&self.images),
            transform: self.transform,
            config: self.config,
            epoch,
            order,
            end: self.batches(),
            progress: Mutex::new(Progress {
                next: (first, 0),
                wanted: first,
                stopped: false,
                making: BTreeMap::new(),
                made: BTreeMap::new(),
            }),
            batch_made: Condvar::new(),
            room_made: Condvar::new(),
        });
        let start = |_| {
            let work = Arc::clone(&work);
            thread::spawn(move || work.go())
        };
        let threads = (0..threads(self.config.workers)).map(start).collect();
        Batches { work, threads }
    }
}

/// The batches of an epoch, in order, made ahead by threads that end with it.
pub struct Batches {
    work: Arc<Work>,
    threads: Vec<JoinHandle<()>>,
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let mut progress = self.work.progress();
        let position = progress.wanted;
        if position >= self.work.end || progress.stopped {
            return None;
        }
        let batch = loop {
            if let Some(batch) = progress.made.remove(&position) {
                break batch;
            }
            progress = self.work.batch_made.wait(progress).unwrap_or_else(PoisonError::into_inner);
        };
        progress.wanted += 1;
        progress.stopped = batch.is_err();
        drop(progress);
        self.work.room_made.notify_all();
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let progress = self.work.progress();
        let left = if progress.stopped { 0 } else { self.work.end.saturating_sub(progress.wanted) };
        (0, Some(left))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.work.progress().stopped = true;
        self.work.room_made.notify_all();
        for thread in self.threads.drain(..) {
            // One that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// What the threads of an epoch share.
struct Work {
    images: Arc<dyn Images>,
    transform: Transform,
    config: LoaderConfig,
    epoch: usize,
    order: Vec<u32>,
    /// The batch after the last.
    end: usize,
    progress: Mutex<Progress>,
    batch_made: Condvar,
    room_made: Condvar,
}

struct Progress {
    /// The batch and the image in it that nobody works on yet.
    next: (usize, usize),
    /// The batch that is asked for next.
    wanted: usize,
    stopped: bool,
    /// The parts of batches that are not complete.
    making: BTreeMap<usize, Vec<Part>>,
    made: BTreeMap<usize, Result<Batch>>,
}

/// Some images of a batch.
struct Part {
    start: usize,
    images: Vec<u8>,
    labels: Vec<i32>,
    damaged: Vec<Error>,
}

impl Work {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes parts until there are none left to make.
    fn go(&self) {
        let mut transformer = Transformer::new(self.transform);
        while let Some((batch, places)) = self.claim() {
            let part = self.make(batch, places, &mut transformer);
            self.deliver(batch, part);
        }
    }

    /// A batch and places in it to fill; waits while enough batches lie ready.
    fn claim(&self) -> Option<(usize, Range<usize>)> {
        let mut progress = self.progress();
        loop {
            let (batch, start) = progress.next;
            if progress.stopped || batch >= self.end {
                return None;
            }
            if batch <= progress.wanted + self.config.prefetch {
                let end = (start + CHUNK).min(self.config.batch);
                progress.next = if end == self.config.batch { (batch + 1, 0) } else { (batch, end) };
                return Some((batch, start..end));
            }
            progress = self.room_made.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn make(&self, batch: usize, places: Range<usize>, transformer: &mut Transformer) -> Result<Part> {
        let bytes = 3 * self.transform.size().pow(2);
        let mut part = Part {
            start: places.start,
            images: Vec::with_capacity(bytes * places.len()),
            labels: Vec::with_capacity(places.len()),
            damaged: Vec::new(),
        };
        for place in places {
            let start = part.images.len();
            let index = self.order.get(batch * self.config.batch + place).map(|&index| index as usize);
            let label = match index.map(|index| self.image(index, transformer, &mut part.images)) {
                Some(Ok(label)) => label,
                Some(Err(error)) if self.config.damaged == Damaged::Skip => {
                    part.damaged.push(error);
                    IGNORED
                }
                Some(Err(error)) => return Err(error),
                None => IGNORED,
            };
            if label == IGNORED {
                part.images.truncate(start);
                part.images.resize(start + bytes, 0);
            }
            part.labels.push(label);
        }
        Ok(part)
    }

    /// Appends an image's pixels and returns its label.
    fn image(&self, index: usize, transformer: &mut Transformer, pixels: &mut Vec<u8>) -> Result<i32> {
        let unfit = |what| Error::Unfit { path: self.images.name(index), what };
        // What loads images may be anybody's; a thread that ends early would be waited for without end.
        let image = catch_unwind(AssertUnwindSafe(|| self.images.load(index)))
            .map_err(|_| unfit("its decoder panicked".into()))??;
        let mut random = Random::new(self.config.seed, Use::Augmentation, self.epoch, index);
        transformer.apply(&image, &mut random, pixels).map_err(unfit)?;
        Ok(self.images.label(index))
    }

    /// Puts a part to the others of its batch, and the batch together when it was the last.
    fn deliver(&self, batch: usize, part: Result<Part>) {
        let mut progress = self.progress();
        let part = match part {
            Ok(part) => part,
            Err(error) => {
                // Of several errors in one batch, the first to come counts.
                progress.made.entry(batch).or_insert(Err(error));
                self.batch_made.notify_all();
                return;
            }
        };
        let parts = progress.making.entry(batch).or_default();
        parts.push(part);
        if parts.len() < self.config.batch.div_ceil(CHUNK) {
            return;
        }
        let parts = progress.making.remove(&batch).unwrap_or_default();
        drop(progress);
        let whole = self.assemble(parts);
        self.progress().made.insert(batch, Ok(whole));
        self.batch_made.notify_all();
    }

    fn assemble(&self, mut parts: Vec<Part>) -> Batch {
        parts.sort_by_key(|part| part.start);
        let bytes = 3 * self.transform.size().pow(2) * self.config.batch;
        let mut whole = Batch {
            images: Vec::with_capacity(bytes),
            labels: Vec::with_capacity(self.config.batch),
            damaged: Vec::new(),
        };
        for part in parts {
            whole.images.extend_from_slice(&part.images);
            whole.labels.extend_from_slice(&part.labels);
            whole.damaged.extend(part.damaged);
        }
        whole
    }
}
