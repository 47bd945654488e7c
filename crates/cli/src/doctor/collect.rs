//! The facts that files and variables hold, and which library opens.

use std::fs;
use std::path::{Path, PathBuf};

use ocelli_cuda::library::{Environment, Found, Library, Origin, VARIABLES, candidates_in};
use ocelli_cuda::{Error, paths};
use ocelli_data::with_causes;

use super::{Candidate, Driver, LibraryReport, Picked, Report, cudnn_parts, toolkits};

/// Collects the facts of `environment`. `root` stands for `/`; `open` opens a library and returns the file that serves.
pub(super) fn collect(
    environment: &Environment,
    root: &Path,
    open: &dyn Fn(Library) -> ocelli_cuda::Result<PathBuf>,
) -> Report {
    // All before any is opened, as what the process has loaded then counts among the candidates.
    let found = Library::ALL.map(|library| (library, candidates_in(environment, library)));
    let libraries: Vec<LibraryReport> =
        found.into_iter().map(|(library, found)| examine(library, found, open)).collect();
    let libcuda = libraries.iter().find(|report| report.library == Library::Cuda);
    Report {
        driver: Driver {
            libcuda: libcuda.and_then(|report| report.picked.as_ref()?.version.clone()),
            kernel_module: kernel_module(root),
            cuda: None,
        },
        toolkits: toolkits::find(environment, root),
        variables: VARIABLES
            .into_iter()
            .filter_map(|name| Some((name, environment.variable(name)?.to_string_lossy().into_owned())))
            .collect(),
        home: paths::home(),
        // Without the slash that joining nothing leaves.
        cache: paths::cache("").components().collect(),
        libraries,
        ..Report::default()
    }
}

fn examine(
    library: Library,
    found: Vec<Found>,
    open: &dyn Fn(Library) -> ocelli_cuda::Result<PathBuf>,
) -> LibraryReport {
    let needed = !matches!(library, Library::Nvjpeg | Library::Nccl);
    let (mut picked, mut error, mut searched) = (None, None, Vec::new());
    match open(library) {
        Ok(path) => picked = Some(pick(path, &found)),
        // The list is long, and of interest only to programs and in the end.
        Err(Error::LibraryNotFound { searched: places, hint, .. }) => {
            error = Some(format!("{library} was not found; {hint}"));
            searched = places;
        }
        Err(other) => error = Some(with_causes(&other)),
    }
    let candidates = found.into_iter().map(|found| Candidate {
        mismatch: (library == Library::Cudnn).then(|| cudnn_parts::mismatch(&found.path)).flatten(),
        origin: found.origin.to_string(),
        path: found.path,
        version: found.version,
        unfit: found.unfit,
    });
    LibraryReport {
        library,
        needed,
        picked,
        error,
        searched,
        candidates: candidates.collect(),
        mapped: Vec::new(),
    }
}

/// The file that serves, with what led to it before anything was loaded.
fn pick(path: PathBuf, found: &[Found]) -> Picked {
    let found = found.iter().find(|found| found.path == path);
    let origin = found.map_or(Origin::Loaded, |found| found.origin.clone());
    Picked {
        why: why(&origin),
        explicit: origin.is_explicit(),
        origin: origin.to_string(),
        version: found.and_then(|found| found.version.clone()),
        path,
    }
}

fn why(origin: &Origin) -> String {
    match origin {
        Origin::Override(variable) => format!("{variable} names it"),
        Origin::Stack(name) => format!("the stack `{name}` is in use"),
        Origin::Loaded => "the process had loaded it already".to_owned(),
        Origin::Toolkit(variable) => format!("{variable} names its toolkit"),
        Origin::Conda => "the active Conda environment has it (CONDA_PREFIX)".to_owned(),
        Origin::VirtualEnv => "the active Python environment has it".to_owned(),
        Origin::LoaderPath => "LD_LIBRARY_PATH lists its directory".to_owned(),
        Origin::System => "the system's loader knows it".to_owned(),
        Origin::Installed => "its toolkit is installed in /usr/local".to_owned(),
        Origin::Python => "a wheel installed for the user or the system's Python holds it".to_owned(),
        other => other.to_string(),
    }
}

/// The version in a line such as `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 ...`.
fn kernel_module(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("proc/driver/nvidia/version")).ok()?;
    let is_version = |word: &&str| {
        word.contains('.')
            && word.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    text.lines().next()?.split_whitespace().find(is_version).map(str::to_owned)
}
