//! What a set of image files consists of: classes, sizes, qualities, who decodes them, and the mean and deviation of
//! their pixels.
//!
//! ```no_run
//! use ocelli_data::ImageSet;
//! use ocelli_data::survey::{SurveyConfig, survey};
//!
//! # fn main() -> Result<(), ocelli_data::Error> {
//! let set = ImageSet::open("imagenet/train".as_ref())?;
//! let found = survey(&set, &SurveyConfig::default(), |_| ())?;
//! print!("{found}");
//! if let Some(pixels) = &found.pixels {
//!     println!("normalise by {:?} and {:?}", pixels.mean, pixels.deviation);
//! }
//! # Ok(())
//! # }
//! ```

mod examine;
mod facts;
mod meter;
mod moments;
mod sizes;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use self::examine::{Examined, Examiner};
use self::facts::Facts;
pub use self::meter::kernel;
pub use self::moments::Pixels;
use self::moments::Totals;
use self::sizes::Tally;
pub use self::sizes::{Sizes, Spread};
use crate::canvas::{Gpu, MOST_PIXELS, check_most_pixels, decoding_threads};
use crate::jpeg::Route;
use crate::ordered::in_order;
use crate::set::{Fault, ImageSet};
use crate::{Encoded, Error, Result, with_causes};

/// How a set is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SurveyConfig {
    /// Whether all images are decoded, for the mean and deviation of their pixels; otherwise only headers are read.
    pub pixels: bool,
    /// The GPU that decodes and adds, from 0.
    pub gpu: usize,
    /// Threads; 0 for as many as the machine runs at once, at most 16.
    pub workers: usize,
    /// The most pixels of an image, at least 1. One that claims more counts among those that cannot be read, and is not
    /// decoded.
    pub max_pixels: u64,
}

impl Default for SurveyConfig {
    fn default() -> SurveyConfig {
        SurveyConfig { pixels: true, gpu: 0, workers: 0, max_pixels: MOST_PIXELS }
    }
}

/// What a set consists of.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Survey {
    /// How many image files there are.
    pub images: usize,
    /// Bytes of all that could be read.
    pub bytes: u64,
    /// How many classes there are, those without images included.
    pub classes: usize,
    /// The class with the fewest images, the first of several.
    pub smallest_class: Option<Class>,
    /// The class with the most images, the first of several.
    pub largest_class: Option<Class>,
    /// How many files there are of each format, by its name in small letters: `jpeg`, `png`.
    pub formats: BTreeMap<&'static str, usize>,
    /// Columns and rows, as the files have them: rotations in EXIF are not made. `None` where no header could be read.
    pub sizes: Option<Sizes>,
    /// How many images have one channel, without counting transparency.
    pub grey: usize,
    /// How many JPEG files EXIF says to rotate or mirror.
    pub rotated: usize,
    /// How many JPEG files there are of each quality ([`Header::quality`](crate::jpeg::Header::quality)).
    pub qualities: BTreeMap<u8, usize>,
    /// How many JPEG files with tables that no quality makes are nearest to each quality
    /// ([`Header::nearest_quality`](crate::jpeg::Header::nearest_quality)).
    pub nearest_qualities: BTreeMap<u8, usize>,
    /// How many JPEG files have no quality, because they have no losses, or no tables.
    pub no_quality: usize,
    /// How many JPEG files there are of each subsampling: `grey`, `444`, `422`, `420`, `440`, `411`, `410`, `other`.
    pub subsamplings: BTreeMap<&'static str, usize>,
    /// How many JPEG files there are of each process: `baseline`, `extended`, `progressive`, `lossless`,
    /// `hierarchical`.
    pub processes: BTreeMap<&'static str, usize>,
    /// Who decodes the files whose headers could be read ([`Header::route`](crate::jpeg::Header::route)).
    pub decoders: Decoders,
    /// Mean and deviation of the pixels of all images that could be decoded; `None` where they were not asked for, or
    /// left out.
    pub pixels: Option<Pixels>,
    /// Why `pixels` is left out although it was asked for.
    pub pixels_left_out: Option<String>,
    /// The files that cannot be read or, as far as was looked, decoded.
    pub faults: Vec<Fault>,
}

/// A class and how many images it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Class {
    /// Its name.
    pub name: String,
    /// How many images it has.
    pub images: usize,
}

