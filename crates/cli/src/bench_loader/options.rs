//! What is to be measured.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use ocelli_core::Precision;
use ocelli_data::augment::{Augmentation, Element, Policy};
use ocelli_data::loader::{DecodedForm, LoaderConfig, OnDamaged};
use ocelli_models::NAMES;
use serde::Serialize;

use super::error::{Error, Result};
use super::measure::Kind;
use super::set::Set;

#[derive(Args)]
#[command(
    after_help = "Three things are timed: training on one batch that lies on the GPU (synthetic), taking batches and \
                        dropping them (loader), and training on them (both). The verdict says what holds training back, and \
                        what to change. Each number of --batch is measured with each of --workers. The times that workers \
                        take for an image are sums over all of them, who work side by side.\n\n\
                        Each measurement tells how much memory was in use at its begin and at its end: this process's in the \
                        host (of which mapped files: the pages of a record file that were read), where the system is Linux, \
                        and the GPU's, whoever uses it. Memory that stays the same over a long time, as with --seconds 600, \
                        is used up by nothing.\n\n\
                        Examples:\n  \
                        ocelli bench-loader imagenet --batch 256 --workers 4,8,16\n  \
                        ocelli bench-loader train.records --cache both --json"
)]
pub(crate) struct Options {
    /// A directory of class folders, a directory with such a train/ in it, or a record file
    ///
    /// With --only synthetic it may be left out: the network then tells 1000 classes apart.
    #[arg(required_unless_present = "only", required_if_eq_any = [("only", "loader"), ("only", "both")])]
    pub(super) set: Option<PathBuf>,
    /// The network that is trained
    #[arg(long, default_value = "resnet50", value_parser = PossibleValuesParser::new(NAMES))]
    pub(super) model: String,
    /// Rows and columns of the images that the network sees
    #[arg(long, value_name = "PIXELS", default_value_t = 224, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) size: u32,
    /// The element type of the images, and of convolutions and matrix products
    #[arg(long, value_enum, default_value_t = Type::F16)]
    pub(super) precision: Type,
    /// Images of a batch
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "64,256",
          value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub(super) batch: Vec<u32>,
    /// Threads that read images; 0 for as many as the machine runs at once
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "4,8,16",
          value_parser = clap::value_parser!(u32).range(..=1024))]
    pub(super) workers: Vec<u32>,
    /// Batches that may lie ready on the GPU
    #[arg(long, value_name = "BATCHES", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) prefetch: u32,
    /// How long each measurement takes
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(super) seconds: Duration,
    /// Batches before each measurement
    ///
    /// In the first ones the step is planned. To see what --encoded-cache and --decoded-cache bring in later epochs, as many
    /// as an epoch has.
    #[arg(long, value_name = "BATCHES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) warm_up: u32,
    /// The share of the images that go to the GPU's JPEG engines, of those that they can decode
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    pub(super) hardware_share: f64,
    /// Threads that hand files to the engines
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(super) hardware_threads: u32,
    /// What the engines make of a file
    #[arg(long, value_name = "FORM", value_enum, default_value = "planes")]
    pub(super) decoded_form: DecodedFormOption,
    /// Random operations on the images, besides the crop and the mirroring of training on ImageNet
    #[arg(long, value_enum)]
    pub(super) policy: Option<PolicyOption>,
    /// Keep files in the host's memory, up to so many MiB
    #[arg(long, value_name = "MIB", default_value = "0", value_parser = mebibytes)]
    pub(super) encoded_cache: usize,
    /// Keep decoded images in the GPU's memory, up to so many MiB
    #[arg(long, value_name = "MIB", default_value = "0", value_parser = mebibytes)]
    pub(super) decoded_cache: usize,
    /// What the system has in memory of the set's files
    #[arg(long, value_enum, default_value_t = CacheOption::Warm)]
    cache: CacheOption,
    /// Measure one thing only
    #[arg(long, value_enum)]
    only: Option<Kind>,
    /// Go on without images that cannot be read or decoded
    #[arg(long)]
    pub(super) skip_damaged: bool,
    /// Which GPU, counted from 0
    #[arg(long, alias = "gpu", default_value_t = 0)]
    pub(super) device: usize,
    /// Print a line of JSON for each measurement, and for each verdict
    #[arg(long)]
    pub(super) json: bool,
}

/// An element type.
#[derive(Clone, Copy, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Type {
    /// Half precision
    F16,
    /// bfloat16
    Bf16,
    /// Single precision
    F32,
    /// Single precision, whose products round their operands to TensorFloat-32
    Tf32,
}

impl Type {
    pub(super) fn precision(self) -> Precision {
        match self {
            Type::F16 => Precision::mixed_f16(),
            Type::Bf16 => Precision::mixed_bf16(),
            Type::F32 => Precision::F32,
            Type::Tf32 => Precision::Tf32,
        }
    }

    /// What the loader writes.
    pub(super) fn element(self) -> Element {
        match self {
            Type::F16 => Element::F16,
            Type::Bf16 => Element::Bf16,
            Type::F32 | Type::Tf32 => Element::F32,
        }
    }
}

/// Random operations on images.
#[derive(Clone, Copy, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PolicyOption {
    /// Two operations of one magnitude, as torchvision's RandAugment
    RandAugment,
    /// One operation of a random magnitude, as torchvision's TrivialAugmentWide
    TrivialAugment,
}

impl PolicyOption {
    const fn policy(self) -> Policy {
        match self {
            PolicyOption::RandAugment => Policy::rand_augment(),
            PolicyOption::TrivialAugment => Policy::trivial_augment(),
        }
    }
}

