//! What models found.

use rusqlite::Row;

use super::{Store, Transaction};
use crate::error::{Error, Result};
use crate::types::{BBox, Category, CategoryId, Detection, ImageId};

/// A run's number within a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunId(pub i64);

/// One pass of one model over some images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// The model.
    pub model: String,
    /// Its name among the model's runs.
    pub name: String,
    /// How many things were found.
    pub predictions: usize,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Detection> {
    Ok(Detection {
        image: ImageId(row.get(0)?),
        category: CategoryId(row.get(1)?),
        bbox: BBox { x: row.get(2)?, y: row.get(3)?, width: row.get(4)?, height: row.get(5)? },
        score: row.get(6)?,
    })
}

/// The columns that [`read`] takes.
const COLUMNS: &str = "image_id, category_id, x, y, width, height, score";

impl Store {
    /// The runs, in the order in which they were added.
    ///
    /// # Errors
    /// Those of reading.
    pub fn runs(&self) -> Result<Vec<Run>> {
        let sql = "SELECT r.id, m.name, r.name, (SELECT count(*) FROM prediction p WHERE p.run_id = r.id)
                   FROM run r JOIN model m ON m.id = r.model_id ORDER BY r.id";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.error())?;
        let read = |row: &Row<'_>| {
            Ok(Run {
                id: RunId(row.get(0)?),
                model: row.get(1)?,
                name: row.get(2)?,
                predictions: row.get(3)?,
            })
        };
        let runs = statement.query_map([], read).map_err(self.error())?;
        runs.collect::<rusqlite::Result<_>>().map_err(self.error())
    }

    /// The run of a model by its name.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is none.
    pub fn run_by_name(&self, model: &str, name: &str) -> Result<RunId> {
        match self.runs()?.into_iter().find(|run| run.model == model && run.name == name) {
            Some(run) => Ok(run.id),
            None => self.unknown(format!("run {name} of model {model}")),
        }
    }

    /// What a run found, by image and in the order in which it was added.
    ///
    /// # Errors
    /// Those of reading.
    pub fn predictions(&self, run: RunId) -> Result<Vec<Detection>> {
        let mut detections = Vec::new();
        self.visit_predictions(run, |detection| -> Result<()> {
            detections.push(detection);
            Ok(())
        })?;
        Ok(detections)
    }

    /// What a run found in an image, in the order in which it was added.
    ///
    /// # Errors
    /// Those of reading.
    pub fn predictions_of(&self, run: RunId, image: ImageId) -> Result<Vec<Detection>> {
        let sql =
            format!("SELECT {COLUMNS} FROM prediction WHERE run_id = ? AND image_id = ? ORDER BY position");
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        let predictions = statement.query_map((run.0, image.0), read).map_err(self.error())?;
        predictions.collect::<rusqlite::Result<_>>().map_err(self.error())
    }

    /// Hands over what a run found, by image and in the order in which it was added: one question for all.
    ///
    /// # Errors
    /// Those of `visit`, and of reading.
    pub fn visit_predictions<E: From<Error>>(
        &self,
        run: RunId,
        mut visit: impl FnMut(Detection) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = format!("SELECT {COLUMNS} FROM prediction WHERE run_id = ? ORDER BY image_id, position");
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        let mut rows = statement.query([run.0]).map_err(self.error())?;
        while let Some(row) = rows.next().map_err(self.error())? {
            visit(read(row).map_err(self.error())?)?;
        }
        Ok(())
    }
}

impl Transaction<'_> {
    /// Adds a run, and its model if that is not there.
    ///
    /// # Errors
    /// [`Error::Conflict`] where the model has a run of this name.
    pub fn add_run(&self, model: &str, name: &str) -> Result<RunId> {
        self.change("INSERT OR IGNORE INTO model (name) VALUES (?)", [model])?;
        let sql = "INSERT INTO run (model_id, name) SELECT id, ? FROM model WHERE name = ?";
        self.change(sql, (name, model))?;
        Ok(RunId(self.connection.last_insert_rowid()))
    }

    /// Adds what a run found, after what it found in the same images before.
    ///
    /// # Errors
    /// [`Error::Conflict`] where a detection is of an image or a category that is not there; [`Error::Setting`] where a
    /// number of it is not finite.
    pub fn add_predictions(&self, run: RunId, detections: &[Detection]) -> Result<()> {
        // The next position of the image before, as detections come image by image.
        let mut last: Option<(ImageId, i64)> = None;
        for detection in detections {
            let Detection { image, category, bbox, score } = *detection;
            let BBox { x, y, width, height } = bbox;
            if [x, y, width, height, score].iter().any(|number| !number.is_finite()) {
                return Err(Error::Setting { what: format!("a detection is not finite: {detection:?}") });
            }
            let position = match last {
                Some((last, position)) if last == image => position,
                _ => self.predictions_so_far(run, image)?,
            };
            let sql = "INSERT INTO prediction VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
            let added = self.change(sql, (run.0, image.0, position, category.0, x, y, width, height, score));
            added.map_err(|error| self.missing(error, run, detection))?;
            last = Some((image, position + 1));
        }
        Ok(())
    }

    /// What a detection refers to that is not there: SQLite does not say what it is.
    fn missing(&self, error: Error, run: RunId, detection: &Detection) -> Error {
        let Error::Conflict { path, what } = error else { return error };
        let Detection { image, category, .. } = detection;
        let there = |categories: Vec<Category>| categories.iter().any(|known| known.id == *category);
        let what = if self.image(*image).is_err() {
            format!("a detection is of image {image}, and there is none of that number")
        } else if !self.categories().is_ok_and(there) {
            format!("a detection is of category {category}, and there is none of that number")
        } else {
            format!("a detection of run {} cannot be added: {what}", run.0)
        };
        Error::Conflict { path, what }
    }

    fn predictions_so_far(&self, run: RunId, image: ImageId) -> Result<i64> {
        let sql = "SELECT coalesce(max(position) + 1, 0) FROM prediction WHERE run_id = ? AND image_id = ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.error())?;
        statement.query_row((run.0, image.0), |row| row.get(0)).map_err(self.error())
    }

    /// Deletes a run and what it found, and its model if that has no other.
    ///
    /// # Errors
    /// [`Error::Unknown`] where it is not there.
    pub fn delete_run(&self, run: RunId) -> Result<()> {
        if self.change("DELETE FROM run WHERE id = ?", [run.0])? == 0 {
            return self.unknown(format!("run {}", run.0));
        }
        self.change("DELETE FROM model WHERE id NOT IN (SELECT model_id FROM run)", []).map(drop)
    }
}
