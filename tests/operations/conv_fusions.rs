//! Convolutions that take over the work around them, whether or not it pays: against the oracle, and whether they did.

use ocelli::ops::Conv2d;
use ocelli::{DType, PlanReport, Tensor};

use crate::harness::{Case, Suite, case, gpu, numbers, positive};

const PLAIN: Conv2d = Conv2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };

/// Images, filters and how they are convolved: windows of 1, 3 and 7, strides 1 and 2, groups, few and odd channels.
fn convolutions() -> Vec<([usize; 4], [usize; 4], Conv2d)> {
    let padded =
        |padding: usize, stride: usize| Conv2d { padding: [padding; 2], stride: [stride; 2], ..PLAIN };
    vec![
        ([2, 9, 8, 16], [24, 3, 3, 16], padded(1, 1)),
        ([3, 9, 9, 64], [32, 3, 3, 64], padded(1, 2)),
        ([2, 7, 7, 32], [64, 1, 1, 32], padded(0, 1)),
        ([2, 8, 7, 64], [128, 1, 1, 64], padded(0, 2)),
        ([2, 8, 8, 12], [16, 3, 3, 12], padded(1, 1)),
        ([2, 8, 8, 16], [10, 3, 3, 16], padded(1, 1)),
        ([1, 23, 21, 3], [64, 7, 7, 3], padded(3, 2)),
        ([1, 23, 21, 4], [64, 7, 7, 4], padded(3, 2)),
        ([2, 9, 9, 32], [32, 3, 3, 8], Conv2d { groups: 4, ..padded(1, 1) }),
    ]
}

fn named(name: &str, x: [usize; 4], w: [usize; 4], conv: Conv2d, more: &[crate::harness::Input]) -> Case {
    let window = (w[1] * w[2] * w[3]) as f64;
    let mut inputs = vec![numbers(&x), numbers(&w).scaled(window.sqrt().recip())];
    inputs.extend_from_slice(more);
    let Conv2d { stride, padding, groups, .. } = conv;
    case(format!("{name} (stride {stride:?}, padding {padding:?}, {groups} groups)"), inputs)
}

/// Fails unless so many convolutions took over the work that a rule is about.
fn fused(report: &PlanReport, pattern: &str, expected: usize) -> Result<(), String> {
    let of_pattern = |fused: bool| {
        let decisions = report.decisions.iter();
        decisions.filter(move |decision| decision.pattern == pattern && decision.fused == fused).count()
    };
    if of_pattern(true) == expected {
        return Ok(());
    }
    Err(format!("{} of {expected} were fused by {pattern}: {:?}", of_pattern(true), report.decisions))
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn epilogues() {
    let mut suite = Suite::fusing();
    for (x, w, conv) in convolutions() {
        let (p, q) = (conv.output_extent(0, x[1], w[1]).unwrap(), conv.output_extent(1, x[2], w[2]).unwrap());
        let more = [numbers(&[w[0]]).f32(), numbers(&[x[0], p, q, w[0]])];
        let one = |_: DType, report: &PlanReport| fused(report, "epilogue", 1);
        let case = |name: &str, count: usize| named(name, x, w, conv, &more[..count]).roundings(6);
        let bias = |x: &[Tensor]| x[0].conv2d(&x[1], conv)?.add(&x[2]);
        let both = |x: &[Tensor]| x[0].conv2d(&x[1], conv)?.add(&x[3])?.add(&x[2]);
        suite.check_planned(case("bias", 1), bias, one);
        suite.check_planned(case("residual, bias", 2), both, one);
        // In 16 bits, rounding decides where the gradient of ReLU jumps.
        suite.check_planned(case("bias, relu", 1).only_f32(), |x| bias(x)?.relu(), one);
        suite.check_planned(case("bias, relu", 1).forward_alone(), |x| bias(x)?.relu(), one);
        suite.check_planned(case("residual, bias, relu", 2).only_f32(), |x| both(x)?.relu(), one);
        suite.check_planned(case("residual, bias, relu", 2).forward_alone(), |x| both(x)?.relu(), one);
    }
}

/// The statistics of the batch from the convolution's launch; where they are refused, from a launch of their own.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn statistics() {
    let mut suite = Suite::fusing();
    for (x, w, conv) in convolutions() {
        let k = w[0];
        let more = [positive(&[k]).f32(), numbers(&[k]).f32()];
        let fits = x[3] % 8 == 0 && k % 8 == 0 && conv.groups == 1 && w[1] < 7;
        let planned = |dtype: DType, report: &PlanReport| {
            // A first convolution over blocks of pixels has channels and taps that fit.
            let blocks = report
                .decisions
                .iter()
                .any(|decision| decision.fused && decision.pattern == "space to depth");
            fused(report, "statistics", usize::from((fits || blocks) && dtype == DType::F16))
        };
        for (name, output) in [("normalised", 0), ("mean", 1), ("variance", 2)] {
            let build = |x: &[Tensor]| {
                let y = x[0].conv2d(&x[1], conv)?;
                Ok(y.batch_norm(&x[2], &x[3], 1e-5)?[output].clone())
            };
            let case = named(&format!("batch norm: {name}"), x, w, conv, &more).roundings(8);
            let case = if output == 0 { case } else { case.forward_alone() };
            suite.check_planned(case, build, planned);
        }
    }
}