/// What the engines make of a file.
#[derive(Clone, Copy, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum DecodedFormOption {
    /// JPEG's own planes, which the augmentation converts
    Planes,
    /// Red, green and blue
    Rgb,
}

impl DecodedFormOption {
    pub(super) const fn form(self) -> DecodedForm {
        match self {
            DecodedFormOption::Planes => DecodedForm::Planes,
            DecodedFormOption::Rgb => DecodedForm::Rgb,
        }
    }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum CacheOption {
    /// All that fits: files are read once before, for up to a minute
    Warm,
    /// Nothing: the files' pages are dropped before each measurement, which ends with the set
    Cold,
    /// One after the other
    Both,
}

/// What the system has in memory of the set's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cache {
    Warm,
    Cold,
}

impl Cache {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Cache::Warm => "warm",
            Cache::Cold => "cold",
        }
    }
}

impl Options {
    pub(super) fn measures(&self, kind: Kind) -> bool {
        self.only.is_none_or(|only| only == kind)
    }

    pub(super) fn trains(&self) -> bool {
        self.measures(Kind::Synthetic) || self.measures(Kind::Both)
    }

    /// What is measured on the loader's batches.
    pub(super) fn loader_kinds(&self) -> Vec<Kind> {
        [Kind::Loader, Kind::Both].into_iter().filter(|&kind| self.measures(kind)).collect()
    }

    pub(super) fn caches(&self) -> &'static [Cache] {
        match self.cache {
            CacheOption::Warm => &[Cache::Warm],
            CacheOption::Cold => &[Cache::Cold],
            CacheOption::Both => &[Cache::Warm, Cache::Cold],
        }
    }

    /// What is done to the images.
    pub(super) fn augmentation(&self) -> Augmentation {
        let policy = self.policy.map(PolicyOption::policy);
        Augmentation { policy, ..Augmentation::imagenet_training(self.size) }
    }

    /// What becomes of files that cannot be read or decoded.
    pub(super) fn damaged(&self) -> OnDamaged {
        if self.skip_damaged { OnDamaged::Skip } else { OnDamaged::Fail }
    }

    /// Rather now than after minutes of measuring.
    pub(super) fn check(&self, set: &Set) -> Result<()> {
        if self.loader_kinds().is_empty() || !self.caches().contains(&Cache::Cold) {
            return Ok(());
        }
        // Batches that have been read before the measurement begins are not to be the most of it.
        let config = LoaderConfig { prefetch: self.prefetch as usize, ..LoaderConfig::default() };
        let ahead = config.read_ahead();
        let needed = (self.warm_up as usize).saturating_add(ahead.saturating_mul(2));
        for &batch in &self.batch {
            let batches = set.len() / batch as usize;
            if batches < needed {
                return Err(Error::Usage(format!(
                    "with a cold cache the set is gone through once, and its {} images make {batches} batches of {batch}; {} \
                     come before the measurement, and {ahead} are read ahead of it, so {needed} are needed: use a smaller \
                     --warm-up, --prefetch or --batch, or a larger set",
                    set.len(),
                    self.warm_up
                )));
            }
        }
        Ok(())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (1e-3..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "it takes seconds, from 0.001 to 86400".into())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is a number from 0 to 1".into())
}

/// MiB as bytes.
fn mebibytes(text: &str) -> Result<usize, String> {
    let bytes = text.parse::<usize>().ok().and_then(|mebibytes| mebibytes.checked_mul(1 << 20));
    bytes.ok_or_else(|| "it takes a whole number of MiB".into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_policy_comes_to_the_training_augmentation() {
        let augmentation = |arguments: &[&str]| {
            let arguments = [&["ocelli", "set", "--size", "160"], arguments].concat();
            Arguments::try_parse_from(arguments).map(|arguments| arguments.options.augmentation())
        };
        let plain = Augmentation::imagenet_training(160);
        assert_eq!(augmentation(&[]).unwrap(), plain);
        for (name, policy) in
            [("rand-augment", Policy::rand_augment()), ("trivial-augment", Policy::trivial_augment())]
        {
            let expected = Augmentation { policy: Some(policy), ..plain };
            assert_eq!(augmentation(&["--policy", name]).unwrap(), expected);
        }
        assert!(augmentation(&["--policy", "auto-augment"]).is_err());
    }

    #[test]
    fn a_set_is_needed_by_what_reads_one() {
        let parse = |arguments: &[&str]| Arguments::try_parse_from([&["ocelli"], arguments].concat());
        for arguments in [&[][..], &["--only", "loader"], &["--only", "both"]] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
            assert!(parse(&[&["set"], arguments].concat()).is_ok(), "{arguments:?}");
        }
        assert!(parse(&["--only", "synthetic"]).is_ok_and(|parsed| parsed.options.set.is_none()));
        assert!(parse(&["set", "--only", "synthetic"]).is_ok_and(|parsed| parsed.options.set.is_some()));
    }

    #[test]
    fn numbers_out_of_their_ranges_are_refused() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "nan", "inf", "1e9", "five"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!((share("0"), share("0.8"), share("1")), (Ok(0.0), Ok(0.8), Ok(1.0)));
        for text in ["-0.1", "1.01", "nan", ""] {
            assert!(share(text).is_err(), "{text}");
        }
        assert_eq!((mebibytes("0"), mebibytes("3")), (Ok(0), Ok(3 << 20)));
        for text in ["-1", "1.5", "18446744073709551615"] {
            assert!(mebibytes(text).is_err(), "{text}");
        }
    }
}
