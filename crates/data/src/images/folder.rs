//! A directory with a folder of images for each class, and what can be decoded of it.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Cursor};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use image::{ImageError, ImageFormat, ImageReader};

use super::loader::{Damaged, IGNORED};
use crate::encoded::Encoded;
use crate::{Error, Result};

/// The file extensions of images, in small letters; files are told by them, and what is in them by their first bytes.
pub const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp"];

/// Something that images can be loaded from, by index.
pub trait Images: Send + Sync {
    /// How many images there are.
    fn len(&self) -> usize;

    /// The class of an image, counted from 0.
    fn label(&self, index: usize) -> i32;

    /// An image.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Image`], which name the file.
    fn load(&self, index: usize) -> Result<Cow<'_, Rgb>>;

    /// What to call an image in a message: its file.
    fn name(&self, index: usize) -> PathBuf;

    /// Whether there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An image: rows of pixels, top to bottom, each pixel red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width * 3` values.
    pub pixels: Vec<u8>,
}

impl Rgb {
    /// Decodes an image file of any of the formats of [`EXTENSIONS`]. Grey images get three equal channels, an alpha
    /// channel is dropped, and a rotation noted in the file is not made; PyTorch's loader does the same.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::Image`] where it is damaged, or would take more than 512 MiB.
    pub fn read(path: &Path) -> Result<Rgb> {
        let unreadable = |source| Error::Io { action: "read", path: path.into(), source };
        let damaged = |source| Error::Image { path: path.into(), source: Box::new(source) };
        let bytes = fs::read(path).map_err(unreadable)?;
        let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(unreadable)?;
        if reader.format() == Some(ImageFormat::Jpeg) && !is_whole_jpeg(&bytes) {
            return Err(damaged(ImageError::IoError(io::ErrorKind::UnexpectedEof.into())));
        }
        // Decoders are other people's code, fed with other people's data.
        let decoded = catch_unwind(AssertUnwindSafe(|| reader.decode()))
            .map_err(|_| Error::Unfit { path: path.into(), what: "its decoder panicked".into() })?
            .map_err(damaged)?;
        let pixels = decoded.into_rgb8();
        let (width, height) = pixels.dimensions();
        Ok(Rgb { width: width as usize, height: height as usize, pixels: pixels.into_raw() })
    }
}

/// Whether the mark of a JPEG file's end follows its first scan. The decoder makes the rest of an image grey where the
/// file was cut short, and says nothing.
///
/// Source: ITU-T T.81, B.1.1: segments begin with 0xff, their kind, and their length, up to the scan (0xda), in which 0xff is
/// never followed by the mark's 0xd9.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        // Any number of 0xff may come before a segment's kind.
        let fill = rest.iter().take_while(|&&byte| byte == 0xff).count();
        match rest.get(fill..) {
            Some([0xda, scan @ ..]) => return scan.windows(2).any(|pair| pair == [0xff, 0xd9]),
            Some([_, segment @ ..]) if fill > 0 => {
                let length =
                    segment.first_chunk().map_or(usize::MAX, |&length| u16::from_be_bytes(length).into());
                rest = segment.get(length..).unwrap_or_default();
            }
            // No segment begins here: what that means is the decoder's to say, if the file has more to come.
            _ => return !rest.is_empty(),
        }
    }
}

/// An image file and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The file.
    pub path: PathBuf,
    /// Its class, an index into [`ImageFolder::classes`].
    pub label: i32,
}

/// A directory with a folder of images for each class, as PyTorch's `ImageFolder`: classes are numbered in the order of
/// their folders' names, images are all files below with one of [`EXTENSIONS`], in the order of their paths. Images are
/// decoded each time that they are loaded; see [`ImageFolder::into_memory`] for small sets.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    directory: PathBuf,
    classes: Vec<String>,
    samples: Vec<Sample>,
}

