//! `ocelli bench-loader`: whether a network gets its images fast enough on this machine, and what holds them back.
//!
//! Training on a batch that lies on the GPU is how fast it could be, the loader alone how fast images come, and both together
//! how fast it is (after lbhm's dl2).

mod advice;
mod error;
mod line;
mod measure;
mod memory;
mod network;
mod options;
mod page_cache;
mod report;
mod set;
mod shares;
mod subjects;
mod verdict;

use std::io::{self, Write};
use std::num::NonZero;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ocelli_core::Device;
use ocelli_cuda::library::{self, Library};
use ocelli_data::augment::Output;
use ocelli_data::loader::{LastBatch, Loader, LoaderConfig};
use ocelli_data::sampler::Sampler;
use serde_json::json;

use self::advice::Setting;
use self::error::{Error, Result};
use self::line::{Line, Loading};
use self::measure::{Kind, Limits, Measured, measure};
use self::network::{Labelled, Network};
use self::options::Cache;
pub(crate) use self::options::Options;
use self::page_cache::{Pages, drop_files, read_through};
use self::report::Report;
use self::set::Set;
use self::shares::Shares;
use self::subjects::{Loaded, Resident};
use self::verdict::{Facts, judge};

/// Batches that a small set is repeated to, where nothing of it is kept: more than a measurement takes.
const EPOCH_BATCHES: usize = 1024;
/// Classes that a network tells apart where there is no set: as many as ImageNet has.
const CLASSES: usize = 1000;
/// How long a set is read before it is measured warm.
const WARMING: Duration = Duration::from_secs(60);

/// Measures and says so; fails only when that cannot be written.
pub(crate) fn run(options: &Options) -> io::Result<ExitCode> {
    let (error, more, code) = match bench(options) {
        Ok(()) => return Ok(ExitCode::SUCCESS),
        Err(Error::Output(error)) => return Err(error),
        Err(error @ Error::Usage(_)) => (error, "\n\nFor more information, try '--help'.", ExitCode::from(2)),
        Err(error) => (error, "", ExitCode::FAILURE),
    };
    eprintln!("error: {error}{more}");
    if options.json {
        writeln!(io::stdout(), "{}", json!({ "error": error.to_string() }))?;
    }
    Ok(code)
}

fn bench(options: &Options) -> Result<()> {
    let set = options.set.as_deref().map(Set::open).transpose()?;
    set.iter().try_for_each(|set| options.check(set))?;
    // Rather now than after the first measurements.
    needed(options).try_for_each(|library| library::open(library).map(drop))?;
    let device = Device::new(options.device)?;
    device.set_precision(options.precision.precision());
    let mut bench = Bench::new(options, set.as_ref(), &device)?;
    for &batch in &options.batch {
        bench.synthetic(batch as usize)?;
    }
    for &cache in options.caches() {
        bench.loader(cache)?;
    }
    bench.report.finish();
    Ok(())
}

/// The libraries that are to be used.
fn needed(options: &Options) -> impl Iterator<Item = Library> {
    let training = if options.trains() { &[Library::Cudnn, Library::CublasLt][..] } else { &[] };
    let loader = (!options.loader_kinds().is_empty()).then_some(Library::Nvjpeg);
    [Library::Cuda, Library::Nvrtc].into_iter().chain(training.iter().copied()).chain(loader)
}

