//! A measurement, as rows of a table and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use ocelli_data::loader::{CacheCounts, Statistics};
use serde_json::{Value, json};

use super::measure::{Kind, Measured, ratio};
use super::options::Cache;
use super::page_cache::Pages;

/// A measurement and what was set for it.
pub(super) struct Line {
    pub(super) kind: Kind,
    /// Images of a batch.
    pub(super) batch: usize,
    /// What was set of the loader, where there was one.
    pub(super) loader: Option<Loading>,
    pub(super) measured: Measured,
}

/// What was set of a loader.
#[derive(Clone, Copy)]
pub(super) struct Loading {
    pub(super) workers: usize,
    pub(super) cache: Cache,
    /// How often each image is in an epoch.
    pub(super) times: usize,
    /// What became of the files' pages, where they were to be dropped.
    pub(super) pages: Option<Pages>,
}

/// The titles of a table of measurements.
pub(super) const HEADER: &str = concat!(
    "                                           GPU   ms between batches     us an image: by the workers   by the feeding thread           training\n",
    "measured  cache batch workers images/s  waited    p50    p95    p99    read prepare    copy  decode | engines    host submit augment |    waits\n",
);

impl Line {
    /// Where a batch is waited for there is something to say of it.
    fn waited(&self) -> Option<f64> {
        (self.kind == Kind::Both).then(|| self.measured.waited_share())
    }

    /// Rows of the table.
    pub(super) fn text(&self) -> String {
        let Line { kind, batch, loader, measured } = self;
        let (cache, workers) = match loader {
            Some(Loading { workers, cache, .. }) => (cache.name(), workers.to_string()),
            None => ("-", "-".to_owned()),
        };
        let waited = self.waited().map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        let milliseconds = |time: Duration| 1e3 * time.as_secs_f64();
        let [p50, p95, p99] =
            [measured.latency.p50, measured.latency.p95, measured.latency.p99].map(milliseconds);
        let mut text = format!(
            "{:<9} {cache:>5} {batch:>5} {workers:>7} {:>8.0} {waited:>7} {p50:>6.1} {p95:>6.1} {p99:>6.1}",
            kind.name(),
            measured.images_per_second()
        );
        // A string takes everything.
        if let Some(loader) = &measured.loader {
            let split = Split::of(loader);
            let Split { read, prepare, stage, worker_decode, .. } = split;
            let Split { hardware_decode, host_decode, submit, wait_augmentation, wait_batch, .. } = split;
            let _ = write!(
                text,
                " {read:>7.1} {prepare:>7.1} {stage:>7.1} {worker_decode:>7.1} | {hardware_decode:>7.1} {host_decode:>7.1} \
                 {submit:>6.1} {wait_augmentation:>7.1} | {wait_batch:>8.1}\n          {}",
                decoders(loader)
            );
        }
        let _ = writeln!(text, "\n          {}", measured.memory.text());
        text
    }

    pub(super) fn json(&self) -> Value {
        let Line { kind, batch, loader, measured } = self;
        let milliseconds = |time: Duration| 1e3 * time.as_secs_f64();
        let latency = measured.latency;
        let mut line = json!({
            "kind": kind,
            "batch": batch,
            "batches": measured.batches,
            "images": measured.images,
            "elapsed_s": measured.elapsed.as_secs_f64(),
            "images_per_s": measured.images_per_second(),
            "gpu_waited_share": self.waited(),
            "latency_ms": {
                "p50": milliseconds(latency.p50), "p95": milliseconds(latency.p95), "p99": milliseconds(latency.p99),
            },
            "memory_bytes": measured.memory.json(),
        });
        if let Some(Loading { workers, cache, times, pages }) = loader {
            line["workers"] = json!(workers);
            line["cache"] = json!(cache);
            line["times"] = json!(times);
            line["pages"] = json!(pages);
        }
        if let Some(loader) = &measured.loader {
            line["us_per_image"] = Split::of(loader).json();
            line["decoded_by"] = json!({
                "engines": loader.hardware, "multiprocessors": loader.cuda, "host": loader.host, "before": loader.cached,
            });
            line["refused"] = json!(loader.refused);
            line["damaged"] = json!(loader.damaged);
            line["bytes_read"] = json!(loader.bytes_read);
            line["encoded_cache"] = counts(loader.encoded_cache);
            line["decoded_cache"] = counts(loader.decoded_cache);
        }
        line
    }
}

