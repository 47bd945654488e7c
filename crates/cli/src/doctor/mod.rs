//! `ocelli doctor`: what this machine has, what is picked and why, and whether the library can run here.
//!
//! The facts come first ([`collect`] from files and variables, [`probe`] from the GPU and the opened libraries), then the
//! judgement ([`assess`]), then one of two ways to show them.

mod assess;
mod collect;
mod cudnn_parts;
mod launch;
mod probe;
mod random;
mod self_test;
#[cfg(test)]
mod tests;
mod text;
mod toolkits;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use ocelli_cuda::library::{self, Environment, Library};
use serde::{Serialize, Serializer};

use self_test::SelfTest;
use toolkits::Toolkit;

#[derive(Args)]
pub(crate) struct Options {
    /// Also run a softmax through cuDNN, and measure the rates of memory and of matrix products
    #[arg(long)]
    run: bool,
    /// The GPU to try, counted from 0
    #[arg(long, alias = "gpu", default_value_t = 0)]
    device: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Everything that is known about this machine.
#[derive(Default, Serialize)]
struct Report {
    runs_here: bool,
    /// Why the library cannot run here, each with what to do.
    problems: Vec<String>,
    /// What may not be as intended.
    warnings: Vec<String>,
    driver: Driver,
    gpus: Vec<Gpu>,
    libraries: Vec<LibraryReport>,
    toolkits: Vec<Toolkit>,
    /// The variables that are set, of those that decide.
    variables: BTreeMap<&'static str, String>,
    /// Where stacks and data sets are.
    #[serde(serialize_with = "lossy")]
    home: PathBuf,
    /// Where kernels and plans are kept.
    #[serde(serialize_with = "lossy")]
    cache: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    self_test: Option<SelfTest>,
}

#[derive(Default, Serialize)]
struct Driver {
    /// That of the picked libcuda, by its file's name.
    libcuda: Option<String>,
    kernel_module: Option<String>,
    /// The newest CUDA it runs, major and minor, as it says itself.
    cuda: Option<(u32, u32)>,
}

#[derive(Serialize)]
struct Gpu {
    ordinal: usize,
    name: String,
    compute_capability: (u32, u32),
    multiprocessors: u32,
    memory_bytes: usize,
    free_bytes: usize,
}

#[derive(Serialize)]
struct LibraryReport {
    #[serde(serialize_with = "lower_case")]
    library: Library,
    /// Whether training needs it.
    needed: bool,
    picked: Option<Picked>,
    /// Why none is picked.
    error: Option<String>,
    /// Where it was looked for, if it is nowhere.
    #[serde(serialize_with = "all_lossy")]
    searched: Vec<PathBuf>,
    /// The files that could serve, the preferred one first.
    candidates: Vec<Candidate>,
    /// What of it this process has mapped in the end.
    #[serde(serialize_with = "all_lossy")]
    mapped: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Picked {
    #[serde(serialize_with = "lossy")]
    path: PathBuf,
    origin: String,
    why: String,
    /// Whether somebody named it, so that no other was considered.
    explicit: bool,
    /// What it says itself where it was asked, else what names tell.
    version: Option<String>,
}

#[derive(Serialize)]
struct Candidate {
    #[serde(serialize_with = "lossy")]
    path: PathBuf,
    origin: String,
    version: Option<String>,
    /// Why it is passed over.
    unfit: Option<String>,
    /// In what a cuDNN's parts do not fit together.
    mismatch: Option<String>,
}

/// Makes the report and prints it; succeeds if the library can run here.
pub(crate) fn run(options: &Options) -> io::Result<ExitCode> {
    let report = examine(options);
    crate::print(options.json, &report, || text::render(&report))?;
    Ok(if report.runs_here { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn examine(options: &Options) -> Report {
    let open = |library| library::open(library).map(|opened| opened.found().path.clone());
    let mut report = collect::collect(&Environment::current(), Path::new("/"), &open);
    let usable = probe::probe(&mut report, options.device);
    if options.run
        && let Some(usable) = usable
    {
        match self_test::run(&usable) {
            Ok(result) => {
                report.problems.extend(result.problems());
                report.self_test = Some(result);
            }
            Err(error) => {
                report.problems.push(format!("the self-test failed: {}", ocelli_data::with_causes(&error)))
            }
        }
    }
    assess::assess(&mut report);
    report
}

impl Report {
    fn library_mut(&mut self, library: Library) -> Option<&mut LibraryReport> {
        self.libraries.iter_mut().find(|report| report.library == library)
    }

    fn is_picked(&self, library: Library) -> bool {
        self.libraries.iter().any(|report| report.library == library && report.picked.is_some())
    }
}

// Paths need not be UTF-8, and a report must be possible nevertheless.

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn all_lossy<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

fn lower_case<S: Serializer>(library: &Library, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&library.variable().trim_start_matches("OCELLI_").to_ascii_lowercase())
}
