use crate::types::{AnnotationId, CategoryId, ImageId};

/// What can be wrong with the labels, the detections or the settings of an evaluation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of its range, or contradicts another.
    #[error("{setting} of the evaluation: {what}")]
    Parameters {
        /// Which.
        setting: &'static str,
        /// What is wrong, and what would be right.
        what: String,
    },

    /// Two categories have the same id.
    #[error("category {category} is listed twice: give each category an id of its own")]
    DuplicateCategory {
        /// The id.
        category: CategoryId,
    },

    /// An annotation is in an image that is not among those evaluated.
    #[error(
        "annotation {annotation} is in image {image}, which is not listed: list the image or leave the annotation out"
    )]
    UnknownImage {
        /// The annotation.
        annotation: AnnotationId,
        /// Its image.
        image: ImageId,
    },

    /// An annotation is of a category that is not among those evaluated.
    #[error(
        "annotation {annotation} is of category {category}, which is not listed: list the category or leave the \
         annotation out"
    )]
    UnknownCategory {
        /// The annotation.
        annotation: AnnotationId,
        /// Its category.
        category: CategoryId,
    },

    /// A number of an annotation is infinite, or not a number.
    #[error(
        "annotation {annotation} in image {image}: {what} is not finite: repair it or leave the annotation out"
    )]
    BadAnnotation {
        /// The annotation.
        annotation: AnnotationId,
        /// Its image.
        image: ImageId,
        /// Which number.
        what: &'static str,
    },

    /// A detection is in an image that is not among those evaluated.
    #[error(
        "detection {index} of those added is in image {image}, which is not evaluated: was the network run on another \
         split? Unknown::Drop leaves such detections out"
    )]
    DetectionImage {
        /// The detection's place among those of the call.
        index: usize,
        /// Its image.
        image: ImageId,
    },

    /// A detection is of a category that is not among those evaluated.
    #[error(
        "detection {index} of those added (image {image}) is of category {category}, which is not evaluated: is the \
         network's class an index, and not yet the dataset's id? Unknown::Drop leaves such detections out"
    )]
    DetectionCategory {
        /// The detection's place among those of the call.
        index: usize,
        /// Its image.
        image: ImageId,
        /// Its category.
        category: CategoryId,
    },

    /// A number of a detection is infinite, or not a number.
    #[error(
        "detection {index} of those added (image {image}): {what} is not finite: did the network diverge?"
    )]
    BadDetection {
        /// The detection's place among those of the call.
        index: usize,
        /// Its image.
        image: ImageId,
        /// Which number.
        what: &'static str,
    },

    /// There are more things than 32-bit places tell apart.
    #[error("there are more than {} {what}: evaluate in parts", u32::MAX)]
    TooMany {
        /// Of what.
        what: &'static str,
    },
}

/// What the functions of this module return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
