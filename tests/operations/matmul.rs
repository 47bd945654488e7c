use ocelli::DType;

use crate::harness::{Suite, case, numbers};

/// Extents that no vector width divides, single rows and columns, and large ones.
const EXTENTS: [[usize; 3]; 8] = [
    [1, 1, 1],
    [5, 7, 3],
    [1, 512, 10],
    [64, 64, 64],
    [33, 129, 17],
    [64, 9, 1],
    [256, 784, 128],
    [7, 8, 1000],
];

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn products() {
    let mut suite = Suite::default();
    for [m, k, n] in EXTENTS {
        suite.check(case("matmul", [numbers(&[m, k]), numbers(&[k, n])]), |x| x[0].matmul(&x[1]));
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn linear_layers() {
    let mut suite = Suite::default();
    for [m, k, n] in EXTENTS {
        suite.check(case("linear", [numbers(&[m, k]), numbers(&[n, k])]), |x| x[0].linear(&x[1]));
        let inputs = [numbers(&[m, k]), numbers(&[n, k]).scaled(0.05), numbers(&[n]).f32()];
        suite.check(case("linear, bias, silu", inputs).roundings(6), |x| {
            x[0].linear(&x[1])?.add(&x[2])?.silu()
        });
    }
}

/// The bias and what follows in the product's own launch; written in f32 nothing is rounded but the operands.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn linear_layers_with_epilogues() {
    let mut suite = Suite::default();
    for [m, k, n] in EXTENTS {
        let inputs = [numbers(&[m, k]), numbers(&[n, k]), numbers(&[n]).f32()];
        suite.check(case("linear, bias", inputs.clone()).roundings(4), |x| x[0].linear(&x[1])?.add(&x[2]));
        suite.check(case("linear, bias, f32", inputs.clone()).roundings(4), |x| {
            x[0].linear(&x[1])?.add(&x[2])?.cast(DType::F32)
        });
        suite.check(case("linear, bias, relu", inputs).roundings(4).forward_alone(), |x| {
            x[0].linear(&x[1])?.add(&x[2])?.relu()
        });
    }
}

/// A product with itself: both gradients belong to one tensor.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_square() {
    let mut suite = Suite::default();
    suite.check(case("a square", [numbers(&[17, 17])]).roundings(4), |x| x[0].matmul(&x[0]));
    suite.check(case("a Gram matrix", [numbers(&[24, 40])]).roundings(4), |x| x[0].linear(&x[0]));
}
