use crate::augment::{Augmentation, BoxLimits, Output};
use crate::{Error, Result};

/// What happens when an image cannot be read or decoded. Whatever is chosen, such images are counted and listed by path:
/// [`Loader::damaged`](super::Loader::damaged).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnDamaged {
    /// Its batch is an error that names the file, and no more batches follow.
    #[default]
    Fail,
    /// Its place in the batch is zero, labelled [`IGNORED`](crate::IGNORED), and not valid.
    Skip,
    /// Another image takes its place: the next one by number that can be decoded, of the next hundred; where there is none,
    /// that is an error. Where the sizes of a batch differ, one that is larger than the others leaves the place empty.
    Replace,
}

/// What happens to the images at the end of an epoch that do not fill a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LastBatch {
    /// They make a batch whose other places are zero, labelled [`IGNORED`](crate::IGNORED), and not valid, so that all
    /// batches have one shape.
    #[default]
    Keep,
    /// They are left out.
    Drop,
}

/// Batches that are read and looked at before they can be decoded.
pub(super) const AHEAD: usize = 2;
/// As many images the augmentation takes at once.
const MOST_IMAGES: usize = 65_535;

/// What the GPU's engines make of a JPEG file, before it is augmented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DecodedForm {
    /// JPEG's own planes, converted where they are augmented: half the bytes of most files, and libjpeg-turbo's pixels to the
    /// bit.
    #[default]
    Planes,
    /// Red, green and blue: within a level of libjpeg-turbo's pixels. Files of each subsampling are decoded by themselves:
    /// together nvJPEG takes more than twice as long for them.
    Rgb,
}

/// How batches are made.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Images of a batch.
    pub batch: usize,
    /// What is done to the images.
    pub augmentation: Augmentation,
    /// Which boxes are kept that the augmentation has cut.
    pub boxes: BoxLimits,
    /// What the batch's elements are.
    pub output: Output,
    /// What happens to images that do not fill a batch.
    pub last: LastBatch,
    /// What happens when an image cannot be decoded.
    pub damaged: OnDamaged,
    /// Seeds the augmentation. The order has its own seed, in the sampler, and that is the one of a state: to resume a
    /// run, this one has to be the same as well.
    pub seed: u64,
    /// Threads that read files, look at their headers, and decode what the GPU's engines do not take; 0 for as many as the
    /// machine runs at once.
    pub workers: usize,
    /// How many batches may lie ready on the GPU while one is used; 0 counts as 1. A program that holds more than that many
    /// batches at once waits for the next one without end.
    pub prefetch: usize,
    /// The share of the images that engines could decode and that go to them, 0 to 1; the rest is decoded by the workers
    /// and the multiprocessors. Which images these are depends on their numbers alone: the two decoders differ by up to
    /// one level before colours are converted.
    pub hardware_share: f32,
    /// Threads that hand files to the engines. One keeps them all at work where nothing else does.
    pub hardware_threads: usize,
    /// What the engines make of a file.
    pub decoded: DecodedForm,
    /// Bytes of the host's memory in which files are kept, until it is full; for sets on slow disks.
    pub encoded_cache: usize,
    /// Bytes of the GPU's memory in which decoded images are kept, until it is full: one and a half for each pixel of
    /// most files, three of some and of all in red, green and blue.
    pub decoded_cache: usize,
    /// The most pixels of an image. Headers are easily made to claim more than there is. What is decoded on the host (CMYK,
    /// PNG and others) has at most 178,956,970, 512 MiB, whatever is set here.
    pub max_pixels: u64,
}

impl Default for LoaderConfig {
    /// Batches of 256 for training on ImageNet.
    fn default() -> LoaderConfig {
        LoaderConfig {
            batch: 256,
            augmentation: Augmentation::imagenet_training(224),
            boxes: BoxLimits::default(),
            output: Output::default(),
            last: LastBatch::default(),
            damaged: OnDamaged::default(),
            seed: 0,
            workers: 0,
            prefetch: 3,
            hardware_share: 1.0,
            hardware_threads: 1,
            decoded: DecodedForm::default(),
            encoded_cache: 0,
            decoded_cache: 0,
            max_pixels: 1 << 28,
        }
    }
}