/// What is measured, and what was so far.
struct Bench<'a> {
    options: &'a Options,
    /// None where only the network is measured, which needs none.
    set: Option<&'a Set>,
    classes: usize,
    device: &'a Device,
    network: Option<Network>,
    limits: Limits,
    report: Report,
    lines: Vec<Line>,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options, set: Option<&'a Set>, device: &'a Device) -> Result<Bench<'a>> {
        let classes = set.map_or(CLASSES, Set::classes);
        let network = options.trains().then(|| Network::new(device, &options.model, classes)).transpose()?;
        let with_loader = options.caches().len() * options.workers.len() * options.loader_kinds().len();
        let without = usize::from(options.measures(Kind::Synthetic));
        let measurements = options.batch.len() * (with_loader + without);
        let report = Report::new(options, set, classes, device, measurements)?;
        let limits = Limits { warm_up: options.warm_up, time: options.seconds };
        Ok(Bench { options, set, classes, device, network, limits, report, lines: Vec::new() })
    }

    fn cuda(&self) -> Result<&'a ocelli_cuda::Device> {
        let gpu = self.device.gpu().ok_or_else(|| Error::Usage("the device is no GPU".into()))?;
        Ok(gpu.cuda())
    }

    /// Trains on a batch that lies on the GPU, if that is asked for.
    fn synthetic(&mut self, batch: usize) -> Result<()> {
        let cuda = self.cuda()?;
        let Some(network) = self.network.as_mut().filter(|_| self.options.measures(Kind::Synthetic)) else {
            return Ok(());
        };
        self.report.begin(Kind::Synthetic, batch, None);
        let size = self.options.size as usize;
        let images = Labelled::synthetic(self.device, batch, size, self.classes)?;
        let measured = measure(cuda, self.limits, &mut Resident { network, batch: images, images: batch })?;
        self.keep(Line { kind: Kind::Synthetic, batch, loader: None, measured })
    }

    /// Goes through the settings of the loader with such a cache, and judges the best.
    fn loader(&mut self, cache: Cache) -> Result<()> {
        let kinds = self.options.loader_kinds();
        let Some(set) = self.set.filter(|_| !kinds.is_empty()) else { return Ok(()) };
        if cache == Cache::Warm {
            self.warm(set)?;
        }
        for &batch in &self.options.batch {
            for &workers in &self.options.workers {
                for &kind in &kinds {
                    self.loaded(set, kind, batch as usize, workers as usize, cache)?;
                }
            }
        }
        self.verdict(cache)
    }

    /// Brings the files into the system's memory.
    fn warm(&self, set: &Set) -> Result<()> {
        self.report.preparing("reading the set");
        let (read, images) = (read_through(set, WARMING)?, set.len());
        if read < images {
            let seconds = WARMING.as_secs();
            self.report.note(&format!(
                "{read} of {images} images could be read before, in at most {seconds} s: not all of them may be in memory"
            ))?;
        }
        Ok(())
    }

    /// Takes a loader's batches, and trains on them if that is what is measured.
    fn loaded(&mut self, set: &Set, kind: Kind, batch: usize, workers: usize, cache: Cache) -> Result<()> {
        let cuda = self.cuda()?;
        let config = self.config(batch, workers);
        let workers = if workers == 0 { processors() } else { workers };
        self.report.begin(kind, batch, Some((workers, cache)));
        let pages = (cache == Cache::Cold).then(|| self.drop_pages(set)).transpose()?;
        let times = self.times(set, batch, cache);
        let images = set.images(times)?;
        let sampler = Sampler::shuffled(images.len(), 1);
        let loader = Loader::new(cuda, images, sampler, config)?;
        let network = self.network.as_mut().filter(|_| kind == Kind::Both);
        let mut subject = Loaded::new(self.device, &loader, cache == Cache::Cold, network)?;
        let measured = measure(cuda, self.limits, &mut subject)?;
        drop(subject);
        self.keep(Line { kind, batch, loader: Some(Loading { workers, cache, times, pages }), measured })
    }

    fn config(&self, batch: usize, workers: usize) -> LoaderConfig {
        let options = self.options;
        LoaderConfig {
            batch,
            augmentation: options.augmentation(),
            output: Output { dtype: options.precision.element(), ..Output::default() },
            last: LastBatch::Drop,
            damaged: options.damaged(),
            workers,
            prefetch: options.prefetch as usize,
            hardware_share: options.hardware_share as f32,
            hardware_threads: options.hardware_threads as usize,
            decoded: options.decoded_form.form(),
            encoded_cache: options.encoded_cache,
            decoded_cache: options.decoded_cache,
            ..LoaderConfig::default()
        }
    }

    /// How often each image is to be in an epoch. What is cold is so but once; what is kept is found again in the next
    /// epoch only.
    fn times(&self, set: &Set, batch: usize, cache: Cache) -> usize {
        let keeps = self.options.encoded_cache > 0 || self.options.decoded_cache > 0;
        let images = match cache {
            Cache::Cold => 0,
            Cache::Warm if keeps => batch,
            Cache::Warm => batch * EPOCH_BATCHES,
        };
        images.div_ceil(set.len()).max(1)
    }

    /// Makes the cache cold, and says so, once, where that cannot be had.
    fn drop_pages(&self, set: &Set) -> Result<Pages> {
        let pages = drop_files(set, self.options.damaged())?;
        let is_known =
            self.lines.iter().filter_map(|line| line.loader).any(|known| known.pages == Some(pages));
        match pages {
            Pages::Kept if !is_known => {
                self.report.note("the system keeps the set's files in memory: the cache is not cold")?;
            }
            Pages::Unknown if !is_known => {
                let what =
                    "the system does not say whether it dropped the set's files: the cache may be warm";
                self.report.note(what)?;
            }
            _ => {}
        }
        Ok(pages)
    }

    fn keep(&mut self, line: Line) -> Result<()> {
        self.report.line(&line)?;
        self.lines.push(line);
        Ok(())
    }

    /// Of the setting with which training was fastest, or the loader where nothing was trained.
    fn verdict(&self, cache: Cache) -> Result<()> {
        let of = |kind| {
            let is_of = move |line: &&Line| {
                line.kind == kind && line.loader.is_some_and(|loader| loader.cache == cache)
            };
            self.lines.iter().filter(is_of)
        };
        let speed = |line: &&Line| line.measured.images_per_second();
        let fastest = |kind| of(kind).max_by(|a, b| speed(a).total_cmp(&speed(b)));
        let Some(best) = fastest(Kind::Both).or_else(|| fastest(Kind::Loader)) else { return Ok(()) };
        let settings = |line: &Line| (line.batch, line.loader.map(|loader| loader.workers));
        let alone = of(Kind::Loader).find(|line| settings(line) == settings(best));
        let facts = self.facts(best, alone);
        self.report.verdict(best, &facts, &judge(&facts))
    }

    /// What a verdict is made of: the best measurement, and the loader alone with the same settings.
    fn facts(&self, best: &Line, alone: Option<&Line>) -> Facts {
        let options = self.options;
        let workers = best.loader.map_or(0, |loader| loader.workers);
        let setting = Setting {
            packed: self.set.is_some_and(Set::is_packed),
            workers,
            processors: processors(),
            connections: ocelli_cuda::connections(),
            prefetch: options.prefetch as usize,
            decoded_form: options.decoded_form.form(),
            hardware_share: options.hardware_share,
            encoded_cache: options.encoded_cache,
            decoded_cache: options.decoded_cache,
        };
        let Measured { elapsed, loader, .. } = &alone.unwrap_or(best).measured;
        let shares = loader.map(|loader| Shares::of(&loader, workers, *elapsed)).unwrap_or_default();
        let both = Some(best).filter(|best| best.kind == Kind::Both);
        let beside = both.and_then(|both| {
            let Measured { elapsed, loader, .. } = &both.measured;
            loader.map(|loader| Shares::of(&loader, workers, *elapsed))
        });
        let synthetic =
            self.lines.iter().find(|line| line.kind == Kind::Synthetic && line.batch == best.batch);
        let speed = |line: Option<&Line>| line.map(|line| line.measured.images_per_second());
        Facts {
            synthetic: speed(synthetic),
            loader: speed(alone),
            both: speed(both),
            waited: both.map(|both| both.measured.waited_share()),
            shares,
            beside,
            setting,
        }
    }
}

/// How many threads the machine runs at once.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
