use ocelli_core::ops::{Binary, Unary};
use ocelli_core::{DType, Shape};

use crate::host_tensor::{HostTensor, coordinates, round};

pub(super) fn unary(unary: Unary, x: &HostTensor) -> Vec<f64> {
    x.values.iter().map(|&x| unary.evaluate(x)).collect()
}

pub(super) fn binary(binary: Binary, a: &HostTensor, b: &HostTensor, shape: Shape) -> Vec<f64> {
    coordinates(shape.aligned()).map(|i| binary.evaluate(a.at(i), b.at(i))).collect()
}

pub(super) fn add_n(terms: &[&HostTensor]) -> Vec<f64> {
    (0..terms[0].values.len()).map(|i| terms.iter().map(|term| term.values[i]).sum()).collect()
}

/// Between floating-point types nothing happens here: rounding is [`crate::Rounding`]'s business.
pub(super) fn cast(dtype: DType, x: &HostTensor) -> Vec<f64> {
    x.values.iter().map(|&x| if dtype.is_float() { x } else { round(dtype, x) }).collect()
}
