use crate::host_tensor::HostTensor;

pub(super) fn argmax(x: &HostTensor) -> Vec<f64> {
    let largest = |row: &[f64]| (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    x.rows().map(|row| largest(row) as f64).collect()
}

pub(super) fn in_top_k(k: usize, logits: &HostTensor, labels: &HostTensor) -> Vec<f64> {
    let among = |(row, &label): (&[f64], &f64)| {
        if !(0.0..row.len() as f64).contains(&label) {
            return 0.0;
        }
        let label = label as usize;
        let before = (0..row.len()).filter(|&i| row[i] > row[label] || (row[i] == row[label] && i < label));
        f64::from(u8::from(before.count() < k))
    };
    logits.rows().zip(&labels.values).map(among).collect()
}
