//! NVRTC, NVIDIA's run-time compiler: our own table of its functions, and compilation to a cubin.

use std::ffi::{CString, c_char, c_int};
use std::fmt::Write;
use std::ptr;
use std::sync::OnceLock;

use super::KernelSource;
use crate::driver::text;
use crate::error::{Error, Result};
use crate::library::{self, Library};

type Program = *mut std::ffi::c_void;

/// Statuses are plain integers: a newer NVRTC may return ones that no list of ours has.
struct Nvrtc {
    version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int,
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> c_int,
    destroy: unsafe extern "C" fn(*mut Program) -> c_int,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int,
    cubin_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    cubin: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    log_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    log: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    error_string: unsafe extern "C" fn(c_int) -> *const c_char,
}

impl Nvrtc {
    fn get() -> Result<&'static Nvrtc> {
        static NVRTC: OnceLock<Nvrtc> = OnceLock::new();
        if let Some(nvrtc) = NVRTC.get() {
            return Ok(nvrtc);
        }
        let library = library::open(Library::Nvrtc)?;
        // SAFETY: the types are those of nvrtc.h, unchanged since CUDA 11.1; an enum is an int there.
        let nvrtc = unsafe {
            Nvrtc {
                version: library.symbol("nvrtcVersion")?,
                create: library.symbol("nvrtcCreateProgram")?,
                destroy: library.symbol("nvrtcDestroyProgram")?,
                compile: library.symbol("nvrtcCompileProgram")?,
                cubin_size: library.symbol("nvrtcGetCUBINSize")?,
                cubin: library.symbol("nvrtcGetCUBIN")?,
                log_size: library.symbol("nvrtcGetProgramLogSize")?,
                log: library.symbol("nvrtcGetProgramLog")?,
                error_string: library.symbol("nvrtcGetErrorString")?,
            }
        };
        Ok(NVRTC.get_or_init(|| nvrtc))
    }

    fn check(&self, call: &'static str, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: returns a static string for any number.
        let message = text(unsafe { (self.error_string)(code) });
        Err(Error::Nvrtc { call, code, message })
    }
}

/// The version of the NVRTC in use, major and minor.
///
/// # Errors
/// A library error when NVRTC is missing.
pub fn nvrtc_version() -> Result<(u32, u32)> {
    let nvrtc = Nvrtc::get()?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: writes two ints.
    nvrtc.check("nvrtcVersion", unsafe { (nvrtc.version)(&mut major, &mut minor) })?;
    Ok((major.max(0) as u32, minor.max(0) as u32))
}

/// A program of NVRTC's, destroyed on drop.
struct OwnedProgram {
    raw: Program,
    nvrtc: &'static Nvrtc,
}

impl Drop for OwnedProgram {
    fn drop(&mut self) {
        // SAFETY: created by NVRTC, destroyed once.
        let _ = unsafe { (self.nvrtc.destroy)(&mut self.raw) };
    }
}

impl OwnedProgram {
    fn log(&self) -> Result<String> {
        let mut size = 0;
        // SAFETY: the program is alive.
        self.nvrtc.check("nvrtcGetProgramLogSize", unsafe { (self.nvrtc.log_size)(self.raw, &mut size) })?;
        let mut log = vec![0_u8; size];
        // SAFETY: the buffer has the size that NVRTC asked for.
        let status = unsafe { (self.nvrtc.log)(self.raw, log.as_mut_ptr().cast()) };
        self.nvrtc.check("nvrtcGetProgramLog", status)?;
        Ok(String::from_utf8_lossy(&log).trim_end_matches('\0').trim_end().to_owned())
    }

    fn cubin(&self) -> Result<Vec<u8>> {
        let mut size = 0;
        // SAFETY: the program is alive and has been compiled.
        self.nvrtc.check("nvrtcGetCUBINSize", unsafe { (self.nvrtc.cubin_size)(self.raw, &mut size) })?;
        let mut cubin = vec![0_u8; size];
        // SAFETY: the buffer has the size that NVRTC asked for.
        let status = unsafe { (self.nvrtc.cubin)(self.raw, cubin.as_mut_ptr().cast()) };
        self.nvrtc.check("nvrtcGetCUBIN", status)?;
        Ok(cubin)
    }
}