fn counts(cache: CacheCounts) -> Value {
    let CacheCounts { hits, misses, images, bytes } = cache;
    json!({ "hits": hits, "misses": misses, "images": images, "bytes": bytes })
}

/// Microseconds an image of a loader's threads. Those of the workers overlap: they are sums over all of them.
struct Split {
    read: f64,
    prepare: f64,
    stage: f64,
    worker_decode: f64,
    wait_workers: f64,
    hardware_decode: f64,
    host_decode: f64,
    submit: f64,
    wait_augmentation: f64,
    wait_room: f64,
    wait_batch: f64,
}

impl Split {
    fn of(loader: &Statistics) -> Split {
        let of_image = |time: Duration| ratio(1e6 * time.as_secs_f64(), loader.images() as f64);
        Split {
            read: of_image(loader.read),
            prepare: of_image(loader.prepare),
            stage: of_image(loader.stage),
            worker_decode: of_image(loader.worker_decode),
            wait_workers: of_image(loader.wait_workers),
            hardware_decode: of_image(loader.hardware_decode),
            host_decode: of_image(loader.host_decode),
            submit: of_image(loader.submit),
            wait_augmentation: of_image(loader.wait_augmentation),
            wait_room: of_image(loader.wait_room),
            wait_batch: of_image(loader.wait_batch),
        }
    }

    fn json(&self) -> Value {
        let Split { read, prepare, stage, worker_decode, wait_workers, .. } = self;
        let Split { hardware_decode, host_decode, submit, wait_augmentation, .. } = self;
        let Split { wait_room, wait_batch, .. } = self;
        json!({
            "workers": { "read": read, "prepare": prepare, "copy": stage, "decode": worker_decode },
            "feeding_thread": {
                "wait_for_workers": wait_workers, "engines": hardware_decode, "host": host_decode, "submit": submit,
                "wait_for_augmentation": wait_augmentation, "wait_for_room": wait_room,
            },
            "training_thread": { "wait_for_batch": wait_batch },
        })
    }
}

