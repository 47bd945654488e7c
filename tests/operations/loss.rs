use ocelli::{CrossEntropyConfig, DType, Result, Tensor};

use crate::harness::{Suite, case, indices, labels, numbers, positive};

/// Losses are computed in `f32` from what they are given: nothing is stored in 16 bits but the gradient.
const ROUNDINGS: u32 = 1;

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn cross_entropy() {
    let mut suite = Suite::default();
    let shapes: [&[usize]; 8] =
        [&[1, 10], &[5, 7], &[2, 3, 2, 4], &[64, 10], &[33, 1000], &[3, 1], &[7, 4097], &[1030, 3]];
    for shape in shapes {
        let (&classes, rows) = shape.split_last().unwrap();
        for label_smoothing in [0.0, 0.1, 1.0] {
            let config = CrossEntropyConfig { label_smoothing, ..Default::default() };
            let inputs = [numbers(shape).scaled(2.0).even(), labels(rows, classes)];
            let case = case(format!("cross_entropy, smoothing {label_smoothing}"), inputs);
            suite.check(case.roundings(ROUNDINGS), |x| x[0].cross_entropy(&x[1], config));
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn cross_entropy_skips_ignored_rows() {
    let mut suite = Suite::default();
    for (ignore_index, values) in
        [(3, [0, 3, 2, 4, 3, 1]), (-100, [-100, 1, 2, -100, 0, 4]), (9, [1, 2, 9, 9, 9, 9])]
    {
        let config = CrossEntropyConfig { label_smoothing: 0.2, ignore_index };
        let case =
            case(format!("cross_entropy ignoring {ignore_index}"), [numbers(&[6, 5]), indices(&values)]);
        suite.check(case.roundings(ROUNDINGS), |x| x[0].cross_entropy(&x[1], config));
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn cross_entropy_of_large_logits() {
    let mut suite = Suite::default();
    let inputs = [numbers(&[9, 11]).scaled(200.0).even(), labels(&[9], 11)];
    suite.check(case("cross_entropy of large logits", inputs).roundings(ROUNDINGS), |x| {
        x[0].cross_entropy(&x[1], CrossEntropyConfig::default())
    });
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn losses_of_numbers() {
    type Loss = (&'static str, fn(&Tensor, &Tensor) -> Result<Tensor>);
    let losses: &[Loss] = &[
        ("mse_loss", |x, t| x.mse_loss(t)),
        ("l1_loss", |x, t| x.l1_loss(t)),
        ("smooth_l1_loss, beta 0", |x, t| x.smooth_l1_loss(t, 0.0)),
        ("smooth_l1_loss, beta 0.5", |x, t| x.smooth_l1_loss(t, 0.5)),
        ("smooth_l1_loss, beta 3", |x, t| x.smooth_l1_loss(t, 3.0)),
    ];
    let mut suite = Suite::default();
    for shape in [&[3, 5][..], &[2, 5, 7, 3], &[4, 9, 9, 8]] {
        for &(name, loss) in losses {
            let inputs = [numbers(shape).even(), numbers(shape).even()];
            suite.check(case(name, inputs).roundings(2), |x| loss(&x[0], &x[1]));
        }
        let inputs = [numbers(shape).scaled(4.0).even(), positive(shape).scaled(0.5)];
        suite.check(case("binary_cross_entropy_with_logits", inputs).roundings(2), |x| {
            x[0].binary_cross_entropy_with_logits(&x[1])
        });
        let inputs = [numbers(shape).scaled(100.0).even(), positive(shape).scaled(0.5)];
        suite.check(case("binary cross entropy of large logits", inputs).roundings(2), |x| {
            x[0].binary_cross_entropy_with_logits(&x[1])
        });
    }
}

/// A sum of losses: both gradients reach the logits.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn two_losses_of_one_value() {
    let mut suite = Suite::default();
    let inputs = [numbers(&[12, 10]).even(), labels(&[12], 10), numbers(&[12, 10])];
    suite.check(case("cross entropy and mean squared error", inputs).roundings(4), |x| {
        let classes = x[0].cross_entropy(&x[1], CrossEntropyConfig::default())?;
        let distance = x[0].mse_loss(&x[2].cast(DType::F32)?)?;
        classes.add(&distance.mul_scalar(0.5)?)
    });
}
