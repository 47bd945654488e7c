use std::path::{Path, PathBuf};

use super::{CLASSES, LabelledImages, Mnist};
use crate::{Error, Result, idx};

/// Reads the four files of MNIST in a directory.
///
/// They may be plain or gzipped, and named `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, with or without
/// `.gz`.
///
/// # Errors
/// [`Error::Missing`] and [`Error::Io`] where a file is not there or cannot be read; [`Error::Malformed`] where it is
/// not the IDX file it should be, where images and labels differ in number, train and test images in size, or a label
/// is not a digit.
pub fn read(directory: &Path) -> Result<Mnist> {
    let train = read_part(directory, "train-images-idx3-ubyte", "train-labels-idx1-ubyte")?;
    let test = read_part(directory, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")?;
    if (train.rows, train.columns) != (test.rows, test.columns) {
        return Err(Error::Malformed {
            path: find(directory, "t10k-images-idx3-ubyte")?,
            what: "image size".into(),
            expected: format!("{} x {} as in the training set", train.rows, train.columns),
            found: format!("{} x {}", test.rows, test.columns),
        });
    }
    Ok(Mnist { train, test })
}

fn read_part(directory: &Path, images: &'static str, labels: &'static str) -> Result<LabelledImages> {
    let images = idx::read(&find(directory, images)?)?;
    let labels_path = find(directory, labels)?;
    let labels = idx::read::<1>(&labels_path)?.data;
    let [count, rows, columns] = images.dimensions;

    let malformed =
        |what, expected, found| Error::Malformed { path: labels_path.clone(), what, expected, found };
    if labels.len() != count {
        let expected = format!("{count}, one for each image");
        return Err(malformed("number of labels".into(), expected, labels.len().to_string()));
    }
    if let Some((index, label)) = labels.iter().enumerate().find(|(_, label)| **label >= CLASSES) {
        let expected = format!("0 to {}", CLASSES - 1);
        return Err(malformed(format!("label of image {index}"), expected, label.to_string()));
    }
    Ok(LabelledImages { images: images.data, labels, rows, columns, count })
}

/// Where the file lies under one of its names.
pub(super) fn find(directory: &Path, name: &'static str) -> Result<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    [name, &dotted]
        .iter()
        .flat_map(|name| [directory.join(name), directory.join(format!("{name}.gz"))])
        .find(|path| path.is_file())
        .ok_or_else(|| Error::Missing { directory: directory.into(), file: name })
}
