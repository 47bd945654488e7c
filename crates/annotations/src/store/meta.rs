//! What is known of the store as a whole.

use rusqlite::OptionalExtension;

use super::{Store, Transaction};
use crate::error::Result;

impl Store {
    /// What was noted under a name. An import notes its `source` and its `report`, each a JSON object.
    ///
    /// # Errors
    /// Those of reading.
    pub fn meta(&self, key: &str) -> Result<Option<String>> {
        let mut statement =
            self.connection.prepare_cached("SELECT value FROM meta WHERE key = ?").map_err(self.error())?;
        statement.query_row([key], |row| row.get(0)).optional().map_err(self.error())
    }

    /// What COCO's JSON says of the dataset as a whole, such as its licences: keys and JSON, of a split or of the first.
    pub(crate) fn kept_of_coco(&self, split: Option<&str>) -> Result<Vec<(String, String)>> {
        let splits = self.splits()?;
        let split = match split {
            Some(name) => Some(self.split_by_name(name)?),
            None => splits.first().map(|split| split.id),
        };
        let Some(split) = splits.into_iter().find(|known| Some(known.id) == split) else {
            return Ok(Vec::new());
        };
        let prefix = format!("coco/{}/", split.name);
        let sql = "SELECT substr(key, length(?1) + 1), value FROM meta WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.error())?;
        let kept =
            statement.query_map([prefix], |row| Ok((row.get(0)?, row.get(1)?))).map_err(self.error())?;
        kept.collect::<rusqlite::Result<_>>().map_err(self.error())
    }
}

impl Transaction<'_> {
    /// Notes something under a name, in the place of what was noted before.
    ///
    /// # Errors
    /// Those of writing.
    pub fn set_meta(&self, key: &str, value: &str) -> Result<()> {
        self.change("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value)).map(drop)
    }
}
