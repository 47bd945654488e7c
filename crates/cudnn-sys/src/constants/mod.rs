//! cuDNN's constants under NVIDIA's own names, as integers.
//!
//! Only what convolution, matrix product, pointwise, reduction, pooling and normalisation graphs use is here; deprecated
//! values and the operations of language models are left out. Values are those of cuDNN 9, which never renumbers.

/// Declares an integer type and its constants, each documented by the place that defines it.
macro_rules! constants {
    ($(#[$meta:meta])* $type:ident { $($name:ident = $value:literal,)* }) => {
        $(#[$meta])*
        ///
        /// Defined by [NVIDIA's cuDNN graph API reference](https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-graph-library.html).
        pub type $type = i32;
        $(
            #[doc = concat!("`", stringify!($name), "` (", stringify!($value), "), a [`", stringify!($type), "`].")]
            #[allow(non_upper_case_globals, reason = "NVIDIA's names")]
            pub const $name: $type = $value;
        )*
    };
}

mod attribute;
mod attribute_type;
mod descriptor;
mod engine;
mod mode;
mod softmax;
mod status;

pub use attribute::*;
pub use attribute_type::*;
pub use descriptor::*;
pub use engine::*;
pub use mode::*;
pub use softmax::*;
pub use status::*;
