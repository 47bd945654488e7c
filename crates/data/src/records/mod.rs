//! Many small files packed into one, which is read without opening each: fewer seeks, fewer calls, one name to copy.
//!
//! ```no_run
//! use ocelli_data::images::ImageFolder;
//! use ocelli_data::records::{Records, pack};
//!
//! fn main() -> Result<(), ocelli_data::Error> {
//!     let path = "imagenet-train.records".as_ref();
//!     let folder = ImageFolder::open("imagenet/train".as_ref())?;
//!     pack(&folder, path, 0, |count| eprint!("\r{count} of {}", folder.samples().len()))?;
//!
//!     let records = Records::open(path)?;
//!     println!("{} records of {} classes", records.len(), records.classes().len());
//!     let bytes: &[u8] = records.get(0)?;
//!     Ok(())
//! }
//! ```
//!
//! # The format
//!
//! All numbers are little-endian. Records come first and what finds them last, so that a file is written in one go.
//!
//! | part | bytes | contents |
//! |---|---|---|
//! | head | 16 | `OCELLIRC`, version (u32, 1), zero (u32) |
//! | records | any | their bytes, in the order of the index, without overlap |
//! | index | 24 each | offset from the file's start (u64), length (u32), label (i32), CRC-32C of the record (u32), end of its name (u32) |
//! | names | any | the records' names in UTF-8, one after another; each begins where the one before ends |
//! | classes | any | the classes' names by label, each its length (u32) and UTF-8 |
//! | foot | 48 | offset of the index, number of records, bytes of all names, bytes of all classes (u64 each), CRC-32C of the index, the names, the classes and the foot up to here (u32), zero (u32), `CRILLECO` |
//!
//! A label is an index into the classes, or any number where there are no classes.

mod format;
mod pack;
mod reader;
mod writer;

pub use format::VERSION;
pub use pack::pack;
pub use reader::Records;
pub use writer::Writer;
