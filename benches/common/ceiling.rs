//! What the card can do at best: a large matrix product, a large copy.

use std::fmt;

use anyhow::{Context, Result};
use ocelli::{Ceilings as Rates, Device, Precision};

/// The rates that results are compared with, measured in the same run.
pub(crate) struct Ceilings {
    gpu: String,
    rates: Rates,
}

impl Ceilings {
    /// With a matrix product in bf16.
    pub(crate) fn measure(device: &Device) -> Result<Ceilings> {
        let gpu = device.gpu().context("the device is no GPU")?;
        let rates = gpu.ceilings(Precision::mixed_bf16())?;
        Ok(Ceilings { gpu: gpu.cuda().properties().name.clone(), rates })
    }

    /// Operations a second.
    pub(crate) fn flops(&self) -> f64 {
        self.rates.operations
    }

    /// Bytes read and written a second.
    pub(crate) fn bytes(&self) -> f64 {
        self.rates.bytes
    }

    /// The seconds that work takes at least: it can neither compute nor move data faster than the card.
    pub(crate) fn seconds(&self, flops: f64, bytes: f64) -> f64 {
        self.rates.seconds(flops, bytes)
    }
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: bf16 {}", self.gpu, self.rates)
    }
}
