//! Datasets and their parts.

use rusqlite::Row;

use super::{Store, Transaction};
use crate::error::{Error, Result};
use crate::types::ImageId;

/// A split's number within a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SplitId(pub i64);

/// A part of a dataset, such as `train`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Its number.
    pub id: SplitId,
    /// The dataset that it is a part of.
    pub dataset: String,
    /// Its name within the dataset.
    pub name: String,
    /// Where its images lie; empty if that is not known.
    pub directory: String,
    /// How many images it has.
    pub images: usize,
}

impl Store {
    /// The splits, in the order in which they were added.
    ///
    /// # Errors
    /// Those of reading.
    pub fn splits(&self) -> Result<Vec<Split>> {
        let sql = "SELECT s.id, d.name, s.name, s.directory,
                          (SELECT count(*) FROM split_image i WHERE i.split_id = s.id)
                   FROM split s JOIN dataset d ON d.id = s.dataset_id ORDER BY s.id";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.error())?;
        let read = |row: &Row<'_>| {
            let id = SplitId(row.get(0)?);
            Ok(Split {
                id,
                dataset: row.get(1)?,
                name: row.get(2)?,
                directory: row.get(3)?,
                images: row.get(4)?,
            })
        };
        let splits = statement.query_map([], read).map_err(self.error())?;
        splits.collect::<rusqlite::Result<_>>().map_err(self.error())
    }

    /// The split of a name, or of `dataset/name`.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is none, [`Error::Conflict`] where several datasets have one of this name.
    pub fn split_by_name(&self, name: &str) -> Result<SplitId> {
        let splits = self.splits()?;
        let found: Vec<&Split> = splits
            .iter()
            .filter(|split| split.name == name || format!("{}/{}", split.dataset, split.name) == name)
            .collect();
        match found[..] {
            [split] => Ok(split.id),
            [] => {
                let names: Vec<&str> = splits.iter().map(|split| split.name.as_str()).collect();
                self.unknown(format!("split {name} (there are: {})", names.join(", ")))
            }
            _ => {
                let what = format!("several datasets have a split {name}: write dataset/{name}");
                Err(Error::Conflict { path: self.path.clone(), what })
            }
        }
    }
}

impl Transaction<'_> {
    /// Adds a split, and its dataset if that is not there; its images lie in `directory`.
    ///
    /// # Errors
    /// [`Error::Conflict`] where there is one of this name.
    pub fn add_split(&self, dataset: &str, name: &str, directory: &str) -> Result<SplitId> {
        self.change("INSERT OR IGNORE INTO dataset (name) VALUES (?)", [dataset])?;
        let sql =
            "INSERT INTO split (dataset_id, name, directory) SELECT id, ?, ? FROM dataset WHERE name = ?";
        self.change(sql, (name, directory, dataset))?;
        Ok(SplitId(self.connection.last_insert_rowid()))
    }

    /// Puts an image into a split. An image may be in several.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it is in it already, or one of the two is not there.
    pub fn put_in_split(&self, split: SplitId, image: ImageId) -> Result<()> {
        self.change("INSERT INTO split_image VALUES (?, ?)", (split.0, image.0)).map(drop)
    }

    /// Takes an image out of a split.
    ///
    /// # Errors
    /// [`Error::Unknown`] where it is not in it.
    pub fn take_out_of_split(&self, split: SplitId, image: ImageId) -> Result<()> {
        match self
            .change("DELETE FROM split_image WHERE split_id = ? AND image_id = ?", (split.0, image.0))?
        {
            0 => self.unknown(format!("image {image} in split {}", split.0)),
            _ => Ok(()),
        }
    }

    /// Deletes a split, and its dataset if that has no other; the images stay.
    ///
    /// # Errors
    /// [`Error::Unknown`] where it is not there.
    pub fn delete_split(&self, split: SplitId) -> Result<()> {
        if self.change("DELETE FROM split WHERE id = ?", [split.0])? == 0 {
            return self.unknown(format!("split {}", split.0));
        }
        self.change("DELETE FROM dataset WHERE id NOT IN (SELECT dataset_id FROM split)", []).map(drop)
    }
}
