use ocelli_core::ops::Dropout;
use ocelli_core::ops::dropout::random_bits;

use crate::host_tensor::HostTensor;

pub(super) fn dropout(dropout: &Dropout, x: &HostTensor, seed: u64, step: u32) -> Vec<f64> {
    let kept = |element| random_bits(element, dropout.ordinal, step, seed) >= dropout.threshold();
    let scale = f64::from(dropout.scale());
    (0..).zip(&x.values).map(|(element, x)| if kept(element) { x * scale } else { 0.0 }).collect()
}
