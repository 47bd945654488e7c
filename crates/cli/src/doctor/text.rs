//! The report as text.

use std::fmt::Write;

use super::self_test::SelfTest;
use super::{LibraryReport, Report};

/// A labelled line for each fact, then warnings and problems, the verdict last.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    let driver = &report.driver;
    let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".to_owned());
    let cuda = driver.cuda.map(|(major, minor)| format!("{major}.{minor}"));
    let (libcuda, module, cuda) = (version(&driver.libcuda), version(&driver.kernel_module), version(&cuda));
    line(text, "driver", &format!("libcuda {libcuda}, kernel module {module}, CUDA up to {cuda}"))?;
    for gpu in &report.gpus {
        let gibibytes = |bytes: usize| bytes as f64 / (1u64 << 30) as f64;
        let (major, minor) = gpu.compute_capability;
        let (free, memory) = (gibibytes(gpu.free_bytes), gibibytes(gpu.memory_bytes));
        let name = &gpu.name;
        line(
            text,
            &format!("GPU {}", gpu.ordinal),
            &format!("{name}, compute capability {major}.{minor}, {free:.1} of {memory:.1} GiB free"),
        )?;
    }
    for library in &report.libraries {
        write_library(text, library)?;
    }
    for toolkit in &report.toolkits {
        let version = toolkit.version.as_deref().unwrap_or("of unknown version");
        let nvcc = if toolkit.nvcc { "" } else { ", without nvcc" };
        let by = match toolkit.variables.as_slice() {
            [] => String::new(),
            variables => format!(" ({})", variables.join(", ")),
        };
        line(text, "toolkit", &format!("{version}  {}{by}{nvcc}", toolkit.path.display()))?;
    }
    if report.toolkits.is_empty() {
        line(text, "toolkit", "none, and none is needed")?;
    }
    for (name, value) in &report.variables {
        line(text, "variable", &format!("{name}={value}"))?;
    }
    line(text, "home", &report.home.display().to_string())?;
    line(text, "cache", &report.cache.display().to_string())?;
    if let Some(self_test) = &report.self_test {
        write_self_test(text, self_test)?;
    }
    for warning in &report.warnings {
        line(text, "warning", warning)?;
    }
    for problem in &report.problems {
        line(text, "problem", problem)?;
    }
    let verdict = if report.runs_here { "Ocelli can run here." } else { "Ocelli cannot run here." };
    writeln!(text, "{verdict}")
}

fn write_library(text: &mut String, library: &LibraryReport) -> std::fmt::Result {
    let name = library.library.to_string();
    let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "?".to_owned());
    match &library.picked {
        Some(picked) => {
            line(text, &name, &format!("{}  {}", version(&picked.version), picked.path.display()))?;
            line(text, "", &format!("picked because {}", picked.why))?;
        }
        None if library.needed => line(text, &name, "none that can serve")?,
        None => line(text, &name, "none; nothing here needs it yet")?,
    }
    let is_picked = |path| library.picked.as_ref().is_some_and(|picked| picked.path == path);
    for other in library.candidates.iter().filter(|other| !is_picked(&*other.path)) {
        let unfit = other.unfit.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let (version, path, origin) = (version(&other.version), other.path.display(), &other.origin);
        line(text, "", &format!("not {version}  {path} ({origin}){unfit}"))?;
    }
    if !library.searched.is_empty() && library.needed {
        let places = library.searched.len();
        line(text, "", &format!("searched {places} places, which --json lists"))?;
    }
    Ok(())
}

fn write_self_test(text: &mut String, self_test: &SelfTest) -> std::fmt::Result {
    for top in &self_test.softmax.top {
        line(text, "softmax", &format!("class {:>3}  {:5.2} %", top.class, 100.0 * top.probability))?;
    }
    let (copy, matmul) = (&self_test.copy, &self_test.matmul);
    let mebibytes = copy.bytes >> 20;
    line(
        text,
        "copy",
        &format!(
            "{:.0} GB/s read plus written ({mebibytes} MiB, device to device)",
            copy.gigabytes_per_second
        ),
    )?;
    let size = matmul.size;
    line(text, "matrix", &format!("{:.0} TFLOP/s ({size} x {size} x {size}, bf16)", matmul.teraflops))
}

fn line(text: &mut String, label: &str, value: &str) -> std::fmt::Result {
    writeln!(text, "{label:<9} {value}")
}
