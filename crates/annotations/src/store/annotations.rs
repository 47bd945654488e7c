//! Annotations.

use rusqlite::{OptionalExtension, Row, Rows};

use super::{Filter, Store, Transaction, check_object, images};
use crate::error::{Error, Result};
use crate::segmentation::Segmentation;
use crate::types::{Annotation, AnnotationId, BBox, CategoryId, Image, ImageId};

/// The columns that [`read`] takes.
const COLUMNS: &str = "a.image_id, a.id, a.category_id, a.x, a.y, a.width, a.height, a.area, a.crowd";

fn read(row: &Row<'_>) -> rusqlite::Result<Annotation> {
    Ok(Annotation {
        image: ImageId(row.get(0)?),
        id: AnnotationId(row.get(1)?),
        category: CategoryId(row.get(2)?),
        bbox: BBox { x: row.get(3)?, y: row.get(4)?, width: row.get(5)?, height: row.get(6)? },
        area: row.get(7)?,
        crowd: row.get(8)?,
    })
}

impl Store {
    /// The annotation of a number.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is none.
    pub fn annotation(&self, id: AnnotationId) -> Result<Annotation> {
        let sql = format!(
            "SELECT {COLUMNS} FROM annotation_key k JOIN annotation a ON a.image_id = k.image_id AND a.id = k.id
             WHERE k.id = ?"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        match statement.query_row([id.0], read).optional().map_err(self.error())? {
            Some(annotation) => Ok(annotation),
            None => self.unknown(format!("annotation {id}")),
        }
    }

    /// An image's annotations by number; none for an image that is not there.
    ///
    /// # Errors
    /// Those of reading.
    pub fn annotations_of(&self, image: ImageId) -> Result<Vec<Annotation>> {
        let sql = format!("SELECT {COLUMNS} FROM annotation a WHERE a.image_id = ? ORDER BY a.id");
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        let annotations = statement.query_map([image.0], read).map_err(self.error())?;
        annotations.collect::<rusqlite::Result<_>>().map_err(self.error())
    }

    /// The annotations that pass, by image and number.
    ///
    /// # Errors
    /// [`Error::Unknown`] where the filter names a split that is not there.
    pub fn annotations(&self, filter: &Filter) -> Result<Vec<Annotation>> {
        let mut annotations = Vec::new();
        self.visit_annotations(filter, |annotation| -> Result<()> {
            annotations.push(annotation);
            Ok(())
        })?;
        Ok(annotations)
    }

    /// Hands over the annotations that pass one by one, by image and number, as they are read: one question for all.
    ///
    /// # Errors
    /// Those of `visit`, and of [`annotations`](Store::annotations).
    pub fn visit_annotations<E: From<Error>>(
        &self,
        filter: &Filter,
        mut visit: impl FnMut(Annotation) -> Result<(), E>,
    ) -> Result<(), E> {
        let condition = self.annotations_that(filter)?;
        let sql =
            format!("SELECT {COLUMNS} FROM annotation a WHERE {} ORDER BY a.image_id, a.id", condition.sql());
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        let mut rows = statement.query(&*condition.parameters()).map_err(self.error())?;
        while let Some(annotation) = self.next(&mut rows)? {
            visit(annotation)?;
        }
        Ok(())
    }

