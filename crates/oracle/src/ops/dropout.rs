use ocelli_core::ops::Dropout;
use ocelli_core::ops::dropout::random_bits;

use crate::host_tensor::HostTensor;
use crate::interpret::Bindings;

pub(super) fn dropout(dropout: &Dropout, x: &HostTensor, bindings: &Bindings) -> Vec<f64> {
    let scale = f64::from(dropout.scale());
    (0..)
        .zip(&x.values)
        .map(|(element, x)| if kept(dropout, element, bindings) { x * scale } else { 0.0 })
        .collect()
}

/// Whether the mask lets an element through.
pub(crate) fn kept(dropout: &Dropout, element: u64, bindings: &Bindings) -> bool {
    random_bits(element, dropout.ordinal, bindings.step, bindings.seed) >= dropout.threshold()
}