impl ImageFolder {
    /// Lists the images of a directory. None is opened.
    ///
    /// # Errors
    /// [`Error::Io`] where a directory cannot be read, [`Error::NoClasses`] where there are no folders in it,
    /// [`Error::EmptyClass`] where a folder holds no image.
    pub fn open(directory: &Path) -> Result<ImageFolder> {
        let mut folders: Vec<PathBuf> =
            entries(directory)?.into_iter().filter(|path| path.is_dir()).collect();
        folders.sort();
        if folders.is_empty() {
            return Err(Error::NoClasses { directory: directory.into() });
        }
        let (mut classes, mut samples) = (Vec::new(), Vec::new());
        for (label, folder) in (0i32..).zip(folders) {
            let before = samples.len();
            let mut paths = Vec::new();
            find_images(&folder, &mut paths)?;
            paths.sort();
            samples.extend(paths.into_iter().map(|path| Sample { path, label }));
            if samples.len() == before {
                return Err(Error::EmptyClass { directory: folder });
            }
            classes.push(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        Ok(ImageFolder { directory: directory.into(), classes, samples })
    }

    /// The directory that the folders are in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The names of the classes, by label.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The images, class after class.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Decodes all images and keeps them: three bytes a pixel, for small sets. `workers` threads decode, 0 for as many
    /// as the machine runs at once. Those that cannot be decoded are an error, or left out ([`Memory::left_out`]).
    ///
    /// # Errors
    /// As [`Images::load`], for the first image that cannot be decoded, unless such are skipped.
    pub fn into_memory(mut self, workers: usize, damaged: Damaged) -> Result<Memory> {
        let next = AtomicUsize::new(0);
        let decode = || {
            let mut decoded = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(sample) = self.samples.get(index) else { return decoded };
                let image = Rgb::read(&sample.path);
                if image.is_err() && damaged == Damaged::Fail {
                    next.store(self.samples.len(), Ordering::Relaxed);
                }
                decoded.push((index, image));
            }
        };
        let mut decoded: Vec<(usize, Result<Rgb>)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads(workers)).map(|_| scope.spawn(decode)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        });
        decoded.sort_by_key(|(index, _)| *index);
        let (mut samples, mut images, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for (index, image) in decoded {
            match image {
                Ok(image) => {
                    samples.push(self.samples[index].clone());
                    images.push(image);
                }
                Err(error) if damaged == Damaged::Skip => left_out.push(error),
                Err(error) => return Err(error),
            }
        }
        self.samples = samples;
        Ok(Memory { folder: self, images, left_out })
    }
}

impl Images for ImageFolder {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn label(&self, index: usize) -> i32 {
        self.samples[index].label
    }

    fn load(&self, index: usize) -> Result<Cow<'_, Rgb>> {
        Rgb::read(&self.samples[index].path).map(Cow::Owned)
    }

    fn name(&self, index: usize) -> PathBuf {
        self.samples[index].path.clone()
    }
}

impl Encoded for ImageFolder {
    fn len(&self) -> usize {
        self.samples.len()
    }

    /// [`IGNORED`] where there is no such image.
    fn label(&self, index: usize) -> i32 {
        self.samples.get(index).map_or(IGNORED, |sample| sample.label)
    }

    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let Some(Sample { path, .. }) = self.samples.get(index) else {
            let (directory, images) = (self.directory.display(), self.samples.len());
            let what = format!("there is no image {index} in {directory}, which has {images}");
            return Err(Error::Setting { what });
        };
        let bytes =
            fs::read(path).map_err(|source| Error::Io { action: "read", path: path.clone(), source })?;
        Ok(Cow::Owned(bytes))
    }

    fn name(&self, index: usize) -> PathBuf {
        self.samples.get(index).map_or_else(PathBuf::new, |sample| sample.path.clone())
    }
}

/// The images of a folder, decoded.
#[derive(Debug)]
pub struct Memory {
    folder: ImageFolder,
    images: Vec<Rgb>,
    left_out: Vec<Error>,
}

impl Memory {
    /// The names of the classes, by label.
    pub fn classes(&self) -> &[String] {
        self.folder.classes()
    }

    /// What was wrong with the images that were left out.
    pub fn left_out(&self) -> &[Error] {
        &self.left_out
    }
}

impl Images for Memory {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn label(&self, index: usize) -> i32 {
        Images::label(&self.folder, index)
    }

    fn load(&self, index: usize) -> Result<Cow<'_, Rgb>> {
        Ok(Cow::Borrowed(&self.images[index]))
    }

    fn name(&self, index: usize) -> PathBuf {
        Images::name(&self.folder, index)
    }
}

/// How many threads to start: as many as asked for, or, for 0, as the machine runs at once.
pub(crate) fn threads(asked: usize) -> usize {
    if asked > 0 { asked } else { thread::available_parallelism().map_or(1, NonZero::get) }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |source| Error::Io { action: "list", path: directory.into(), source };
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(unreadable)).collect()
}

/// Appends the images in a folder and in those below it.
fn find_images(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        if extension.is_some_and(|extension| EXTENSIONS.contains(&&*extension)) && path.is_file() {
            found.push(path);
        } else if path.is_dir() {
            find_images(&path, found)?;
        }
    }
    Ok(())
}