    /// Hands over the images that pass by number, each with its annotations that pass: two questions for all of them.
    ///
    /// # Errors
    /// Those of `visit`, and of [`annotations`](Store::annotations).
    pub fn visit_images<E: From<Error>>(
        &self,
        filter: &Filter,
        mut visit: impl FnMut(&Image, &[Annotation]) -> Result<(), E>,
    ) -> Result<(), E> {
        let of_images = self.images_that(filter)?;
        let of_annotations = self.annotations_that(filter)?;
        let sql = format!("SELECT {} FROM image i WHERE {} ORDER BY i.id", images::COLUMNS, of_images.sql());
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        let mut images = statement.query(&*of_images.parameters()).map_err(self.error())?;
        let sql = format!(
            "SELECT {COLUMNS} FROM annotation a WHERE {} ORDER BY a.image_id, a.id",
            of_annotations.sql()
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        let mut rows = statement.query(&*of_annotations.parameters()).map_err(self.error())?;
        let mut next = self.next(&mut rows)?;
        let mut annotations = Vec::new();
        while let Some(row) = images.next().map_err(self.error())? {
            let image = images::read(row).map_err(self.error())?;
            annotations.clear();
            while let Some(annotation) = next.take_if(|annotation| annotation.image <= image.id) {
                if annotation.image == image.id {
                    annotations.push(annotation);
                }
                next = self.next(&mut rows)?;
            }
            visit(&image, &annotations)?;
        }
        Ok(())
    }

    /// Hands over the annotations that pass with their details, by image and number.
    pub(crate) fn visit_details(
        &self,
        filter: &Filter,
        mut visit: impl FnMut(Annotation, Detail) -> Result<()>,
    ) -> Result<()> {
        let condition = self.annotations_that(filter)?;
        let sql = format!(
            "SELECT {COLUMNS}, d.segmentation, d.extra FROM annotation a LEFT JOIN detail d ON d.id = a.detail_id
             WHERE {} ORDER BY a.image_id, a.id",
            condition.sql()
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        let mut rows = statement.query(&*condition.parameters()).map_err(self.error())?;
        let read_both =
            |row: &Row<'_>| Ok((read(row)?, Detail { segmentation: row.get(9)?, extra: row.get(10)? }));
        while let Some(row) = rows.next().map_err(self.error())? {
            let (annotation, detail) = read_both(row).map_err(self.error())?;
            visit(annotation, detail)?;
        }
        Ok(())
    }

    fn next(&self, rows: &mut Rows<'_>) -> Result<Option<Annotation>> {
        let row = rows.next().map_err(self.error())?;
        row.map(read).transpose().map_err(self.error())
    }

    /// How many annotations pass.
    ///
    /// # Errors
    /// Those of [`annotations`](Store::annotations).
    pub fn count_annotations(&self, filter: &Filter) -> Result<usize> {
        let condition = self.annotations_that(filter)?;
        let sql = format!("SELECT count(*) FROM annotation a WHERE {}", condition.sql());
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.error())?;
        statement.query_row(&*condition.parameters(), |row| row.get(0)).map_err(self.error())
    }

    /// An annotation's mask; `None` where it has none.
    ///
    /// # Errors
    /// [`Error::Malformed`] where what is kept is no mask.
    pub fn segmentation(&self, id: AnnotationId) -> Result<Option<Segmentation>> {
        let Some(json) = self.detail(id)?.segmentation else { return Ok(None) };
        Segmentation::from_json(&json).map(Some).map_err(|what| Error::Malformed {
            path: self.path.clone(),
            what: format!("the segmentation of annotation {id}: {what}"),
        })
    }

    /// What is kept of an annotation beside its box, as it was written.
    ///
    /// # Errors
    /// Those of reading.
    pub fn detail(&self, id: AnnotationId) -> Result<Detail> {
        let sql = "SELECT d.segmentation, d.extra FROM annotation_key k
                   JOIN annotation a ON a.image_id = k.image_id AND a.id = k.id
                   JOIN detail d ON d.id = a.detail_id WHERE k.id = ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.error())?;
        let read = |row: &Row<'_>| Ok(Detail { segmentation: row.get(0)?, extra: row.get(1)? });
        Ok(statement.query_row([id.0], read).optional().map_err(self.error())?.unwrap_or_default())
    }
}

/// What is kept of an annotation beside its box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// Its mask, as JSON: COCO's polygons or runs.
    pub segmentation: Option<String>,
    /// What else is said of it: a JSON object.
    pub extra: Option<String>,
}

