use ocelli_core::ops::CrossEntropy;

use super::softmax::log_softmax;
use crate::host_tensor::HostTensor;

/// The loss of each row, and whether it counts.
pub(super) fn cross_entropy(loss: &CrossEntropy, logits: &HostTensor, labels: &HostTensor) -> Vec<Vec<f64>> {
    let row = |(row, &label): (&[f64], &f64)| match target(loss, row.len(), label) {
        None => (0.0, 0.0),
        Some(q) => (-q.iter().zip(log_softmax(row)).map(|(q, log_p)| q * log_p).sum::<f64>(), 1.0),
    };
    let (losses, counted) = logits.rows().zip(&labels.values).map(row).unzip();
    vec![losses, counted]
}

/// `dloss (p - q)`, because `q` sums to 1.
pub(super) fn cross_entropy_grad(
    loss: &CrossEntropy,
    logits: &HostTensor,
    labels: &HostTensor,
    dloss: &HostTensor,
) -> Vec<f64> {
    let mut dlogits = Vec::with_capacity(logits.values.len());
    for ((row, &label), dloss) in logits.rows().zip(&labels.values).zip(&dloss.values) {
        match target(loss, row.len(), label) {
            None => dlogits.resize(dlogits.len() + row.len(), 0.0),
            Some(q) => {
                dlogits.extend(log_softmax(row).iter().zip(q).map(|(log_p, q)| dloss * (log_p.exp() - q)))
            }
        }
    }
    dlogits
}

/// The distribution that a row should have: not numbers for a label that does not exist, `None` for a row to skip.
fn target(loss: &CrossEntropy, classes: usize, label: f64) -> Option<Vec<f64>> {
    if label == f64::from(loss.ignore_index) {
        return None;
    }
    if !(0.0..classes as f64).contains(&label) {
        return Some(vec![f64::NAN; classes]);
    }
    let smoothing = f64::from(loss.label_smoothing.0);
    let mut q = vec![smoothing / classes as f64; classes];
    q[label as usize] += 1.0 - smoothing;
    Some(q)
}
