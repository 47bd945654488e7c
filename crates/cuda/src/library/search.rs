//! The search for files that could serve a library.
//!
//! It looks up names in directories and lists a few small ones; it walks no tree, so that a program starts at once.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use super::driver_fit::unfit;
use super::loader::{Loader, canonical_file};
use super::version::version;
use super::{Environment, Found, Library, Origin};
use crate::stack::Stacks;

/// Places of one rank, in order. A place is a directory, or a file.
pub(super) type Places = (Origin, Vec<PathBuf>);

/// The files that could serve a library in this process, the preferred one first, each once.
pub fn candidates(library: Library) -> Vec<Found> {
    candidates_in(&Environment::current(), library)
}

/// The files that could serve a library in `environment`, the preferred one first, each once.
pub fn candidates_in(environment: &Environment, library: Library) -> Vec<Found> {
    let driver = if library == Library::Cuda { None } else { environment.driver() };
    let mut found: Vec<Found> = Vec::new();
    for (origin, places) in places(environment, library) {
        for path in files(library, &places) {
            if found.iter().all(|known| known.path != path) {
                let (version, unfit) = (version(library, &path), unfit(library, &path, driver));
                found.push(Found { library, path, origin: origin.clone(), version, unfit });
            }
        }
    }
    found
}

/// The library's files in places of one rank, where the better name counts for more than the earlier directory.
fn files(library: Library, places: &[PathBuf]) -> Vec<PathBuf> {
    let direct = places.iter().filter_map(|place| canonical_file(place));
    let named = library
        .file_names()
        .iter()
        .flat_map(|name| places.iter().filter_map(move |place| canonical_file(&place.join(name))));
    direct.chain(named).filter(|path| !is_stub(path)).collect()
}

/// Whether a file is of those that toolkits bring for linkers.
fn is_stub(path: &Path) -> bool {
    path.parent().is_some_and(|directory| directory.ends_with("stubs"))
}

/// Whether a file is the library itself, not a part of it, in whatever version.
pub(super) fn is_front(library: Library, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = library.file_names()[0].split_inclusive(".so.").next().unwrap_or_default();
    name.starts_with(stem)
}

/// Where to look for a library, in order.
pub(super) fn places(environment: &Environment, library: Library) -> Vec<Places> {
    // Only what the driver brings is libcuda; toolkits hold a stub of it for linkers.
    let not_driver = library != Library::Cuda;
    let mut places: Vec<Places> = Vec::new();
    if let Some(path) = environment.path(library.variable()) {
        places.push((Origin::Override(library.variable()), vec![path]));
    }
    if not_driver && let Ok(Some(stack)) = Stacks::of(environment).chosen() {
        places.push((Origin::Stack(stack.name), wheels(&stack.path)));
    }
    let loaded = environment.loaded().iter().filter(|path| is_front(library, path));
    places.push((Origin::Loaded, loaded.cloned().collect()));
    if not_driver {
        for variable in ["CUDA_HOME", "CUDA_PATH"] {
            places.extend(environment.path(variable).map(|home| (Origin::Toolkit(variable), toolkit(&home))));
        }
        if let Some(prefix) = environment.path("CONDA_PREFIX") {
            places.push((Origin::Conda, [toolkit(&prefix), python(&prefix)].concat()));
        }
        places.extend(virtual_env(environment).map(|prefix| (Origin::VirtualEnv, python(&prefix))));
    }
    let loader = Loader::new(environment);
    let cached = library.file_names().iter().flat_map(|name| loader.cached(name)).collect();
    places.push((Origin::LoaderPath, loader.path));
    places.push((Origin::System, cached));
    places.push((Origin::System, loader.standard));
    if not_driver {
        let installed = installed(environment);
        places.extend(installed.iter().map(|directory| (Origin::Installed, toolkit(directory))));
        let mut prefixes = vec![environment.system("/usr/local"), environment.system("/usr")];
        prefixes.splice(0..0, environment.path("HOME").map(|home| home.join(".local")));
        places.push((Origin::Python, prefixes.iter().flat_map(|prefix| python(prefix)).collect()));
    }
    places
}

/// The library directories of a CUDA toolkit.
fn toolkit(prefix: &Path) -> Vec<PathBuf> {
    let architecture = if cfg!(target_arch = "aarch64") { "sbsa" } else { std::env::consts::ARCH };
    let target = format!("targets/{architecture}-linux/lib");
    ["lib64", "lib", &target].map(|directory| prefix.join(directory)).into()
}

/// The library directories of NVIDIA's wheels in a Python installation, the newest Python first.
fn python(prefix: &Path) -> Vec<PathBuf> {
    let versions = children(&prefix.join("lib"), "python3");
    let packages =
        versions.iter().flat_map(|version| ["site-packages", "dist-packages"].map(|name| version.join(name)));
    packages.flat_map(|directory| wheels(&directory)).collect()
}

/// The library directories of the wheels unpacked in a directory.
pub(crate) fn wheels(directory: &Path) -> Vec<PathBuf> {
    let wheels = children(&directory.join("nvidia"), "").into_iter().map(|wheel| wheel.join("lib"));
    wheels.filter(|directory| directory.is_dir()).collect()
}

/// The active Python environment: `VIRTUAL_ENV`, else the one whose `python3` comes first on `PATH`.
fn virtual_env(environment: &Environment) -> Option<PathBuf> {
    environment.path("VIRTUAL_ENV").or_else(|| {
        let path = environment.directories("PATH");
        let python = path.iter().find(|directory| directory.join("python3").exists())?;
        python.parent().filter(|prefix| prefix.join("pyvenv.cfg").exists()).map(Path::to_owned)
    })
}

/// The toolkits in `/usr/local`: the system's choice, then the newest first.
fn installed(environment: &Environment) -> Vec<PathBuf> {
    let local = environment.system("/usr/local");
    [vec![local.join("cuda")], children(&local, "cuda-")].concat()
}

/// What a directory holds under names that begin so, the greatest version first (`cuda-13.0`, `cuda-12.8`, `cuda-9.0`).
fn children(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort_by_cached_key(|name| {
        let numbers = name.split(|letter: char| !letter.is_ascii_digit());
        Reverse((numbers.filter_map(|number| number.parse().ok()).collect::<Vec<u32>>(), name.clone()))
    });
    names.into_iter().map(|name| directory.join(name)).collect()
}
