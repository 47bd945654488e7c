//! nvJPEG's constants under NVIDIA's own names, as integers. Values are those of nvJPEG 12 and 13.

/// Declares an integer type and its constants, each documented by its value and meaning; once in a module.
macro_rules! constants {
    ($(#[$meta:meta])* $type:ident: $integer:ty { $($(#[$constant_meta:meta])* $name:ident = $value:literal,)* }) => {
        $(#[$meta])*
        ///
        /// Defined by [NVIDIA's nvJPEG reference](https://docs.nvidia.com/cuda/nvjpeg/index.html).
        pub type $type = $integer;
        $(
            #[doc = concat!("`", stringify!($name), "` (", stringify!($value), "), a [`", stringify!($type), "`].")]
            $(#[$constant_meta])*
            pub const $name: $type = $value;
        )*

        /// Every constant of the type.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, i64)] = &[$((stringify!($name), $value),)*];
    };
}

mod backend;
mod chroma_subsampling;
mod encoder_backend;
mod encoding;
mod exif_orientation;
mod flags;
mod input_format;
mod output_format;
mod property;
mod scale_factor;
mod status;

pub use backend::*;
pub use chroma_subsampling::*;
pub use encoder_backend::*;
pub use encoding::*;
pub use exif_orientation::*;
pub use flags::*;
pub use input_format::*;
pub use output_format::*;
pub use property::*;
pub use scale_factor::*;
pub use status::*;

/// The most components that an image has, and the planes of an [`Image`](crate::Image) (`NVJPEG_MAX_COMPONENT`).
pub const NVJPEG_MAX_COMPONENT: usize = 4;

/// The constants that the header declares.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = (&'static str, i64)> {
    let types = [
        backend::ALL,
        chroma_subsampling::ALL,
        encoder_backend::ALL,
        encoding::ALL,
        exif_orientation::ALL,
        flags::ALL,
        input_format::ALL,
        output_format::ALL,
        property::ALL,
        scale_factor::ALL,
        status::ALL,
        &[("NVJPEG_MAX_COMPONENT", NVJPEG_MAX_COMPONENT as i64)],
    ];
    types.into_iter().flatten().copied()
}
