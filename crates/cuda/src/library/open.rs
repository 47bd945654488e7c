//! Libraries opened once per process.

use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::companions::{dependencies, parts};
use super::loader::canonical_file;
use super::mapped::is_of;
use super::search::{candidates_in, places};
use super::{Environment, Found, Library, Origin, elf};
use crate::error::{Error, Result};
use crate::stack::Stacks;

/// A library that has been opened and stays so.
#[derive(Debug)]
pub struct Opened {
    found: Found,
    handle: libloading::Library,
}

impl Opened {
    /// The file that serves.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// A function of the library.
    ///
    /// # Errors
    /// [`Error::MissingSymbol`].
    ///
    /// # Safety
    /// `T` must be the symbol's real function-pointer type.
    pub unsafe fn symbol<T: Copy>(&self, name: &str) -> Result<T> {
        // SAFETY: the caller's promise.
        unsafe { self.handle.get::<T>(name.as_bytes()) }.map(|symbol| *symbol).map_err(|_| {
            Error::MissingSymbol {
                library: self.found.library,
                path: self.found.path.clone(),
                symbol: name.to_owned(),
            }
        })
    }
}

/// Opens a library, once per process: the first of its [`candidates`](super::candidates) that the loader accepts.
///
/// A failure is not remembered: once a stack has been installed, the next call finds it.
///
/// # Errors
/// [`Error::LibraryNotFound`] when no file can serve, which includes a variable or a stack that was chosen and does not
/// exist; [`Error::LibraryUnusable`] when there are files, and the loader refuses them or the driver is too old.
pub fn open(library: Library) -> Result<&'static Opened> {
    static OPENED: [OnceLock<Opened>; Library::ALL.len()] = [const { OnceLock::new() }; Library::ALL.len()];
    static OPENING: Mutex<()> = Mutex::new(());
    let cell = &OPENED[library as usize];
    if let Some(opened) = cell.get() {
        return Ok(opened);
    }
    if library == Library::Cudnn {
        // Its parts ask for libcuda by name: ours must be there before the loader searches for one.
        let _ = open(Library::Cuda);
    }
    // Of two threads that come here at once, the second sees what the first has loaded. A panic leaves nothing behind.
    let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(opened) = cell.get() {
        return Ok(opened);
    }
    let opened = open_in(&Environment::current(), library)?;
    Ok(cell.get_or_init(|| opened))
}

/// Opens a library as [`open`] does, from `environment` and without remembering it.
///
/// # Errors
/// As for [`open`].
pub fn open_in(environment: &Environment, library: Library) -> Result<Opened> {
    let mut failure = None;
    for found in choices(environment, library)? {
        match load(environment, &found) {
            Ok(handle) => {
                tracing::debug!(%library, path = %found.path.display(), origin = %found.origin, "opened");
                return Ok(Opened { found, handle });
            }
            Err(error) => {
                tracing::warn!(%error, "passed over");
                failure.get_or_insert(error);
            }
        }
    }
    Err(failure.unwrap_or_else(|| Error::LibraryNotFound {
        library,
        searched: searched(environment, library),
        hint: absent(library),
    }))
}

/// The files to try, in order: one alone where somebody chose it by name.
pub(super) fn choices(environment: &Environment, library: Library) -> Result<Vec<Found>> {
    let mut found = candidates_in(environment, library);
    let not_found = |path, hint| Error::LibraryNotFound { library, hint, searched: vec![path] };
    if let Some(path) = environment.path(library.variable()) {
        found.retain(|found| matches!(found.origin, Origin::Override(_)));
        found.truncate(1);
        // Whether a file fits the driver is inferred, and whoever names it may know better.
        return if found.is_empty() { Err(not_found(path, unmet(library))) } else { Ok(found) };
    }
    if library != Library::Cuda {
        // A stack need not hold every library, but it must be there.
        let stacks = Stacks::of(environment);
        let unmet =
            |error| format!("the stack that OCELLI_STACK or `ocelli stack use` chose is not there: {error}");
        stacks.chosen().map_err(|error| not_found(stacks.directory().to_owned(), unmet(error)))?;
        if let Some(origin) = found.first().map(|first| first.origin.clone())
            && origin.is_explicit()
        {
            found.retain(|found| found.origin == origin);
        }
    }
    if let Some(Found { path, origin, unfit: Some(reason), .. }) = found.first()
        && found.iter().all(|found| found.unfit.is_some())
    {
        let reason = format!("{reason} (from {origin}); `ocelli stack install` fetches one that fits");
        return Err(Error::LibraryUnusable { library, path: path.clone(), reason });
    }
    found.retain(|found| found.unfit.is_none());
    if found.first().is_some_and(|first| first.origin.is_explicit()) {
        found.truncate(1);
    }
    Ok(found)
}

fn load(environment: &Environment, found: &Found) -> Result<libloading::Library> {
    let Found { library, path, origin, .. } = found;
    let unusable = |path: &Path, reason: String| Error::LibraryUnusable {
        library: *library,
        path: path.to_owned(),
        reason: format!("{reason} (from {origin})"),
    };
    if let Some(other) = rival(environment, found) {
        let (other, variable) = (other.display(), library.variable());
        let reason =
            format!("this process has loaded {other}, and the two would mix: set {variable} to that one");
        return Err(unusable(path, reason));
    }
    let mut ahead = Vec::new();
    for file in dependencies(environment, *library, path) {
        match dlopen(&file) {
            Ok(handle) => ahead.push(handle),
            // Without it the library can do less, and says so when it is needed.
            Err(reason) => tracing::warn!(%library, file = %file.display(), %reason, "cannot be opened"),
        }
    }
    for file in parts(*library, path) {
        ahead.push(dlopen(&file).map_err(|reason| unusable(&file, reason))?);
    }
    let handle = dlopen(path).map_err(|reason| unusable(path, reason))?;
    // Kept open as long as the process runs, as the library itself. After a failure they were closed, so that nothing of
    // this copy is left when the next candidate is tried.
    ahead.into_iter().for_each(mem::forget);
    Ok(handle)
}

/// A file of another copy that the process has loaded, of a library that cannot stand a second copy: cuDNN's parts would
/// find those of the other, and a process has one driver.
fn rival<'a>(environment: &'a Environment, found: &Found) -> Option<&'a PathBuf> {
    let is_rival = |other: &&PathBuf| {
        is_of(found.library, other)
            && canonical_file(other).is_some_and(|other| other.parent() != found.path.parent())
    };
    let alone = matches!(found.library, Library::Cuda | Library::Cudnn);
    environment.loaded().iter().filter(|_| alone).find(is_rival)
}

fn dlopen(path: &Path) -> std::result::Result<libloading::Library, String> {
    elf::check(path).map_err(|error| error.to_string())?;
    // SAFETY: NVIDIA's libraries, whose initialisers have no requirements. Lazy binding, symbols local to the handle.
    unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())
}

fn searched(environment: &Environment, library: Library) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in places(environment, library).into_iter().flat_map(|(_, places)| places) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// What to do about a variable that leads nowhere.
fn unmet(library: Library) -> String {
    let (variable, names) = (library.variable(), library.file_names().join(" or "));
    format!("{variable} names neither that file nor a directory with {names}: correct or unset it")
}

/// What to do about a library that is nowhere.
fn absent(library: Library) -> String {
    let variable = library.variable();
    if library == Library::Cuda {
        return format!(
            "install NVIDIA's driver (in a container, start it with access to the GPU), or set {variable} to libcuda.so.1"
        );
    }
    format!("`ocelli stack install` fetches it, or set {variable} to the file or its directory")
}
