use ocelli_core::{Result, Tensor};
use ocelli_oracle::HostTensor;

use crate::{check, check_values, f32, random};

type OfOne = fn(&Tensor) -> Result<Tensor>;
type OfTwo = fn(&Tensor, &Tensor) -> Result<Tensor>;

/// Both sides of every kink, none on one.
fn numbers() -> HostTensor {
    let values = vec![-7.1, -3.3, -2.2, -0.9, -0.35, -0.12, 0.13, 0.42, 0.81, 1.6, 2.9, 3.4, 6.7];
    HostTensor::new(f32(&[values.len()]), values)
}

#[test]
fn functions_of_any_number() {
    let functions: &[(&str, OfOne)] = &[
        ("neg", |x| x.neg()),
        ("abs", |x| x.abs()),
        ("exp", |x| x.exp()),
        ("reciprocal", |x| x.reciprocal()),
        ("add_scalar", |x| x.add_scalar(0.75)),
        ("mul_scalar", |x| x.mul_scalar(-1.5)),
        ("square", |x| x.pow_scalar(2.0)),
        ("cube", |x| x.pow_scalar(3.0)),
        ("power 0", |x| x.pow_scalar(0.0)),
        ("inverse square", |x| x.pow_scalar(-2.0)),
        ("clamp", |x| x.clamp(-1.0, 2.0)),
        ("relu", |x| x.relu()),
        ("relu6", |x| x.relu6()),
        ("leaky_relu", |x| x.leaky_relu(0.1)),
        ("leaky_relu of slope 0", |x| x.leaky_relu(0.0)),
        ("leaky_relu of a negative slope", |x| x.leaky_relu(-0.5)),
        ("sigmoid", |x| x.sigmoid()),
        ("tanh", |x| x.tanh()),
        ("silu", |x| x.silu()),
        ("hardsigmoid", |x| x.hardsigmoid()),
        ("hardswish", |x| x.hardswish()),
        ("gelu", |x| x.gelu()),
        ("softplus", |x| x.softplus()),
    ];
    for (name, function) in functions {
        println!("{name}");
        check_values(&[numbers()], |x| function(&x[0]));
    }
}

#[test]
fn functions_of_positive_numbers() {
    let mut positive = numbers();
    positive.values.iter_mut().for_each(|value| *value = value.abs());
    let functions: &[(&str, OfOne)] = &[
        ("log", |x| x.log()),
        ("sqrt", |x| x.sqrt()),
        ("rsqrt", |x| x.rsqrt()),
        ("fractional power", |x| x.pow_scalar(2.5)),
    ];
    for (name, function) in functions {
        println!("{name}");
        check_values(&[positive.clone()], |x| function(&x[0]));
    }
}

#[test]
fn functions_of_two_numbers_broadcast_in_every_way() {
    let functions: &[(&str, OfTwo)] = &[
        ("add", |a, b| a.add(b)),
        ("sub", |a, b| a.sub(b)),
        ("mul", |a, b| a.mul(b)),
        ("div", |a, b| a.div(b)),
        ("maximum", |a, b| a.maximum(b)),
        ("minimum", |a, b| a.minimum(b)),
    ];
    let image: &[usize] = &[2, 3, 5, 7];
    let partners: [&[usize]; 9] =
        [image, &[7], &[2, 1, 1, 7], &[2, 3, 5, 1], &[1, 1, 1, 7], &[3, 1, 1], &[], &[1], &[1, 3, 1, 7]];
    for (name, function) in functions {
        for partner in partners {
            println!("{name} {image:?} {partner:?}");
            check(&[image, partner], |x| function(&x[0], &x[1]));
            check(&[partner, image], |x| function(&x[0], &x[1]));
        }
        println!("{name}, both repeated");
        check(&[&[2, 1, 1, 3], &[1, 2, 2, 1]], |x| function(&x[0], &x[1]));
        check(&[&[4, 1], &[1, 3]], |x| function(&x[0], &x[1]));
    }
}

#[test]
fn powers_of_two_variables() {
    for shapes in [[&[2, 3, 3, 2][..], &[2, 3, 3, 2]], [&[2, 3, 3, 2], &[2]], [&[], &[3, 2]]] {
        let mut inputs = random(&shapes);
        inputs[0].values.iter_mut().for_each(|value| *value = value.abs());
        check_values(&inputs, |x| x[0].pow(&x[1]));
    }
}

#[test]
fn a_tie_is_shared_evenly() {
    let device = ocelli_oracle::device();
    let a = Tensor::from_slice(&device, &[1f32, 2.0, 3.0], &[3]).unwrap();
    let b = Tensor::from_slice(&device, &[1f32, 5.0, 0.0], &[3]).unwrap();
    for (extremum, expected) in [(a.maximum(&b), [0.5, 0.0, 1.0]), (a.minimum(&b), [0.5, 1.0, 0.0])] {
        let gradients = ocelli_core::gradients(&extremum.unwrap().sum().unwrap(), &[&a, &b]).unwrap();
        assert_eq!(gradients[0].to_vec::<f32>().unwrap(), expected);
        assert_eq!(gradients[1].to_vec::<f32>().unwrap(), expected.map(|share| 1.0 - share));
    }
}

#[test]
fn dropout_passes_the_gradient_of_what_it_kept() {
    check(&[&[3, 5, 3, 7]], |x| x[0].dropout(0.4));
    check(&[&[37]], |x| x[0].dropout(0.25)?.dropout(0.5));
    check(&[&[37]], |x| x[0].dropout(0.5)?.mul(&x[0].dropout(0.5)?));
}
