//! Folders of images, and images in the host's memory.

mod files;
mod folder;
mod rgb;

pub use files::ImageFiles;
pub use folder::{EXTENSIONS, ImageFolder, Sample};
pub use rgb::Rgb;
