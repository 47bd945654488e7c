//! Categories.

use rusqlite::{OptionalExtension, Row};

use super::{Filter, Store, Transaction};
use crate::error::Result;
use crate::types::{Category, CategoryId};

fn read(row: &Row<'_>) -> rusqlite::Result<Category> {
    Ok(Category { id: CategoryId(row.get(0)?), name: row.get(1)?, supercategory: row.get(2)? })
}

impl Store {
    /// The categories, in the order of a network's outputs: the position in this list is the class that it learns. An
    /// import puts them in the order of their numbers; those that are added later follow.
    ///
    /// # Errors
    /// Those of reading.
    pub fn categories(&self) -> Result<Vec<Category>> {
        let sql = "SELECT id, name, supercategory FROM category ORDER BY position";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.error())?;
        let categories = statement.query_map([], read).map_err(self.error())?;
        categories.collect::<rusqlite::Result<_>>().map_err(self.error())
    }

    /// What else the dataset says of a category, as a JSON object.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) where there is no such category.
    pub fn category_extra(&self, id: CategoryId) -> Result<Option<String>> {
        let sql = "SELECT extra FROM category WHERE id = ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.error())?;
        let mut rows = statement.query([id.0]).map_err(self.error())?;
        match rows.next().map_err(self.error())? {
            Some(row) => row.get(0).map_err(self.error()),
            None => self.unknown(format!("category {id}")),
        }
    }

    /// How many annotations of each category pass, in the order of [`categories`](Store::categories); those without any
    /// are listed too.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) where the filter names a split that is not there.
    pub fn class_distribution(&self, filter: &Filter) -> Result<Vec<(Category, usize)>> {
        let condition = self.annotations_that(filter)?;
        let sql = format!(
            "SELECT c.id, c.name, c.supercategory, coalesce(n.count, 0) FROM category c
             LEFT JOIN (SELECT a.category_id, count(*) AS count FROM annotation a WHERE {} GROUP BY a.category_id) n
             ON n.category_id = c.id ORDER BY c.position",
            condition.sql()
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        let counted = |row: &Row<'_>| Ok((read(row)?, row.get(3)?));
        let counts = statement.query_map(&*condition.parameters(), counted).map_err(self.error())?;
        counts.collect::<rusqlite::Result<_>>().map_err(self.error())
    }
}

impl Transaction<'_> {
    /// Adds a category after the others.
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) where there is one of this number.
    pub fn add_category(&self, category: &Category) -> Result<()> {
        let Category { id, name, supercategory } = category;
        let sql = "INSERT INTO category (id, position, name, supercategory)
                   SELECT ?, coalesce(max(position) + 1, 0), ?, ? FROM category";
        self.change(sql, (id.0, name, supercategory)).map(drop)
    }

    /// Renames a category.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) where there is none of this number.
    pub fn update_category(&self, category: &Category) -> Result<()> {
        let Category { id, name, supercategory } = category;
        match self.change(
            "UPDATE category SET name = ?, supercategory = ? WHERE id = ?",
            (name, supercategory, id.0),
        )? {
            0 => self.unknown(format!("category {id}")),
            _ => Ok(()),
        }
    }

    /// Deletes a category that no annotation is of, with the predictions of it. Those behind it move up.
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) where there are annotations of it,
    /// [`Error::Unknown`](crate::Error::Unknown) where there is none of this number.
    pub fn delete_category(&self, id: CategoryId) -> Result<()> {
        let sql = "SELECT position FROM category WHERE id = ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.error())?;
        let position =
            statement.query_row([id.0], |row| row.get::<_, i64>(0)).optional().map_err(self.error())?;
        let Some(position) = position else { return self.unknown(format!("category {id}")) };
        self.change("DELETE FROM category WHERE id = ?", [id.0])?;
        // In two steps: no two may have the same position in between.
        self.change("UPDATE category SET position = -position WHERE position > ?", [position])?;
        self.change("UPDATE category SET position = -position - 1 WHERE position < 0", []).map(drop)
    }
}
