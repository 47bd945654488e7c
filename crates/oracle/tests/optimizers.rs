//! Optimizers over several steps, against loops written by hand.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli_core::init::{Fans, Init};
use ocelli_core::nn::{Params, Seed};
use ocelli_core::optim::{AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig};
use ocelli_core::{DType, Error, Precision, Result, Shape, State, Tensor};

const STEPS: usize = 6;
const FIRST: [f64; 3] = [0.5, -1.5, 2.0];
const SECOND: [f64; 2] = [-0.25, 0.75];

/// Two parameters, "layer.weight" of three and "layer.bias" of two numbers, and the loss
/// `sum(a^3) / 3 + sum(b^2) / 2 + sum(a) sum(b)`, whose gradients are `a^2 + sum(b)` and `b + sum(a)`.
struct Problem {
    params: Params,
    weight: State,
    bias: State,
}

impl Problem {
    fn new() -> Problem {
        let params = Params::new(&ocelli_oracle::device(), Seed(1));
        let layer = &params / "layer";
        let fans = Fans { fan_in: 1, fan_out: 1 };
        let make = |name, values: &[f64]| {
            let state =
                layer.parameter(name, Shape::vector(values.len()), fans, Init::Constant(0.0)).unwrap();
            state.set(&values.iter().map(|&value| value as f32).collect::<Vec<f32>>()).unwrap();
            state
        };
        Problem { weight: make("weight", &FIRST), bias: make("bias", &SECOND), params }
    }

    fn loss(&self) -> Result<Tensor> {
        let (a, b) = (self.weight.tensor(), self.bias.tensor());
        let cubes = a.pow_scalar(3.0)?.sum()?.mul_scalar(1.0 / 3.0)?;
        let squares = b.pow_scalar(2.0)?.sum()?.mul_scalar(0.5)?;
        cubes.add(&squares)?.add(&a.sum()?.mul(&b.sum()?)?)
    }

    #[track_caller]
    fn assert_trained(&self, mut optimizer: impl Optimizer, rule: impl FnMut(usize, &mut Numbers)) {
        for _ in 0..STEPS {
            optimizer.minimize(&self.loss().unwrap()).unwrap();
        }
        let expected = by_hand(rule);
        for (state, expected) in [(&self.weight, &expected.weight), (&self.bias, &expected.bias)] {
            for (found, number) in state.to_vec::<f32>().unwrap().iter().zip(expected) {
                assert!(
                    (f64::from(*found) - number.value).abs() < 1e-6,
                    "{}: {found}, not {number:?}",
                    state.name()
                );
            }
        }
    }
}

/// One number that is trained.
#[derive(Clone, Debug, Default)]
struct Number {
    value: f64,
    gradient: f64,
    m: f64,
    v: f64,
}

struct Numbers {
    weight: Vec<Number>,
    bias: Vec<Number>,
}

/// Applies `rule(step, numbers)` once a step, steps counted from 1.
fn by_hand(mut rule: impl FnMut(usize, &mut Numbers)) -> Numbers {
    let number = |&value: &f64| Number { value, ..Number::default() };
    let mut numbers =
        Numbers { weight: FIRST.iter().map(number).collect(), bias: SECOND.iter().map(number).collect() };
    for step in 1..=STEPS {
        let sum = |numbers: &[Number]| numbers.iter().map(|number| number.value).sum::<f64>();
        let (sum_a, sum_b) = (sum(&numbers.weight), sum(&numbers.bias));
        numbers.weight.iter_mut().for_each(|a| a.gradient = a.value.powi(2) + sum_b);
        numbers.bias.iter_mut().for_each(|b| b.gradient = b.value + sum_a);
        rule(step, &mut numbers);
    }
    numbers
}

impl Numbers {
    fn all(&mut self) -> impl Iterator<Item = &mut Number> {
        self.weight.iter_mut().chain(&mut self.bias)
    }
}

/// The settings are `f32`, and the loops must count with the same numbers.
fn wide(setting: f32) -> f64 {
    f64::from(setting)
}

fn sgd(number: &mut Number, config: SgdConfig) {
    let gradient = number.gradient + wide(config.weight_decay) * number.value;
    number.m = wide(config.momentum) * number.m + gradient;
    let step = if config.nesterov { gradient + wide(config.momentum) * number.m } else { number.m };
    number.value -= wide(config.lr) * step;
}

fn adamw(number: &mut Number, config: AdamWConfig, step: usize) {
    let (beta1, beta2) = (wide(config.beta1), wide(config.beta2));
    number.value -= wide(config.lr) * wide(config.weight_decay) * number.value;
    number.m += (1.0 - beta1) * (number.gradient - number.m);
    number.v += (1.0 - beta2) * (number.gradient.powi(2) - number.v);
    let mean = number.m / (1.0 - beta1.powi(step as i32));
    let square = number.v / (1.0 - beta2.powi(step as i32));
    number.value -= wide(config.lr) * mean / (square.sqrt() + wide(config.eps));
}

#[test]
fn sgd_in_every_form() {
    for momentum in [0.0, 0.9] {
        for weight_decay in [0.0, 0.05] {
            for nesterov in [false, true] {
                let config = SgdConfig { lr: 0.02, momentum, weight_decay, nesterov };
                let problem = Problem::new();
                let optimizer = Sgd::new(&problem.params, config);
                problem.assert_trained(optimizer, |_, numbers| {
                    numbers.all().for_each(|number| sgd(number, config))
                });
            }
        }
    }
}

