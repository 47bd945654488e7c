use ocelli_core::ops::Softmax;

use crate::host_tensor::HostTensor;

pub(super) fn softmax(softmax: &Softmax, x: &HostTensor) -> Vec<f64> {
    let log = x.rows().flat_map(log_softmax);
    if softmax.log { log.collect() } else { log.map(f64::exp).collect() }
}

/// `sum_j dy_j dy_j/dx_i`, with the Jacobian `y_j ((i = j) - y_i)`, or `(i = j) - e^{y_i}` for the logarithm.
pub(super) fn softmax_grad(softmax: &Softmax, y: &HostTensor, dy: &HostTensor) -> Vec<f64> {
    let mut dx = Vec::with_capacity(y.values.len());
    for (y, dy) in y.rows().zip(dy.rows()) {
        for i in 0..y.len() {
            let slope = |j: usize| {
                let same = f64::from(u8::from(i == j));
                if softmax.log { same - y[i].exp() } else { y[j] * (same - y[i]) }
            };
            dx.push((0..y.len()).map(|j| dy[j] * slope(j)).sum());
        }
    }
    dx
}

/// The logarithm of the softmax of one row.
pub(super) fn log_softmax(row: &[f64]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = largest + row.iter().map(|x| (x - largest).exp()).sum::<f64>().ln();
    row.iter().map(|x| x - log_sum).collect()
}
