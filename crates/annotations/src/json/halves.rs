//! A long array read by two threads.
//!
//! Where the middle of a file is, nobody knows without having read what is before it: it may be within a string. So the
//! second thread begins where an element seems to begin, and what it reads counts only if the first one comes to that
//! very place and expects an element there; from the same place on, both would read the same. If it does not, or the
//! second thread finds an error, the first one reads on alone, and tells of the error in its own words.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::{Reader, Result};

/// An array with fewer bytes to the end of its file is read by one thread.
pub(crate) const WORTH_IT: u64 = 1 << 23;
/// How far after the middle the beginning of an element is looked for.
const LOOK: usize = 1 << 20;

/// What the second thread has read.
struct Half<T> {
    elements: Vec<T>,
    /// A reader that stands behind the array.
    reader: Reader<File>,
}

impl Reader<File> {
    /// Takes an array of objects, which are `parse`d by two threads if there are `worth_it` bytes left of the file; `take`
    /// is given them in their order, and the reader that has come so far.
    pub(crate) fn array_in_halves<T: Send>(
        &mut self,
        path: &Path,
        worth_it: u64,
        parse: impl Fn(&mut Reader<File>) -> Result<T> + Sync,
        mut take: impl FnMut(T, &Reader<File>) -> Result<()>,
    ) -> Result<()> {
        if !self.begin_array()? {
            return Ok(());
        }
        let (start, parse) = (self.likely_middle(path, worth_it), &parse);
        std::thread::scope(|scope| {
            let mut second = start.map(|start| scope.spawn(move || second_half(path, start, parse)));
            loop {
                self.token()?;
                if start == Some(self.offset())
                    && let Some(second) = second.take()
                {
                    let half = second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    if let Some(Half { elements, reader }) = half {
                        self.go_on_with(reader);
                        return elements.into_iter().try_for_each(|element| take(element, self));
                    }
                }
                take(parse(self)?, self)?;
                if !self.more()? {
                    return Ok(());
                }
            }
        })
    }

    /// Where an element seems to begin in the middle of what is left of the file.
    fn likely_middle(&self, path: &Path, worth_it: u64) -> Option<u64> {
        if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
            return None;
        }
        let mut file = File::open(path).ok()?;
        // A pipe has no length, and no middle.
        let length = file.metadata().ok().filter(|file| file.is_file())?.len();
        let left = length.checked_sub(self.offset()).filter(|&left| left >= worth_it)?;
        let middle = self.offset() + left / 2;
        file.seek(SeekFrom::Start(middle)).ok()?;
        let mut text = Vec::new();
        file.take(LOOK as u64).read_to_end(&mut text).ok()?;
        memchr::memchr_iter(b'}', &text).find_map(|end| {
            let rest = &text[end + 1..];
            let object = after(rest, b',').and_then(|rest| after(rest, b'{'))?;
            // A key or the end of the object follows.
            matches!(object.trim_ascii_start().first(), Some(b'"' | b'}'))
                .then(|| middle + (text.len() - object.len() - 1) as u64)
        })
    }
}

/// What follows a byte, which may follow white space.
fn after(text: &[u8], byte: u8) -> Option<&[u8]> {
    text.trim_ascii_start().strip_prefix(&[byte])
}

fn second_half<T>(
    path: &Path,
    start: u64,
    parse: &impl Fn(&mut Reader<File>) -> Result<T>,
) -> Option<Half<T>> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut reader = Reader::within_array(file, start);
    let mut elements = Vec::new();
    loop {
        elements.push(parse(&mut reader).ok()?);
        if !reader.more().ok()? {
            return Some(Half { elements, reader });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Error;
    use super::*;

    /// What the array of a file holds, or what is wrong with it, and what comes after it; read by one thread and by two.
    fn read(text: &str, worth_it: u64) -> std::result::Result<(Vec<(i64, String)>, String), String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let mut reader = Reader::new(File::open(file.path()).unwrap());
        let parse = |reader: &mut Reader<File>| {
            let mut element = (0, String::new());
            reader.object(|reader, key| {
                match key {
                    "id" => element.0 = reader.integer()?,
                    _ => {
                        let mut raw = Vec::new();
                        reader.raw(&mut raw)?;
                        element.1.push_str(std::str::from_utf8(&raw).unwrap());
                    }
                }
                Ok(())
            })?;
            Ok(element)
        };
        let mut elements = Vec::new();
        let mut last = 0;
        let take = |element, reader: &Reader<File>| {
            elements.push(element);
            assert!(reader.offset() >= last);
            last = reader.offset();
            Ok(())
        };
        let end = reader.array_in_halves(file.path(), worth_it, parse, take).and_then(|()| reader.finish());
        match end {
            Ok(()) => Ok((elements, reader.position().to_string())),
            Err(Error::Syntax { what, position }) => Err(format!("{position}: {what}")),
            Err(Error::Io(error)) => Err(error.to_string()),
        }
    }

    #[test]
    fn two_threads_read_what_one_reads() {
        let traps = [
            r#"{"id": 1, "a": "}, {\"id\": 7}"}"#,
            r#"{"a": [{"id": 3}, {"id": 4}, {"b": {}}], "id": 2}"#,
            "{\"id\": 3,\n \"a\": \"\\\"}\\n,{\"}",
            "{}",
            r#"{"a": [[1.5, 2], [3, 4]]}"#,
        ];
        for count in 0..60 {
            for (separator, end) in [(", ", "]\n"), (",", "]"), (" ,\n  ", "\n ]")] {
                let elements: Vec<&str> = (0..count).map(|i| traps[i * i % traps.len()]).collect();
                let whole = format!("[{}{end}", elements.join(separator));
                assert_eq!(read(&whole, 0), read(&whole, u64::MAX), "{whole}");
                assert_eq!(read(&whole, 0).unwrap().0.len(), count);
                for broken in [
                    whole.replacen("\"id\": 3", "\"id\": 3.5", 1),
                    whole.replace("}]", "},]"),
                    whole[..whole.len() / 2].into(),
                    whole[..whole.len() * 3 / 4].into(),
                    format!("{whole},"),
                ] {
                    assert_eq!(read(&broken, 0), read(&broken, u64::MAX), "{broken}");
                }
            }
        }
    }

    #[test]
    fn the_second_half_is_used() {
        // The place is found, and is an element's.
        let text = format!("[{}]", vec![r#"{"id": 5}"#; 1000].join(", "));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let reader = Reader::new(File::open(file.path()).unwrap());
        let start = reader.likely_middle(file.path(), 0);
        if std::thread::available_parallelism().unwrap().get() > 1 {
            let start = start.unwrap() as usize;
            assert!(text[start..].starts_with(r#"{"id": 5}"#) && start.abs_diff(text.len() / 2) < 20);
        }
    }
}
