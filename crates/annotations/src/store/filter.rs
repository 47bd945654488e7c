//! Which images and annotations a question is about, as SQL.

use rusqlite::ToSql;
use rusqlite::types::Value;

use super::Store;
use crate::error::Result;
use crate::types::{CategoryId, ImageId};

/// Images by whether they have annotations: only those count that the rest of the filter lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boxes {
    /// All images.
    #[default]
    Any,
    /// Images with at least one.
    With,
    /// Images without.
    Without,
}

/// Which images and annotations are meant: all, unless something is said.
///
/// ```
/// use ocelli_annotations::{Boxes, CategoryId, Filter};
///
/// let people = Filter {
///     split: Some("train".into()),
///     categories: Some(vec![CategoryId(1)]),
///     area: Some((1024.0, f64::INFINITY)),
///     crowd: Some(false),
///     boxes: Boxes::With,
///     ..Filter::default()
/// };
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Images of a split: its name, or `dataset/name`.
    pub split: Option<String>,
    /// These images.
    pub images: Option<Vec<ImageId>>,
    /// Annotations of these categories.
    pub categories: Option<Vec<CategoryId>>,
    /// Annotations of so many pixels, both ends included.
    pub area: Option<(f64, f64)>,
    /// Annotations that are crowds, or that are none.
    pub crowd: Option<bool>,
    /// Images with or without annotations that pass.
    pub boxes: Boxes,
}

/// A condition of SQL and the values of its parameters.
pub(super) struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    fn new() -> Condition {
        Condition { sql: "TRUE".into(), values: Vec::new() }
    }

    fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    pub(super) fn parameters(&self) -> Vec<&dyn ToSql> {
        self.values.iter().map(|value| value as &dyn ToSql).collect()
    }
}

/// Numbers as a JSON array, which SQLite takes apart: one parameter for a list of any length.
fn list(numbers: impl Iterator<Item = i64>) -> Value {
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    Value::Text(format!("[{}]", numbers.join(",")))
}

impl Store {
    /// What an annotation `a` must fulfil itself.
    fn of_annotation(filter: &Filter) -> Condition {
        let mut condition = Condition::new();
        if let Some(categories) = &filter.categories {
            let categories = list(categories.iter().map(|category| category.0));
            condition.and("a.category_id IN (SELECT value FROM json_each(?))", [categories]);
        }
        if let Some((from, to)) = filter.area {
            condition.and("a.area BETWEEN ? AND ?", [from.into(), to.into()]);
        }
        if let Some(crowd) = filter.crowd {
            condition.and("a.crowd = ?", [i64::from(crowd).into()]);
        }
        condition
    }

    /// What the image numbered `id` must fulfil, apart from having annotations.
    fn of_image_alone(&self, filter: &Filter, id: &str) -> Result<Condition> {
        let mut condition = Condition::new();
        if let Some(split) = &filter.split {
            let split = self.split_by_name(split)?;
            let sql = format!("{id} IN (SELECT image_id FROM split_image WHERE split_id = ?)");
            condition.and(&sql, [split.0.into()]);
        }
        if let Some(images) = &filter.images {
            let sql = format!("{id} IN (SELECT value FROM json_each(?))");
            condition.and(&sql, [list(images.iter().map(|image| image.0))]);
        }
        Ok(condition)
    }

    /// Which rows `i` of `image` pass.
    pub(super) fn images_that(&self, filter: &Filter) -> Result<Condition> {
        let mut condition = self.of_image_alone(filter, "i.id")?;
        let annotation = Store::of_annotation(filter);
        let exists = match filter.boxes {
            Boxes::Any => return Ok(condition),
            Boxes::With => "EXISTS",
            Boxes::Without => "NOT EXISTS",
        };
        let sql =
            format!("{exists} (SELECT 1 FROM annotation a WHERE a.image_id = i.id AND {})", annotation.sql);
        condition.and(&sql, annotation.values);
        Ok(condition)
    }

    /// Which rows `a` of `annotation` pass.
    pub(super) fn annotations_that(&self, filter: &Filter) -> Result<Condition> {
        let mut condition = Store::of_annotation(filter);
        let image = self.of_image_alone(filter, "a.image_id")?;
        condition.and(&image.sql, image.values);
        if filter.boxes == Boxes::Without {
            condition.and("FALSE", []);
        }
        Ok(condition)
    }
}
