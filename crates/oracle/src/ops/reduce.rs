use ocelli_core::Shape;

use crate::host_tensor::{HostTensor, coordinates, offset};

pub(super) fn sum_to(x: &HostTensor, shape: Shape) -> Vec<f64> {
    let mut y = vec![0.0; shape.elements()];
    for i in coordinates(x.extents()) {
        y[offset(shape.aligned(), i)] += x.at(i);
    }
    y
}

pub(super) fn broadcast_to(x: &HostTensor, shape: Shape) -> Vec<f64> {
    coordinates(shape.aligned()).map(|i| x.at(i)).collect()
}