/// A batch normalisation and ReLU in the prologue of the convolution after them, whose statistics somebody wants too.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn prologues() {
    let mut suite = Suite::fusing();
    for (x, w, conv) in convolutions() {
        let (c, k) = (x[3], w[0]);
        let more = [positive(&[c]).f32().scaled(0.1), positive(&[c]).f32(), numbers(&[k]).f32()];
        let fits = c % 8 == 0 && k % 8 == 0 && conv.groups == 1 && w[1] < 7;
        let planned = |dtype: DType, report: &PlanReport| {
            fused(report, "prologue", usize::from(fits && dtype == DType::F16))
        };
        let build = |x: &[Tensor], lift: f32| {
            let [normal, ..] = x[0].batch_norm(&x[2], &x[3].add_scalar(lift)?, 1e-5)?;
            let y = normal.relu()?.conv2d(&x[1], conv)?;
            let [_, mean, _] = y.batch_norm(&x[4], &x[4], 1e-5)?;
            y.add(&mean.mul_scalar(0.5)?.add(&x[4])?)
        };
        // Far from ReLU's kink, so that rounding does not decide where its gradient jumps; then on both sides of it.
        let case = |name: &str| named(name, x, w, conv, &more).roundings(10);
        suite.check_planned(case("batch norm, relu, conv2d"), |x| build(x, 1.0), planned);
        suite.check_planned(case("the same, clipped").forward_alone(), |x| build(x, -1.0), planned);
    }
}

/// A fused ReLU hides nothing: what is not a number stays so.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn not_a_number_passes_a_fused_relu() {
    let device = gpu();
    let mut x = vec![1.0f32; 2 * 4 * 4 * 8];
    x[0] = f32::NAN;
    let x = Tensor::from_slice(&device, &x, &[2, 4, 4, 8]).unwrap();
    let w = Tensor::from_slice(&device, &[0.1f32; 64], &[8, 1, 1, 8]).unwrap();
    let bias = Tensor::from_slice(&device, &[0.5f32; 8], &[8]).unwrap();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let y = x.cast(dtype).unwrap().conv2d(&w.cast(dtype).unwrap(), PLAIN).unwrap();
        let y = y.add(&bias).unwrap().relu().unwrap().to_f32_vec().unwrap();
        assert!(y[..8].iter().all(|y| y.is_nan()), "{dtype}: {:?}", &y[..8]);
        assert!(y[8..].iter().all(|y| (y - 1.3).abs() < 0.01), "{dtype}");
    }
}