impl LoaderConfig {
    /// How many batches at most have been read before they are asked for: those that lie ready, the one that is decoded, and
    /// those that come next.
    pub fn read_ahead(&self) -> usize {
        self.places().saturating_add(1 + AHEAD)
    }

    /// How many batches there is memory for: those that lie ready, and one that is used, or lies ready as well.
    pub(super) fn places(&self) -> usize {
        self.prefetch.max(1).saturating_add(1)
    }

    /// Says whether the settings make sense for a set of so many samples.
    pub(super) fn check(&self, samples: usize) -> Result<()> {
        self.augmentation.check()?;
        self.output.check()?;
        let what = if self.batch == 0 {
            "a batch must hold at least one image".to_owned()
        } else if self.batch > MOST_IMAGES {
            format!("a batch holds at most {MOST_IMAGES} images, not {}", self.batch)
        } else if samples == 0 {
            "there are no images to make batches of".to_owned()
        } else if self.last == LastBatch::Drop && self.batch > samples {
            format!(
                "{samples} images do not fill a batch of {}, and what does not fill one is left out: use a smaller batch, or \
                 keep the last one",
                self.batch
            )
        } else if !(0.0..=1.0).contains(&self.hardware_share) {
            format!("the share {} of the decoding engines must be between 0 and 1", self.hardware_share)
        } else if self.hardware_threads == 0 {
            "at least one thread must hand files to the decoding engines".to_owned()
        } else if self.max_pixels == 0 {
            "images of no pixels are none".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Setting { what })
    }

    /// Batches of an epoch of so many samples.
    pub(super) fn batches(&self, samples: usize) -> usize {
        match self.last {
            LastBatch::Keep => samples.div_ceil(self.batch),
            LastBatch::Drop => samples / self.batch,
        }
    }

    /// Whether an image that the engines could decode goes to them.
    pub(super) fn to_hardware(&self, index: usize) -> bool {
        // Multiples of the golden ratio are spread evenly between 0 and 1 (Knuth, "The Art of Computer Programming",
        // volume 3, 6.4).
        let spread = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        (spread as f32) < self.hardware_share * (1 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        LoaderConfig::default().check(1).unwrap();
        let refused = |config: LoaderConfig, samples| {
            let error = config.check(samples).unwrap_err();
            assert!(matches!(error, Error::Setting { .. }));
        };
        refused(LoaderConfig { batch: 0, ..Default::default() }, 1000);
        refused(LoaderConfig { batch: 65_536, ..Default::default() }, 100_000);
        refused(LoaderConfig::default(), 0);
        refused(LoaderConfig { last: LastBatch::Drop, ..Default::default() }, 255);
        refused(LoaderConfig { hardware_share: f32::NAN, ..Default::default() }, 1000);
        refused(LoaderConfig { hardware_threads: 0, ..Default::default() }, 1000);
        refused(LoaderConfig { max_pixels: 0, ..Default::default() }, 1000);
        refused(
            LoaderConfig { augmentation: Augmentation::imagenet_training(0), ..Default::default() },
            1000,
        );
    }

    #[test]
    fn the_last_batch_counts_where_it_is_kept() {
        let batches = |last, samples| LoaderConfig { batch: 10, last, ..Default::default() }.batches(samples);
        assert_eq!([20, 21, 29].map(|samples| batches(LastBatch::Keep, samples)), [2, 3, 3]);
        assert_eq!([20, 21, 29].map(|samples| batches(LastBatch::Drop, samples)), [2, 2, 2]);
    }

    #[test]
    fn shares_are_what_was_asked_for_and_spread() {
        for share in [0.0, 0.25, 0.9, 1.0] {
            let config = LoaderConfig { hardware_share: share, ..Default::default() };
            for first in [0, 1_000_000] {
                let count = (first..first + 1000).filter(|&index| config.to_hardware(index)).count();
                assert!((count as f32 - 1000.0 * share).abs() <= 4.0, "{count} of 1000 for {share}");
            }
        }
    }
}
