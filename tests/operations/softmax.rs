use crate::harness::{Suite, case, numbers};

const SHAPES: [&[usize]; 10] = [
    &[4],
    &[3, 1],
    &[3, 5],
    &[64, 10],
    &[2, 3, 2, 7],
    &[2, 3, 5, 21],
    &[33, 100],
    &[7, 1000],
    &[2, 4097],
    &[513, 3],
];

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn softmax() {
    let mut suite = Suite::default();
    for shape in SHAPES {
        suite.check(case("softmax", [numbers(shape).even()]).roundings(4), |x| x[0].softmax());
    }
}

/// The gradient takes the stored logarithm to the power of e: its rounding grows with its size.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn log_softmax() {
    let mut suite = Suite::default();
    for shape in SHAPES {
        suite.check(case("log_softmax", [numbers(shape).even()]).roundings(10), |x| x[0].log_softmax());
    }
}

/// Logits whose exponentials overflow. The softmax's gradient, which all but vanishes, is held beside one that does not.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn large_logits() {
    let mut suite = Suite::default();
    let logits = numbers(&[5, 40]).scaled(200.0).even();
    suite.check(case("softmax of large logits", [logits.clone()]).roundings(4), |x| {
        x[0].softmax()?.add(&x[0])
    });
    suite.check(case("log_softmax of large logits", [logits]).roundings(10), |x| x[0].log_softmax());
}
