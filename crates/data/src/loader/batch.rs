use std::path::PathBuf;

use ocelli_cuda::DeviceBuffer;

use crate::augment::{Drawn, ImageSize, Output, Size};
use crate::sampler::State;
use crate::{Error, Object};

/// Images of a training step, on the GPU, and what is known of each. All lists are as long as the batch.
#[derive(Debug)]
pub struct Batch {
    /// The images, `[batch, size.height, size.width, output.channels]`, normalised, ready in the order of the device's
    /// compute stream. The memory is the loader's, and is written again once this and all clones are dropped, after what
    /// the compute stream had been given by then.
    pub images: DeviceBuffer,
    /// Rows and columns.
    pub size: Size,
    /// The type and number of channels, and how they were normalised.
    pub output: Output,
    /// Classes; [`IGNORED`](crate::IGNORED) where there is no image.
    pub labels: Vec<i32>,
    /// Which places hold an image.
    pub valid: Vec<bool>,
    /// The images' numbers in their set; 0 where there is none.
    pub indices: Vec<usize>,
    /// The files' own sizes and orientations.
    pub originals: Vec<ImageSize>,
    /// Pixels of the batch for one of the original, across and down.
    pub scales: Vec<[f32; 2]>,
    /// What was drawn for each image; `None` where there is none. [`Drawn::box_in_image`] takes predictions back.
    pub drawn: Vec<Option<Drawn>>,
    /// The objects on each image, with boxes in the batch's pixels. Those of which too little is left are left out.
    pub objects: Vec<Vec<Object>>,
    /// What could not be decoded, and what became of its place.
    pub damaged: Vec<DamagedImage>,
    /// Where the run is after this batch: a loader that [resumes](super::Loader::resume) from it yields the batch that
    /// comes next.
    pub state: State,
}

impl Batch {
    /// How many places hold an image.
    pub fn count(&self) -> usize {
        self.valid.iter().filter(|&&valid| valid).count()
    }

    /// The shape of the images: batch, rows, columns, channels.
    pub fn shape(&self) -> [usize; 4] {
        let Size { width, height } = self.size;
        [self.labels.len(), height as usize, width as usize, self.output.channels as usize]
    }
}

/// An image that could not be read or decoded.
#[derive(Debug)]
pub struct DamagedImage {
    /// Its place in the batch.
    pub place: usize,
    /// Its number in the set.
    pub index: usize,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: Error,
    /// The number of the image that took its place, if one did.
    pub replaced_by: Option<usize>,
}
