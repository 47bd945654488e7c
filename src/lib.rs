/*!
Ocelli is deep learning for vision on NVIDIA GPUs, in Rust, on cuDNN: a person trains or serves an image classifier in
one binary, without Python.

A program builds its graph as it runs: calling an operation checks shapes and appends a node, nothing is computed until a
value is read or a loss is minimised. Then the whole step (forward, backward, update) is planned as one list of launches
over one piece of memory, and from the second time on replayed as a CUDA graph.

# Example

```no_run
use ocelli::prelude::*;

fn main() -> Result<()> {
    let device = Device::new(0)?;
    device.set_precision(Precision::mixed_f16());
    let params = Params::new(&device, Seed(7));
    let conv = Conv2d::new(&params / "conv", 1, 8, Conv2dConfig::default())?;
    let fc = Linear::new(&params / "fc", 8, 10)?;
    let mut sgd = Sgd::new(&params, SgdConfig { lr: 0.1, momentum: 0.9, ..Default::default() });

    let images = Tensor::from_slice(&device, &[0.5f32; 4 * 28 * 28], &[4, 28, 28, 1])?;
    let labels = Tensor::from_slice(&device, &[3i32, 1, 4, 1], &[4])?;
    for step in 0..100 {
        let features = conv.forward(&images)?.relu()?.mean_images()?.flatten()?;
        let loss = fc.forward(&features)?.cross_entropy(&labels, Default::default())?;
        sgd.minimize(&loss)?;
        if step % 10 == 0 {
            println!("step {step}: loss {:.4}", loss.value()?);
        }
    }
    Ok(())
}
```
*/

pub use ocelli_core::*;

#[cfg(feature = "data")]
mod batch;
#[cfg(all(feature = "annotations", feature = "data"))]
mod store_images;
#[cfg(all(feature = "annotations", feature = "data"))]
pub use store_images::StoreImages;

/// Labels: the SQLite store, COCO in and out, evaluation.
#[cfg(feature = "annotations")]
pub use ocelli_annotations as annotations;
/// Device, streams, memory, kernels and the search for NVIDIA's libraries.
pub use ocelli_cuda as cuda;
/// cuDNN's graph API.
pub use ocelli_cudnn as cudnn;
/// Datasets, and the loader that makes batches of them.
#[cfg(feature = "data")]
pub use ocelli_data as data;
/// Weights in files.
#[cfg(feature = "format")]
pub use ocelli_format as format;
/// Networks.
#[cfg(feature = "models")]
pub use ocelli_models as models;

/// What most programs need.
pub mod prelude {
    #[cfg(feature = "data")]
    pub use crate::batch::{BatchTensors, image_element};
    pub use ocelli_core::nn::{
        BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig, Dropout,
        GroupNorm, Linear, Module, Params, Seed,
    };
    pub use ocelli_core::optim::{
        AdamW, AdamWConfig, AverageConfig, LossScale, Optimizer, Schedule, Sgd, SgdConfig,
    };
    pub use ocelli_core::{
        CrossEntropyConfig, DType, Device, Error, Precision, Result, Session, Tensor, evaluate, gradients,
    };
}

/// The program in README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
