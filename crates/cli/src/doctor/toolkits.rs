//! CUDA toolkits. The library needs none; they explain where libraries come from, and what compiles against which CUDA.

use std::fs;
use std::path::{Path, PathBuf};

use ocelli_cuda::library::Environment;
use serde::Serialize;

/// A directory with a CUDA toolkit, whole or in part.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Toolkit {
    /// Links resolved.
    #[serde(serialize_with = "super::lossy")]
    pub(super) path: PathBuf,
    pub(super) version: Option<String>,
    /// Whether it has the compiler.
    pub(super) nvcc: bool,
    /// The variables that lead to it.
    pub(super) variables: Vec<&'static str>,
}

/// Those that variables lead to, then those in `/usr/local`; `root` stands for `/`.
pub(super) fn find(environment: &Environment, root: &Path) -> Vec<Toolkit> {
    let mut toolkits: Vec<Toolkit> = Vec::new();
    for (variable, directory) in named(environment) {
        add(&mut toolkits, directory, Some(variable));
    }
    let local = root.join("usr/local");
    let entries = fs::read_dir(&local).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_cuda = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name == "cuda" || name.to_string_lossy().starts_with("cuda-"))
    };
    let mut installed: Vec<PathBuf> = entries.filter(is_cuda).collect();
    installed.sort();
    for directory in installed {
        add(&mut toolkits, directory, None);
    }
    // Which further directories of a toolkit, besides `bin/nvcc`, variables list.
    for toolkit in &mut toolkits {
        for variable in ["PATH", "LD_LIBRARY_PATH"] {
            let lists = entries_of(environment, variable)
                .any(|entry| fs::canonicalize(entry).is_ok_and(|entry| is_within(&entry, &toolkit.path)));
            if lists && !toolkit.variables.contains(&variable) {
                toolkit.variables.push(variable);
            }
        }
    }
    toolkits
}

/// Directories that may be toolkits, with the variable that leads to each.
fn named(environment: &Environment) -> Vec<(&'static str, PathBuf)> {
    let homes = ["CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX"].into_iter();
    let mut named: Vec<(&'static str, PathBuf)> =
        homes.filter_map(|name| Some((name, environment.variable(name)?.into()))).collect();
    let nvcc = entries_of(environment, "PATH").map(|entry| entry.join("nvcc")).find(|path| path.is_file());
    let prefix = nvcc.and_then(|nvcc| Some(fs::canonicalize(nvcc).ok()?.parent()?.parent()?.to_owned()));
    named.extend(prefix.map(|prefix| ("PATH", prefix)));
    named
}

fn entries_of(environment: &Environment, variable: &str) -> impl Iterator<Item = PathBuf> {
    let value = environment.variable(variable).map(ToOwned::to_owned).unwrap_or_default();
    std::env::split_paths(&value).collect::<Vec<_>>().into_iter().filter(|path| path.is_absolute())
}

/// Whether a directory is one of a toolkit; much lies in `/usr` that has nothing to do with the toolkit there.
fn is_within(directory: &Path, toolkit: &Path) -> bool {
    toolkit != Path::new("/usr") && directory.starts_with(toolkit)
}

fn add(toolkits: &mut Vec<Toolkit>, directory: PathBuf, variable: Option<&'static str>) {
    let Ok(path) = fs::canonicalize(directory) else { return };
    if let Some(known) = toolkits.iter_mut().find(|toolkit| toolkit.path == path) {
        known.variables.extend(variable.filter(|variable| !known.variables.contains(variable)));
        return;
    }
    let (version, nvcc) = (version(&path), path.join("bin/nvcc").is_file());
    if version.is_some() || nvcc {
        toolkits.push(Toolkit { path, version, nvcc, variables: variable.into_iter().collect() });
    }
}

/// The version by `version.json` (since CUDA 11.1), `version.txt` (before), or the header (in part installations).
fn version(toolkit: &Path) -> Option<String> {
    let read = |name: &str| fs::read_to_string(toolkit.join(name)).ok();
    let json = || {
        let versions: serde_json::Value = serde_json::from_str(&read("version.json")?).ok()?;
        ["cuda", "cuda_nvcc"].iter().find_map(|name| Some(versions[*name]["version"].as_str()?.to_owned()))
    };
    let text = || Some(read("version.txt")?.trim().strip_prefix("CUDA Version ")?.to_owned());
    let header = || {
        let text = read("include/cuda.h")?;
        let number = text.lines().find_map(|line| line.strip_prefix("#define CUDA_VERSION "))?;
        let number: u32 = number.trim().parse().ok()?;
        Some(format!("{}.{}", number / 1000, number % 1000 / 10))
    };
    json().or_else(text).or_else(header)
}
