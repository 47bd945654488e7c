//! Whether a shared object is whole.
//!
//! The loader maps the segments that a file's header names without a look at the file's length, and whoever touches the
//! missing ones dies by `SIGBUS`: a half-copied library would end the process instead of being an error.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

const HEADER: usize = 64;
const SEGMENT: usize = 56;

/// Refuses a file that is no 64-bit little-endian ELF file, or is shorter than what its header names.
///
/// # Errors
/// Why it is refused, or could not be read.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let refuse = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut header = [0; HEADER];
    let is_elf = file.read_exact(&mut header).is_ok() && header.starts_with(b"\x7fELF\x02\x01");
    if !is_elf {
        return refuse("it is no 64-bit shared object".to_owned());
    }
    let (table, size, count) = (number(&header[32..40]), number(&header[54..56]), number(&header[56..58]));
    // The sections' table, which nothing maps, is what linkers write last.
    let (sections, section_size) = (number(&header[40..48]), number(&header[58..60]));
    let mut end = sections.saturating_add(section_size * number(&header[60..62]));
    if size != SEGMENT as u64 {
        return refuse(format!("its header is damaged (segments of {size} bytes)"));
    }
    file.seek(SeekFrom::Start(table))?;
    for _ in 0..count {
        let mut segment = [0; SEGMENT];
        if file.read_exact(&mut segment).is_err() {
            return refuse(format!("it is truncated within its header, after {length} bytes"));
        }
        end = end.max(number(&segment[8..16]).saturating_add(number(&segment[32..40])));
    }
    if end > length {
        return refuse(format!("it is truncated: {length} of at least {end} bytes"));
    }
    Ok(())
}

/// A little-endian number of at most eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_whole_and_no_shorter_copy_of_it_is() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        check(&std::env::current_exe().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lib.so");
        for length in [0, 3, 63, 64, 100, 4096, whole.len() / 3, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            check(&path).unwrap_err();
        }
        std::fs::write(&path, vec![b'x'; 4096]).unwrap();
        assert!(check(&path).unwrap_err().to_string().contains("no 64-bit shared object"));
    }
}
