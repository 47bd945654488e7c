//! What holds training back, and what to change: a rule of numbers.

use std::fmt;

use serde::Serialize;

use super::advice::{self, Setting};
use super::measure::ratio;
use super::shares::Shares;

/// Training on the loader's batches is bound by the network from this share of the synthetic speed on.
const KEEPS_UP: f64 = 0.95;
/// The engines hold training back where they are at work in at least this share of the time.
const ENGINES_BUSY: f64 = 0.8;
/// The GPU is not short of data where it waits no longer than this share of its time.
const HARDLY_WAITS: f64 = 0.05;
/// Threads that are at work in less than this share of the time hold nobody back.
const IDLE: f64 = 0.05;

/// What takes the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Bound {
    Reading,
    Decoding,
    Copying,
    Computing,
    /// Nothing of what is measured.
    Unknown,
}

impl Bound {
    const fn name(self) -> &'static str {
        match self {
            Bound::Reading => "reading",
            Bound::Decoding => "decoding",
            Bound::Copying => "copying",
            Bound::Computing => "computing",
            Bound::Unknown => "nothing that is measured here",
        }
    }
}

/// The numbers that a verdict is made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Images a second, of what was measured.
    pub(super) synthetic: Option<f64>,
    pub(super) loader: Option<f64>,
    pub(super) both: Option<f64>,
    /// The share of its time in which the GPU waited for data while it trained.
    pub(super) waited: Option<f64>,
    /// What the loader's threads did, without a network where that was measured.
    pub(super) shares: Shares,
    /// What they did while the network trained.
    pub(super) beside: Option<Shares>,
    /// How the loader was set, and where it ran.
    pub(super) setting: Setting,
}

/// What holds training back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    pub(super) bound: Bound,
    /// The numbers that say so.
    pub(super) why: String,
    /// What to change, the most promising first.
    pub(super) change: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bound by {}: {}", self.bound.name(), self.why)?;
        self.change.iter().try_for_each(|change| writeln!(f, "  {change}"))
    }
}

/// Judges. Where training keeps up with the network alone, or the GPU hardly waits, it is the network. Otherwise it is what
/// the busier side of the loader does longest: the workers, who read, decode and copy, or the thread that feeds the GPU's
/// engines, decodes what they refuse, copies and augments. Where neither side does much, nothing is known.
pub(super) fn judge(facts: &Facts) -> Verdict {
    if let Some(verdict) = computing(facts) {
        return verdict;
    }
    let fast_enough =
        facts.loader.zip(facts.synthetic).is_some_and(|(loader, synthetic)| loader >= synthetic);
    if fast_enough && let Some(verdict) = engines_beside_training(facts) {
        return verdict;
    }
    let Facts { shares, setting, .. } = facts;
    if shares.workers().max(shares.feeder()) < IDLE {
        return nobody_is_busy(facts);
    }
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let (bound, busy, mut change) = if shares.workers() >= shares.feeder() {
        let Shares { workers_read, workers_decode, workers_copy, .. } = *shares;
        let workers = setting.workers;
        let busy =
            |share, what| format!("the {workers} workers spend {} of their time {what}", percent(share));
        if workers_read >= workers_decode.max(workers_copy) {
            (Bound::Reading, busy(workers_read, "reading files"), advice::reading(setting))
        } else if workers_decode >= workers_copy {
            let busy = busy(workers_decode, "looking at headers and decoding");
            (Bound::Decoding, busy, advice::decoding_on_workers(shares, setting))
        } else {
            let busy = busy(workers_copy, "copying into page-locked memory");
            (Bound::Copying, busy, advice::copying_on_workers(setting))
        }
    } else if shares.host_decode >= shares.engines.max(shares.feed) {
        let busy = format!(
            "one thread decodes on the host what the GPU's JPEG engines refuse, in {} of the time",
            percent(shares.host_decode)
        );
        (Bound::Decoding, busy, advice::decoding_what_engines_refuse(shares, setting))
    } else if shares.engines >= shares.feed {
        let busy = format!("the GPU's JPEG engines are at work in {} of the time", percent(shares.engines));
        (Bound::Decoding, busy, advice::decoding_on_engines(setting))
    } else {
        let busy = format!("copies to the GPU and augmentation take {} of the time", percent(shares.feed));
        (Bound::Copying, busy, advice::copying_to_the_gpu(setting))
    };
    if fast_enough {
        change.insert(0, advice::more_ready(setting));
    }
    Verdict { bound, why: format!("{busy}{}", speeds(facts)), change }
}

