//! One file after another, on one thread.

use super::facts::Facts;
use super::meter::Meter;
use super::moments::Totals;
use crate::canvas::{Gpu, too_large};
use crate::jpeg::Route;
use crate::set::ImageSet;
use crate::{Encoded, Error, Result};

/// What was found of a file.
#[derive(Debug, Default)]
pub(super) struct Examined {
    pub(super) bytes: u64,
    /// What its header says, if it could be read.
    pub(super) facts: Option<Facts>,
    /// Of its pixels, if they were decoded.
    pub(super) totals: Totals,
    /// What is wrong with it.
    pub(super) fault: Option<Error>,
}

/// Looks at files, with what it takes to measure their pixels; one for each thread.
pub(super) struct Examiner {
    /// `None` where pixels are not measured; what it failed with is told with the first file.
    meter: Option<Result<Meter>>,
    /// The most pixels of an image.
    max_pixels: u64,
}

impl Examiner {
    pub(super) fn new(gpu: Option<&Gpu>, max_pixels: u64) -> Examiner {
        Examiner { meter: gpu.map(Meter::new), max_pixels }
    }

    /// Looks at a file, at its pixels only where that is asked for. Also says whether the GPU failed.
    pub(super) fn examine(&mut self, set: &ImageSet, index: usize, pixels: bool) -> (Examined, Result<()>) {
        let mut examined = Examined::default();
        let used = match self.fill(&mut examined, set, index, pixels) {
            Ok(()) => Ok(()),
            Err(Failure::File(error)) => {
                examined.fault = Some(error);
                Ok(())
            }
            Err(Failure::Gpu(error)) => Err(error),
        };
        (examined, used)
    }

    fn fill(
        &mut self,
        examined: &mut Examined,
        set: &ImageSet,
        index: usize,
        pixels: bool,
    ) -> Result<(), Failure> {
        let path = set.name(index);
        let bytes = set.bytes(index).map_err(Failure::File)?;
        examined.bytes = bytes.len() as u64;
        let facts = *examined.facts.insert(Facts::read(&bytes, &path).map_err(Failure::File)?);
        if facts.jpeg.is_some_and(|header| !header.complete) {
            let what = "it is cut short: the mark of its end is missing".into();
            return Err(Failure::File(Error::Unfit { path, what }));
        }
        if let Some(what) = too_large(facts.width, facts.height, self.max_pixels) {
            return Err(Failure::File(Error::Unfit { path, what }));
        }
        let meter = match &mut self.meter {
            Some(Ok(meter)) if pixels => meter,
            Some(Err(_)) => {
                // It is told once, and this thread does without from then on.
                let failed = self.meter.take().and_then(Result::err);
                return failed.map_or(Ok(()), |error| Err(Failure::Gpu(error)));
            }
            _ => return Ok(()),
        };
        let for_gpu = facts.jpeg.is_some_and(|header| !matches!(header.route(), Route::Host(_)));
        examined.totals = meter.measure(&bytes, &path, for_gpu)?;
        Ok(())
    }
}

/// What went wrong: with a file, or with the GPU.
#[derive(Debug)]
pub(super) enum Failure {
    File(Error),
    Gpu(Error),
}
