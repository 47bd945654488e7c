//! Results: a line for people, a line of JSON for programs, a file for each card.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fmt, fs};

use anyhow::{Context, Result};
use ocelli::{Device, Gpu};
use serde_json::{Value, json};

use super::Case;
use super::ceiling::Ceilings;

/// What was measured of one case.
pub(crate) struct Row {
    name: String,
    direction: &'static str,
    dtype: &'static str,
    count: u32,
    launches: usize,
    milliseconds: f64,
    tflops: f64,
    gigabytes: f64,
    share: f64,
}

impl Row {
    pub(crate) fn new(
        case: &Case,
        milliseconds: f64,
        bytes: f64,
        launches: usize,
        ceilings: &Ceilings,
    ) -> Row {
        let seconds = milliseconds * 1e-3;
        Row {
            name: case.name.clone(),
            direction: case.direction,
            dtype: case.dtype.name(),
            count: case.count,
            launches,
            milliseconds,
            tflops: case.flops / seconds / 1e12,
            gigabytes: bytes / seconds / 1e9,
            share: ceilings.seconds(case.flops, bytes) / seconds,
        }
    }

    fn json(&self, bench: &str) -> Value {
        json!({
            "bench": bench,
            "case": self.name,
            "direction": self.direction,
            "type": self.dtype,
            "count": self.count,
            "launches": self.launches,
            "ms": self.milliseconds,
            "tflops": self.tflops,
            "gb_per_s": self.gigabytes,
            "share_of_ceiling": self.share,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { name, direction, dtype, launches, milliseconds, tflops, gigabytes, share, .. } = self;
        write!(f, "{name:28} {direction:16} {dtype:5} {milliseconds:9.4} ms")?;
        if *tflops > 0.0 {
            write!(f, " {tflops:7.1} TFLOP/s")?;
        }
        write!(f, " {gigabytes:7.0} GB/s {:5.1} % of the ceiling, {launches} launches", 100.0 * share)
    }
}

/// The results of one benchmark.
pub(crate) struct Results {
    bench: &'static str,
    rows: Vec<Row>,
}

impl Results {
    pub(crate) fn new(bench: &'static str) -> Results {
        Results { bench, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Prints the lines of JSON, a summary last, and puts those of the cases in the card's file.
    pub(crate) fn finish(self, device: &Device, ceilings: &Ceilings) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let gpu = device.gpu().context("the device is no GPU")?;
        let properties = gpu.cuda().properties();
        let lines: Vec<Value> = self.rows.iter().map(|row| row.json(self.bench)).collect();
        let file = keep(&properties.name, &lines)?;
        lines.iter().for_each(|line| println!("{line}"));
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for row in &self.rows {
            *sums.entry(row.direction).or_default() += f64::from(row.count) * row.milliseconds;
        }
        let summary = json!({
            "bench": self.bench,
            "sum_ms": sums,
            "ceiling": { "matmul_tflops": ceilings.flops() / 1e12, "copy_gb_per_s": ceilings.bytes() / 1e9 },
            "gpu": properties.name,
            "file": file,
            "versions": versions(gpu),
        });
        println!("{summary}");
        Ok(())
    }
}

/// What results depend on besides the card.
pub(crate) fn versions(gpu: &Gpu) -> Value {
    json!({
        "ocelli": env!("CARGO_PKG_VERSION"),
        "driver": gpu.cuda().properties().driver_version.to_string(),
        "cudnn": gpu.cudnn().map(|cudnn| cudnn.version().to_string()).ok(),
    })
}

/// Puts lines in the card's file, in the place of earlier ones of the same cases.
pub(crate) fn keep(card: &str, lines: &[Value]) -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let directory = target.join("ocelli-bench");
    let file = directory.join(format!("{}.jsonl", card.replace(|c: char| !c.is_ascii_alphanumeric(), "-")));
    let identity = |line: &Value| ["bench", "case", "direction", "type"].map(|key| line[key].to_string());
    let earlier = fs::read_to_string(&file).unwrap_or_default();
    let earlier = earlier.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let kept = earlier.filter(|old| lines.iter().all(|new| identity(new) != identity(old)));
    let text: String = kept.chain(lines.iter().cloned()).map(|line| format!("{line}\n")).collect();
    fs::create_dir_all(&directory)
        .and_then(|()| fs::write(&file, text))
        .with_context(|| format!("the results cannot be kept in {}", file.display()))?;
    Ok(file)
}
