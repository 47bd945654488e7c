//! Chains of pointwise work and sums: what the planner fuses.

use ocelli::{Result, Tensor};

use crate::harness::{Suite, case, numbers, positive};

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_residual_block_without_its_convolutions() {
    let mut suite = Suite::default();
    for shape in [[2, 5, 7, 3], [2, 6, 6, 8], [4, 19, 23, 64]] {
        let c = shape[3];
        let inputs = [numbers(&shape), numbers(&[c]).f32(), numbers(&[c]).f32(), numbers(&shape)];
        suite.check(case("scale, shift, add, silu", inputs.clone()).roundings(6), |x| {
            x[0].mul(&x[1])?.add(&x[2])?.add(&x[3])?.silu()
        });
        suite.check(case("scale, shift, add, relu", inputs).only_f32(), |x| {
            x[0].mul(&x[1])?.add(&x[2])?.add(&x[3])?.relu()
        });
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn values_used_several_times() {
    let mut suite = Suite::default();
    for shape in [&[3, 5, 7, 3][..], &[2, 9, 9, 8], &[129]] {
        suite.check(case("a square by itself", [numbers(shape)]).roundings(4), |x| x[0].mul(&x[0]));
        suite.check(case("a polynomial of a sigmoid", [numbers(shape)]).roundings(8), |x| {
            let s = x[0].sigmoid()?;
            s.mul(&s)?.add(&s)?.add(&s.mul(&x[0])?)
        });
        suite.check(case("a diamond", [numbers(shape)]).roundings(10), |x| {
            let a = x[0].tanh()?;
            let b = a.exp()?;
            a.mul(&b)?.add(&a.sub(&x[0])?.pow_scalar(2.0)?)
        });
        suite.check(case("nine uses", [positive(shape)]).roundings(10), |x| {
            (1..=9).try_fold(x[0].clone(), |sum, k| sum.add(&x[0].mul_scalar(0.1 * k as f32)?.exp()?))
        });
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn sums_amid_pointwise_work() {
    let mut suite = Suite::default();
    for shape in [[2, 3, 5, 7], [3, 8, 8, 8], [2, 29, 31, 12]] {
        suite.check(case("centred images", [numbers(&shape)]).roundings(6), |x| {
            x[0].sub(&x[0].mean_images()?)?.silu()
        });
        suite.check(case("softmax over channels by hand", [numbers(&shape)]).roundings(10), |x| {
            let [n, h, w, _] = shape;
            let e = x[0].exp()?;
            e.div(&e.sum_to(&[n, h, w, 1])?)
        });
        suite.check(
            case("squeeze and excitation", [numbers(&shape), numbers(&[shape[3]])]).roundings(8),
            |x| x[0].silu()?.mul(&x[0].mean_images()?.mul(&x[1])?.sigmoid()?),
        );
        suite.check(case("several sums of one value", [numbers(&shape)]).only_f32(), |x| {
            let s = x[0].sigmoid()?;
            let channels = s.sum_to(&[shape[3]])?.mul_scalar(0.01)?;
            s.add(&channels)?.add(&s.mean()?)?.add(&s.mean_images()?)
        });
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn a_long_chain() {
    let step = |x: Tensor, k: usize| -> Result<Tensor> {
        match k % 4 {
            0 => x.mul_scalar(0.9)?.add_scalar(0.05),
            1 => x.silu(),
            2 => x.add_scalar(0.5)?.tanh(),
            _ => x.pow_scalar(2.0)?.add_scalar(0.1)?.sqrt(),
        }
    };
    let mut suite = Suite::default();
    for shape in [&[3, 5, 7, 3][..], &[4, 16, 16, 8]] {
        suite.check(case("forty functions", [numbers(shape)]).only_f32(), |x| {
            (0..40).try_fold(x[0].clone(), step)
        });
    }
}

/// More operands than a kernel may take.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn many_operands() {
    let mut suite = Suite::default();
    let inputs: Vec<_> = (0..24).map(|_| numbers(&[2, 5, 5, 8])).collect();
    suite.check(case("twenty-four factors and terms", inputs).only_f32(), |x| {
        let terms = x[1..].iter().zip(x);
        terms.map(|(a, b)| a.mul(b)).try_fold(x[0].clone(), |sum, term| sum.add(&term?))
    });
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn nothing_flows_through_detach() {
    let mut suite = Suite::default();
    let inputs = [numbers(&[2, 3, 5, 7]), numbers(&[2, 3, 5, 7])];
    suite.check(case("detach", inputs), |x| x[0].silu()?.detach()?.mul(&x[1]));
}
