//! The network that is trained, and what it is trained on.

use ocelli_core::nn::{Module, Params, Seed};
use ocelli_core::optim::{Optimizer, Sgd, SgdConfig};
use ocelli_core::{CrossEntropyConfig, DType, Device, Tensor};
use ocelli_data::augment::Element;
use ocelli_data::loader::Batch;
use ocelli_models::{ResNet, ResNetConfig};

use super::error::{Error, Result};

/// Elements of the largest batch that is made on the host: 8 GiB of numbers.
const MOST_ELEMENTS: usize = 1 << 31;

/// A network and what changes its weights.
pub(super) struct Network {
    net: ResNet,
    sgd: Sgd,
}

impl Network {
    pub(super) fn new(device: &Device, model: &str, classes: usize) -> Result<Network> {
        let params = Params::new(device, Seed(1));
        let net = ResNet::by_name(model, &params, ResNetConfig { classes, ..Default::default() })?;
        // Noise is learned from, too: at a rate at which nothing overflows, because steps that do are skipped.
        let config = SgdConfig { lr: 1e-3, momentum: 0.9, weight_decay: 1e-4, ..Default::default() };
        let sgd = Sgd::new(&params, config);
        Ok(Network { net, sgd })
    }

    /// Submits a whole step: forward, backward, update. Nothing is waited for.
    pub(super) fn train(&mut self, batch: &Labelled) -> Result<()> {
        let config = CrossEntropyConfig { label_smoothing: 0.1, ..Default::default() };
        let loss = self.net.forward(&batch.images)?.cross_entropy(&batch.labels, config)?;
        Ok(self.sgd.minimize(&loss)?)
    }
}

/// Images `[batch, rows, columns, channels]` and their classes, `i32[batch]`.
pub(super) struct Labelled {
    images: Tensor,
    labels: Tensor,
}

impl Labelled {
    /// Noise that lies on the GPU, in four channels, as the loader's batches are.
    pub(super) fn synthetic(device: &Device, batch: usize, size: usize, classes: usize) -> Result<Labelled> {
        let elements = [size, size, 4].into_iter().try_fold(batch, usize::checked_mul);
        let Some(elements) = elements.filter(|&elements| elements <= MOST_ELEMENTS) else {
            let what = format!(
                "{batch} images of {size} x {size} pixels are too many: use a smaller --batch or --size"
            );
            return Err(Error::Usage(what));
        };
        // Any numbers do that are not all alike; the fourth channel is padding. A hash by Fibonacci's multiplier (Knuth,
        // "The Art of Computer Programming", volume 3, 6.4).
        let number = |i: usize| match i % 4 {
            3 => 0.0,
            _ => ((i as u32).wrapping_mul(0x9e37_79b1) >> 24) as f32 / 64.0 - 2.0,
        };
        let pixels: Vec<f32> = (0..elements).map(number).collect();
        let labels: Vec<i32> = (0..batch).map(|i| (i * 37 % classes.max(1)) as i32).collect();
        let images = Tensor::from_slice(device, &pixels, &[batch, size, size, 4])?;
        Ok(Labelled {
            images: images.cast(device.precision().compute_type())?.to_device()?,
            labels: Tensor::from_slice(device, &labels, &[batch])?.to_device()?,
        })
    }

    /// A loader's batch, whose memory is lent to the tensor.
    pub(super) fn loaded(device: &Device, batch: &Batch) -> Result<Labelled> {
        let dtype = match batch.output.dtype {
            Element::F16 => DType::F16,
            Element::Bf16 => DType::BF16,
            Element::F32 => DType::F32,
        };
        Ok(Labelled {
            images: Tensor::from_device_memory(device, batch.images.clone(), dtype, &batch.shape())?,
            labels: Tensor::from_slice(device, &batch.labels, &[batch.labels.len()])?,
        })
    }
}
