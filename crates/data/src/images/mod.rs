//! Folders of images, and images in the host's memory.

mod files;
mod folder;
mod rgb;

pub use files::{ImageFiles, read_file};
pub use folder::{EXTENSIONS, ImageFolder, Sample};
pub use rgb::Rgb;
