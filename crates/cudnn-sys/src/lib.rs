//! Raw bindings to the graph API of cuDNN 9, opened at run time.
//!
//! [`functions`] opens the library that [`ocelli_cuda::library`] chooses and returns a table of function pointers. Every
//! C enum is an integer here: a value that a newer library invents must not become an invalid Rust enum. Nothing is linked
//! and no toolkit is needed to build. The crate `ocelli-cudnn` makes all of it safe.
//!
//! ```no_run
//! let cudnn = ocelli_cudnn_sys::functions()?;
//! // SAFETY: the call takes nothing and only returns a number.
//! println!("cuDNN {}", unsafe { (cudnn.get_version)() });
//! # Ok::<(), ocelli_cuda::Error>(())
//! ```

mod constants;
mod functions;

pub use constants::*;
pub use functions::*;
