//! What can go wrong when weights are read or written.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when weights are read or written.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is damaged, or of another kind.
    #[error("{} is no whole safetensors file: {what}: replace it", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A file's list of tensors cannot be understood.
    #[error("{} is no whole safetensors file: its list of tensors is wrong: {source}: replace it", path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// Where the list is wrong, and how.
        source: serde_json::Error,
    },
    /// A file holds the weights of another network. Nothing of it was taken.
    #[error("the weights in {} are not this network's:{}", path.display(), lines(misfits))]
    Misfits {
        /// The file.
        path: PathBuf,
        /// All that does not fit, sorted by name.
        misfits: Vec<Misfit>,
    },
    /// Weights cannot be put into the form of a file.
    #[error("{} cannot be made: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: safetensors::SafeTensorError,
    },
    /// The operating system refused to read or write.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "create".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The values could not be copied from or to the device.
    #[error(transparent)]
    Core(#[from] ocelli_core::Error),
}

/// A tensor that a file and a network do not have in common. Extents are in the file's order: `[out, in, rows, columns]` for
/// filters.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The network has it, the file has not.
    Missing {
        /// The name in the file.
        name: String,
        /// The extents that it should have.
        extents: Vec<usize>,
    },
    /// The file has it, the network has not.
    Surplus {
        /// The name in the file.
        name: String,
        /// Its extents.
        extents: Vec<usize>,
    },
    /// Both have it, in other extents.
    Extents {
        /// The name in the file.
        name: String,
        /// The extents that the network needs.
        expected: Vec<usize>,
        /// The extents in the file.
        found: Vec<usize>,
    },
    /// Its elements are no floating-point numbers of 32 or 16 bits.
    Type {
        /// The name in the file.
        name: String,
        /// The type of its elements, as the file calls it, such as `I64`.
        found: String,
    },
}

impl Misfit {
    /// The tensor's name in the file.
    pub fn name(&self) -> &str {
        match self {
            Misfit::Missing { name, .. }
            | Misfit::Surplus { name, .. }
            | Misfit::Extents { name, .. }
            | Misfit::Type { name, .. } => name,
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::Missing { name, extents } => write!(f, "{name} {extents:?} is not in the file"),
            Misfit::Surplus { name, extents } => {
                write!(f, "{name} {extents:?} is in the file, and not in the network")
            }
            Misfit::Extents { name, expected, found } => {
                write!(f, "{name} is {expected:?} in the network, and {found:?} in the file")
            }
            Misfit::Type { name, found } => {
                write!(f, "{name} holds {found} in the file, and only F32, F16 and BF16 can be read")
            }
        }
    }
}

/// A line for each, since the weights of another network differ in hundreds of tensors.
fn lines(misfits: &[Misfit]) -> String {
    misfits.iter().map(|misfit| format!("\n  {misfit}")).collect()
}
