//! What can go wrong in this crate.

use std::io;
use std::path::PathBuf;

use crate::library::Library;

/// The result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No file serves a library.
    #[error("{library} was not found; {hint}; searched: {}", list(.searched))]
    LibraryNotFound {
        /// Which library.
        library: Library,
        /// Where it was looked for, in order.
        searched: Vec<PathBuf>,
        /// What to do.
        hint: String,
    },
    /// A file was found but cannot serve.
    #[error("{library} at {} cannot be used: {reason}", path.display())]
    LibraryUnusable {
        /// Which library.
        library: Library,
        /// The file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// A library lacks a function.
    #[error("{library} at {} has no function `{symbol}`; a newer version has", path.display())]
    MissingSymbol {
        /// Which library.
        library: Library,
        /// The file.
        path: PathBuf,
        /// The function.
        symbol: String,
    },
    /// A file or directory could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A call of the CUDA driver failed; for an asynchronous failure, any call after the one at fault.
    #[error("{call} failed: {message} ({name}, {code})")]
    Driver {
        /// The driver's function.
        call: &'static str,
        /// Its status.
        code: i32,
        /// The status's name.
        name: String,
        /// The driver's description of it.
        message: String,
    },
    /// The driver is older than this crate supports.
    #[error("the NVIDIA driver offers CUDA {}.{}, at least {}.{} is needed: update the driver", found / 1000, found % 1000 / 10, needed / 1000, needed % 1000 / 10)]
    DriverTooOld {
        /// The driver's CUDA version, major * 1000 + minor * 10.
        found: i32,
        /// The oldest that will do.
        needed: i32,
    },
    /// A GPU was asked for that is not there.
    #[error("there is no GPU {ordinal}: the driver shows {count} (CUDA_VISIBLE_DEVICES may hide others)")]
    NoSuchDevice {
        /// The GPU asked for, from 0.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// Neither the pool nor the GPU has enough memory.
    #[error(
        "out of GPU memory: {requested} bytes requested, {free} of {total} free; use a smaller batch or image, or free the GPU of other programs"
    )]
    OutOfMemory {
        /// Bytes asked for.
        requested: usize,
        /// Bytes free on the GPU, once the pool had given back what it kept unused.
        free: usize,
        /// Bytes of the GPU.
        total: usize,
    },
    /// A copy or fill beyond the end of a buffer.
    #[error("bytes {offset}..+{bytes} are outside a {what} of {len} bytes")]
    OutOfBounds {
        /// Kind of buffer.
        what: &'static str,
        /// First byte.
        offset: usize,
        /// Number of bytes.
        bytes: usize,
        /// Length of the buffer.
        len: usize,
    },
    /// A captured graph allocates or frees memory, which a replay must not.
    #[error(
        "the captured work allocates or frees device memory ({nodes} nodes): allocate before the capture"
    )]
    GraphAllocates {
        /// Number of allocation and free nodes.
        nodes: usize,
    },
    /// A kernel's source does not compile.
    #[error("kernel `{name}` does not compile for {architecture}:\n{log}\n{excerpt}")]
    CompileFailed {
        /// The kernel source's name.
        name: String,
        /// What it was compiled for.
        architecture: String,
        /// NVRTC's log.
        log: String,
        /// Numbered lines around the first error.
        excerpt: String,
    },
    /// A call of NVRTC failed for a reason other than the source.
    #[error("{call} failed: {message} ({code})")]
    Nvrtc {
        /// NVRTC's function.
        call: &'static str,
        /// Its status.
        code: i32,
        /// NVRTC's name of the status.
        message: String,
    },
    /// A module has no kernel of that name.
    #[error("the module `{module}` has no kernel `{function}`; is it declared `extern \"C\" __global__`?")]
    FunctionNotFound {
        /// The module's name.
        module: String,
        /// The kernel's name.
        function: String,
    },
    /// A call of cuBLASLt failed.
    #[error("{call} failed: {message} ({name}, {code})")]
    CublasLt {
        /// cuBLASLt's function.
        call: &'static str,
        /// Its status.
        code: i32,
        /// The status's name.
        name: String,
        /// cuBLASLt's description of it.
        message: String,
    },
    /// A matrix product that makes no sense.
    #[error("invalid matrix product {spec}: {reason}")]
    InvalidMatmul {
        /// The product.
        spec: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// cuBLASLt has no way to compute a product.
    #[error("cuBLASLt cannot compute {spec} with {workspace_limit} bytes of workspace")]
    NoMatmul {
        /// The product.
        spec: String,
        /// The workspace it was allowed, bytes.
        workspace_limit: usize,
    },
    /// A stack's name that could lead out of the directory of stacks.
    #[error(
        "`{name}` cannot name a stack: at most 64 letters, digits and -_.+, the first a letter or digit, and not `current`"
    )]
    InvalidStackName {
        /// The name.
        name: String,
    },
    /// A stack that is not installed.
    #[error(
        "there is no stack `{name}` in {} (installed: {}): install it with `ocelli stack install`, or choose another with `ocelli stack use` or OCELLI_STACK",
        directory.display(), if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    )]
    UnknownStack {
        /// The name.
        name: String,
        /// The stacks that are installed.
        known: Vec<String>,
        /// Where stacks are.
        directory: PathBuf,
    },
    /// A stack of that name is there already.
    #[error("the stack `{name}` exists at {}: choose another name, or remove it with `ocelli stack remove {name}`", path.display())]
    StackExists {
        /// The name.
        name: String,
        /// Its directory.
        path: PathBuf,
    },
    /// Another process is changing the stacks.
    #[error("another process is installing or removing a stack in {}: try again when it has ended", directory.display())]
    StackBusy {
        /// Where stacks are.
        directory: PathBuf,
    },
    /// A package that is not a plain name, with or without a version.
    #[error("`{requirement}` is not a package: write `name` or `name==version`")]
    InvalidRequirement {
        /// What was given.
        requirement: String,
    },
    /// No stack can serve a driver this old.
    #[error("no libraries fit the driver {driver}: update it to 525 or newer (580 or newer for CUDA 13)")]
    DriverTooOldForStack {
        /// The driver's version.
        driver: String,
    },
    /// pip is not installed.
    #[error("pip was not found (tried: {tried}): install python3-pip, or uv")]
    PipNotFound {
        /// The commands that were tried.
        tried: String,
    },
    /// pip failed.
    #[error("`{command}` failed ({status}):\n{output}")]
    PipFailed {
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines it wrote.
        output: String,
    },
    /// Packages without a library in them.
    #[error("the packages hold no library of NVIDIA's (no nvidia/*/lib): {packages}")]
    EmptyStack {
        /// The packages.
        packages: String,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
