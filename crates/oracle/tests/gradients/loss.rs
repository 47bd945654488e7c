use ocelli_core::{CrossEntropyConfig, Shape};
use ocelli_oracle::{HostTensor, Random};

use crate::{check, check_values, random};

#[test]
fn softmax_and_its_logarithm() {
    for shape in [&[3, 5][..], &[2, 3, 2, 7], &[4], &[3, 1]] {
        check(&[shape], |x| x[0].softmax());
        check(&[shape], |x| x[0].log_softmax());
    }
}

#[test]
fn cross_entropy_of_labels() {
    for label_smoothing in [0.0, 0.1, 1.0] {
        for shape in [&[5, 7][..], &[2, 3, 2, 4], &[3, 1]] {
            let config = CrossEntropyConfig { label_smoothing, ignore_index: -100 };
            check_values(&labelled(shape), |x| x[0].cross_entropy(&x[1], config));
        }
    }
}

#[test]
fn cross_entropy_skips_ignored_rows() {
    let config = CrossEntropyConfig { label_smoothing: 0.2, ignore_index: 3 };
    let mut inputs = labelled(&[6, 5]);
    inputs[1].values[1] = 3.0;
    inputs[1].values[4] = 3.0;
    check_values(&inputs, |x| x[0].cross_entropy(&x[1], config));
}

#[test]
fn losses_of_numbers() {
    let shapes: [&[usize]; 2] = [&[3, 5], &[3, 5]];
    check(&shapes, |x| x[0].mse_loss(&x[1]));
    check(&shapes, |x| x[0].l1_loss(&x[1]));
    check(&shapes, |x| x[0].binary_cross_entropy_with_logits(&x[1]));
    for beta in [0.0, 0.5, 3.0] {
        check(&shapes, |x| x[0].smooth_l1_loss(&x[1], beta));
    }
}

/// Random logits with a label for each row.
fn labelled(shape: &[usize]) -> Vec<HostTensor> {
    let mut inputs = random(&[shape]);
    let rows = Shape::new(&shape[..shape.len() - 1]).unwrap();
    inputs.push(Random::new(5).labels(rows, shape[shape.len() - 1]));
    inputs
}
