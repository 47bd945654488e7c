//! Orders, which must be right whatever the type: 16-bit numbers drawn at random hold many equal ones.

use crate::harness::{Suite, case, indices, labels, numbers};

const SHAPES: [&[usize]; 7] = [&[4], &[5, 1], &[5, 7], &[64, 10], &[2, 3, 2, 21], &[9, 1000], &[3, 4097]];

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn argmax() {
    let mut suite = Suite::default();
    for shape in SHAPES {
        suite.check(case("argmax", [numbers(shape).even()]).roundings(0), |x| x[0].argmax());
        suite.check(case("argmax of ties", [numbers(shape).even()]).roundings(0), |x| {
            x[0].clamp(-0.5, 0.5)?.argmax()
        });
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn in_top_k() {
    let mut suite = Suite::default();
    for shape in &SHAPES[1..] {
        let (&classes, rows) = shape.split_last().unwrap();
        for k in [1, 5] {
            let case = case(format!("in_top_k, k {k}"), [numbers(shape).even(), labels(rows, classes)]);
            suite.check(case.roundings(0), |x| x[0].detach()?.in_top_k(&x[1], k));
        }
    }
    let inputs = [numbers(&[5, 4]), indices(&[0, -1, 4, i32::MAX, 3])];
    suite.check(case("in_top_k of labels out of range", inputs).roundings(0), |x| {
        x[0].detach()?.in_top_k(&x[1], 4)
    });
}
