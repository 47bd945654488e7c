use ocelli_core::Shape;
use ocelli_core::ops::{FusedMatmul, Matmul};

use crate::host_tensor::HostTensor;

pub(super) fn matmul(matmul: &Matmul, a: &HostTensor, b: &HostTensor, output: Shape) -> Vec<f64> {
    let [_, _, rows, columns] = output.aligned();
    let [_, _, a_rows, a_columns] = a.extents();
    let depth = if matmul.transpose_a { a_rows } else { a_columns };
    let element = |matrix: &HostTensor, transposed, i, j| {
        matrix.at(if transposed { [0, 0, j, i] } else { [0, 0, i, j] })
    };
    let mut y = Vec::with_capacity(output.elements());
    for i in 0..rows {
        for j in 0..columns {
            let product = |k| element(a, matmul.transpose_a, i, k) * element(b, matmul.transpose_b, k, j);
            y.push((0..depth).map(product).sum());
        }
    }
    y
}

pub(super) fn fused_matmul(
    fused: &FusedMatmul,
    a: &HostTensor,
    b: &HostTensor,
    bias: &HostTensor,
    output: Shape,
) -> Vec<f64> {
    let product = matmul(&fused.matmul, a, b, output);
    let columns = bias.values.iter().cycle();
    let finish = |(y, bias): (f64, &f64)| {
        let sum = y + bias;
        // Not `max`, which loses what is not a number.
        if fused.relu && sum < 0.0 { 0.0 } else { sum }
    };
    product.into_iter().zip(columns).map(finish).collect()
}