impl Transaction<'_> {
    /// Adds an annotation.
    ///
    /// # Errors
    /// [`Error::Conflict`] where there is one of this number, or no such image or category; [`Error::Setting`] where a
    /// number of its box is not finite.
    pub fn add_annotation(&self, annotation: &Annotation) -> Result<()> {
        let Annotation { id, image, category, bbox, area, crowd } = annotation;
        check_finite(annotation)?;
        let sql = "INSERT INTO annotation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)";
        let BBox { x, y, width, height } = bbox;
        let added = self.change(sql, (image.0, id.0, category.0, x, y, width, height, area, crowd));
        added.map(drop).map_err(|error| contradiction(error, annotation))
    }

    /// A number that no annotation has.
    ///
    /// # Errors
    /// Those of reading.
    pub fn unused_annotation_id(&self) -> Result<AnnotationId> {
        let sql = "SELECT coalesce(max(id), 0) + 1 FROM annotation_key";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.error())?;
        statement.query_row([], |row| row.get(0)).map(AnnotationId).map_err(self.error())
    }

    /// Changes an annotation: its image, category, box, area and whether it is a crowd.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is none of this number, else those of
    /// [`add_annotation`](Transaction::add_annotation).
    pub fn update_annotation(&self, annotation: &Annotation) -> Result<()> {
        let Annotation { id, image, category, bbox, area, crowd } = annotation;
        check_finite(annotation)?;
        let sql =
            "UPDATE annotation SET image_id = ?1, category_id = ?2, x = ?3, y = ?4, width = ?5, height = ?6,
                          area = ?7, crowd = ?8
                   WHERE id = ?9 AND image_id = (SELECT image_id FROM annotation_key WHERE id = ?9)";
        let BBox { x, y, width, height } = bbox;
        let changed = self.change(sql, (image.0, category.0, x, y, width, height, area, crowd, id.0));
        match changed.map_err(|error| contradiction(error, annotation))? {
            0 => self.unknown(format!("annotation {id}")),
            _ => Ok(()),
        }
    }

    /// Deletes an annotation and its mask.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is none of this number.
    pub fn delete_annotation(&self, id: AnnotationId) -> Result<()> {
        let sql = "DELETE FROM annotation
                   WHERE id = ?1 AND image_id = (SELECT image_id FROM annotation_key WHERE id = ?1)";
        match self.change(sql, [id.0])? {
            0 => self.unknown(format!("annotation {id}")),
            _ => Ok(()),
        }
    }

    /// Gives an annotation a mask, or takes it away.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is no such annotation.
    pub fn set_segmentation(&self, id: AnnotationId, segmentation: Option<&Segmentation>) -> Result<()> {
        let detail = self.detail(id)?;
        self.set_detail(id, segmentation.map(Segmentation::to_json), detail.extra)
    }

    /// Sets what else is known of an annotation: a JSON object, or nothing.
    ///
    /// # Errors
    /// [`Error::Unknown`] where there is no such annotation, [`Error::Setting`] where it is no JSON object.
    pub fn set_annotation_extra(&self, id: AnnotationId, json: Option<&str>) -> Result<()> {
        json.map(check_object).transpose()?;
        let detail = self.detail(id)?;
        self.set_detail(id, detail.segmentation, json.map(String::from))
    }

    fn set_detail(
        &self,
        id: AnnotationId,
        segmentation: Option<String>,
        extra: Option<String>,
    ) -> Result<()> {
        let image = self.annotation(id)?.image;
        let condition = "WHERE image_id = ? AND id = ?";
        let old = format!("DELETE FROM detail WHERE id = (SELECT detail_id FROM annotation {condition})");
        self.change(&old, (image.0, id.0))?;
        let mut detail = None;
        if segmentation.is_some() || extra.is_some() {
            self.change("INSERT INTO detail (segmentation, extra) VALUES (?, ?)", (segmentation, extra))?;
            detail = Some(self.connection.last_insert_rowid());
        }
        let new = format!("UPDATE annotation SET detail_id = ? {condition}");
        self.change(&new, (detail, image.0, id.0)).map(drop)
    }
}

fn check_finite(annotation: &Annotation) -> Result<()> {
    let Annotation { id, bbox, area, .. } = annotation;
    let BBox { x, y, width, height } = *bbox;
    if [x, y, width, height, *area].iter().all(|number| number.is_finite()) {
        return Ok(());
    }
    Err(Error::Setting {
        what: format!("annotation {id} has a box or an area that is not finite: {bbox:?}, {area}"),
    })
}

/// SQLite says that something contradicts something, but not what.
fn contradiction(error: Error, annotation: &Annotation) -> Error {
    let Annotation { id, image, category, .. } = annotation;
    match error {
        Error::Conflict { path, .. } => {
            let what = format!(
                "annotation {id} of image {image}, category {category}: its number is taken, or there is no such image or \
                 category"
            );
            Error::Conflict { path, what }
        }
        error => error,
    }
}
