//! What a program lacks to run here, and fetching it.

use super::{InstallOptions, Progress, Stack, Stacks};
use crate::error::Result;
use crate::library::{Environment, Library, choices, cuda_of_driver, open};

/// What training needs.
const NEEDED: [Library; 4] = [Library::Cuda, Library::Cudnn, Library::Nvrtc, Library::CublasLt];

/// The libraries that training needs and for which no file could serve; none of them is opened.
pub fn missing() -> Vec<Library> {
    let environment = Environment::current();
    let is_missing =
        |library: &Library| choices(&environment, *library).map_or(true, |found| found.is_empty());
    NEEDED.into_iter().filter(is_missing).collect()
}

/// Installs the stack that fits the driver (`cuda13` or `cuda12`) and puts it to use: all of the libraries, so that they
/// are versions that were tested together. Nothing is done, and `None` returned, when nothing is [`missing`].
///
/// # Errors
/// Those of [`Stacks::install`]; when the driver is missing, which no stack can bring, those of [`open`].
pub fn install_missing(mut progress: impl FnMut(Progress<'_>)) -> Result<Option<Stack>> {
    if missing().is_empty() {
        return Ok(None);
    }
    open(Library::Cuda)?;
    let name = match Environment::current().driver().and_then(cuda_of_driver) {
        Some(cuda) => format!("cuda{cuda}"),
        None => "cuda13".to_owned(),
    };
    let stacks = Stacks::here();
    stacks.install(&name, &InstallOptions::default(), &mut progress)?;
    stacks.select(&name)?;
    stacks.get(&name).map(Some)
}
