//! A file that could serve a library.

use std::fmt;
use std::path::PathBuf;

use super::Library;

/// A file that could serve a library.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Which library.
    pub library: Library,
    /// The file, absolute and without symbolic links.
    pub path: PathBuf,
    /// What led to it.
    pub origin: Origin,
    /// Its version, as far as names beside it tell ("9.19.0.56", "13.0").
    pub version: Option<String>,
    /// Why it is passed over, if it is: the driver is too old for it.
    pub unfit: Option<String>,
}

/// What led to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The library's own environment variable.
    Override(&'static str),
    /// The chosen stack, by name.
    Stack(String),
    /// The process had loaded it already.
    Loaded,
    /// A CUDA toolkit named by an environment variable.
    Toolkit(&'static str),
    /// The active Conda environment.
    Conda,
    /// The active Python environment.
    VirtualEnv,
    /// `LD_LIBRARY_PATH`.
    LoaderPath,
    /// A directory of the system's loader or of the driver.
    System,
    /// A CUDA toolkit in `/usr/local`.
    Installed,
    /// A wheel installed for the user or the system's Python.
    Python,
}

impl Origin {
    /// Whether somebody chose this file by name, so that no other may take its place.
    pub fn is_explicit(&self) -> bool {
        matches!(self, Origin::Override(_) | Origin::Stack(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Override(variable) | Origin::Toolkit(variable) => f.write_str(variable),
            Origin::Stack(name) => write!(f, "stack {name}"),
            Origin::Loaded => f.write_str("already loaded"),
            Origin::Conda => f.write_str("CONDA_PREFIX"),
            Origin::VirtualEnv => f.write_str("Python environment"),
            Origin::LoaderPath => f.write_str("LD_LIBRARY_PATH"),
            Origin::System => f.write_str("system"),
            Origin::Installed => f.write_str("installed toolkit"),
            Origin::Python => f.write_str("Python wheel"),
        }
    }
}
