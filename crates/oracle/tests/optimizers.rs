//! Optimizers over several steps, against loops written by hand.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli_core::init::{Fans, Init};
use ocelli_core::nn::{BatchNorm2d, BatchNormConfig, Module, Params, Seed};
use ocelli_core::optim::{AdamW, AdamWConfig, AverageConfig, LossScale, Optimizer, Sgd, SgdConfig};
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

/// The weights and the biases, and the problem's loss times a factor: a huge one makes its gradients infinite in `f16`'s
/// place, which the oracle plays by an infinite factor.
fn step(problem: &Problem, optimizer: &mut dyn Optimizer, factor: f32) -> (Vec<u32>, Tensor) {
    let loss = problem.loss().unwrap().mul(&Tensor::scalar(problem.params.device(), factor)).unwrap();
    optimizer.minimize(&loss).unwrap();
    (problem.bits(), loss)
}

impl Problem {
    fn in_f16() -> Problem {
        let problem = Problem::new();
        problem.params.device().set_precision(Precision::mixed_f16());
        problem
    }

    fn bits(&self) -> Vec<u32> {
        let bits = |state: &State| state.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits);
        bits(&self.weight).chain(bits(&self.bias)).collect()
    }
}

fn optimizers(params: &Params) -> Vec<Box<dyn Optimizer>> {
    let sgd = SgdConfig { lr: 0.02, momentum: 0.9, weight_decay: 0.01, nesterov: false };
    let adamw = AdamWConfig { lr: 0.05, weight_decay: 0.2, ..AdamWConfig::default() };
    let scale = LossScale::Dynamic { initial: 1024.0, growth: 2.0, backoff: 0.5, growth_interval: 3 };
    let average = AverageConfig { decay: 0.9, warm_up: false };
    vec![
        Box::new(Sgd::new(params, sgd).with_loss_scale(scale).with_average(average)),
        Box::new(AdamW::new(params, adamw).with_loss_scale(scale).with_average(average)),
    ]
}

/// Steps that overflow change nothing, and those around them are what they would be without: weights, momentum, the bias
/// correction of AdamW, averages.
#[test]
fn steps_that_overflow_leave_no_trace() {
    for which in 0..2 {
        let train = |factors: &[f32]| {
            let problem = Problem::in_f16();
            let mut optimizer = optimizers(&problem.params).remove(which);
            let mut seen = vec![problem.bits()];
            for &factor in factors {
                seen.push(step(&problem, &mut *optimizer, factor).0);
            }
            let averages: Vec<Vec<f32>> =
                optimizer.training().averages().map(|(_, average)| average.to_vec().unwrap()).collect();
            (seen, averages, optimizer.skipped_steps().unwrap())
        };
        let (plain, averages, none) = train(&[1.0; 4]);
        let overflow = f32::INFINITY;
        let (skipping, same_averages, three) = train(&[overflow, 1.0, 1.0, overflow, overflow, 1.0, 1.0]);
        assert_eq!((none, three), (0, 3));
        assert_eq!(skipping[0], skipping[1]);
        assert_eq!(skipping[3], skipping[5]);
        let kept: Vec<&Vec<u32>> = [0, 2, 3, 6, 7].map(|at| &skipping[at]).to_vec();
        assert_eq!(kept, plain.iter().collect::<Vec<_>>(), "optimizer {which}");
        assert_eq!(averages, same_averages);
    }
}

#[test]
fn the_loss_scale_falls_and_grows() {
    let problem = Problem::in_f16();
    let mut optimizer = optimizers(&problem.params).remove(0);
    assert_eq!(optimizer.loss_scale().unwrap(), 1024.0);
    let overflow = f32::NAN;
    let factors = [1.0, overflow, 1.0, 1.0, 1.0, 1.0, 1.0, overflow, overflow];
    let scales = [1024.0, 512.0, 512.0, 512.0, 1024.0, 1024.0, 1024.0, 512.0, 256.0];
    for (factor, scale) in factors.into_iter().zip(scales) {
        step(&problem, &mut *optimizer, factor);
        assert_eq!(optimizer.loss_scale().unwrap(), scale);
    }
    let problem = Problem::in_f16();
    let config = SgdConfig { lr: 0.02, ..SgdConfig::default() };
    let mut fixed = Sgd::new(&problem.params, config).with_loss_scale(LossScale::Static(3.0));
    let before = problem.bits();
    assert_eq!(step(&problem, &mut fixed, overflow).0, before);
    assert_ne!(step(&problem, &mut fixed, 1.0).0, before);
    assert_eq!((fixed.loss_scale().unwrap(), fixed.skipped_steps().unwrap()), (3.0, 1));
}

