use std::borrow::Cow;
use std::fs::File;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::str;

use memmap2::Mmap;

use super::format::{END_MAGIC, ENTRY, Entry, FOOT, Foot, HEAD, MAGIC, VERSION, u32_at};
use crate::encoded::{Encoded, IGNORED};
use crate::{Error, Result};

/// A record file, open for reading. Records are read from the disk, or from the system's memory of it, when they are
/// asked for; any number of threads may ask.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    bytes: Bytes,
    count: usize,
    /// Where the entries of the index are.
    index: Range<usize>,
    /// Where the names are.
    names: Range<usize>,
    classes: Vec<String>,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl Records {
    /// Opens a record file and checks its whole index: that it is undamaged, and that every record lies in the file and
    /// apart from the others. The records themselves are checked when they are read.
    ///
    /// The file is mapped into memory, and must not be changed in place while it is open. [`Writer`](super::Writer)
    /// never does: it makes a new file and renames it.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be opened, otherwise as [`Records::from_bytes`].
    pub fn open(path: &Path) -> Result<Records> {
        let cannot_open = |source| Error::Io { action: "open", path: path.into(), source };
        let file = File::open(path).map_err(cannot_open)?;
        // An empty file cannot be mapped everywhere.
        if file.metadata().map_err(cannot_open)?.len() == 0 {
            return Records::check(Bytes::Owned(Vec::new()), path);
        }
        // Mapped and not read: images are asked for in a random order by many threads, whose bytes then need no copy, no
        // buffer and no lock; and what maps files safely is not to be had, because no crate can keep others from changing
        // one. That promise is made here, by the only code that writes such files, and so the call stands here.
        //
        // SAFETY: The map is read-only and lives as long as what borrows from it. What is left to ask for is that
        // nobody changes the file meanwhile, which no code can hold another process to. Ocelli's own code does not:
        // record files are written under another name and renamed when they are whole, which leaves the mapped file as
        // it is; and the documentation above asks it of everybody else. Ranges are checked against the map at each
        // use, and text for being UTF-8, so that no later step relies on what was read before.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| Error::Io {
            action: "map into memory",
            path: path.into(),
            source,
        })?;
        Records::check(Bytes::Mapped(map), path)
    }

    /// A record file that is in memory; `path` only names it in errors.
    ///
    /// # Errors
    /// [`Error::NoRecords`] where the bytes are of another kind of file; [`Error::Malformed`] where they end early, or are
    /// damaged outside of the records;
    /// [`Error::NewerVersion`] where a later version of Ocelli wrote them.
    pub fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Records> {
        Records::check(Bytes::Owned(bytes), path)
    }

    fn check(bytes: Bytes, path: &Path) -> Result<Records> {
        let malformed = |what: &str, expected: String, found: String| Error::Malformed {
            path: path.into(),
            what: what.into(),
            expected,
            found,
        };
        // What is shorter may be the beginning of one.
        if !bytes.starts_with(&MAGIC) && !MAGIC.starts_with(&bytes) {
            return Err(Error::NoRecords { path: path.into() });
        }
        let cut_short = || {
            let expected = format!("a record file, which ends with {}", END_MAGIC.escape_ascii());
            malformed("end", expected, format!("{} bytes, cut short", bytes.len()))
        };
        let head = bytes.first_chunk::<HEAD>().ok_or_else(cut_short)?;
        match u32_at(head, MAGIC.len()) {
            VERSION => {}
            0 => return Err(malformed("version", format!("1 to {VERSION}"), "0".into())),
            found => return Err(Error::NewerVersion { path: path.into(), found, supported: VERSION }),
        }
        let (_, after_head) = bytes.split_at(HEAD);
        let foot = after_head.last_chunk::<FOOT>().filter(|foot| foot.ends_with(&END_MAGIC));
        let (foot, crc) = Foot::from_bytes(foot.ok_or_else(cut_short)?);

        let wrong_foot = || {
            let Foot { index, count, names, classes } = foot;
            let found = format!(
                "an index at {index} of {count} records, {names} bytes of names and {classes} of classes, in {} bytes",
                bytes.len()
            );
            malformed("foot", "parts that fill the file".into(), found)
        };
        let [index, names, classes] = foot.parts(bytes.len()).ok_or_else(wrong_foot)?;
        let covered = bytes.get(index.start..classes.end).unwrap_or_default();
        let found = crc32c::crc32c_append(crc32c::crc32c(covered), &foot.to_bytes());
        if found != crc {
            let [expected, found] = [crc, found].map(|crc| format!("CRC-32C {crc:#010x}"));
            return Err(malformed("index", expected, found));
        }
        let classes = parse_classes(bytes.get(classes).unwrap_or_default())
            .ok_or_else(|| malformed("class names", "lengths and UTF-8".into(), "something else".into()))?;
        let count = index.len() / ENTRY;
        let records = Records { path: path.into(), bytes, count, index, names, classes };
        records.check_entries()?;
        Ok(records)
    }

    /// Checks every entry of the index against the file and the entry before.
    fn check_entries(&self) -> Result<()> {
        let malformed = |index: usize, what: &str, expected: String, found: String| Error::Malformed {
            path: self.path.clone(),
            what: format!("{what} of record {index}"),
            expected,
            found,
        };
        let (mut end, mut name_end) = (HEAD as u64, 0);
        for index in 0..self.count {
            let Some(entry) = self.entry(index) else { break };
            let records_end = self.index.start as u64;
            let fits = entry.offset.checked_add(entry.length.into()).filter(|&end| end <= records_end);
            let Some(entry_end) = fits.filter(|_| entry.offset >= end) else {
                let found = format!("{} bytes at {}", entry.length, entry.offset);
                return Err(malformed(
                    index,
                    "place",
                    format!("bytes between {end} and {records_end}"),
                    found,
                ));
            };
            end = entry_end;
            let is_class = usize::try_from(entry.label).is_ok_and(|label| label < self.classes.len());
            if !self.classes.is_empty() && !is_class {
                let expected = format!("0 to {}", self.classes.len() - 1);
                return Err(malformed(index, "label", expected, entry.label.to_string()));
            }
            if entry.name_end < name_end || self.name(index).is_none() {
                let expected = format!("UTF-8 between {name_end} and {}", self.names.len());
                return Err(malformed(index, "name", expected, format!("its end at {}", entry.name_end)));
            }
            name_end = entry.name_end;
        }
        Ok(())
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The names of the classes, by label; none where the file was written without.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The label of each record.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = i32> + '_ {
        (0..self.count).map(|index| self.label(index))
    }

    /// The name of a record, if there is such a record.
    pub fn name(&self, index: usize) -> Option<&str> {
        let end = self.entry(index)?.name_end as usize;
        let start = match index.checked_sub(1) {
            Some(before) => self.entry(before)?.name_end as usize,
            None => 0,
        };
        str::from_utf8(self.bytes.get(self.names.clone())?.get(start..end)?).ok()
    }

    /// The bytes of a record.
    ///
    /// # Errors
    /// [`Error::Malformed`], which names file and record, where the bytes are not those that were written;
    /// [`Error::Setting`] where there is no such record.
    pub fn get(&self, index: usize) -> Result<&[u8]> {
        let Some(entry) = self.entry(index) else {
            let what =
                format!("there is no record {index} in {}, which has {}", self.path.display(), self.count);
            return Err(Error::Setting { what });
        };
        let found = usize::try_from(entry.offset)
            .ok()
            .and_then(|offset| self.bytes.get(offset..)?.get(..entry.length as usize))
            .map(|bytes| (bytes, crc32c::crc32c(bytes)));
        match found {
            Some((bytes, crc)) if crc == entry.crc => Ok(bytes),
            _ => Err(Error::Malformed {
                path: self.path.clone(),
                what: format!("record {index} ({})", self.name(index).unwrap_or_default()),
                expected: format!("CRC-32C {:#010x}", entry.crc),
                found: found.map_or("no such place".into(), |(_, crc)| format!("{crc:#010x}")),
            }),
        }
    }

    fn entry(&self, index: usize) -> Option<Entry> {
        let (entries, _) = self.bytes.get(self.index.clone())?.as_chunks::<ENTRY>();
        entries.get(index).map(Entry::from_bytes)
    }
}

