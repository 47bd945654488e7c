//! Files and directories that take their name once they are whole: until then, what had the name before keeps it.
//!
//! ```
//! use std::io::Write;
//!
//! # fn main() -> std::io::Result<()> {
//! # let home = tempfile::tempdir()?;
//! # let path = home.path().join("weights");
//! let mut file = ocelli_files::file_beside(&path)?;
//! file.write_all(b"all of them")?;
//! file.persist()?;
//! assert_eq!(std::fs::read(&path)?, b"all of them");
//! # Ok(())
//! # }
//! ```

mod directory;
mod file;
mod target;

pub use directory::{PartDirectory, directory_beside};
pub use file::{PartFile, file_beside};
pub use target::{directory_of, sync_directory};