/// That the engines, fast enough alone, are not while the GPU trains, if that is so.
fn engines_beside_training(facts: &Facts) -> Option<Verdict> {
    let engines = facts.beside.filter(|beside| beside.engines >= ENGINES_BUSY)?.engines;
    let why = format!(
        "the GPU's JPEG engines, fast enough alone, are at work in {:.0} % of the time while the network trains{}",
        100.0 * engines,
        speeds(facts)
    );
    let change = advice::decoding_on_engines_beside_training(&facts.setting);
    Some(Verdict { bound: Bound::Decoding, why, change })
}

/// That no thread of the loader does much, so that none is what training waits for.
fn nobody_is_busy(facts: &Facts) -> Verdict {
    let Facts { shares, setting, .. } = facts;
    let why = format!(
        "the {} workers are at work in {:.0} % of their time, and the thread that feeds the GPU in {:.0} % of its{}",
        setting.workers,
        100.0 * shares.workers(),
        100.0 * shares.feeder(),
        speeds(facts)
    );
    Verdict { bound: Bound::Unknown, why, change: advice::nobody_is_busy(setting) }
}

/// That it is the GPU's work, if it is.
fn computing(facts: &Facts) -> Option<Verdict> {
    let Facts { synthetic, both, waited, .. } = *facts;
    let verdict = |why, change| {
        Some(Verdict { bound: Bound::Computing, why: format!("{why}{}", speeds(facts)), change })
    };
    if let (Some(synthetic), Some(both)) = (synthetic, both)
        && both >= KEEPS_UP * synthetic
    {
        let share = 100.0 * ratio(both, synthetic);
        let why = format!("training reaches {share:.0} % of the network's own speed");
        return verdict(why, vec![advice::FASTER_STEP.to_owned()]);
    }
    let waited = 100.0 * waited.filter(|&waited| waited <= HARDLY_WAITS)?;
    let why = format!("the GPU waits for data in {waited:.1} % of its time");
    match synthetic {
        // It is slower than alone, and not for want of data.
        Some(_) => verdict(
            format!("{why}, and the loader's own work on it takes the rest"),
            advice::less_work(&facts.setting),
        ),
        None => verdict(why, vec![advice::FASTER_STEP.to_owned()]),
    }
}

/// Images a second, as far as they were measured.
fn speeds(facts: &Facts) -> String {
    let named =
        [("the network alone", facts.synthetic), ("the loader alone", facts.loader), ("both", facts.both)];
    let known = named.into_iter().filter_map(|(name, speed)| Some(format!("{name} {:.0}", speed?)));
    let known: Vec<String> = known.collect();
    if known.is_empty() { String::new() } else { format!(" (images/s: {})", known.join(", ")) }
}

#[cfg(test)]
mod tests {
    use ocelli_data::loader::DecodedForm;

    use super::*;

    /// A loader at half of the network's speed.
    fn facts(shares: Shares) -> Facts {
        let setting =
            Setting { workers: 8, processors: 16, prefetch: 3, hardware_share: 1.0, ..Setting::default() };
        Facts {
            synthetic: Some(1000.0),
            loader: Some(500.0),
            both: Some(490.0),
            waited: Some(0.5),
            shares,
            beside: None,
            setting,
        }
    }

    #[track_caller]
    fn judged(facts: &Facts, bound: Bound, why: &str, first: &str) -> Verdict {
        let verdict = judge(facts);
        assert_eq!(verdict.bound, bound, "{verdict}");
        assert!(verdict.why.starts_with(why), "{verdict}");
        assert!(verdict.change.first().is_some_and(|change| change.contains(first)), "{verdict}");
        verdict
    }

    #[test]
    fn a_network_that_is_kept_busy_is_what_takes_the_time() {
        let busy = Shares { workers_read: 1.0, ..Shares::default() };
        let keeps_up = Facts { both: Some(950.0), ..facts(busy) };
        let verdict = judged(
            &keeps_up,
            Bound::Computing,
            "training reaches 95 % of the network's own speed",
            "the loader keeps up",
        );
        assert!(
            verdict.why.ends_with("(images/s: the network alone 1000, the loader alone 500, both 950)"),
            "{verdict}"
        );
        judged(&Facts { both: Some(949.0), ..facts(busy) }, Bound::Reading, "the 8 workers", "pack");
        // The loader's own work on the GPU may slow training down without making it wait.
        let hardly = Facts { waited: Some(0.02), ..facts(busy) };
        let why =
            "the GPU waits for data in 2.0 % of its time, and the loader's own work on it takes the rest";
        judged(&hardly, Bound::Computing, why, "--decoded-cache");
        let mut shared = hardly.clone();
        shared.setting.hardware_share = 0.5;
        judged(&shared, Bound::Computing, why, "--hardware-share 1");
        // What was not measured alone cannot be said to be slower.
        let unknown = Facts { synthetic: None, ..hardly };
        judged(
            &unknown,
            Bound::Computing,
            "the GPU waits for data in 2.0 % of its time (images/s",
            "keeps up",
        );
    }

