//! The tables of a store, as the steps that made them what they are.
//!
//! `PRAGMA user_version` counts the steps that a file has seen; [`migrate`] takes the others. A step that was released is
//! never changed: a new one is added.

use std::path::Path;

use rusqlite::Connection;

use crate::error::{Error, Result};

/// Marks the file as a store of annotations (`PRAGMA application_id`): "Ocla".
pub(super) const APPLICATION: i64 = 0x4f63_6c61;

/// What each version added. An index or trigger that a bulk import makes after its rows stands in [`AFTER_ROWS`].
const STEPS: [&str; 2] = [LABELS, PREDICTIONS];

/// The newest version.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// An annotation's row lies beside those of the same image, ordered by image: an image's boxes are in one page of the
/// file, or two, and a whole epoch of them in consecutive ones. What is not needed to train (the mask, and what else a
/// dataset says) lies apart, so that the boxes stay dense. Where an annotation lies by its own number says
/// `annotation_key`, which triggers keep true: a table of two integers is made four times as fast as an index.
const LABELS: &str = "
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `position` counts the categories from 0, as a network's outputs are counted: an import's in the order of their ids,
-- those added later after them.
CREATE TABLE category (
    id INTEGER PRIMARY KEY,
    position INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL,
    supercategory TEXT NOT NULL DEFAULT '',
    extra TEXT
) STRICT;

CREATE TABLE image (
    id INTEGER PRIMARY KEY,
    file_name TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL
) STRICT;

-- What else a dataset says of an image: a JSON object.
CREATE TABLE image_extra (
    image_id INTEGER PRIMARY KEY REFERENCES image(id) ON DELETE CASCADE,
    json TEXT NOT NULL
) STRICT;

-- An annotation's mask as COCO writes it, and what else is said of it: JSON.
CREATE TABLE detail (
    id INTEGER PRIMARY KEY,
    segmentation TEXT,
    extra TEXT
) STRICT;

CREATE TABLE annotation (
    image_id INTEGER NOT NULL REFERENCES image(id) ON DELETE CASCADE,
    id INTEGER NOT NULL,
    category_id INTEGER NOT NULL REFERENCES category(id) ON DELETE RESTRICT,
    x REAL NOT NULL,
    y REAL NOT NULL,
    width REAL NOT NULL,
    height REAL NOT NULL,
    area REAL NOT NULL,
    crowd INTEGER NOT NULL,
    detail_id INTEGER,
    PRIMARY KEY (image_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE annotation_key (
    id INTEGER PRIMARY KEY,
    image_id INTEGER NOT NULL
) STRICT;

CREATE TABLE dataset (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- A part of a dataset, such as train or val; its images lie in `directory`.
CREATE TABLE split (
    id INTEGER PRIMARY KEY,
    dataset_id INTEGER NOT NULL REFERENCES dataset(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    directory TEXT NOT NULL DEFAULT '',
    UNIQUE (dataset_id, name)
) STRICT;

CREATE TABLE split_image (
    split_id INTEGER NOT NULL REFERENCES split(id) ON DELETE CASCADE,
    image_id INTEGER NOT NULL REFERENCES image(id) ON DELETE CASCADE,
    PRIMARY KEY (split_id, image_id)
) STRICT, WITHOUT ROWID;
";

/// What models found: a run is one pass of one model over some images. `position` keeps the order within an image, on
/// which evaluation depends where scores are equal.
const PREDICTIONS: &str = "
CREATE TABLE model (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    model_id INTEGER NOT NULL REFERENCES model(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (model_id, name)
) STRICT;

CREATE TABLE prediction (
    run_id INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,
    image_id INTEGER NOT NULL REFERENCES image(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    category_id INTEGER NOT NULL REFERENCES category(id) ON DELETE CASCADE,
    x REAL NOT NULL,
    y REAL NOT NULL,
    width REAL NOT NULL,
    height REAL NOT NULL,
    score REAL NOT NULL,
    PRIMARY KEY (run_id, image_id, position)
) STRICT, WITHOUT ROWID;
";

/// Indexes and triggers, which a bulk import makes last.
const AFTER_ROWS: &str = "
CREATE INDEX annotation_by_category ON annotation(category_id);
CREATE INDEX image_of_split ON split_image(image_id);

CREATE TRIGGER annotation_inserted AFTER INSERT ON annotation BEGIN
    INSERT INTO annotation_key VALUES (new.id, new.image_id);
END;
CREATE TRIGGER annotation_deleted AFTER DELETE ON annotation BEGIN
    DELETE FROM annotation_key WHERE id = old.id;
    DELETE FROM detail WHERE id = old.detail_id;
END;
CREATE TRIGGER annotation_moved AFTER UPDATE OF image_id, id ON annotation BEGIN
    UPDATE annotation_key SET id = new.id, image_id = new.image_id WHERE id = old.id;
END;
";

/// Makes the tables of an empty file.
pub(super) fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION)?;
    for step in STEPS {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "user_version", VERSION)
}

/// Makes what else there is, once the rows are there.
pub(super) fn create_indexes(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(AFTER_ROWS)
}

/// The version of a store, which is one this program knows; an error if the file is no store.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<i64> {
    let number = |pragma: &str| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(Error::sqlite(path))
    };
    let (application, found) = (number("application_id")?, number("user_version")?);
    if application != APPLICATION {
        return Err(Error::NotAStore {
            path: path.into(),
            what: "it is an SQLite database of another program".into(),
        });
    }
    if found > VERSION {
        return Err(Error::Newer { path: path.into(), found, known: VERSION });
    }
    if found < 1 {
        return Err(Error::Damaged { path: path.into(), what: format!("schema version {found}") });
    }
    Ok(found)
}

/// Takes the steps that a store has not seen, all or none of them.
pub(super) fn migrate(connection: &Connection, path: &Path) -> Result<()> {
    if version(connection, path)? == VERSION {
        return Ok(());
    }
    let steps = || -> Result<()> {
        // Another program may have been quicker.
        let found = version(connection, path)?;
        for step in &STEPS[found as usize..] {
            connection.execute_batch(step).map_err(Error::sqlite(path))?;
        }
        connection.pragma_update(None, "user_version", VERSION).map_err(Error::sqlite(path))
    };
    connection.execute_batch("BEGIN IMMEDIATE").map_err(Error::sqlite(path))?;
    let result = steps().and_then(|()| connection.execute_batch("COMMIT").map_err(Error::sqlite(path)));
    if result.is_err() {
        // The error is told; a transaction that cannot be rolled back ends with the connection.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

#[cfg(test)]
pub(super) fn create_first_version(connection: &Connection) {
    connection.pragma_update(None, "application_id", APPLICATION).unwrap();
    connection.execute_batch(LABELS).unwrap();
    create_indexes(connection).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
}
