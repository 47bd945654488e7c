//! Compiled kernels on disk, so that only the first process to need one compiles it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::{KernelSource, compile_cubin, nvrtc_version};
use crate::error::{Error, Result};

/// First bytes of an entry; the number changes with the format.
const MAGIC: &[u8; 16] = b"ocelli cubin 1\n\0";
const CHECKSUM_BYTES: usize = 32;

/// A directory of cubins, keyed by source, options, architecture and NVRTC version.
///
/// An entry is `<key>.cubin`, a checksum before the cubin, with its source beside it as `<key>.cu`. Entries are written
/// aside and renamed, so any number of processes may share the directory. A damaged entry is compiled again. A
/// directory that cannot be written is reported once and otherwise costs nothing but the compilations.
#[derive(Clone, Debug)]
pub struct KernelCache {
    directory: PathBuf,
}

type Key = [u8; CHECKSUM_BYTES];

impl KernelCache {
    /// A cache in `directory`, which is made when the first entry is written.
    pub fn new(directory: impl Into<PathBuf>) -> KernelCache {
        KernelCache { directory: directory.into() }
    }

    /// Where the entries are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The cubin of `source` for `architecture`, from the directory or compiled now and put there.
    ///
    /// # Errors
    /// As [`compile_cubin`]; never for a fault of the cache itself.
    pub fn cubin(&self, source: &KernelSource, architecture: &str) -> Result<Vec<u8>> {
        let key = key(source, architecture, nvrtc_version()?);
        let path = self.entry(&key);
        if let Some(cubin) = read(&path, &key) {
            return Ok(cubin);
        }
        let cubin = compile_cubin(source, architecture)?;
        if let Err(error) = self.store(&key, source, architecture, &cubin) {
            static REPORTED: AtomicBool = AtomicBool::new(false);
            if !REPORTED.swap(true, Ordering::Relaxed) {
                tracing::warn!(%error, "compiled kernels are not kept: every start will compile them again");
            }
        }
        Ok(cubin)
    }

    /// Checks that entries can be written, making the directory if need be.
    ///
    /// # Errors
    /// [`Error::Io`] with the path and the reason.
    pub fn check_writable(&self) -> Result<()> {
        fs::create_dir_all(&self.directory).map_err(|source| self.unwritable(&self.directory, source))?;
        let probe = self.aside();
        let written = File::create_new(&probe).and_then(|mut file| file.write_all(MAGIC));
        let removed = fs::remove_file(&probe);
        written.and(removed).map_err(|source| self.unwritable(&probe, source))
    }

    fn store(&self, key: &Key, source: &KernelSource, architecture: &str, cubin: &[u8]) -> Result<()> {
        fs::create_dir_all(&self.directory).map_err(|source| self.unwritable(&self.directory, source))?;
        let entry = self.entry(key);
        let options = source.options.join(" ");
        let listing =
            format!("// {}, {architecture} {options}\n{}", source.name.escape_debug(), source.source);
        self.write(&entry.with_extension("cu"), &[listing.as_bytes()])?;
        self.write(&entry, &[MAGIC, &checksum(key, cubin), cubin])
    }

    /// Writes `parts` aside and renames them to `path`; leaves nothing behind when it fails.
    fn write(&self, path: &Path, parts: &[&[u8]]) -> Result<()> {
        let aside = self.aside();
        let written = File::create_new(&aside)
            .and_then(|mut file| parts.iter().try_for_each(|part| file.write_all(part)))
            .and_then(|()| fs::rename(&aside, path));
        written.map_err(|source| {
            let _ = fs::remove_file(&aside);
            self.unwritable(path, source)
        })
    }

    /// A file name that no other thread or process uses.
    fn aside(&self) -> PathBuf {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        // Process ids repeat across containers that share the directory; the time of the call does not.
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
        self.directory.join(format!(".{}-{now}-{count}.tmp", std::process::id()))
    }

    fn entry(&self, key: &Key) -> PathBuf {
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(name + ".cubin")
    }

    fn unwritable(&self, path: &Path, source: io::Error) -> Error {
        Error::Io { action: "write to the kernel cache", path: path.to_owned(), source }
    }
}

/// The cubin of an entry, or nothing if it is missing or damaged.
fn read(path: &Path, key: &Key) -> Option<Vec<u8>> {
    let entry = fs::read(path).ok()?;
    let sound = || {
        let (sum, cubin) = entry.strip_prefix(MAGIC)?.split_at_checked(CHECKSUM_BYTES)?;
        (checksum(key, cubin) == sum).then(|| cubin.to_vec())
    };
    let cubin = sound();
    if cubin.is_none() {
        tracing::debug!(path = %path.display(), "damaged kernel cache entry; compiling again");
    }
    cubin
}

/// Covers the key as well, so that an entry under another entry's name is not taken for it.
fn checksum(key: &Key, cubin: &[u8]) -> Key {
    Sha256::new().chain_update(key).chain_update(cubin).finalize().into()
}

/// Every part is preceded by its length, so that no two different sets of parts read the same.
fn key(source: &KernelSource, architecture: &str, (major, minor): (u32, u32)) -> Key {
    let version = format!("{major}.{minor}");
    let parts =
        [architecture, &version, &source.source].into_iter().chain(source.options.iter().map(String::as_str));
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(code: &str, options: &[&str]) -> KernelSource {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        KernelSource { name: "k".into(), source: code.into(), options }
    }

    #[test]
    fn the_key_depends_on_everything_that_shapes_the_cubin_and_on_nothing_else() {
        let base = key(&source("code", &["-a", "-b"]), "sm_90", (13, 0));
        assert_eq!(
            base,
            key(&KernelSource { name: "other".into(), ..source("code", &["-a", "-b"]) }, "sm_90", (13, 0))
        );
        let different = [
            key(&source("code2", &["-a", "-b"]), "sm_90", (13, 0)),
            key(&source("code", &["-b", "-a"]), "sm_90", (13, 0)),
            key(&source("code", &["-a-b"]), "sm_90", (13, 0)),
            key(&source("code", &["-a"]), "sm_90", (13, 0)),
            key(&source("code", &["-a", "-b"]), "sm_80", (13, 0)),
            key(&source("code", &["-a", "-b"]), "sm_90", (13, 1)),
        ];
        assert!(different.iter().all(|other| *other != base));
    }
}