#[test]
fn sgd_in_groups() {
    let weights = SgdConfig { lr: 0.01, momentum: 0.9, weight_decay: 0.1, nesterov: false };
    let biases = SgdConfig { lr: 0.03, momentum: 0.5, weight_decay: 0.0, nesterov: false };
    let problem = Problem::new();
    let optimizer = Sgd::new(&problem.params, weights).group(|name| name.ends_with("bias"), biases);
    problem.assert_trained(optimizer, |_, numbers| {
        numbers.weight.iter_mut().for_each(|number| sgd(number, weights));
        numbers.bias.iter_mut().for_each(|number| sgd(number, biases));
    });
}

#[test]
fn adamw_alone_and_in_groups() {
    let weights = AdamWConfig { lr: 0.05, weight_decay: 0.2, ..AdamWConfig::default() };
    let biases = AdamWConfig { lr: 0.1, beta1: 0.8, beta2: 0.95, eps: 1e-3, weight_decay: 0.0 };
    let problem = Problem::new();
    let optimizer = AdamW::new(&problem.params, weights);
    problem.assert_trained(optimizer, |step, numbers| {
        numbers.all().for_each(|number| adamw(number, weights, step));
    });
    let problem = Problem::new();
    let optimizer = AdamW::new(&problem.params, weights).group(|name| name == "layer.bias", biases);
    problem.assert_trained(optimizer, |step, numbers| {
        numbers.weight.iter_mut().for_each(|number| adamw(number, weights, step));
        numbers.bias.iter_mut().for_each(|number| adamw(number, biases, step));
    });
}

/// The groups keep the ratio of their rates when a schedule sets the first.
#[test]
fn a_new_rate_holds_from_the_next_step() {
    let config = SgdConfig { lr: 0.02, momentum: 0.9, ..SgdConfig::default() };
    let biases = SgdConfig { lr: 0.04, ..config };
    let problem = Problem::new();
    let mut optimizer = Sgd::new(&problem.params, config).group(|name| name == "layer.bias", biases);
    for step in 0..STEPS {
        optimizer.set_lr(0.02 / (1 + step) as f32);
        optimizer.minimize(&problem.loss().unwrap()).unwrap();
    }
    let expected = by_hand(|step, numbers| {
        let rate = |lr: f32| SgdConfig { lr: lr / step as f32, ..config };
        numbers.weight.iter_mut().for_each(|number| sgd(number, rate(0.02)));
        numbers.bias.iter_mut().for_each(|number| sgd(number, rate(0.04)));
    });
    let found = problem.bias.to_vec::<f32>().unwrap();
    assert!((wide(found[1]) - expected.bias[1].value).abs() < 1e-6, "{found:?}, not {:?}", expected.bias);
}

/// A frozen parameter stays as it is, and so does one that the loss does not depend on, but for its decay.
#[test]
fn frozen_and_unused_parameters() {
    let problem = Problem::new();
    problem.bias.set_trainable(false);
    let mut optimizer = Sgd::new(&problem.params, SgdConfig { lr: 0.1, ..SgdConfig::default() });
    optimizer.minimize(&problem.loss().unwrap()).unwrap();
    assert_eq!(problem.bias.to_vec::<f32>().unwrap(), SECOND.map(|value| value as f32));
    assert_ne!(problem.weight.to_vec::<f32>().unwrap(), FIRST.map(|value| value as f32));

    let problem = Problem::new();
    let config = SgdConfig { lr: 0.1, weight_decay: 0.5, ..SgdConfig::default() };
    let mut optimizer = Sgd::new(&problem.params, config);
    let unused = problem.bias.tensor().detach().unwrap().sum().unwrap();
    optimizer.minimize(&problem.weight.tensor().sum().unwrap().add(&unused).unwrap()).unwrap();
    let decayed = SECOND.map(|value| (value * 0.95) as f32);
    assert_eq!(problem.bias.to_vec::<f32>().unwrap(), decayed);
}

#[test]
fn with_nothing_to_train_nothing_changes_and_the_user_is_told() {
    let problem = Problem::new();
    problem.params.set_trainable(false);
    let loss = problem.loss().unwrap();
    let sgd = Sgd::new(&problem.params, SgdConfig::default()).minimize(&loss);
    assert!(matches!(sgd, Err(Error::NothingToTrain)), "{sgd:?}");
    let adamw = AdamW::new(&problem.params, AdamWConfig::default()).minimize(&loss);
    assert!(matches!(adamw, Err(Error::NothingToTrain)), "{adamw:?}");
    assert_eq!(problem.weight.to_vec::<f32>().unwrap(), FIRST.map(|value| value as f32));
}

/// In half precision the loss is scaled, and the optimizer divides the scale out again: exactly, for it is a power of 2.
#[test]
fn the_loss_scale_leaves_no_trace() {
    let config = SgdConfig { lr: 0.02, momentum: 0.9, weight_decay: 0.01, nesterov: true };
    let train = |precision: Precision| {
        let problem = Problem::new();
        problem.params.device().set_precision(precision);
        let mut optimizer = Sgd::new(&problem.params, config);
        for _ in 0..STEPS {
            optimizer.minimize(&problem.loss().unwrap()).unwrap();
        }
        assert_eq!(problem.weight.ty().dtype, DType::F32);
        (problem.weight.to_vec::<f32>().unwrap(), problem.bias.to_vec::<f32>().unwrap())
    };
    assert_eq!(train(Precision::F32), train(Precision::mixed_f16()));
    assert_eq!(train(Precision::F32), train(Precision::mixed_bf16()));
}
