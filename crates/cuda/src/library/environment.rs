//! What the search depends on: variables, the system's directories, what the process has loaded.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::{env, fs};

use super::mapped::mapped_files;
use super::{Library, candidates_in};

/// The variables that decide which libraries and which files of ours are used.
pub const VARIABLES: [&str; 18] = [
    "OCELLI_CUDA",
    "OCELLI_CUDNN",
    "OCELLI_NVRTC",
    "OCELLI_CUBLASLT",
    "OCELLI_NVJPEG",
    "OCELLI_NCCL",
    "OCELLI_STACK",
    "OCELLI_HOME",
    "OCELLI_CACHE",
    "CUDA_HOME",
    "CUDA_PATH",
    "CONDA_PREFIX",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "PATH",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "HOME",
];

/// What the search for libraries depends on: a process has one, a test can make up others.
#[derive(Clone, Debug)]
pub struct Environment {
    variables: BTreeMap<&'static str, OsString>,
    root: PathBuf,
    loaded: Vec<PathBuf>,
}

impl Environment {
    /// This process's.
    pub fn current() -> Environment {
        Environment { loaded: mapped_files(), ..Environment::of_variables() }
    }

    /// This process's, without a look at what it has loaded.
    pub(crate) fn of_variables() -> Environment {
        let variables = VARIABLES.into_iter().filter_map(|name| Some((name, env::var_os(name)?)));
        Environment { variables: variables.collect(), ..Environment::new("/") }
    }

    /// One with no variable set. `root` stands for `/` in the places where systems keep libraries; paths in variables
    /// are taken as they are.
    pub fn new(root: impl Into<PathBuf>) -> Environment {
        Environment { variables: BTreeMap::new(), root: root.into(), loaded: Vec::new() }
    }

    /// The same with a variable set; one that is not in [`VARIABLES`] decides nothing.
    pub fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Environment {
        self.variables.insert(name, value.into());
        self
    }

    /// The same for a process that has loaded `file` already.
    pub fn with_loaded(mut self, file: impl Into<PathBuf>) -> Environment {
        self.loaded.push(file.into());
        self
    }

    /// A variable's value, if it is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The major and minor version of the driver, such as (580, 95); none without one.
    ///
    /// It is libcuda's, as far as its file name tells: that of a compatibility package runs a newer CUDA than the kernel
    /// module, which counts otherwise.
    pub fn driver(&self) -> Option<(u32, u32)> {
        let libcuda = candidates_in(self, Library::Cuda).into_iter().next().and_then(|found| found.version);
        // WSL's libcuda.so.1.1 has a version of another kind.
        libcuda
            .and_then(|text| version(&text))
            .filter(|&(major, _)| major >= 100)
            .or_else(|| self.kernel_module())
    }

    fn kernel_module(&self) -> Option<(u32, u32)> {
        let text = fs::read_to_string(self.system("/proc/driver/nvidia/version")).ok()?;
        // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 ..."
        let mut words = text.lines().next()?.split_whitespace();
        words.find_map(version)
    }

    /// The path that a variable holds.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// The directories that a variable lists, separated by colons.
    pub(super) fn directories(&self, name: &str) -> Vec<PathBuf> {
        let entries = self.variable(name).into_iter().flat_map(env::split_paths);
        entries.filter(|path| path.is_absolute()).collect()
    }

    /// An absolute path of the system, below the root.
    pub(super) fn system(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The files that the process has mapped.
    pub(super) fn loaded(&self) -> &[PathBuf] {
        &self.loaded
    }
}

/// The first two numbers of a version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_version_is_read_from_both_kinds_of_kernel_module() {
        let root = tempfile::tempdir().unwrap();
        let environment = Environment::new(root.path());
        assert_eq!(environment.driver(), None);
        let file = environment.system("/proc/driver/nvidia/version");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let date = "Tue Sep 23 10:11:16 UTC 2025\nGCC version: 12.2.0";
        for (module, version) in [
            ("x86_64 Kernel Module  550.54.15", (550, 54)),
            ("Open Kernel Module for x86_64  580.95.05", (580, 95)),
        ] {
            fs::write(&file, format!("NVRM version: NVIDIA UNIX {module}  {date}\n")).unwrap();
            assert_eq!(environment.driver(), Some(version));
        }
        fs::write(&file, "garbage").unwrap();
        assert_eq!(environment.driver(), None);

        let compatible = root.path().join("compat");
        fs::create_dir(&compatible).unwrap();
        for (name, version) in [("libcuda.so.590.44.01", Some((590, 44))), ("libcuda.so.1.1", None)] {
            fs::write(compatible.join(name), "").unwrap();
            let environment = environment.clone().with("OCELLI_CUDA", compatible.join(name));
            assert_eq!(environment.driver(), version, "{name}");
        }
    }
}