/// A loss that is not a number is an error that names its step, also when it is read later.
#[test]
fn a_loss_that_is_no_number_is_reported_with_its_step() {
    for precision in [Precision::F32, Precision::mixed_f16()] {
        let problem = Problem::new();
        problem.params.device().set_precision(precision);
        let mut optimizer = Sgd::new(&problem.params, SgdConfig { lr: 0.01, ..SgdConfig::default() });
        let (_, good) = step(&problem, &mut optimizer, 1.0);
        let (_, bad) = step(&problem, &mut optimizer, f32::NAN);
        let (_, last) = step(&problem, &mut optimizer, 1.0);
        optimizer.check(&good).unwrap();
        let error = optimizer.check(&bad).unwrap_err();
        assert!(matches!(error, Error::NotFinite { step: 2, .. }), "{error}");
        // In f32 the second step was made, and the weights are lost.
        assert_eq!(optimizer.check(&last).is_ok(), precision == Precision::mixed_f16());
    }
}

/// A loss whose gradient alone is infinite: no scale helps, and after a while the user is told.
#[test]
fn gradients_that_overflow_for_ever_are_reported() {
    let problem = Problem::in_f16();
    problem.bias.set(&[0.0f32, 1.0]).unwrap();
    let mut optimizer = Sgd::new(&problem.params, SgdConfig { lr: 0.01, ..SgdConfig::default() });
    for made in 1..=32 {
        let loss = problem.bias.tensor().sqrt().unwrap().sum().unwrap();
        optimizer.minimize(&loss).unwrap();
        let checked = optimizer.check(&loss);
        if made < 32 {
            assert_eq!(checked.unwrap(), 1.0);
        } else {
            assert!(matches!(checked, Err(Error::NotFinite { step: 32, .. })), "{checked:?}");
        }
    }
    assert_eq!(optimizer.loss_scale().unwrap(), 1.0 / 16384.0);
    assert_eq!(optimizer.skipped_steps().unwrap(), 32);
}

/// Gradients of several micro-batches are those of the sum of their losses; afterwards the count begins again.
#[test]
fn accumulated_gradients_are_those_of_the_sum() {
    for precision in [Precision::F32, Precision::mixed_f16()] {
        for which in 0..2 {
            let problem = |factors: [f32; 3]| {
                let problem = Problem::new();
                problem.params.device().set_precision(precision);
                let mut optimizer = optimizers(&problem.params).remove(which);
                let device = problem.params.device().clone();
                for _ in 0..3 {
                    let loss =
                        |factor| problem.loss().unwrap().mul(&Tensor::scalar(&device, factor)).unwrap();
                    for factor in factors.into_iter().skip(1).filter(|factor| *factor != 0.0) {
                        optimizer.accumulate(&loss(factor)).unwrap();
                    }
                    optimizer.minimize(&loss(factors[0])).unwrap();
                }
                let skipped = optimizer.skipped_steps().unwrap();
                (problem.weight.to_vec::<f32>().unwrap(), problem.bits(), skipped)
            };
            let (whole, _, none) = problem([1.0, 0.0, 0.0]);
            let (parts, _, still_none) = problem([0.25, 0.5, 0.25]);
            assert_eq!((none, still_none), (0, 0));
            for (a, b) in whole.iter().zip(&parts) {
                assert!((a - b).abs() < 1e-6, "{whole:?}, {parts:?}");
            }
            if precision == Precision::mixed_f16() {
                let (_, bits, skipped) = problem([0.25, f32::INFINITY, 0.25]);
                assert_eq!((bits, skipped), (Problem::new().bits(), 3));
            }
        }
    }
}

/// PyTorch's `clip_grad_norm_`, by hand; with and without a loss scale.
#[test]
fn gradients_are_clipped_by_their_norm() {
    for precision in [Precision::F32, Precision::mixed_f16()] {
        for (max_norm, clips) in [(0.5f32, true), (1e3, false)] {
            let problem = Problem::new();
            problem.params.device().set_precision(precision);
            let config = SgdConfig { lr: 0.1, ..SgdConfig::default() };
            let mut optimizer = Sgd::new(&problem.params, config).with_clipped_gradients(max_norm);
            optimizer.minimize(&problem.loss().unwrap()).unwrap();
            let sum_a: f64 = FIRST.iter().sum();
            let sum_b: f64 = SECOND.iter().sum();
            let gradients: Vec<f64> =
                FIRST.iter().map(|a| a * a + sum_b).chain(SECOND.iter().map(|b| b + sum_a)).collect();
            let norm = gradients.iter().map(|g| g * g).sum::<f64>().sqrt();
            let factor = (wide(max_norm) / (norm + 1e-6)).min(1.0);
            assert_eq!(factor < 1.0, clips);
            assert!((wide(optimizer.gradient_norm().unwrap().unwrap()) - norm).abs() < 1e-5);
            let found = problem.weight.to_vec::<f32>().unwrap();
            for (at, number) in found.iter().enumerate() {
                let expected = FIRST[at] - wide(0.1) * factor * gradients[at];
                assert!((wide(*number) - expected).abs() < 1e-6, "{number}, not {expected}");
            }
        }
    }
}

