//! Operations that move elements: every bit must arrive.

use ocelli::{DType, Tensor};

use crate::harness::{Suite, case, indices, labels, numbers};

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn concat() {
    let mut suite = Suite::default();
    for channels in [&[3, 5][..], &[8, 8], &[64, 32, 16], &[1, 1, 1, 1], &[12], &[7, 64, 3, 8, 5]] {
        let inputs: Vec<_> = channels.iter().map(|&c| numbers(&[2, 5, 7, c])).collect();
        suite.check(case("concat", inputs).roundings(0), |x| Tensor::concat(&x.iter().collect::<Vec<_>>()));
    }
    suite.check(case("concat of rows", [numbers(&[9, 3]), numbers(&[9, 4])]).roundings(0), |x| {
        Tensor::concat(&[&x[0], &x[1]])
    });
    suite.check(case("concat with itself", [numbers(&[2, 3, 3, 8])]), |x| Tensor::concat(&[&x[0], &x[0]]));
    let inputs = [numbers(&[2, 9, 9, 8]), numbers(&[2, 9, 9, 24])];
    suite.check(case("concat amid pointwise work", inputs).roundings(6), |x| {
        Tensor::concat(&[&x[0].silu()?, &x[1].tanh()?])?.sigmoid()
    });
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn channel_slice() {
    let mut suite = Suite::default();
    for (c, start, length) in [(7, 2, 3), (64, 0, 32), (64, 32, 32), (12, 11, 1), (8, 0, 8), (24, 5, 16)] {
        let case = case(format!("channel_slice {start}..+{length}"), [numbers(&[2, 5, 3, c])]);
        suite.check(case.roundings(0), |x| x[0].channel_slice(start, length));
    }
    suite.check(case("halves exchanged", [numbers(&[2, 5, 3, 16])]).roundings(0), |x| {
        Tensor::concat(&[&x[0].channel_slice(8, 8)?, &x[0].channel_slice(0, 8)?])
    });
    suite.check(case("overlapping slices", [numbers(&[2, 5, 3, 12])]).roundings(4), |x| {
        x[0].channel_slice(0, 8)?.mul(&x[0].channel_slice(4, 8)?)
    });
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn channel_pad() {
    let mut suite = Suite::default();
    for (c, before, total) in [(3, 0, 4), (8, 8, 24), (5, 2, 7), (64, 0, 64), (1, 15, 16)] {
        let case = case(format!("channel_pad {c} after {before} of {total}"), [numbers(&[2, 5, 3, c])]);
        suite.check(case.roundings(0), |x| x[0].channel_pad(before, total));
    }
    // Pixels, as a network's first layer gets them.
    suite.check(case("channel_pad of bytes", [labels(&[2, 9, 7, 3], 256)]).roundings(2), |x| {
        let pixels = x[0].cast(DType::U8)?.channel_pad(0, 4)?;
        pixels.cast(DType::F32)?.mul_scalar(1.0 / 255.0)?.add_scalar(-0.5)
    });
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn channel_shuffle() {
    let mut suite = Suite::default();
    for (c, groups) in [(6, 2), (6, 3), (64, 2), (64, 4), (12, 12), (8, 1), (15, 5)] {
        let case = case(format!("channel_shuffle of {groups} groups"), [numbers(&[2, 5, 3, c])]);
        suite.check(case.roundings(0), |x| x[0].channel_shuffle(groups));
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn reshape_and_flatten() {
    let mut suite = Suite::default();
    suite.check(case("flatten", [numbers(&[3, 5, 7, 2])]).roundings(0), |x| x[0].flatten());
    suite.check(case("reshape", [numbers(&[6, 35])]).roundings(0), |x| x[0].reshape(&[2, 3, 5, 7]));
    suite.check(case("reshape of a scalar", [numbers(&[])]).roundings(0), |x| x[0].reshape(&[1, 1]));
    let inputs = [numbers(&[3, 2, 5, 4]), numbers(&[40]), numbers(&[4])];
    suite.check(case("reshape amid pointwise work", inputs).roundings(6), |x| {
        x[0].silu()?.add(&x[2])?.flatten()?.mul(&x[1])?.tanh()?.reshape(&[3, 2, 5, 4])
    });
}

/// Rows have no gradient; only the forward pass is compared.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn take_rows() {
    let mut suite = Suite::default();
    for shape in [&[9, 28, 28, 1][..], &[50, 3], &[64, 4, 4, 8], &[17]] {
        for count in [1, 5, 40] {
            let case = case(format!("take_rows, {count} rows"), [numbers(shape), labels(&[count], shape[0])]);
            suite.check(case.roundings(0), |x| x[0].detach()?.take_rows(&x[1]));
        }
    }
    suite
        .check(case("take_rows of labels", [labels(&[30], 10), indices(&[3, 3, 29, 0])]).roundings(0), |x| {
            x[0].take_rows(&x[1])
        });
    suite.check(case("rows in a chain", [numbers(&[9, 5, 5, 8]), indices(&[8, 0, 4])]).roundings(4), |x| {
        x[0].detach()?.take_rows(&x[1])?.mul_scalar(0.5)?.silu()
    });
}
