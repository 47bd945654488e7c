//! The store: one SQLite file that holds what is known of a dataset's images.

mod annotations;
mod bulk;
mod categories;
mod filter;
mod images;
mod meta;
mod predictions;
mod schema;
mod splits;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

pub use annotations::Detail;
pub(crate) use bulk::{Bulk, DetailRow, Row};
pub use filter::{Boxes, Filter};
pub use predictions::{Run, RunId};
pub use splits::{Split, SplitId};

use crate::error::{Error, Result};

/// How long a writer waits for another one to finish.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is mapped into memory of a store that is read: more than any store is large.
const MAPPED: i64 = 1 << 40;

/// A file of labels.
///
/// Readers and one writer may have the same file open at the same time, in one program or several
/// ([`open`](Store::open), [`open_read_only`](Store::open_read_only)): a reader sees what was committed before it began.
/// Training opens a file that nobody changes ([`open_immutable`](Store::open_immutable)), one [`Store`] for each thread.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Makes an empty store.
    ///
    /// # Errors
    /// [`Error::Exists`] where there is a file of that name.
    pub fn create(path: impl AsRef<Path>) -> Result<Store> {
        Bulk::create(path.as_ref(), false)?.finish(Vec::new())?;
        Store::open(path)
    }

    /// Opens a store for reading and writing. One of an older version is brought to this program's.
    ///
    /// # Errors
    /// [`Error::NoStore`], [`Error::NotAStore`], [`Error::Newer`], [`Error::ReadOnly`], [`Error::Damaged`].
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        let store = Store::connect(path.as_ref(), OpenFlags::SQLITE_OPEN_READ_WRITE, false)?;
        schema::migrate(&store.connection, &store.path)?;
        store.pragma("journal_mode", "WAL")?;
        store.pragma("foreign_keys", true)?;
        store.pragma("synchronous", "NORMAL")?;
        Ok(store)
    }

    /// Opens a store for reading while others may write to it.
    ///
    /// # Errors
    /// Those of [`open`](Store::open), and [`Error::Older`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Store> {
        Store::connect(path.as_ref(), OpenFlags::SQLITE_OPEN_READ_ONLY, false)?.of_this_version()
    }

    /// Opens a store that nobody writes to as long as it is open, mapped into memory and without locks: for training,
    /// and for file systems that cannot be written to.
    ///
    /// # Errors
    /// Those of [`open_read_only`](Store::open_read_only), and [`Error::Unmerged`] where a writing program left changes
    /// in a file of its own.
    pub fn open_immutable(path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        if std::fs::metadata(beside(path, "-wal")).is_ok_and(|wal| wal.len() > 0) {
            return Err(Error::Unmerged { path: path.into() });
        }
        Store::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, true)?.of_this_version()
    }

    fn connect(path: &Path, mode: OpenFlags, immutable: bool) -> Result<Store> {
        check_header(path)?;
        let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let uri = format!("file:{}{}", percent_encoded(path), if immutable { "?immutable=1" } else { "" });
        let connection = Connection::open_with_flags(uri, flags).map_err(Error::sqlite(path))?;
        connection.busy_timeout(PATIENCE).map_err(Error::sqlite(path))?;
        // A statement for each kind of question.
        connection.set_prepared_statement_cache_capacity(64);
        let store = Store { connection, path: path.into() };
        store.pragma("mmap_size", MAPPED)?;
        schema::version(&store.connection, path)?;
        Ok(store)
    }

    fn of_this_version(self) -> Result<Store> {
        let found = schema::version(&self.connection, &self.path)?;
        if found < schema::VERSION {
            return Err(Error::Older { path: self.path, found, known: schema::VERSION });
        }
        Ok(self)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long [`transaction`](Store::transaction) waits for another writer to finish: ten seconds unless set.
    ///
    /// # Errors
    /// Those of SQLite.
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        self.connection.busy_timeout(patience).map_err(self.error())
    }

    /// Begins to change the store. Other writers wait until the transaction ends; readers do not.
    ///
    /// # Errors
    /// [`Error::Locked`] where another writer does not end, [`Error::ReadOnly`].
    pub fn transaction(&mut self) -> Result<Transaction<'_>> {
        self.execute("BEGIN IMMEDIATE")?;
        Ok(Transaction { store: self, open: true })
    }

    fn execute(&self, sql: &str) -> Result<()> {
        self.connection.execute_batch(sql).map_err(self.error())
    }

    fn pragma(&self, name: &str, value: impl rusqlite::ToSql) -> Result<()> {
        // Some answer with a row, some do not.
        self.connection.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            error => Err(Error::sqlite(&self.path)(error)),
        })
    }

    fn error(&self) -> impl FnOnce(rusqlite::Error) -> Error {
        Error::sqlite(&self.path)
    }

    fn unknown<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Error::Unknown { path: self.path.clone(), what: what.into() })
    }
}

/// Changes of a store that come true together, with [`commit`](Transaction::commit), or not at all.
#[derive(Debug)]
pub struct Transaction<'a> {
    store: &'a Store,
    open: bool,
}

impl Transaction<'_> {
    /// Makes the changes last.
    ///
    /// # Errors
    /// [`Error::DiskFull`] and others; the store is then as it was.
    pub fn commit(mut self) -> Result<()> {
        self.store.execute("COMMIT")?;
        self.open = false;
        Ok(())
    }

    /// Runs a statement that changes rows, and yields how many.
    fn change(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<usize> {
        let mut statement = self.connection.prepare_cached(sql).map_err(self.error())?;
        statement.execute(parameters).map_err(self.error())
    }
}

impl Deref for Transaction<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open {
            // SQLite has rolled back already where it fails.
            let _ = self.store.execute("ROLLBACK");
        }
    }
}

/// Whether a file can be a store: the error of what it is instead. SQLite itself notices that a file was cut short only
/// when it comes to what is missing.
fn check_header(path: &Path) -> Result<()> {
    let not = |what: &str| Err(Error::NotAStore { path: path.into(), what: what.into() });
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NoStore { path: path.into() });
        }
        file => file.map_err(Error::io("open", path))?,
    };
    let length = file.metadata().map_err(Error::io("open", path))?.len();
    let mut header = [0; 100];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return not("it is too short"),
        read => read.map_err(Error::io("read", path))?,
    }
    if &header[..16] != b"SQLite format 3\0" {
        return not("it is no SQLite database");
    }
    // https://www.sqlite.org/fileformat2.html: the page size at 16, where 1 is 65,536; a count of changes at 24, the
    // pages at 28, and at 92 the count of changes for which that was written.
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let expected = u64::from(number(28)) * page;
    // With a log beside it, the file itself may still be shorter.
    if number(24) == number(92) && length < expected && !beside(path, "-wal").exists() {
        let what = format!("it has {length} of {expected} bytes");
        return Err(Error::Damaged { path: path.into(), what });
    }
    Ok(())
}

/// An error for what is no JSON object.
fn check_object(json: &str) -> Result<()> {
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Setting { what: format!("expected a JSON object: {error}") }),
    }
}

/// The file of the same name with something after it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    name.into()
}

/// A path as part of a URI.
fn percent_encoded(path: &Path) -> String {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|&byte| match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => (byte as char).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect()
}
