use ocelli::ops::Conv2d;

use crate::harness::{Case, Suite, case, numbers};

const PLAIN: Conv2d = Conv2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };

const fn padded(padding: usize) -> Conv2d {
    Conv2d { padding: [padding; 2], ..PLAIN }
}

const fn strided(stride: usize, padding: usize) -> Conv2d {
    Conv2d { stride: [stride; 2], padding: [padding; 2], ..PLAIN }
}

const fn grouped(groups: usize, stride: usize) -> Conv2d {
    Conv2d { groups, stride: [stride; 2], padding: [1; 2], ..PLAIN }
}

/// Images, filters and how they are convolved.
type Convolution = ([usize; 4], [usize; 4], Conv2d);

fn named(name: &str, (x, w, conv): &Convolution) -> Case {
    let Conv2d { stride, padding, dilation, groups } = conv;
    let how =
        format!("{name} (stride {stride:?}, padding {padding:?}, dilation {dilation:?}, {groups} groups)");
    case(how, [numbers(x), numbers(w)])
}

fn check(convolutions: &[Convolution]) {
    let mut suite = Suite::default();
    for convolution in convolutions {
        suite.check(named("conv2d", convolution), |x| x[0].conv2d(&x[1], convolution.2));
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn small_windows() {
    check(&[
        ([1, 6, 6, 1], [1, 2, 2, 1], PLAIN),
        ([1, 5, 7, 3], [8, 3, 3, 3], PLAIN),
        ([2, 8, 9, 8], [16, 3, 3, 8], padded(1)),
        ([2, 7, 5, 12], [3, 3, 3, 12], padded(1)),
        ([3, 7, 7, 64], [64, 1, 1, 64], PLAIN),
        ([1, 1, 1, 64], [10, 1, 1, 64], PLAIN),
        ([5, 4, 6, 7], [5, 1, 1, 7], PLAIN),
        ([4, 28, 28, 1], [32, 3, 3, 1], PLAIN),
        ([8, 28, 28, 16], [24, 3, 3, 16], padded(1)),
    ]);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn strides_that_do_not_divide() {
    check(&[
        ([2, 9, 8, 1], [4, 3, 3, 1], strided(2, 1)),
        ([2, 10, 10, 64], [32, 3, 3, 64], strided(2, 1)),
        ([2, 7, 8, 8], [16, 1, 1, 8], strided(2, 0)),
        ([1, 11, 10, 8], [8, 3, 3, 8], strided(3, 0)),
        ([2, 11, 7, 12], [8, 5, 3, 12], Conv2d { stride: [2, 3], padding: [2, 1], ..PLAIN }),
        ([2, 23, 21, 3], [64, 7, 7, 3], strided(2, 3)),
        ([2, 23, 21, 4], [64, 7, 7, 4], strided(2, 3)),
        ([2, 16, 16, 3], [8, 4, 4, 3], strided(4, 0)),
    ]);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn dilated_and_oblong_windows() {
    check(&[
        ([1, 13, 12, 8], [8, 3, 3, 8], Conv2d { dilation: [2, 2], ..padded(2) }),
        ([2, 12, 15, 3], [4, 3, 2, 3], Conv2d { dilation: [2, 3], stride: [2, 1], ..padded(1) }),
        ([1, 9, 11, 8], [8, 1, 7, 8], Conv2d { padding: [0, 3], ..PLAIN }),
        ([1, 9, 11, 8], [8, 7, 1, 8], Conv2d { padding: [3, 0], ..PLAIN }),
    ]);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn groups() {
    check(&[
        ([2, 8, 8, 12], [6, 3, 3, 4], grouped(3, 1)),
        ([2, 7, 9, 64], [32, 3, 3, 32], grouped(2, 1)),
        ([1, 9, 9, 64], [64, 3, 3, 16], grouped(4, 2)),
        ([2, 6, 6, 16], [16, 3, 3, 8], grouped(2, 1)),
    ]);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn depthwise() {
    check(&[
        ([2, 9, 9, 8], [8, 3, 3, 1], grouped(8, 1)),
        ([2, 9, 8, 12], [12, 3, 3, 1], grouped(12, 2)),
        ([1, 7, 7, 3], [3, 3, 3, 1], grouped(3, 1)),
        ([2, 8, 8, 8], [16, 3, 3, 1], grouped(8, 1)),
        ([2, 14, 14, 64], [64, 5, 5, 1], Conv2d { padding: [2; 2], ..grouped(64, 1) }),
        ([4, 28, 28, 32], [32, 3, 3, 1], grouped(32, 2)),
    ]);
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn with_bias_and_activation() {
    let mut suite = Suite::default();
    for (x, w, conv) in
        [([2, 9, 7, 3], [5, 3, 3, 3], padded(1)), ([2, 8, 8, 16], [32, 3, 3, 16], strided(2, 1))]
    {
        let inputs = [numbers(&x), numbers(&w).scaled(0.1), numbers(&[w[0]]).f32()];
        suite.check(case("conv2d, bias, silu", inputs.clone()).roundings(6), |x| {
            x[0].conv2d(&x[1], conv)?.add(&x[2])?.silu()
        });
        suite.check(case("conv2d, bias, relu", inputs).only_f32(), |x| {
            x[0].conv2d(&x[1], conv)?.add(&x[2])?.relu()
        });
    }
}

/// The same filters twice, and one image under two filters: gradients add up.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn shared_operands() {
    let mut suite = Suite::default();
    let inputs = [numbers(&[2, 8, 8, 8]), numbers(&[8, 3, 3, 8]).scaled(0.1)];
    suite.check(case("one filter twice", inputs).roundings(6), |x| {
        x[0].conv2d(&x[1], padded(1))?.conv2d(&x[1], padded(1))
    });
    let inputs =
        [numbers(&[2, 8, 8, 8]), numbers(&[8, 3, 3, 8]).scaled(0.1), numbers(&[8, 1, 1, 8]).scaled(0.1)];
    suite.check(case("one image twice", inputs).roundings(6), |x| {
        x[0].conv2d(&x[1], padded(1))?.add(&x[0].conv2d(&x[2], PLAIN)?)
    });
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn transposed() {
    let mut suite = Suite::default();
    let convolutions = [
        (([2, 5, 4, 8], [8, 3, 3, 16], strided(2, 1)), [1, 1]),
        (([2, 5, 4, 8], [8, 2, 2, 8], strided(2, 0)), [0, 0]),
        (([1, 4, 7, 3], [3, 3, 3, 5], PLAIN), [0, 0]),
        (([2, 4, 4, 12], [12, 4, 4, 1], strided(2, 1)), [0, 0]),
        (([1, 3, 5, 8], [8, 3, 2, 4], Conv2d { stride: [3, 2], dilation: [2, 1], ..PLAIN }), [2, 0]),
        (([2, 5, 5, 8], [8, 3, 3, 3], grouped(2, 2)), [1, 0]),
    ];
    for (convolution, output_padding) in convolutions {
        let case = named(&format!("conv_transpose2d, output padding {output_padding:?}"), &convolution);
        suite.check(case, |x| x[0].conv_transpose2d(&x[1], convolution.2, output_padding));
    }
}
