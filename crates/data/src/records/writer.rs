use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ocelli_files::{PartFile, file_beside};

use super::format::{Entry, Foot, HEAD, head};
use crate::{Error, Result};

/// Writes a record file, record after record. Its name is taken by [`Writer::finish`], once all is on the disk;
/// until then the bytes are in a hidden file beside it, which is removed where the writer is dropped before.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    output: BufWriter<PartFile>,
    /// Where the next record begins.
    offset: u64,
    /// The index, as bytes.
    index: Vec<u8>,
    count: u64,
    names: String,
    /// The class names, as bytes.
    classes: Vec<u8>,
    class_count: usize,
    /// Whether bytes were lost on their way to the disk.
    failed: bool,
}

impl Writer {
    /// Begins a file with these classes, by label. Without classes, labels are any numbers.
    ///
    /// # Errors
    /// [`Error::Io`] where the directory cannot be written, or something is there that is no regular file;
    /// [`Error::Setting`] for a class name of 4 GiB or more.
    pub fn create(path: &Path, classes: &[String]) -> Result<Writer> {
        let cannot_create = |source| Error::Io { action: "create", path: path.into(), source };
        let mut encoded = Vec::new();
        for class in classes {
            let too_long = |_| Error::Setting { what: "a class name has 4 GiB or more: shorten it".into() };
            encoded.extend(u32::try_from(class.len()).map_err(too_long)?.to_le_bytes());
            encoded.extend(class.as_bytes());
        }
        let temporary = file_beside(path).map_err(cannot_create)?;
        let mut writer = Writer {
            path: path.into(),
            output: BufWriter::with_capacity(1 << 20, temporary),
            offset: HEAD as u64,
            index: Vec::new(),
            count: 0,
            names: String::new(),
            classes: encoded,
            class_count: classes.len(),
            failed: false,
        };
        writer.put(&head())?;
        Ok(writer)
    }

    /// Appends a record: an image file's bytes, its class, and what to call it in messages.
    ///
    /// # Errors
    /// [`Error::Unfit`] where the record has 4 GiB or more, all names have, or the label is none of the classes; the
    /// record is left out then. [`Error::Io`] where it cannot be written; the file cannot be finished then.
    pub fn write(&mut self, bytes: &[u8], label: i32, name: &str) -> Result<()> {
        let unfit = |what: String| Error::Unfit { path: name.into(), what };
        let is_class = usize::try_from(label).is_ok_and(|label| label < self.class_count);
        if self.class_count > 0 && !is_class {
            return Err(unfit(format!("its label is {label}, and there are {} classes", self.class_count)));
        }
        let too_large = |_| unfit("a record has less than 4 GiB".into());
        let length = u32::try_from(bytes.len()).map_err(too_large)?;
        let too_many = |_| unfit("all names of a record file have less than 4 GiB".into());
        let name_end = u32::try_from(self.names.len() + name.len()).map_err(too_many)?;
        self.put(bytes)?;
        let entry = Entry { offset: self.offset, length, label, crc: crc32c::crc32c(bytes), name_end };
        self.index.extend(entry.to_bytes());
        self.names.push_str(name);
        self.offset += u64::from(length);
        self.count += 1;
        Ok(())
    }

    /// Writes what finds the records, waits until all is on the disk, and gives the file its name; one that had it is
    /// replaced, and of a link what it leads to.
    ///
    /// # Errors
    /// [`Error::Io`], and nothing has the name that had not before.
    pub fn finish(mut self) -> Result<()> {
        let path = self.path.clone();
        let failed = |source| Error::Io { action: "write", path: path.clone(), source };
        if self.failed {
            return Err(failed(io::Error::other("a record before was not written")));
        }
        let foot = Foot {
            index: self.offset,
            count: self.count,
            names: self.names.len() as u64,
            classes: self.classes.len() as u64,
        };
        let [index, names, classes] = [
            std::mem::take(&mut self.index),
            std::mem::take(&mut self.names).into_bytes(),
            std::mem::take(&mut self.classes),
        ];
        let mut crc = 0;
        for part in [&index[..], &names, &classes] {
            crc = crc32c::crc32c_append(crc, part);
            self.put(part)?;
        }
        crc = crc32c::crc32c_append(crc, &foot.to_bytes());
        self.put(&foot.to_whole_bytes(crc))?;

        let temporary = self.output.into_inner().map_err(|error| failed(error.into_error()))?;
        temporary.persist().map_err(failed)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(|source| {
            self.failed = true;
            Error::Io { action: "write", path: self.path.clone(), source }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom};

    use super::*;
    use crate::records::Records;

    /// As if that many bytes had been written: a hole, which takes no room on the disk.
    #[test]
    fn records_are_written_beyond_4_gib() {
        const BEYOND: u64 = 5 << 30;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("large.records");
        let mut writer = Writer::create(&path, &["cat".to_owned()]).unwrap();
        writer.write(b"the first", 0, "a").unwrap();
        writer.output.seek(SeekFrom::Start(BEYOND)).unwrap();
        // What is between belongs to a record that is never asked for.
        let entry = Entry { offset: writer.offset, length: u32::MAX, label: 0, crc: 0, name_end: 1 };
        writer.index.extend(entry.to_bytes());
        (writer.offset, writer.count) = (BEYOND, 2);
        writer.write(b"the last", 0, "b").unwrap();
        writer.finish().unwrap();
        let records = Records::open(&path).unwrap();
        assert_eq!((records.len(), records.get(0).unwrap()), (3, &b"the first"[..]));
        assert_eq!((records.get(2).unwrap(), records.name(2)), (&b"the last"[..], Some("b")));
    }
}
