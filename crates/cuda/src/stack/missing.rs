//! What a program lacks to run here, and fetching it.

use super::{InstallOptions, Progress, Stack, Stacks};
use crate::error::{Error, Result};
use crate::library::{Environment, Library, cuda_of_driver, open};

/// What training needs.
const NEEDED: [Library; 4] = [Library::Cuda, Library::Cudnn, Library::Nvrtc, Library::CublasLt];

/// The libraries that training needs and for which no file here can serve. Those that can are opened.
pub fn missing() -> Vec<Library> {
    NEEDED.into_iter().filter(|library| open(*library).is_err()).collect()
}

/// Installs the stack that fits the driver and puts it to use: all of the libraries, so that they are versions that were
/// tested together. It is called what `OCELLI_STACK` says, else `cuda13` or `cuda12`; one of that name that is installed
/// already is put to use. Nothing is done, and `None` returned, when nothing is [`missing`].
///
/// # Errors
/// Those of [`open`] for what no stack can bring: the driver, and a library whose variable names something unusable.
/// Those of [`Stacks::install`]. Those of [`open`] when something is missing still.
pub fn install_missing(mut progress: impl FnMut(Progress<'_>)) -> Result<Option<Stack>> {
    let environment = Environment::current();
    let missing_before = missing();
    if missing_before.is_empty() {
        return Ok(None);
    }
    let is_chosen = |library: &Library| environment.variable(library.variable()).is_some();
    if let Some(library) =
        missing_before.into_iter().find(|library| *library == Library::Cuda || is_chosen(library))
    {
        open(library)?;
    }
    let stacks = Stacks::of(&environment);
    let cuda = environment.driver().and_then(cuda_of_driver).unwrap_or(13);
    let name = stacks.demanded().unwrap_or_else(|| format!("cuda{cuda}"));
    match stacks.install(&name, &InstallOptions::default(), &mut progress) {
        Ok(_) | Err(Error::StackExists { .. }) => stacks.select(&name)?,
        Err(error) => return Err(error),
    }
    missing().into_iter().try_for_each(|library| open(library).map(drop))?;
    stacks.get(&name).map(Some)
}
