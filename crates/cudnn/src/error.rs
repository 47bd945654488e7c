use std::ffi::CStr;

use ocelli_cudnn_sys::{CUDNN_STATUS_SUCCESS, Functions, Status};

use crate::Version;

/// What can go wrong in this crate.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A cuDNN call failed.
    #[error("{call} failed: {name} ({status}){}{reason}", if reason.is_empty() { "" } else { ": " })]
    Cudnn {
        /// The C function, and what it was for.
        call: String,
        /// cuDNN's status.
        status: i32,
        /// The status's name.
        name: String,
        /// cuDNN's own text (`cudnnGetLastErrorString`); empty if it had none.
        reason: String,
    },
    /// The library that was found is older than this crate supports.
    #[error("cuDNN {found} is too old: install cuDNN {oldest} or newer, or point OCELLI_CUDNN to one")]
    TooOld {
        /// The version found.
        found: Version,
        /// The oldest version supported.
        oldest: Version,
    },
    /// An operation graph is not well formed.
    #[error("{operation}: {problem}")]
    InvalidGraph {
        /// The operation, with its tensors' shapes.
        operation: String,
        /// What is wrong.
        problem: String,
    },
    /// cuDNN has no engine for a graph under the given options.
    #[error(
        "cuDNN {version} has no engine for {graph} ({options}): {candidates} candidates, {excluded} of them ruled out by \
         the options; {reason}"
    )]
    NoEngine {
        /// The library's version.
        version: Version,
        /// The operations, with their tensors' shapes.
        graph: String,
        /// Engine configurations that the heuristics offered.
        candidates: usize,
        /// How many of them the options rule out.
        excluded: usize,
        /// The options.
        options: String,
        /// Why the last was refused, in cuDNN's words.
        reason: String,
    },
    /// A plan was given no pointer for one of its tensors.
    #[error("{plan}: no pointer was given for tensor {uid}")]
    MissingPointer {
        /// The plan's operations.
        plan: String,
        /// The tensor's unique id.
        uid: i64,
    },
    /// A plan that was made with no device cannot run.
    #[error("{plan}: planned from a device description, with no device to run on; plan with `Cudnn`")]
    NoDevice {
        /// The plan's operations.
        plan: String,
    },
    /// cuDNN returned text that is none.
    #[error("cuDNN's text for {what} is not UTF-8: {problem}")]
    InvalidText {
        /// Kind of descriptor.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The library or the device failed.
    #[error(transparent)]
    Cuda(#[from] ocelli_cuda::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether another engine may succeed where this failed: cuDNN refused the work, or there was no memory for it.
    ///
    /// A failure that leaves the device unusable (`CUDNN_STATUS_EXECUTION_FAILED...`) is none of these.
    pub fn is_refusal(&self) -> bool {
        match self {
            Error::Cudnn { status, .. } => (2000..5000).contains(status),
            Error::Cuda(error) => matches!(error, ocelli_cuda::Error::OutOfMemory { .. }),
            _ => false,
        }
    }

    /// Whether cuDNN cannot do what was asked, under the options given: no engine was left, or the graph itself was
    /// refused.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Error::NoEngine { .. }) || self.is_refusal()
    }
}

/// Turns a status into a result, with cuDNN's own reason.
pub(crate) fn check(functions: &Functions, status: Status, call: impl FnOnce() -> String) -> Result<()> {
    if status == CUDNN_STATUS_SUCCESS {
        return Ok(());
    }
    // SAFETY: cuDNN returns a pointer to static, null-terminated text for every integer.
    let name = unsafe { CStr::from_ptr((functions.get_error_string)(status)) }.to_string_lossy().into_owned();
    let reason = last_error(functions);
    Err(Error::Cudnn { call: call(), status, name, reason })
}

/// cuDNN's text about this thread's latest trouble, which it then forgets; empty if there was none.
///
/// Each engine that was considered leaves a paragraph: its settings in braces, the root cause, then the checks that passed
/// it on. The root causes are kept, each once.
pub(crate) fn last_error(functions: &Functions) -> String {
    let mut text = [0 as std::ffi::c_char; 4096];
    // SAFETY: the buffer has room for the size given, and ends in a null whatever the call writes.
    let text = unsafe {
        (functions.get_last_error_string)(text.as_mut_ptr(), text.len());
        text[text.len() - 1] = 0;
        CStr::from_ptr(text.as_ptr())
    };
    let text = text.to_string_lossy();
    let mut causes: Vec<&str> = Vec::new();
    let mut at_root = true;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('{') {
            at_root = true;
        } else if std::mem::take(&mut at_root) && !causes.contains(&line) {
            causes.push(line);
        }
    }
    causes.join("; ")
}
