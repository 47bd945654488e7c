//! YOLO's text files.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use ocelli_files::directory_beside;

use crate::error::{Error, Result};
use crate::store::{Filter, Store};
use crate::types::{Annotation, BBox, Category, CategoryId, Image};

/// Writes the boxes that pass a filter as YOLO's text files, and yields for how many images.
///
/// The new directory has `classes.txt`, a name on each line, and below `labels` a file for each image, of its path with
/// `txt` for the extension: `labels/train/1.txt` for `train/1.jpg`. Each line of it is `class cx cy w h`: the class is
/// the category's position in [`Store::categories`], the others are the box's centre and size as parts of the image's,
/// with all digits. An image without boxes has an empty file. Crowds are left out, for the format cannot tell them
/// from single things, and so are masks. Boxes are not clipped: one that reaches beyond its image still does.
///
/// # Errors
/// [`Error::Exists`] where there is something of the directory's name; [`Error::Conflict`] where an image's file name
/// leads out of the directory, where two images would share a file, where an image with boxes has no size, and where a
/// category's name is no line of text; [`Error::Io`]; [`Error::DiskFull`]. There is no directory then.
pub fn yolo(store: &Store, filter: &Filter, directory: &Path) -> Result<usize> {
    check_free(directory)?;
    let part = directory_beside(directory).map_err(Error::io("create", directory))?;

    let categories = store.categories()?;
    let names = part.path().join("classes.txt");
    fs::write(&names, class_names(store, &categories)?).map_err(Error::io("write", &names))?;

    let labels = part.path().join("labels");
    fs::create_dir(&labels).map_err(Error::io("create", &labels))?;
    let classes = categories.iter().enumerate().map(|(class, category)| (category.id, class)).collect();
    let mut images = 0;
    store.visit_images(filter, |image, annotations| -> Result<()> {
        let lines = lines(store, image, annotations, &classes)?;
        let path = labels.join(relative(store, image)?);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        let mut file = File::create_new(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => conflict(
                store,
                format!(
                    "image {} ({}) would share its file of labels with another: rename it",
                    image.id, image.file_name
                ),
            ),
            _ => Error::io("create", &path)(error),
        })?;
        file.write_all(lines.as_bytes()).map_err(Error::io("write", &path))?;
        images += 1;
        Ok(())
    })?;

    // An empty directory that came up meanwhile would be replaced without a word.
    check_free(directory)?;
    part.persist().map_err(Error::io("create", directory))?;
    Ok(images)
}

/// An error where there is something already, be it a link into nothing.
fn check_free(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Err(Error::Exists { path: path.into() }),
        Err(_) => Ok(()),
    }
}

fn conflict(store: &Store, what: String) -> Error {
    Error::Conflict { path: store.path().into(), what }
}

/// A line for each category's name.
fn class_names(store: &Store, categories: &[Category]) -> Result<String> {
    let mut lines = String::new();
    for Category { id, name, .. } in categories {
        if name.trim().is_empty() || name.contains(['\n', '\r']) {
            let what =
                format!("the name of category {id} is {name:?}, and has to be one line of text: rename it");
            return Err(conflict(store, what));
        }
        lines.push_str(name);
        lines.push('\n');
    }
    Ok(lines)
}

/// A line for each of an image's boxes.
fn lines(
    store: &Store,
    image: &Image,
    annotations: &[Annotation],
    classes: &HashMap<CategoryId, usize>,
) -> Result<String> {
    let mut lines = String::new();
    let (columns, rows) = (f64::from(image.width), f64::from(image.height));
    for Annotation { id, category, bbox, .. } in annotations.iter().filter(|annotation| !annotation.crowd) {
        if image.width == 0 || image.height == 0 {
            let what = format!(
                "image {} has boxes, and a size of {} x {}: correct its size",
                image.id, image.width, image.height
            );
            return Err(conflict(store, what));
        }
        let Some(class) = classes.get(category) else {
            let what = format!("annotation {id} is of category {category}, which is not there: correct it");
            return Err(conflict(store, what));
        };
        let BBox { x, y, width, height } = bbox;
        let (cx, cy) = ((x + width / 2.0) / columns, (y + height / 2.0) / rows);
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{class} {cx} {cy} {} {}", width / columns, height / rows);
    }
    Ok(lines)
}

/// Where an image's labels go below the directory of labels.
fn relative(store: &Store, image: &Image) -> Result<PathBuf> {
    let Image { id, file_name, .. } = image;
    let path = Path::new(file_name);
    let within = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if path.file_name().is_none() || !path.components().all(within) {
        let what = format!(
            "image {id} has the file name {file_name:?}, which names no file within a directory: rename it"
        );
        return Err(conflict(store, what));
    }
    Ok(path.with_extension("txt"))
}