impl Encoded for Records {
    fn len(&self) -> usize {
        self.count
    }

    /// [`IGNORED`] where there is no such record.
    fn label(&self, index: usize) -> i32 {
        self.entry(index).map_or(IGNORED, |entry| entry.label)
    }

    fn bytes(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        self.get(index).map(Cow::Borrowed)
    }

    /// The path of the record file and the record's name below it.
    fn name(&self, index: usize) -> PathBuf {
        self.path.join(Records::name(self, index).unwrap_or_default())
    }
}

impl Foot {
    /// Where index, names and classes are in a file of this length, if they fill what the records and the foot leave.
    fn parts(&self, len: usize) -> Option<[Range<usize>; 3]> {
        let start = usize::try_from(self.index).ok().filter(|&start| start >= HEAD)?;
        let mut end = start;
        let mut part = |bytes: u64| {
            let start = end;
            end = start.checked_add(usize::try_from(bytes).ok()?)?;
            Some(start..end)
        };
        let parts = [part(self.count.checked_mul(ENTRY as u64)?)?, part(self.names)?, part(self.classes)?];
        (end.checked_add(FOOT)? == len).then_some(parts)
    }
}

/// The class names. Takes no more memory than a constant times the bytes.
fn parse_classes(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut classes = Vec::new();
    while !bytes.is_empty() {
        let (&length, rest) = bytes.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(u32::from_le_bytes(length) as usize)?;
        classes.push(str::from_utf8(name).ok()?.into());
        bytes = rest;
    }
    Some(classes)
}
