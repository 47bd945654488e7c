//! What to change where the loader holds training back, the most promising first.

use ocelli_cuda::MOST_CONNECTIONS;
use ocelli_data::loader::DecodedForm;

use super::shares::Shares;

/// A share of images that is worth a word.
const SOME: f64 = 0.1;

/// How a loader was set, and where it ran.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Setting {
    /// Whether all images are in one record file.
    pub(super) packed: bool,
    pub(super) workers: usize,
    /// How many threads the machine runs at once.
    pub(super) processors: usize,
    /// Work queues that the process's streams share.
    pub(super) connections: u32,
    pub(super) prefetch: usize,
    pub(super) decoded_form: DecodedForm,
    pub(super) hardware_share: f64,
    pub(super) encoded_cache: usize,
    pub(super) decoded_cache: usize,
}

/// What helps a network that gets all that it can take.
pub(super) const FASTER_STEP: &str =
    "the loader keeps up: only a faster step helps, with 16 bits, a smaller network or size, or another GPU";

/// Where the loader takes the GPU's time away from the network.
pub(super) fn less_work(setting: &Setting) -> Vec<String> {
    let mut change = Vec::new();
    if setting.hardware_share < 1.0 {
        change.push(
            "let the GPU's engines decode more, not its multiprocessors: --hardware-share 1".to_owned(),
        );
    }
    change.extend(keep_decoded(setting));
    change.push("make the images smaller: those that were decoded are what is scaled".to_owned());
    change
}

/// Where workers read.
pub(super) fn reading(setting: &Setting) -> Vec<String> {
    let mut change = Vec::new();
    if !setting.packed {
        change.push("pack the images into one file: ocelli dataset pack".to_owned());
    }
    if setting.encoded_cache == 0 {
        change.push("keep the files in memory, if they fit: --encoded-cache".to_owned());
    }
    change.push("let more workers wait for the disk: --workers".to_owned());
    change.push("put the set on a faster disk, or make its files smaller".to_owned());
    change
}

/// Where workers decode.
pub(super) fn decoding_on_workers(shares: &Shares, setting: &Setting) -> Vec<String> {
    let mut change = Vec::new();
    if shares.on_host >= SOME {
        change.push(format!(
            "{:.0} % of the images are none that the GPU decodes: make them baseline JPEG files",
            100.0 * shares.on_host
        ));
    }
    if shares.on_cuda >= SOME && setting.hardware_share < 1.0 {
        change.push("give more of the images to the GPU's engines: --hardware-share".to_owned());
    } else if shares.on_cuda >= SOME {
        change.push("recompress as baseline JPEG files, which the GPU's engines take".to_owned());
    }
    change.extend(more_workers(setting));
    change.extend(keep_decoded(setting));
    if change.is_empty() {
        change.push("make the images smaller".to_owned());
    }
    change
}

/// Where the GPU's engines decode.
pub(super) fn decoding_on_engines(setting: &Setting) -> Vec<String> {
    let mut change = Vec::from_iter(keep_decoded(setting));
    let form = match setting.decoded_form {
        DecodedForm::Rgb => {
            "where the files' subsamplings differ (ocelli dataset stats), let the engines write planes: \
             --decoded-form planes"
        }
        DecodedForm::Planes => {
            "where the files' subsamplings are one (ocelli dataset stats), let the engines write red, green and blue: \
             --decoded-form rgb"
        }
    };
    change.push(form.to_owned());
    change.push("recompress the images, or make them smaller".to_owned());
    if setting.hardware_share >= 1.0 {
        change.push(
            "try whether workers and multiprocessors help with a part: --hardware-share 0.8".to_owned(),
        );
    }
    change
}

/// Where the GPU's engines decode more slowly while the network trains.
pub(super) fn decoding_on_engines_beside_training(setting: &Setting) -> Vec<String> {
    let mut change = Vec::new();
    if setting.connections < MOST_CONNECTIONS {
        change.push(format!(
            "let the engines' streams not wait for the network's, with which they share {} work queues: \
             CUDA_DEVICE_MAX_CONNECTIONS={MOST_CONNECTIONS}",
            setting.connections
        ));
    }
    change.extend(decoding_on_engines(setting));
    change
}

/// Where the feeding thread decodes what the GPU's engines refuse.
pub(super) fn decoding_what_engines_refuse(shares: &Shares, setting: &Setting) -> Vec<String> {
    let mut change = vec![
        format!(
            "the engines refuse {:.1} % of the images (`refused` of --json counts them): recompress the set: \
             ocelli dataset recompress",
            100.0 * shares.refused
        ),
        "see which files are damaged or unusual: ocelli dataset stats".to_owned(),
    ];
    if setting.hardware_share > 0.0 {
        change.push(
            "or let workers and multiprocessors decode, who do so side by side: --hardware-share 0"
                .to_owned(),
        );
    }
    change.extend(keep_decoded(setting));
    change
}

/// Where no thread of the loader is at work for long.
pub(super) fn nobody_is_busy(setting: &Setting) -> Vec<String> {
    vec![
        more_ready(setting),
        "measure for longer, so that what happens but now and then is seen: --seconds".to_owned(),
    ]
}

/// Where workers copy.
pub(super) fn copying_on_workers(setting: &Setting) -> Vec<String> {
    let mut change = Vec::from_iter(more_workers(setting));
    change.extend(keep_decoded(setting));
    change.push("recompress the images, or make them smaller".to_owned());
    change
}

/// Where what is decoded is copied and augmented.
pub(super) fn copying_to_the_gpu(setting: &Setting) -> Vec<String> {
    let mut change = Vec::from_iter(keep_decoded(setting));
    change.push("make the images smaller: those that were decoded are what is copied and scaled".to_owned());
    change.push(more_ready(setting));
    change
}

/// Where the loader is fast enough, but not at all times.
pub(super) fn more_ready(setting: &Setting) -> String {
    format!("let more than {} batches lie ready: --prefetch", setting.prefetch)
}

/// Where the machine has processors that no worker uses.
fn more_workers(setting: &Setting) -> Option<String> {
    let Setting { workers, processors, .. } = *setting;
    (workers < processors)
        .then(|| format!("start more workers, the machine runs {processors} threads at once: --workers"))
}

/// Where nothing is kept yet.
fn keep_decoded(setting: &Setting) -> Option<String> {
    let worth = "keep decoded images in the GPU's memory, if they fit: --decoded-cache";
    (setting.decoded_cache == 0).then(|| worth.to_owned())
}
