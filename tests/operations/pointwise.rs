use ocelli::{DType, Result, Tensor};

use crate::harness::{Suite, case, labels, numbers, positive};

/// A function's name, the largest magnitude of its argument, and its method.
type Function = (&'static str, f64, fn(&Tensor) -> Result<Tensor>);

const SHAPE: [usize; 4] = [2, 5, 7, 12];

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn functions_of_one_variable() {
    let mut suite = Suite::default();
    let functions: &[Function] = &[
        ("neg", 2.0, |x| x.neg()),
        ("abs", 2.0, |x| x.abs()),
        ("exp", 4.0, |x| x.exp()),
        ("reciprocal", 4.0, |x| x.reciprocal()),
        ("add_scalar", 2.0, |x| x.add_scalar(0.75)),
        ("mul_scalar", 2.0, |x| x.mul_scalar(-1.5)),
        ("square", 4.0, |x| x.pow_scalar(2.0)),
        ("cube", 4.0, |x| x.pow_scalar(3.0)),
        ("power 0", 4.0, |x| x.pow_scalar(0.0)),
        ("power 1", 4.0, |x| x.pow_scalar(1.0)),
        ("inverse square", 4.0, |x| x.pow_scalar(-2.0)),
        ("clamp", 4.0, |x| x.clamp(-1.0, 2.0)),
        ("relu", 2.0, |x| x.relu()),
        ("relu6", 9.0, |x| x.relu6()),
        ("leaky_relu", 2.0, |x| x.leaky_relu(0.1)),
        ("leaky_relu of slope 0", 2.0, |x| x.leaky_relu(0.0)),
        ("leaky_relu of a negative slope", 2.0, |x| x.leaky_relu(-0.5)),
        ("sigmoid", 6.0, |x| x.sigmoid()),
        ("tanh", 3.0, |x| x.tanh()),
        ("silu", 6.0, |x| x.silu()),
        ("hardsigmoid", 6.0, |x| x.hardsigmoid()),
        ("hardswish", 6.0, |x| x.hardswish()),
        ("gelu", 6.0, |x| x.gelu()),
        ("softplus", 9.0, |x| x.softplus()),
    ];
    for &(name, magnitude, function) in functions {
        let x = numbers(&SHAPE).scaled(magnitude / 2.0).even();
        suite.check(case(name, [x]).roundings(4), |x| function(&x[0]));
    }
    let of_positive: &[Function] = &[
        ("log", 9.0, |x| x.log()),
        ("sqrt", 9.0, |x| x.sqrt()),
        ("rsqrt", 4.0, |x| x.rsqrt()),
        ("fractional power", 4.0, |x| x.pow_scalar(2.5)),
    ];
    for &(name, magnitude, function) in of_positive {
        let x = positive(&SHAPE).scaled(magnitude / 2.0);
        suite.check(case(name, [x]).roundings(4), |x| function(&x[0]));
    }
}

/// Far from zero functions saturate; their values and derivatives must neither overflow nor become not a number. Each is
/// added to its argument, so that derivatives that vanish are not measured against themselves.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn saturated_functions() {
    let mut suite = Suite::default();
    let functions: &[Function] = &[
        ("sigmoid", 200.0, |x| x.sigmoid()),
        ("tanh", 200.0, |x| x.tanh()),
        ("silu", 200.0, |x| x.silu()),
        ("gelu", 200.0, |x| x.gelu()),
        ("softplus", 200.0, |x| x.softplus()),
    ];
    for &(name, magnitude, function) in functions {
        let x = numbers(&[3, 129]).scaled(magnitude / 2.0).even();
        suite.check(case(format!("saturated {name}"), [x]).roundings(4), |x| function(&x[0])?.add(&x[0]));
    }
}

