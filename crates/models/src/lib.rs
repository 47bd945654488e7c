//! Networks, ready to be trained: residual networks for classification.
//!
//! Names, shapes and initial values of the parameters are torchvision's, so that weights can be carried over. Its
//! `num_batches_tracked` is not kept: nothing computes with it. Filters lie as `[out, rows, columns, in]` here and as
//! `[out, in, rows, columns]` there; all other shapes are equal.
//!
//! ```no_run
//! use ocelli_core::nn::{Module, Params, Seed};
//! use ocelli_core::optim::{Optimizer, Sgd, SgdConfig};
//! use ocelli_core::{Device, Precision, Tensor};
//! use ocelli_models::{ResNetConfig, resnet50};
//!
//! fn main() -> ocelli_core::Result<()> {
//!     let device = Device::new(0)?;
//!     device.set_precision(Precision::mixed_f16());
//!     let params = Params::new(&device, Seed(7));
//!     let net = resnet50(&params, ResNetConfig { classes: 10, ..Default::default() })?;
//!     let mut sgd = Sgd::new(&params, SgdConfig { lr: 0.1, momentum: 0.9, ..Default::default() });
//!
//!     let images = Tensor::from_slice(&device, &[0.5f32; 2 * 224 * 224 * 3], &[2, 224, 224, 3])?;
//!     let labels = Tensor::from_slice(&device, &[3i32, 1], &[2])?;
//!     let loss = net.forward(&images)?.cross_entropy(&labels, Default::default())?;
//!     sgd.minimize(&loss)?;
//!     println!("loss {}", loss.value()?);
//!     Ok(())
//! }
//! ```

mod error;
mod resnet;

pub use error::{Error, Result};
pub use resnet::{
    NAMES, ResNet, ResNetConfig, Stem, resnet18, resnet34, resnet50, resnet101, resnet152, resnext50_32x4d,
    resnext101_32x8d, wide_resnet50_2, wide_resnet101_2,
};
