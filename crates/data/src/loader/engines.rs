//! The GPU's JPEG engines.

use std::thread;

use ocelli_cuda::Stream;
use ocelli_nvjpeg::{
    BatchDecoder, BatchDecoderConfig, OutputFormat, PinnedFile, PinnedImage, Plane, Subsampling,
};

use super::cache::Pixels;
use super::config::DecodedForm;
use super::prepare::of_the_file;
use super::shared::Shared;
use crate::augment::kernel::PlanePlace;
use crate::{Error, Result};

/// Hands files to the engines, from one thread or several.
#[derive(Default)]
pub(super) struct Engines(Vec<Engine>);

struct Engine {
    decoder: BatchDecoder,
    stream: Stream,
}

/// An image that is to be decoded: something that goes with it, its file, and where its pixels go.
pub(super) struct Entering<T> {
    pub(super) with: T,
    pub(super) file: PinnedFile,
    pub(super) pixels: Pixels,
}

/// What became of images.
pub(super) struct Decoded<T> {
    /// These are there, in the order of the loader's stream.
    pub(super) decoded: Vec<T>,
    /// These are not to be had this way.
    pub(super) refused: Vec<(T, PinnedFile)>,
}

impl<T> Decoded<T> {
    fn nothing() -> Decoded<T> {
        Decoded { decoded: Vec::new(), refused: Vec::new() }
    }
}

impl Engines {
    /// Access for so many threads; for none where the GPU has no engines.
    pub(super) fn new(shared: &Shared) -> Result<Engines> {
        let Some(library) = &shared.hardware else { return Ok(Engines::default()) };
        let format = match shared.config.decoded {
            DecodedForm::Rgb => OutputFormat::RgbInterleaved,
            DecodedForm::Planes => OutputFormat::Yuv,
        };
        let config = BatchDecoderConfig { format, ..Default::default() };
        let engine = |_| {
            Ok(Engine { decoder: BatchDecoder::new(library, config)?, stream: shared.device.new_stream()? })
        };
        (0..shared.config.hardware_threads).map(engine).collect::<Result<_>>().map(Engines)
    }

    /// Decodes images. The memory that they go to is idle: the engines write when they are told to, whatever a stream waits
    /// for.
    pub(super) fn decode<T: Send>(
        &mut self,
        mut entering: Vec<Entering<T>>,
        shared: &Shared,
    ) -> Result<Decoded<T>> {
        if self.0.is_empty() {
            let refused = entering.into_iter().map(|Entering { with, file, .. }| (with, file)).collect();
            return Ok(Decoded { refused, ..Decoded::nothing() });
        }
        let share = entering.len().div_ceil(self.0.len()).max(1);
        let parts = thread::scope(|scope| {
            let mut threads = Vec::new();
            let mut own = Ok(Decoded::nothing());
            for engine in &mut self.0 {
                let rest = entering.split_off(share.min(entering.len()));
                let part = std::mem::replace(&mut entering, rest);
                if entering.is_empty() {
                    // The last part is this thread's.
                    own = engine.decode(part, shared);
                    break;
                }
                let thread = thread::Builder::new().spawn_scoped(scope, move || engine.decode(part, shared));
                match thread {
                    Ok(thread) => threads.push(thread),
                    Err(source) => {
                        let what = format!("a thread cannot be started: {source}");
                        own = Err(Error::Setting { what });
                        break;
                    }
                }
            }
            let panicked = || Err(Error::Setting { what: "a thread that decodes panicked".into() });
            let mut parts: Vec<Result<Decoded<T>>> =
                threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect();
            parts.push(own);
            parts
        });
        let mut all = Decoded::nothing();
        for part in parts {
            let part = part?;
            all.decoded.extend(part.decoded);
            all.refused.extend(part.refused);
        }
        for engine in &self.0 {
            shared.stream.wait(&engine.stream.record()?)?;
        }
        Ok(all)
    }

    /// Waits for everything, and gives back what it was read from.
    pub(super) fn rest(&mut self, shared: &Shared) -> Result<()> {
        for Engine { decoder, .. } in &mut self.0 {
            decoder.finish()?.into_iter().for_each(|file| shared.pinned.give_back(file.into_memory()));
        }
        Ok(())
    }
}

impl Engine {
    /// Decodes images. One that the engines do not take fails those with it, too: a group that fails is tried by halves.
    fn decode<T>(&mut self, entering: Vec<Entering<T>>, shared: &Shared) -> Result<Decoded<T>> {
        let mut result = Decoded { decoded: Vec::new(), refused: Vec::new() };
        let mut groups = match self.decoder.config().format {
            OutputFormat::Yuv => vec![entering],
            // Where nvJPEG converts colours, files of one subsampling among those of another cost it much: photographs of which a
            // fifth is 4:2:0 and most are 4:4:4 took 176 us each, those alone 42 and 52, and the planes of all 53 (measured on an
            // H200 with nvJPEG 13.0).
            _ => by_subsampling(entering),
        };
        while let Some(group) = groups.pop() {
            if group.is_empty() {
                continue;
            }
            let (group, images): (Vec<(T, Pixels)>, Vec<PinnedImage>) = group
                .into_iter()
                .map(|Entering { with, file, pixels }| {
                    let plane = |place: PlanePlace| {
                        let offset = pixels.offset + place.offset;
                        Plane { buffer: pixels.memory.clone(), offset, pitch: place.pitch }
                    };
                    let planes = pixels.layout.planes(pixels.size()).into_iter().map(plane).collect();
                    ((with, pixels), PinnedImage { file, planes })
                })
                .unzip();
            match self.decoder.decode_pinned(images, &self.stream) {
                Ok(before) => {
                    before.into_iter().for_each(|file| shared.pinned.give_back(file.into_memory()));
                    result.decoded.extend(group.into_iter().map(|(with, _)| with));
                }
                Err((error, images)) => {
                    of_the_file(error)?;
                    let group = group.into_iter().zip(images);
                    let mut first: Vec<Entering<T>> = group
                        .map(|((with, pixels), image)| Entering { with, file: image.file, pixels })
                        .collect();
                    let second = first.split_off(first.len().div_ceil(2));
                    if second.is_empty() {
                        let refused = first.into_iter().map(|entering| (entering.with, entering.file));
                        result.refused.extend(refused);
                    } else {
                        groups.extend([second, first]);
                    }
                }
            }
        }
        Ok(result)
    }
}

/// Images of each subsampling by themselves.
fn by_subsampling<T>(entering: Vec<Entering<T>>) -> Vec<Vec<Entering<T>>> {
    let mut groups: Vec<(Subsampling, Vec<Entering<T>>)> = Vec::new();
    for entering in entering {
        let subsampling = entering.file.frame().subsampling;
        match groups.iter_mut().find(|(of, _)| *of == subsampling) {
            Some((_, group)) => group.push(entering),
            None => groups.push((subsampling, vec![entering])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}
