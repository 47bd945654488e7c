//! Files that a network's weights are kept in. Nothing in this crate needs a GPU.
//!
//! ```no_run
//! use ocelli_core::nn::{Conv2d, Conv2dConfig, Linear, Params, Seed};
//! use ocelli_core::{Device, Shape};
//! use ocelli_format::safetensors;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let device = Device::new(0)?;
//!     let params = Params::new(&device, Seed(7));
//!     let conv1 = Conv2d::new(&params / "conv1", 3, 64, Conv2dConfig { kernel: 7, ..Default::default() })?;
//!     let fc = Linear::new(&params / "fc", 64, 10)?;
//!
//!     // As PyTorch wrote it: `conv1.weight` is [64, 3, 7, 7] there, and here, once loaded, [64, 7, 7, 3].
//!     safetensors::load("pretrained.safetensors".as_ref(), &params)?;
//!     assert_eq!(params.get("conv1.weight")?.ty().shape, Shape::nhwc(64, 7, 7, 3));
//!     safetensors::save("trained.safetensors".as_ref(), &params)?;
//!     Ok(())
//! }
//! ```

mod error;
pub mod safetensors;
mod whole_file;

pub use error::{Error, Misfit, Result};
