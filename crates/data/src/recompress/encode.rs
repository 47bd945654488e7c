//! One file after another, decoded and encoded, on one thread.

use ocelli_nvjpeg::{EncodeOptions, Encoder};

use super::RecompressConfig;
use super::plan::{Outcome, Why, accept, plan};
use crate::Result;
use crate::canvas::{Canvas, SharedGpu, is_of_gpu};
use crate::jpeg::{Header, with_metadata};

/// Makes files smaller; one for each thread.
pub(super) struct Recompressor<'gpu> {
    config: RecompressConfig,
    gpu: &'gpu SharedGpu,
    /// Made for the first file that needs them.
    tools: Option<Tools>,
}

struct Tools {
    canvas: Canvas,
    /// Works on the canvas's stream.
    encoder: Encoder,
}

impl Recompressor<'_> {
    pub(super) fn new(gpu: &SharedGpu, config: RecompressConfig) -> Recompressor<'_> {
        Recompressor { config, gpu, tools: None }
    }

    /// The file, smaller, or why it stays as it is.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda) or [`Error::Nvjpeg`](crate::Error::Nvjpeg) where the GPU fails, and not the
    /// file.
    pub(super) fn recompress(&mut self, bytes: &[u8]) -> Result<Outcome<Vec<u8>>> {
        let (header, options) = match plan(bytes, &self.config) {
            Ok(planned) => planned,
            Err(why) => return Ok(Outcome::Kept(why)),
        };
        let made = match self.tools()?.encode(bytes, &options) {
            Ok(file) => finished(bytes, &header, &file, &self.config),
            Err(error) if is_of_gpu(&error) => return Err(error.into()),
            Err(error) => Err(Why::Undecodable(error.to_string())),
        };
        Ok(made.map_or_else(Outcome::Kept, Outcome::Smaller))
    }

    fn tools(&mut self) -> Result<&mut Tools> {
        let tools = match self.tools.take() {
            Some(tools) => tools,
            None => {
                let gpu = self.gpu.get()?;
                let canvas = Canvas::new(&gpu)?;
                let encoder = Encoder::new(&gpu.nvjpeg, canvas.stream())?;
                Tools { canvas, encoder }
            }
        };
        Ok(self.tools.insert(tools))
    }
}

impl Tools {
    fn encode(&mut self, bytes: &[u8], options: &EncodeOptions) -> ocelli_nvjpeg::Result<Vec<u8>> {
        // Interpolated to the full resolution, and averaged again where the colour differences are coarser: a file is
        // decoded to what every other reader sees of it.
        self.canvas.decode(bytes)?;
        self.encoder.encode(&self.canvas.image(), options)
    }
}

/// The encoded image with what the original says beside its own, if it may take its place. The segments are put together
/// here and not by nvJPEG, so that they are the original's to the last byte.
fn finished(
    original: &[u8],
    header: &Header,
    image: &[u8],
    config: &RecompressConfig,
) -> Result<Vec<u8>, Why> {
    let file =
        with_metadata(image, original).map_err(|error| Why::Undecodable(format!("nvJPEG: {error}")))?;
    accept((header, original), file, config)
}
