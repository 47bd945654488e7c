//! What was measured, as a table or as lines of JSON.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressStyle};
use ocelli_core::Device;
use ocelli_cuda::kernel::nvrtc_version;
use ocelli_cuda::library::{self, Library};
use serde_json::{Map, Value, json};

use super::error::{Error, Result};
use super::line::{HEADER, Line, Loading};
use super::measure::Kind;
use super::options::{Cache, Options};
use super::set::Set;
use super::verdict::{Facts, Verdict};

/// Prints results to standard output as they come, and shows progress on standard error.
pub(super) struct Report {
    json: bool,
    bar: ProgressBar,
    /// What is the same in each line of JSON.
    about: Map<String, Value>,
}

impl Report {
    /// Begins the table.
    pub(super) fn new(
        options: &Options,
        set: Option<&Set>,
        classes: usize,
        device: &Device,
        measurements: usize,
    ) -> Result<Report> {
        let about = about(options, set, classes, device);
        let report = Report { json: options.json, bar: bar(measurements), about };
        let gpu = report.about.get("gpu").and_then(Value::as_str).unwrap_or_default();
        let images = match set {
            Some(set) => format!("{} images of {classes} classes in {}", set.len(), set.path().display()),
            None => format!("no images, for {classes} classes"),
        };
        report.text(&format!("{gpu} on {images}\n\n{HEADER}"))?;
        Ok(report)
    }

    /// Says what is being measured.
    pub(super) fn begin(&self, kind: Kind, batch: usize, loader: Option<(usize, Cache)>) {
        let loader = loader.map(|(workers, cache)| format!(", {workers} workers, {} cache", cache.name()));
        self.bar.set_message(format!("{}, batch {batch}{}", kind.name(), loader.unwrap_or_default()));
        self.bar.tick();
    }

    /// Says what takes a while before a measurement.
    pub(super) fn preparing(&self, what: &'static str) {
        self.bar.set_message(what);
        self.bar.tick();
    }

    /// Says what is to be known of the results that follow; JSON has it in its lines.
    pub(super) fn note(&self, what: &str) -> Result<()> {
        let note = format!("note: {what}\n");
        if self.json {
            self.bar.suspend(|| eprint!("{note}"));
        }
        self.text(&note)
    }

    pub(super) fn line(&self, line: &Line) -> Result<()> {
        self.bar.inc(1);
        if self.json { self.object(&line.json()) } else { self.text(&line.text()) }
    }

    /// Of the best of a loader's measurements.
    pub(super) fn verdict(&self, best: &Line, facts: &Facts, verdict: &Verdict) -> Result<()> {
        let Some(Loading { workers, cache, .. }) = best.loader else { return Ok(()) };
        if self.json {
            let Facts { synthetic, loader, both, waited, shares, beside, .. } = facts;
            return self.object(&json!({
                "kind": "verdict", "batch": best.batch, "workers": workers, "cache": cache,
                "bound": verdict.bound, "why": verdict.why, "change": verdict.change,
                "images_per_s": { "synthetic": synthetic, "loader": loader, "both": both },
                "gpu_waited_share": waited,
                "shares": shares,
                "shares_beside_training": beside,
            }));
        }
        let cache = cache.name();
        self.text(&format!("\n{cache} cache, batch {}, {workers} workers: {verdict}", best.batch))
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn object(&self, line: &Value) -> Result<()> {
        let mut object = self.about.clone();
        object.extend(line.as_object().cloned().unwrap_or_default());
        self.print(&format!("{}\n", Value::Object(object)))
    }

    fn text(&self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { self.print(text) }
    }

    fn print(&self, text: &str) -> Result<()> {
        let print = || {
            let mut output = io::stdout().lock();
            output.write_all(text.as_bytes()).and_then(|()| output.flush())
        };
        self.bar.suspend(print).map_err(Error::Output)
    }
}

/// Hidden where standard error is no terminal.
fn bar(measurements: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("measuring [{bar:30}] {pos}/{len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(measurements as u64).with_style(style.progress_chars("=> "))
}

/// The machine, the versions, and the settings that do not change.
fn about(options: &Options, set: Option<&Set>, classes: usize, device: &Device) -> Map<String, Value> {
    let gpu = device.gpu();
    let properties = gpu.map(|gpu| gpu.cuda().properties());
    let cudnn = gpu.and_then(|gpu| gpu.cudnn().ok()).map(|cudnn| cudnn.version().to_string());
    let nvjpeg = library::open(Library::Nvjpeg).ok().and_then(|opened| opened.found().version.clone());
    let about = json!({
        "bench": "loader",
        "gpu": properties.map(|properties| &properties.name),
        "versions": {
            "ocelli": env!("CARGO_PKG_VERSION"),
            "driver": properties.map(|properties| properties.driver_version.to_string()),
            "cudnn": cudnn,
            "nvrtc": nvrtc_version().ok().map(|(major, minor)| format!("{major}.{minor}")),
            "nvjpeg": nvjpeg,
        },
        "set": set.map(|set| set.path().display().to_string()),
        "packed": set.map(Set::is_packed),
        "images_of_set": set.map(Set::len),
        "classes": classes,
        "model": options.model,
        "size": options.size,
        "precision": options.precision,
        "connections": ocelli_cuda::connections(),
        "prefetch": options.prefetch,
        "hardware_share": options.hardware_share,
        "hardware_threads": options.hardware_threads,
        "decoded_form": options.decoded_form,
        "policy": options.policy,
        "encoded_cache_bytes": options.encoded_cache,
        "decoded_cache_bytes": options.decoded_cache,
        "warm_up": options.warm_up,
        "seconds": options.seconds.as_secs_f64(),
        "skip_damaged": options.skip_damaged,
        "device": options.device,
    });
    match about {
        Value::Object(about) => about,
        _ => Map::new(),
    }
}
