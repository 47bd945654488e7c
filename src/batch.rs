//! Batches of a loader as tensors.

use ocelli_core::{DType, Device, Half, Precision, Result, Tensor};
use ocelli_data::augment::Element;
use ocelli_data::loader::Batch;

/// What a network takes of a loader's batch.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use ocelli::data::images::ImageFolder;
/// use ocelli::data::loader::{Loader, LoaderConfig};
/// use ocelli::data::sampler::Sampler;
/// use ocelli::prelude::*;
///
/// # fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
/// let device = Device::new(0)?;
/// let gpu = device.gpu().ok_or("the device is no GPU")?;
/// let folder = ImageFolder::open("imagenet/train".as_ref())?;
/// let sampler = Sampler::shuffled(folder.samples().len(), 7);
/// let mut config = LoaderConfig::default();
/// config.output.dtype = image_element(device.precision());
/// let loader = Loader::new(gpu.cuda(), Arc::new(folder), sampler, config)?;
/// for batch in loader.epoch(0)? {
///     let batch = batch?;
///     let (images, labels) = (batch.image_tensor(&device)?, batch.label_tensor(&device)?);
///     // images: f32[256, 224, 224, 4], labels: i32[256]
/// }
/// # Ok(())
/// # }
/// ```
pub trait BatchTensors {
    /// The images, `[batch, rows, columns, channels]`, of the loader's element type. The loader writes the memory again
    /// when the tensor, and the batch, are dropped, after the plans that were submitted by then.
    ///
    /// # Errors
    /// As [`Tensor::from_device_memory`]; `device` is the one that the loader was made for.
    fn image_tensor(&self, device: &Device) -> Result<Tensor>;

    /// The classes, `i32[batch]`.
    ///
    /// # Errors
    /// As [`Tensor::from_slice`].
    fn label_tensor(&self, device: &Device) -> Result<Tensor>;
}

impl BatchTensors for Batch {
    #[track_caller]
    fn image_tensor(&self, device: &Device) -> Result<Tensor> {
        let dtype = match self.output.dtype {
            Element::F16 => DType::F16,
            Element::Bf16 => DType::BF16,
            Element::F32 => DType::F32,
        };
        Tensor::from_device_memory(device, self.images.clone(), dtype, &self.shape())
    }

    #[track_caller]
    fn label_tensor(&self, device: &Device) -> Result<Tensor> {
        Tensor::from_slice(device, &self.labels, &[self.labels.len()])
    }
}

/// What a loader best writes for a network of this precision: the type of its convolutions, which then read the images as
/// they are.
pub fn image_element(precision: Precision) -> Element {
    match precision {
        Precision::Mixed(Half::F16) => Element::F16,
        Precision::Mixed(Half::BF16) => Element::Bf16,
        Precision::F32 | Precision::Tf32 => Element::F32,
    }
}