/// How many files each decoder takes, the fastest that does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Decoders {
    /// The GPU's decoding engines.
    pub engines: usize,
    /// The decoder on CUDA, by the reason why the engines cannot.
    pub cuda: BTreeMap<String, usize>,
    /// The decoder on the host, by the reason why the GPU cannot.
    pub host: BTreeMap<String, usize>,
}

/// Looks at every file of a set. What is wrong with some is told in [`Survey::faults`], and what is wrong with the GPU in
/// [`Survey::pixels_left_out`]; neither keeps the rest from being told. `progress` is called after each file with the
/// number of those done.
///
/// JPEG files are decoded by nvJPEG, others on the host; both are added up on the GPU, exactly.
///
/// # Errors
/// [`Error::Setting`] where no pixels are allowed, or the system starts no more threads.
pub fn survey(set: &ImageSet, config: &SurveyConfig, mut progress: impl FnMut(usize)) -> Result<Survey> {
    check_most_pixels(config.max_pixels)?;
    let mut survey = Survey::default();
    survey.count_classes(set);
    // Why pixels are left out, once it is known.
    let mut failure: Option<Error> = None;
    let gpu = match config.pixels.then(|| Gpu::open(config.gpu)).transpose() {
        Ok(gpu) => gpu,
        Err(error) => {
            failure = Some(error);
            None
        }
    };
    // Tells the threads that the GPU has failed one of them, so that the others do not wait for it.
    let failed = AtomicBool::new(false);
    let (mut tally, mut totals) = (Tally::default(), Totals::default());
    in_order(
        set.len(),
        decoding_threads(config.workers),
        || Examiner::new(gpu.as_ref(), config.max_pixels),
        |examiner, index| {
            let (examined, used) = examiner.examine(set, index, !failed.load(Ordering::Relaxed));
            if used.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            (examined, used)
        },
        |index, (examined, used)| {
            if let Err(error) = used {
                failure.get_or_insert(error);
            }
            totals.add(&examined.totals);
            survey.count(set, index, examined, &mut tally);
            progress(index + 1);
            Ok(())
        },
    )?;
    survey.sizes = tally.sizes();
    match failure {
        Some(error) => survey.pixels_left_out = Some(with_causes(&error)),
        None => survey.pixels = totals.pixels(),
    }
    Ok(survey)
}

impl Survey {
    fn count_classes(&mut self, set: &ImageSet) {
        let mut counts = vec![0usize; set.classes().len()];
        for &label in set.labels() {
            counts[label] += 1;
        }
        let class = |number: usize| Class { name: set.classes()[number].clone(), images: counts[number] };
        // The first of those that are alike.
        self.smallest_class = (0..counts.len()).min_by_key(|&number| counts[number]).map(class);
        self.largest_class = (0..counts.len()).rev().max_by_key(|&number| counts[number]).map(class);
        self.classes = counts.len();
        self.images = set.len();
    }

    fn count(&mut self, set: &ImageSet, index: usize, examined: Examined, tally: &mut Tally) {
        self.bytes += examined.bytes;
        if let Some(facts) = &examined.facts {
            tally.add(facts.width, facts.height);
            self.count_facts(facts);
        }
        if let Some(error) = &examined.fault {
            self.faults.push(Fault::new(set.name(index), error));
        }
    }

    fn count_facts(&mut self, facts: &Facts) {
        *self.formats.entry(facts.format).or_default() += 1;
        self.grey += usize::from(facts.grey);
        let Some(header) = &facts.jpeg else {
            let reason = format!("the format {}", facts.format);
            *self.decoders.host.entry(reason).or_default() += 1;
            return;
        };
        self.rotated += usize::from(header.orientation.is_some_and(|orientation| orientation != 1));
        match (header.quality, header.nearest_quality()) {
            (Some(quality), _) => *self.qualities.entry(quality).or_default() += 1,
            (None, Some(nearest)) => *self.nearest_qualities.entry(nearest).or_default() += 1,
            (None, None) => self.no_quality += 1,
        }
        *self.subsamplings.entry(facts::subsampling_name(header.subsampling)).or_default() += 1;
        *self.processes.entry(facts::process_name(header.process)).or_default() += 1;
        match header.route() {
            Route::Hardware => self.decoders.engines += 1,
            Route::Cuda(reason) => *self.decoders.cuda.entry(reason.to_string()).or_default() += 1,
            Route::Host(reason) => *self.decoders.host.entry(reason.to_string()).or_default() += 1,
        }
    }
}
