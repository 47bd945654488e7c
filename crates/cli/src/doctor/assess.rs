//! The judgement on the facts: what keeps the library from running here, and what may not be as intended.

use std::collections::BTreeSet;
use std::path::Path;

use ocelli_cuda::library::Library;

use super::{LibraryReport, Report};

/// Adds warnings and the problems of libraries to the report, and decides.
pub(super) fn assess(report: &mut Report) {
    let failures = report.libraries.iter().filter(|library| library.needed);
    let failures: Vec<String> = failures.filter_map(|library| library.error.clone()).collect();
    // What is missing is the cause of what did not work.
    report.problems.splice(0..0, failures);
    let mut warnings: Vec<String> = Vec::new();
    warnings.extend(drivers(report));
    for library in &report.libraries {
        warnings.extend(ambiguity(library));
        warnings.extend(passed_over(library));
        warnings.extend(mixture(library));
        warnings.extend(mismatches(library));
    }
    warnings.extend(old_driver(report));
    warnings.extend(conflict(report));
    warnings.extend(dead_ends(report));
    report.warnings.extend(warnings);
    report.runs_here = report.problems.is_empty();
}

fn drivers(report: &Report) -> Option<String> {
    let (libcuda, module) = (report.driver.libcuda.as_ref()?, report.driver.kernel_module.as_ref()?);
    // WSL's libcuda.so.1.1 has a version of another kind.
    let comparable = libcuda.split('.').next().is_some_and(|major| major.len() >= 3);
    (comparable && libcuda != module).then(|| {
        format!(
            "libcuda is {libcuda} and the kernel module {module}: restart the machine if the driver was updated, and \
             remove a CUDA compatibility package that is not wanted"
        )
    })
}

fn ambiguity(library: &LibraryReport) -> Option<String> {
    let picked = library.picked.as_ref().filter(|picked| !picked.explicit)?;
    let others = library.candidates.iter().filter(|other| other.path != picked.path && other.unfit.is_none());
    let others: Vec<String> =
        others.map(|other| format!("{} ({})", other.path.display(), other.origin)).collect();
    (!others.is_empty()).then(|| {
        format!(
            "several files could serve as {}: {} is picked because {}; others: {}; set {} to choose one",
            library.library,
            picked.path.display(),
            picked.why,
            others.join(", "),
            library.library.variable()
        )
    })
}

/// A file that was preferred and that the loader refused.
fn passed_over(library: &LibraryReport) -> Option<String> {
    let picked = library.picked.as_ref()?;
    let refused = library.candidates.iter().find(|candidate| candidate.unfit.is_none())?;
    let later = library.candidates.iter().any(|candidate| candidate.path == picked.path);
    (later && refused.path != picked.path).then(|| {
        format!(
            "{} at {} ({}) is preferred and cannot be opened, so that {} serves",
            library.library,
            refused.path.display(),
            refused.origin,
            picked.path.display()
        )
    })
}

/// Files of two copies in one process.
fn mixture(library: &LibraryReport) -> Option<String> {
    let directories: BTreeSet<&Path> = library.mapped.iter().filter_map(|file| file.parent()).collect();
    let alone = matches!(library.library, Library::Cuda | Library::Cudnn);
    let directories: Vec<String> = directories.iter().map(|path| path.display().to_string()).collect();
    (alone && directories.len() > 1).then(|| {
        format!("files of two copies of {} are loaded, from {}", library.library, directories.join(" and "))
    })
}

fn mismatches(library: &LibraryReport) -> impl Iterator<Item = String> {
    library.candidates.iter().filter_map(|candidate| {
        let mismatch = candidate.mismatch.as_ref()?;
        Some(format!("{} at {}: {mismatch}; install it anew", library.library, candidate.path.display()))
    })
}

fn old_driver(report: &Report) -> Vec<String> {
    let Some((major, minor)) = report.driver.cuda else { return Vec::new() };
    let newer = report.toolkits.iter().filter_map(|toolkit| {
        let version = toolkit.version.as_ref()?;
        let wanted: u32 = version.split('.').next()?.parse().ok()?;
        let path = toolkit.path.display();
        (wanted > major).then(|| {
            format!(
                "the toolkit {version} at {path} is newer than the driver, which runs CUDA up to {major}.{minor}: \
                 what it builds does not run here"
            )
        })
    });
    newer.collect()
}

/// Variables that lead to different toolkits, so that a program may be built with one and run with the other.
fn conflict(report: &Report) -> Option<String> {
    let named: Vec<String> = report
        .toolkits
        .iter()
        .filter(|toolkit| !toolkit.variables.is_empty())
        .map(|toolkit| format!("{} ({})", toolkit.path.display(), toolkit.variables.join(", ")))
        .collect();
    (named.len() > 1).then(|| format!("variables lead to different toolkits: {}", named.join(" and ")))
}

fn dead_ends(report: &Report) -> Vec<String> {
    let homes = ["CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX", "VIRTUAL_ENV"];
    let dead = homes.iter().filter_map(|name| {
        let value = report.variables.get(name).filter(|value| !Path::new(value).is_dir())?;
        Some(format!("{name} names {value}, which is no directory: correct or unset it"))
    });
    dead.collect()
}