/// Sizes that divide into vectors, blocks and neither.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn every_size() {
    let mut suite = Suite::default();
    let shapes: [&[usize]; 11] = [
        &[],
        &[1],
        &[3],
        &[8],
        &[257],
        &[5, 7],
        &[1, 1, 1, 1],
        &[3, 5, 7, 1],
        &[2, 3, 5, 3],
        &[4, 37, 41, 24],
        &[8, 56, 56, 64],
    ];
    for shape in shapes {
        suite.check(case("silu and square", [numbers(shape)]).roundings(4), |x| x[0].silu()?.pow_scalar(2.0));
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn products_broadcast_in_every_way() {
    let mut suite = Suite::default();
    for image in [[2, 3, 5, 7], [3, 4, 5, 8]] {
        let [n, h, w, c] = image;
        let partners: [&[usize]; 13] = [
            &image,
            &[c],
            &[n, 1, 1, c],
            &[n, h, w, 1],
            &[1, 1, 1, c],
            &[h, 1, 1],
            &[],
            &[1],
            &[1, h, 1, c],
            &[n, 1, 1, 1],
            &[w, c],
            &[1, 1, w, 1],
            &[n, h, 1, 1],
        ];
        for partner in partners {
            suite.check(case("mul", [numbers(&image), numbers(partner)]), |x| x[0].mul(&x[1]));
            suite.check(case("mul", [numbers(partner), numbers(&image)]), |x| x[0].mul(&x[1]));
        }
    }
    suite.check(case("mul, both repeated", [numbers(&[2, 1, 1, 3]), numbers(&[1, 2, 2, 1])]), |x| {
        x[0].mul(&x[1])
    });
    suite.check(case("mul, both repeated", [numbers(&[40, 1]), numbers(&[1, 33])]), |x| x[0].mul(&x[1]));
    suite.check(case("mul, large", [numbers(&[4, 33, 31, 24]), numbers(&[24])]), |x| x[0].mul(&x[1]));
    suite
        .check(case("mul, large", [numbers(&[4, 33, 31, 24]), numbers(&[4, 1, 1, 24])]), |x| x[0].mul(&x[1]));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn functions_of_two_variables() {
    type Function = (&'static str, fn(&Tensor, &Tensor) -> Result<Tensor>);
    let functions: &[Function] = &[
        ("add", |a, b| a.add(b)),
        ("sub", |a, b| a.sub(b)),
        ("div", |a, b| a.div(b)),
        ("maximum", |a, b| a.maximum(b)),
        ("minimum", |a, b| a.minimum(b)),
        ("pow", |a, b| a.pow(b)),
    ];
    let mut suite = Suite::default();
    let image: &[usize] = &[2, 3, 5, 7];
    let pairs: [[&[usize]; 2]; 4] = [[image, image], [image, &[7]], [&[2, 1, 1, 7], image], [&[], image]];
    for &(name, function) in functions {
        for [a, b] in pairs {
            // Powers of negative numbers are not numbers.
            let a = if name == "pow" { positive(a) } else { numbers(a) };
            suite.check(case(name, [a, numbers(b)]).roundings(6), |x| function(&x[0], &x[1]));
        }
    }
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn ties_share_their_gradient() {
    let mut suite = Suite::default();
    let inputs = [numbers(&[3, 5, 7, 8]), numbers(&[3, 5, 7, 8])];
    suite.check(case("maximum of clamped", inputs.clone()), |x| {
        x[0].clamp(0.5, 1.0)?.maximum(&x[1].clamp(0.5, 1.0)?)
    });
    suite
        .check(case("minimum of clamped", inputs), |x| x[0].clamp(0.5, 1.0)?.minimum(&x[1].clamp(0.5, 1.0)?));
}

/// Parameters are `f32` beside activations of 16 bits; the larger operand decides the type.
#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn mixed_types() {
    let mut suite = Suite::default();
    for c in [3, 8] {
        let inputs = [numbers(&[2, 4, 5, c]), numbers(&[c]).f32(), numbers(&[c]).f32()];
        suite.check(case("scale and shift", inputs), |x| x[0].mul(&x[1])?.add(&x[2]));
    }
    let inputs = [numbers(&[3, 5, 8]), numbers(&[3, 5, 8]).f32()];
    suite.check(case("mul of equal shapes", inputs), |x| x[0].mul(&x[1]));
}

#[test]
#[cfg_attr(not(ocelli_gpu), ignore = "needs an NVIDIA GPU")]
fn casts() {
    let mut suite = Suite::default();
    for shape in [&[3, 5, 7][..], &[2, 8, 8, 16]] {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let x = numbers(shape).even();
            suite.check(case(format!("cast to {dtype}"), [x]).roundings(1), |x| x[0].cast(dtype));
        }
        let x = numbers(shape).scaled(50.0).even();
        suite.check(case("cast to i32", [x]).roundings(0), |x| x[0].cast(DType::I32));
        suite.check(case("cast to u8", [positive(shape).scaled(100.0)]).roundings(0), |x| {
            x[0].cast(DType::U8)
        });
        suite.check(case("cast from i32", [labels(shape, 100)]).roundings(0), |x| x[0].cast(DType::F32));
        suite.check(case("cast from u8", [labels(shape, 255)]).roundings(0), |x| {
            x[0].cast(DType::U8)?.cast(DType::F16)
        });
    }
}