/// Biases lose nothing to weight decay, in groups too.
#[test]
fn norms_and_biases_keep_their_size() {
    let problem = Problem::new();
    let filter = problem.params.parameter(
        "filter",
        Shape::matrix(2, 2),
        Fans { fan_in: 1, fan_out: 1 },
        Init::Constant(1.0),
    );
    let filter = filter.unwrap();
    let config = SgdConfig { lr: 0.1, weight_decay: 0.5, ..SgdConfig::default() };
    let stronger = SgdConfig { lr: 0.1, weight_decay: 1.0, ..config };
    let mut optimizer = Sgd::new(&problem.params, config)
        .group(|name| name == "layer.bias" || name == "filter", stronger)
        .without_decay_of_norms_and_biases();
    let zero = |state: &State| state.tensor().sum().unwrap().mul_scalar(0.0).unwrap();
    let loss = zero(&filter).add(&zero(&problem.weight)).unwrap().add(&zero(&problem.bias)).unwrap();
    optimizer.minimize(&loss).unwrap();
    assert_eq!(problem.bits(), Problem::new().bits());
    assert_eq!(filter.to_vec::<f32>().unwrap(), [0.9; 4]);
}

/// The average follows its formula, swaps places with the weights, and nothing is trained meanwhile.
#[test]
fn averages_follow_and_swap() {
    let problem = Problem::new();
    let config = SgdConfig { lr: 0.02, momentum: 0.9, ..SgdConfig::default() };
    let average = AverageConfig { decay: 0.3, warm_up: true };
    let mut optimizer = Sgd::new(&problem.params, config).with_average(average);
    let mut expected = FIRST;
    for step in 0..STEPS {
        optimizer.minimize(&problem.loss().unwrap()).unwrap();
        let decay = wide(0.3f32.min((1.0 + step as f32) / (10.0 + step as f32)));
        for (average, weight) in expected.iter_mut().zip(problem.weight.to_vec::<f32>().unwrap()) {
            *average = decay * *average + (1.0 - decay) * wide(weight);
        }
    }
    let trained = problem.bits();
    optimizer.swap_average().unwrap();
    for (found, expected) in problem.weight.to_vec::<f32>().unwrap().into_iter().zip(expected) {
        assert!((wide(found) - expected).abs() < 1e-6, "{found}, not {expected}");
    }
    let refused = optimizer.minimize(&problem.loss().unwrap());
    assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{refused:?}");
    optimizer.swap_average().unwrap();
    assert_eq!(problem.bits(), trained);
    optimizer.minimize(&problem.loss().unwrap()).unwrap();
}

/// Running statistics of a step that overflows, or of a micro-batch that does, keep their values; averages of them follow.
#[test]
fn running_statistics_of_skipped_steps_are_kept() {
    let device = ocelli_oracle::device();
    device.set_precision(Precision::mixed_f16());
    let params = Params::new(&device, Seed(1));
    let norm = BatchNorm2d::new(&params / "norm", 2, BatchNormConfig::default()).unwrap();
    let average = AverageConfig { decay: 0.75, warm_up: false };
    let mut optimizer = Sgd::new(&params, SgdConfig::default()).with_average(average);
    let statistics = |name: &str| {
        let all = params.all();
        all.iter().find(|state| state.name() == name).unwrap().to_vec::<f32>().unwrap()
    };
    let loss = |factor: f32| {
        let images = Tensor::from_slice(&device, &[1f32, 2.0, 3.0, 6.0], &[2, 1, 1, 2]).unwrap();
        let factor = Tensor::scalar(&device, factor);
        let y = norm.forward(&images.mul(&factor).unwrap()).unwrap();
        y.pow_scalar(2.0).unwrap().sum().unwrap()
    };
    let skips: [fn(&mut Sgd, &Tensor) -> Result<()>; 2] = [Sgd::minimize, Sgd::accumulate];
    for skip in skips {
        skip(&mut optimizer, &loss(f32::NAN)).unwrap();
        assert_eq!(statistics("norm.running_mean"), [0.0, 0.0]);
        assert_eq!(statistics("norm.running_var"), [1.0, 1.0]);
    }
    // The micro-batch that overflowed takes the step with it.
    optimizer.minimize(&loss(1.0)).unwrap();
    assert_eq!((statistics("norm.running_mean"), optimizer.skipped_steps().unwrap()), (vec![0.0; 2], 2));
    optimizer.minimize(&loss(1.0)).unwrap();
    // A tenth of the means 2 and 4, a quarter of which is averaged.
    for (found, expected) in statistics("norm.running_mean").into_iter().zip([0.2, 0.4]) {
        assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
    }
    optimizer.swap_average().unwrap();
    for (found, expected) in statistics("norm.running_mean").into_iter().zip([0.05, 0.1]) {
        assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
    }
}