    #[test]
    fn workers_that_read_want_fewer_files_or_none() {
        let shares = Shares { workers_read: 0.7, workers_decode: 0.2, engines: 0.4, ..Shares::default() };
        let facts = facts(shares);
        judged(
            &facts,
            Bound::Reading,
            "the 8 workers spend 70 % of their time reading files",
            "dataset pack",
        );
        let packed = Facts { setting: Setting { packed: true, ..facts.setting }, ..facts.clone() };
        judged(&packed, Bound::Reading, "the 8 workers", "--encoded-cache");
        let cached = Facts { setting: Setting { packed: true, encoded_cache: 1, ..facts.setting }, ..facts };
        judged(&cached, Bound::Reading, "the 8 workers", "--workers");
    }

    #[test]
    fn workers_that_decode_want_other_files_or_more_hands() {
        let shares = Shares { workers_decode: 0.9, workers_read: 0.1, on_host: 0.4, ..Shares::default() };
        let why = "the 8 workers spend 90 % of their time looking at headers and decoding";
        judged(&facts(shares), Bound::Decoding, why, "40 % of the images are none that the GPU decodes");
        let cuda = Shares { on_host: 0.0, on_cuda: 0.5, ..shares };
        judged(&facts(cuda), Bound::Decoding, why, "recompress as baseline");
        let mut shared = facts(cuda);
        shared.setting.hardware_share = 0.5;
        judged(&shared, Bound::Decoding, why, "--hardware-share");
        let headers = facts(Shares { on_host: 0.0, ..shares });
        judged(&headers, Bound::Decoding, why, "the machine runs 16 threads at once: --workers");
        let mut full = headers;
        full.setting.workers = 16;
        judged(&full, Bound::Decoding, "the 16 workers", "--decoded-cache");
        full.setting.decoded_cache = 1;
        judged(&full, Bound::Decoding, "the 16 workers", "smaller");
    }

    #[test]
    fn workers_that_copy_want_more_hands() {
        let shares = Shares { workers_copy: 0.6, workers_read: 0.1, engines: 0.3, ..Shares::default() };
        judged(&facts(shares), Bound::Copying, "the 8 workers spend 60 % of their time copying", "--workers");
    }

    #[test]
    fn engines_that_are_always_at_work_want_help() {
        let shares = Shares { engines: 0.9, feed: 0.1, workers_read: 0.3, ..Shares::default() };
        let mut facts = facts(shares);
        let why = "the GPU's JPEG engines are at work in 90 % of the time";
        judged(&facts, Bound::Decoding, why, "--decoded-cache");
        facts.setting.decoded_cache = 1;
        let verdict = judged(&facts, Bound::Decoding, why, "--decoded-form rgb");
        assert!(verdict.change[1].contains("recompress"), "{:?}", verdict.change);
        assert!(verdict.change[2].contains("--hardware-share 0.8"), "{:?}", verdict.change);
        facts.setting.decoded_form = DecodedForm::Rgb;
        facts.setting.hardware_share = 0.8;
        let verdict = judged(&facts, Bound::Decoding, why, "--decoded-form planes");
        assert!(
            verdict.change.iter().all(|change| !change.contains("--hardware-share")),
            "{:?}",
            verdict.change
        );
    }

