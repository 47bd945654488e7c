//! Plans on disk.
//!
//! One file for each plan, named by a hash of all that decides its validity: graph, options, cuDNN, GPU, driver, this
//! crate. A file is a line with the hash of the rest, then an [`Entry`] in JSON. It is written aside and renamed, so that
//! other processes see all of it or nothing; what is damaged is as good as absent.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::Engine;
use crate::{OperationGraph, PlanOptions};

/// What is kept of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) engine: Engine,
    /// The time with which it won a measurement; entries of before there were times lack it, and are measured anew.
    #[serde(default)]
    pub(crate) milliseconds: Option<f32>,
    /// cuDNN's description of the plan, with its kernel if one was compiled for it.
    pub(crate) json: String,
}

/// A directory of plans for one library and device.
#[derive(Debug)]
pub(crate) struct DiskCache {
    directory: PathBuf,
    /// Library, device and driver.
    identity: String,
    warned: AtomicBool,
}

impl DiskCache {
    pub(crate) fn new(directory: PathBuf, identity: String) -> DiskCache {
        DiskCache { directory, identity, warned: AtomicBool::new(false) }
    }

    fn path(&self, graph: &OperationGraph, options: &PlanOptions) -> Option<PathBuf> {
        let key = serde_json::to_vec(&(env!("CARGO_PKG_VERSION"), &self.identity, graph, options)).ok()?;
        Some(self.directory.join(format!("{}.plan", digest(&key))))
    }

    /// The entry for a graph, if there is one and it is whole.
    pub(crate) fn load(&self, graph: &OperationGraph, options: &PlanOptions) -> Option<Entry> {
        let path = self.path(graph, options)?;
        let text = fs::read_to_string(&path).ok()?;
        let (checksum, body) = text.split_once('\n')?;
        if checksum != digest(body.as_bytes()) {
            tracing::debug!(path = %path.display(), "a damaged plan is made anew");
            return None;
        }
        serde_json::from_str(body).ok()
    }

    /// Keeps an entry. Where that fails there is one warning, and the plan is made anew in the next process.
    pub(crate) fn store(
        &self,
        graph: &OperationGraph,
        options: &PlanOptions,
        engine: &Engine,
        milliseconds: Option<f32>,
        json: String,
    ) {
        let entry = Entry { engine: engine.clone(), milliseconds, json };
        let (Some(path), Ok(body)) = (self.path(graph, options), serde_json::to_string(&entry)) else {
            return;
        };
        if let Err(error) = write_atomically(&path, &format!("{}\n{body}", digest(body.as_bytes())))
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(directory = %self.directory.display(), %error, "cuDNN plans cannot be cached");
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let aside =
        path.with_extension(format!("{}-{}.tmp", process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    let written = fs::write(&aside, text).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // The first error is the one that matters.
        let _ = fs::remove_file(&aside);
    }
    written
}