/// Who decoded the images, and how often the caches had them.
fn decoders(loader: &Statistics) -> String {
    let images = loader.images() as f64;
    let shares = [
        ("the engines", loader.hardware),
        ("workers and multiprocessors", loader.cuda),
        ("workers", loader.host.saturating_sub(loader.refused)),
        ("the feeding thread", loader.refused),
        ("nobody again", loader.cached),
    ];
    let shares = shares.into_iter().filter(|&(_, count)| count > 0);
    let shares = shares.map(|(name, count)| format!("{name} {:.0} %", 100.0 * ratio(count as f64, images)));
    let shares: Vec<String> = shares.collect();
    let mut text = match shares.is_empty() {
        true => "all was decoded ahead".to_owned(),
        false => format!("decoded by {}", shares.join(", ")),
    };
    if loader.refused > 0 {
        let _ = write!(text, "; the engines refused {}", loader.refused);
    }
    if loader.damaged > 0 {
        let _ = write!(text, "; {} damaged", loader.damaged);
    }
    let CacheCounts { hits, misses, .. } = loader.encoded_cache;
    if hits + misses > 0 {
        let share = 100.0 * ratio(hits as f64, (hits + misses) as f64);
        let _ = write!(text, "; {share:.0} % of the files were kept");
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::bench_loader::measure::Latency;
    use crate::bench_loader::memory;

    use super::*;

    fn line() -> Line {
        let mut loader = Statistics::default();
        (loader.hardware, loader.cuda, loader.host, loader.cached) = (60, 15, 5, 20);
        loader.refused = 4;
        (loader.read, loader.submit) = (Duration::from_millis(10), Duration::from_millis(1));
        (loader.host_decode, loader.wait_augmentation) =
            (Duration::from_millis(30), Duration::from_millis(2));
        (loader.damaged, loader.encoded_cache.hits, loader.encoded_cache.misses) = (2, 3, 1);
        let times = Loading { workers: 4, cache: Cache::Warm, times: 7, pages: None };
        let latency = Latency { p50: Duration::from_millis(5), ..Latency::default() };
        let measured = Measured {
            batches: 10,
            images: 100,
            elapsed: Duration::from_millis(500),
            waited: Duration::from_millis(125),
            latency,
            memory: memory::tests::span(),
            loader: Some(loader),
        };
        Line { kind: Kind::Both, batch: 10, loader: Some(times), measured }
    }

    #[test]
    fn a_line_of_json_has_what_was_measured() {
        let json = line().json();
        for (name, expected) in [
            ("/kind", json!("both")),
            ("/cache", json!("warm")),
            ("/workers", json!(4)),
            ("/times", json!(7)),
            ("/pages", Value::Null),
            ("/images_per_s", json!(200.0)),
            ("/gpu_waited_share", json!(0.25)),
            ("/latency_ms/p50", json!(5.0)),
            ("/us_per_image/workers/read", json!(100.0)),
            ("/us_per_image/feeding_thread/submit", json!(10.0)),
            ("/us_per_image/feeding_thread/host", json!(300.0)),
            ("/us_per_image/feeding_thread/wait_for_augmentation", json!(20.0)),
            ("/decoded_by/engines", json!(60)),
            ("/decoded_by/host", json!(5)),
            ("/refused", json!(4)),
            ("/memory_bytes/gpu/1", json!(5002u64 << 20)),
            ("/damaged", json!(2)),
        ] {
            assert_eq!(json.pointer(name), Some(&expected), "{name}");
        }
        // Without training nothing waits for data, and without a loader there is none to set.
        assert_eq!(Line { kind: Kind::Loader, ..line() }.json()["gpu_waited_share"], Value::Null);
        let measured = Measured { loader: None, ..line().measured };
        let json = Line { kind: Kind::Synthetic, loader: None, measured, ..line() }.json();
        assert!(json.get("workers").is_none() && json.get("us_per_image").is_none());
        assert_eq!(json["memory_bytes"]["host"], json!([100 << 20, 101 << 20]));
    }

    #[test]
    fn rows_stand_under_their_titles() {
        let text = line().text();
        let (row, below) = text.split_once('\n').unwrap();
        let title = HEADER.lines().last().unwrap();
        assert_eq!(row.len(), title.len(), "{title}\n{row}");
        for (name, number) in [
            ("images/s", "200"),
            ("waited", " 25.0 %"),
            ("p50", " 5.0"),
            ("read", " 100.0"),
            ("host", " 300.0"),
            ("submit", " 10.0"),
            ("augment", " 20.0"),
        ] {
            let end = title.find(name).unwrap() + name.len();
            assert!(row[..end].ends_with(number), "{title}\n{row}");
        }
        let below: Vec<&str> = below.lines().map(str::trim_start).collect();
        let [decoded, memory] = below[..] else { panic!("{below:?}") };
        assert_eq!(
            decoded,
            "decoded by the engines 60 %, workers and multiprocessors 15 %, workers 1 %, the feeding thread 4 %, nobody \
             again 20 %; the engines refused 4; 2 damaged; 75 % of the files were kept"
        );
        assert!(memory.starts_with("memory, MiB: host 100 to 101 "), "{memory}");
        // Without a loader there is nothing to tell but the memory.
        let measured = Measured { loader: None, ..line().measured };
        let text = Line { kind: Kind::Synthetic, loader: None, measured, ..line() }.text();
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows.len() == 2 && rows[1].trim_start().starts_with("memory, MiB: "), "{text}");
    }
}
