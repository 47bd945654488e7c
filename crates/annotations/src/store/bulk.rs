//! A new store from many rows at once.
//!
//! It is made under another name beside the one it will bear, without a journal, and takes its name when it is whole:
//! whatever happens before, nothing half-made bears it. Rows go in in the order of their keys, indexes are made last, and
//! whoever adds rows has made sure that what they refer to is there.

use std::io;
use std::path::{Path, PathBuf};

use ocelli_files::{PartFile, file_beside};
use rusqlite::{Connection, OpenFlags, Statement};

use super::schema;
use crate::error::{Error, Result};
use crate::types::{Annotation, Category, Image};

/// Rows that one statement inserts.
const ROWS: usize = 16;

/// An annotation and where its details are.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) annotation: Annotation,
    pub(crate) detail: Option<i64>,
}

/// A store that is being made.
pub(crate) struct Bulk {
    connection: Connection,
    file: PartFile,
    path: PathBuf,
    overwrite: bool,
}

impl Bulk {
    /// Begins a store. An older file of its name is replaced when it is whole, if `overwrite` says so.
    pub(crate) fn create(path: &Path, overwrite: bool) -> Result<Bulk> {
        if !overwrite && path.exists() {
            return Err(Error::Exists { path: path.into() });
        }
        let file = file_beside(path).map_err(Error::io("create", path))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file.path(), flags).map_err(Error::sqlite(path))?;
        let begin = || {
            connection.execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
                 PRAGMA cache_size = -65536; PRAGMA foreign_keys = OFF; BEGIN",
            )?;
            schema::create_tables(&connection)
        };
        begin().map_err(Error::sqlite(path))?;
        Ok(Bulk { connection, file, path: path.into(), overwrite })
    }

    /// Adds images, with what else is said of each (a JSON object).
    pub(crate) fn images(&self, images: &[(Image, Option<String>)]) -> Result<()> {
        let add = || {
            self.insert(
                "image",
                4,
                images,
                |statement, first, (Image { id, file_name, width, height }, _)| {
                    statement.raw_bind_parameter(first, id.0)?;
                    statement.raw_bind_parameter(first + 1, file_name)?;
                    statement.raw_bind_parameter(first + 2, *width)?;
                    statement.raw_bind_parameter(first + 3, *height)
                },
            )?;
            let extra = |(image, json): &(Image, Option<String>)| Some((image.id.0, json.clone()?));
            let extras: Vec<(i64, String)> = images.iter().filter_map(extra).collect();
            self.insert("image_extra", 2, &extras, |statement, first, (id, json)| {
                statement.raw_bind_parameter(first, *id)?;
                statement.raw_bind_parameter(first + 1, json)
            })
        };
        add().map_err(Error::sqlite(&self.path))
    }

    /// Adds categories in the order of a network's outputs.
    pub(crate) fn categories(&self, categories: &[(Category, Option<String>)]) -> Result<()> {
        let add = || -> rusqlite::Result<()> {
            let mut insert = self.connection.prepare_cached("INSERT INTO category VALUES (?, ?, ?, ?, ?)")?;
            for (position, (Category { id, name, supercategory }, extra)) in categories.iter().enumerate() {
                insert.execute((id.0, position as i64, name, supercategory, extra))?;
            }
            Ok(())
        };
        add().map_err(Error::sqlite(&self.path))
    }

    /// Adds masks and what else is said of annotations, by increasing number.
    pub(crate) fn details(&self, details: &[DetailRow]) -> Result<()> {
        self.insert("detail", 3, details, |statement, first, DetailRow { id, segmentation, extra }| {
            statement.raw_bind_parameter(first, *id)?;
            statement.raw_bind_parameter(first + 1, segmentation.as_deref())?;
            statement.raw_bind_parameter(first + 2, extra.as_deref())
        })
        .map_err(Error::sqlite(&self.path))
    }

    /// Takes details back.
    pub(crate) fn remove_details(&self, details: &[i64]) -> Result<()> {
        let remove = || -> rusqlite::Result<()> {
            let mut delete = self.connection.prepare_cached("DELETE FROM detail WHERE id = ?")?;
            details.iter().try_for_each(|id| delete.execute([id]).map(drop))
        };
        remove().map_err(Error::sqlite(&self.path))
    }

    /// Adds a part of a dataset with its images, by increasing number.
    pub(crate) fn split(&self, dataset: &str, name: &str, directory: &str, images: &[i64]) -> Result<()> {
        let add = || -> rusqlite::Result<()> {
            self.connection.execute("INSERT OR IGNORE INTO dataset (name) VALUES (?)", [dataset])?;
            self.connection.execute(
                "INSERT INTO split (dataset_id, name, directory) SELECT id, ?, ? FROM dataset WHERE name = ?",
                (name, directory, dataset),
            )?;
            let split = self.connection.last_insert_rowid();
            self.insert("split_image", 2, images, |statement, first, image| {
                statement.raw_bind_parameter(first, split)?;
                statement.raw_bind_parameter(first + 1, *image)
            })
        };
        add().map_err(Error::sqlite(&self.path))
    }

    /// Notes something of the store as a whole.
    pub(crate) fn meta(&self, key: &str, value: &str) -> Result<()> {
        let insert = self.connection.execute("INSERT INTO meta VALUES (?, ?)", (key, value));
        insert.map(drop).map_err(Error::sqlite(&self.path))
    }

    /// Adds the annotations, which may be in any order, and gives the file its name.
    pub(crate) fn finish(self, mut rows: Vec<Row>) -> Result<()> {
        let path = &self.path;
        self.annotations(&mut rows).map_err(Error::sqlite(path))?;
        drop(rows);
        schema::create_indexes(&self.connection).map_err(Error::sqlite(path))?;
        self.connection.execute_batch("COMMIT").map_err(Error::sqlite(path))?;
        self.connection.close().map_err(|(_, error)| Error::sqlite(path)(error))?;
        let named = if self.overwrite { self.file.persist() } else { self.file.persist_new() };
        named.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { path: path.clone() },
            _ => Error::io("write", path)(error),
        })
    }

    /// Lets SQLite find the disk full beyond so many pages.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: i64) {
        self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    }

    fn annotations(&self, rows: &mut [Row]) -> rusqlite::Result<()> {
        rows.sort_unstable_by_key(|row| (row.annotation.image, row.annotation.id));
        let mut keys: Vec<(i64, i64)> = Vec::new();
        std::thread::scope(|scope| {
            let rows = &*rows;
            let sorted = scope.spawn(|| {
                let mut keys: Vec<(i64, i64)> =
                    rows.iter().map(|Row { annotation, .. }| (annotation.id.0, annotation.image.0)).collect();
                keys.sort_unstable();
                keys
            });
            self.insert("annotation", 10, rows, |statement, first, Row { annotation, detail }| {
                let Annotation { id, image, category, bbox, area, crowd } = annotation;
                statement.raw_bind_parameter(first, image.0)?;
                statement.raw_bind_parameter(first + 1, id.0)?;
                statement.raw_bind_parameter(first + 2, category.0)?;
                statement.raw_bind_parameter(first + 3, bbox.x)?;
                statement.raw_bind_parameter(first + 4, bbox.y)?;
                statement.raw_bind_parameter(first + 5, bbox.width)?;
                statement.raw_bind_parameter(first + 6, bbox.height)?;
                statement.raw_bind_parameter(first + 7, *area)?;
                statement.raw_bind_parameter(first + 8, *crowd)?;
                statement.raw_bind_parameter(first + 9, *detail)
            })?;
            keys = sorted.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok::<_, rusqlite::Error>(())
        })?;
        self.insert("annotation_key", 2, &keys, |statement, first, (id, image)| {
            statement.raw_bind_parameter(first, *id)?;
            statement.raw_bind_parameter(first + 1, *image)
        })
    }

    /// Inserts rows, several with each statement: half the time of one at a time.
    fn insert<T>(
        &self,
        table: &str,
        columns: usize,
        rows: &[T],
        bind: impl Fn(&mut Statement<'_>, usize, &T) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let places = format!("({})", vec!["?"; columns].join(", "));
        let insert = |rows: &[T], statement: &mut Statement<'_>| -> rusqlite::Result<()> {
            for (position, row) in rows.iter().enumerate() {
                bind(statement, 1 + position * columns, row)?;
            }
            statement.raw_execute().map(drop)
        };
        let statement = |rows: usize| {
            // OR FAIL: what a failing statement did before need not be undone, as nothing will be kept.
            let places = vec![places.as_str(); rows].join(", ");
            self.connection.prepare_cached(&format!("INSERT OR FAIL INTO {table} VALUES {places}"))
        };
        let (mut several, mut one) = (statement(ROWS)?, statement(1)?);
        let mut chunks = rows.chunks_exact(ROWS);
        chunks.try_for_each(|rows| insert(rows, &mut several))?;
        chunks.remainder().chunks(1).try_for_each(|row| insert(row, &mut one))
    }
}

/// What is kept of an annotation beside its box: its mask and what else is said of it, as JSON.
#[derive(Clone, Debug)]
pub(crate) struct DetailRow {
    pub(crate) id: i64,
    pub(crate) segmentation: Option<String>,
    pub(crate) extra: Option<String>,
}