    #[test]
    fn engines_that_refuse_files_want_others() {
        let shares = Shares {
            host_decode: 0.9,
            engines: 0.05,
            feed: 0.05,
            workers_read: 0.2,
            refused: 0.125,
            ..Shares::default()
        };
        let mut facts = facts(shares);
        let why = "one thread decodes on the host what the GPU's JPEG engines refuse, in 90 % of the time";
        let verdict = judged(&facts, Bound::Decoding, why, "the engines refuse 12.5 % of the images");
        for what in ["dataset recompress", "dataset stats", "--hardware-share 0", "--decoded-cache"] {
            assert!(verdict.change.iter().any(|change| change.contains(what)), "{what}: {verdict}");
        }
        // Workers that are busier still are what to look at first.
        facts.shares.workers_read = 0.99;
        facts.shares.host_decode = 0.85;
        judged(&facts, Bound::Reading, "the 8 workers", "pack");
        facts.shares = Shares { engines: 0.5, host_decode: 0.4, ..Shares::default() };
        judged(&facts, Bound::Decoding, "the GPU's JPEG engines", "--decoded-cache");
        facts.shares = Shares { feed: 0.5, host_decode: 0.4, ..Shares::default() };
        judged(&facts, Bound::Copying, "copies to the GPU", "--decoded-cache");
    }

    #[test]
    fn threads_that_do_nothing_are_not_blamed() {
        let why =
            "the 8 workers are at work in 0 % of their time, and the thread that feeds the GPU in 0 % of its";
        let verdict = judged(&facts(Shares::default()), Bound::Unknown, why, "--prefetch");
        assert!(
            verdict.to_string().starts_with("bound by nothing that is measured here: the 8"),
            "{verdict}"
        );
        // Much of it, but little of each.
        let little = Shares { workers_read: 0.03, feed: 0.04, ..Shares::default() };
        let why = "the 8 workers are at work in 3 % of their time, and the thread that feeds the GPU in 4 %";
        judged(&facts(little), Bound::Unknown, why, "--prefetch");
        judged(&facts(Shares { feed: 0.06, ..little }), Bound::Copying, "copies to the GPU", "--decoded");
    }

    #[test]
    fn a_thread_that_feeds_all_the_time_wants_less_to_feed() {
        let shares = Shares { engines: 0.1, feed: 0.8, workers_decode: 0.3, ..Shares::default() };
        let mut facts = facts(shares);
        let why = "copies to the GPU and augmentation take 80 % of the time";
        let verdict = judged(&facts, Bound::Copying, why, "--decoded-cache");
        assert!(verdict.change.iter().any(|change| change.contains("--prefetch")), "{verdict}");
        facts.setting.decoded_cache = 1;
        judged(&facts, Bound::Copying, why, "smaller");
    }

    #[test]
    fn a_loader_that_is_fast_enough_alone_wants_to_be_further_ahead() {
        let shares = Shares { workers_read: 0.7, ..Shares::default() };
        let fast = Facts { loader: Some(1500.0), both: Some(900.0), ..facts(shares) };
        judged(&fast, Bound::Reading, "the 8 workers", "let more than 3 batches lie ready: --prefetch");
        let slow = Facts { loader: Some(999.0), ..fast };
        judged(&slow, Bound::Reading, "the 8 workers", "dataset pack");
    }

    #[test]
    fn a_loader_alone_is_judged_by_its_threads() {
        let shares = Shares { workers_read: 0.7, ..Shares::default() };
        let alone = Facts { synthetic: None, both: None, waited: None, ..facts(shares) };
        let verdict = judged(&alone, Bound::Reading, "the 8 workers", "pack");
        assert!(verdict.why.ends_with("(images/s: the loader alone 500)"), "{verdict}");
    }

    #[test]
    fn engines_that_are_slow_beside_training_only_are_told() {
        let alone = Shares { engines: 0.97, ..Shares::default() };
        let facts = |engines| Facts {
            synthetic: Some(9579.0),
            loader: Some(33148.0),
            both: Some(7752.0),
            waited: Some(0.174),
            shares: alone,
            beside: Some(Shares { engines, ..Shares::default() }),
            setting: Setting { connections: 32, prefetch: 3, hardware_share: 1.0, ..Setting::default() },
        };
        let verdict = judge(&facts(0.99));
        assert_eq!(verdict.bound, Bound::Decoding);
        assert!(verdict.why.contains("99 % of the time while the network trains"), "{}", verdict.why);
        assert!(verdict.change.iter().all(|change| !change.contains("--prefetch")), "{:?}", verdict.change);
        assert!(!verdict.change[0].contains("CONNECTIONS"), "{:?}", verdict.change);
        let mut few = facts(0.99);
        few.setting.connections = 8;
        assert!(judge(&few).change[0].contains("CUDA_DEVICE_MAX_CONNECTIONS=32"));
        // Engines that rest while the network trains are not what it waits for: more batches may be.
        assert!(judge(&facts(0.5)).change[0].contains("--prefetch"));
    }
}