/// Compiles `source` for a real architecture such as `sm_90` to a cubin; needs no GPU and no driver, uses no cache.
///
/// # Errors
/// [`Error::CompileFailed`] with NVRTC's log and the lines around its first error, also for an architecture or an
/// option that NVRTC does not know; a library error when NVRTC is missing; [`Error::Nvrtc`] for its other failures.
pub fn compile_cubin(source: &KernelSource, architecture: &str) -> Result<Vec<u8>> {
    let failed = |log: String| Error::CompileFailed {
        name: source.name.clone(),
        architecture: architecture.to_owned(),
        excerpt: excerpt(&source.source, &log),
        log,
    };
    let c_string = |text: &str| {
        CString::new(text).map_err(|_| failed("a zero byte in the source or its options".into()))
    };
    if !architecture.starts_with("sm_") {
        return Err(failed(format!(
            "a cubin is made for a real architecture, `sm_..`, not for `{architecture}`"
        )));
    }
    let nvrtc = Nvrtc::get()?;
    let (code, name) = (c_string(&source.source)?, c_string(&source.name)?);
    let architecture_option = format!("--gpu-architecture={architecture}");
    let options = std::iter::once(architecture_option.as_str())
        .chain(source.options.iter().map(String::as_str))
        .map(c_string)
        .collect::<Result<Vec<CString>>>()?;
    let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();

    let mut program = OwnedProgram { raw: ptr::null_mut(), nvrtc };
    let no_headers = ptr::null();
    // SAFETY: strings that end in zero bytes and live beyond the call; no headers, so no arrays of them.
    let status =
        unsafe { (nvrtc.create)(&mut program.raw, code.as_ptr(), name.as_ptr(), 0, no_headers, no_headers) };
    nvrtc.check("nvrtcCreateProgram", status)?;
    // SAFETY: the program is alive; as many options as stated, each ending in a zero byte.
    let status = unsafe { (nvrtc.compile)(program.raw, options.len() as c_int, options.as_ptr()) };
    if let Err(error) = nvrtc.check("nvrtcCompileProgram", status) {
        return Err(match program.log() {
            Ok(log) if !log.is_empty() => failed(log),
            _ => error,
        });
    }
    program.cubin()
}

/// The lines around the first error that the log places in the source, numbered, the erroneous one marked.
fn excerpt(source: &str, log: &str) -> String {
    const AROUND: usize = 3;
    let Some(wrong) = log.lines().find_map(error_line) else { return String::new() };
    let first = wrong.saturating_sub(AROUND).max(1);
    let lines = source.lines().enumerate().skip(first - 1).take(wrong + AROUND + 1 - first);
    let mut out = String::new();
    for (index, line) in lines {
        let number = index + 1;
        let mark = if number == wrong { '>' } else { ' ' };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{mark}{number:5} | {line}");
    }
    out
}

/// The line number of a log line such as `name(12): error: ...`.
fn error_line(line: &str) -> Option<usize> {
    let (place, _) = line.split_once("): error")?;
    place.rsplit_once('(')?.1.parse().ok().filter(|&number| number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_excerpt_shows_numbered_lines_around_the_first_error() {
        let source = (1..=9).map(|n| format!("line {n}\n")).collect::<String>();
        let log = "k(2): warning: unused\nk(5): error: identifier \"x\" is undefined\nk(9): error: more";
        let expected = "     2 | line 2\n     3 | line 3\n     4 | line 4\n>    5 | line 5\n     6 | line 6\n     7 | line 7\n     8 | line 8\n";
        assert_eq!(excerpt(&source, log), expected);
        assert_eq!(excerpt("only", "k(1): error: x"), ">    1 | only\n");
        assert_eq!(excerpt("only", "nvrtc: error: invalid value"), "");
        assert_eq!(excerpt("only", "k(0): error: x"), "");
        assert_eq!(excerpt("only", "k(99999): error: x"), "");
    }
}
