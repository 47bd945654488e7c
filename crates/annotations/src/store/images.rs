//! Images.

use std::path::PathBuf;

use rusqlite::{OptionalExtension, Row};

use super::{Filter, Store, Transaction, check_object};
use crate::error::Result;
use crate::types::{Image, ImageId};

/// The columns that [`read`] takes.
pub(super) const COLUMNS: &str = "i.id, i.file_name, i.width, i.height";

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Image> {
    Ok(Image { id: ImageId(row.get(0)?), file_name: row.get(1)?, width: row.get(2)?, height: row.get(3)? })
}

impl Store {
    /// The image of a number.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) where there is none.
    pub fn image(&self, id: ImageId) -> Result<Image> {
        match self.image_where("i.id = ?", [id.0])? {
            Some(image) => Ok(image),
            None => self.unknown(format!("image {id}")),
        }
    }

    /// The image of a file, by the name that the dataset gives it; the one of the lowest number where several bear it.
    ///
    /// # Errors
    /// Those of reading.
    pub fn image_of_file(&self, file_name: &str) -> Result<Option<Image>> {
        self.image_where("i.file_name = ? ORDER BY i.id LIMIT 1", [file_name])
    }

    fn image_where(&self, condition: &str, parameters: impl rusqlite::Params) -> Result<Option<Image>> {
        let sql = format!("SELECT {COLUMNS} FROM image i WHERE {condition}");
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        statement.query_row(parameters, read).optional().map_err(self.error())
    }

    /// The images that pass, by number.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) where the filter names a split that is not there.
    pub fn images(&self, filter: &Filter) -> Result<Vec<Image>> {
        let condition = self.images_that(filter)?;
        let sql = format!("SELECT {COLUMNS} FROM image i WHERE {} ORDER BY i.id", condition.sql());
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        let images = statement.query_map(&*condition.parameters(), read).map_err(self.error())?;
        images.collect::<rusqlite::Result<_>>().map_err(self.error())
    }

    /// The images that pass and where their files lie: in the directory of the split that is asked for, or else of the
    /// first that has the image; a name alone where no split says more. By number.
    ///
    /// # Errors
    /// Those of [`images`](Store::images).
    pub fn image_files(&self, filter: &Filter) -> Result<Vec<(PathBuf, Image)>> {
        let split = filter.split.as_deref().map(|name| self.split_by_name(name)).transpose()?;
        let condition = self.images_that(filter)?;
        let sql = format!(
            "SELECT {COLUMNS}, (SELECT s.directory FROM split_image p JOIN split s ON s.id = p.split_id
                                WHERE p.image_id = i.id AND {} ORDER BY s.id LIMIT 1)
             FROM image i WHERE {} ORDER BY i.id",
            // Not a parameter: those are the condition's.
            split.map_or("TRUE".into(), |split| format!("s.id = {}", split.0)),
            condition.sql()
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        let place = |row: &Row<'_>| {
            let (image, directory) = (read(row)?, row.get::<_, Option<String>>(4)?);
            Ok((PathBuf::from(directory.unwrap_or_default()).join(&image.file_name), image))
        };
        let files = statement.query_map(&*condition.parameters(), place).map_err(self.error())?;
        files.collect::<rusqlite::Result<_>>().map_err(self.error())
    }

    /// How many images pass.
    ///
    /// # Errors
    /// Those of [`images`](Store::images).
    pub fn count_images(&self, filter: &Filter) -> Result<usize> {
        let condition = self.images_that(filter)?;
        let sql = format!("SELECT count(*) FROM image i WHERE {}", condition.sql());
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        statement.query_row(&*condition.parameters(), |row| row.get(0)).map_err(self.error())
    }

    /// Hands over the images that pass, with what else is said of each.
    pub(crate) fn visit_image_extras(
        &self,
        filter: &Filter,
        mut visit: impl FnMut(Image, Option<String>) -> Result<()>,
    ) -> Result<()> {
        let condition = self.images_that(filter)?;
        let sql = format!(
            "SELECT {COLUMNS}, e.json FROM image i LEFT JOIN image_extra e ON e.image_id = i.id WHERE {} ORDER BY i.id",
            condition.sql()
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        let mut rows = statement.query(&*condition.parameters()).map_err(self.error())?;
        while let Some(row) = rows.next().map_err(self.error())? {
            let image = read(row).map_err(self.error())?;
            visit(image, row.get(4).map_err(self.error())?)?;
        }
        Ok(())
    }

    /// What else the dataset says of an image, as a JSON object: COCO's `license`, `flickr_url` and their like.
    ///
    /// # Errors
    /// Those of reading.
    pub fn image_extra(&self, id: ImageId) -> Result<Option<String>> {
        let sql = "SELECT json FROM image_extra WHERE image_id = ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.error())?;
        statement.query_row([id.0], |row| row.get(0)).optional().map_err(self.error())
    }
}

impl Transaction<'_> {
    /// Adds an image.
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) where there is one of this number.
    pub fn add_image(&self, image: &Image) -> Result<()> {
        let Image { id, file_name, width, height } = image;
        self.change("INSERT INTO image VALUES (?, ?, ?, ?)", (id.0, file_name, width, height)).map(drop)
    }

    /// Changes the name and the size of an image.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) where there is none of this number.
    pub fn update_image(&self, image: &Image) -> Result<()> {
        let Image { id, file_name, width, height } = image;
        let sql = "UPDATE image SET file_name = ?, width = ?, height = ? WHERE id = ?";
        match self.change(sql, (file_name, width, height, id.0))? {
            0 => self.unknown(format!("image {id}")),
            _ => Ok(()),
        }
    }

    /// Sets what else is known of an image: a JSON object.
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) where there is no such image,
    /// [`Error::Setting`](crate::Error::Setting) where it is no JSON object.
    pub fn set_image_extra(&self, id: ImageId, json: &str) -> Result<()> {
        check_object(json)?;
        self.change("INSERT OR REPLACE INTO image_extra VALUES (?, ?)", (id.0, json)).map(drop)
    }

    /// Deletes an image with its annotations, its predictions and its places in splits.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) where there is none of this number.
    pub fn delete_image(&self, id: ImageId) -> Result<()> {
        match self.change("DELETE FROM image WHERE id = ?", [id.0])? {
            0 => self.unknown(format!("image {id}")),
            _ => Ok(()),
        }
    }
}
