//! Numbers in and out, rounding, and what the interpreter refuses.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use ocelli_core::graph::{Graph, Leaf, Update};
use ocelli_core::ops::{Op, Unary};
use ocelli_core::{Buffer, DType, Device, Error, Executor, Shape, State, Tensor, TensorType};
use ocelli_oracle::{Bindings, HostTensor, Oracle, Rounding, interpret};

fn vector(dtype: DType, values: &[f64]) -> HostTensor {
    HostTensor::new(TensorType::new(dtype, Shape::vector(values.len())), values.to_vec())
}

#[test]
fn every_type_survives_its_bytes() {
    for (dtype, values) in [
        (DType::F32, vec![0.1f32 as f64, -1e30f32 as f64, f64::INFINITY, 0.0]),
        (DType::F16, vec![65504.0, -0.5, 5.960464477539063e-8, 1.0009765625]),
        (DType::BF16, vec![1.0078125, -2.0, 256.0]),
        (DType::I32, vec![-2147483648.0, 2147483647.0, -1.0]),
        (DType::U8, vec![0.0, 1.0, 255.0]),
    ] {
        let tensor = vector(dtype, &values);
        assert_eq!(HostTensor::from_bytes(tensor.ty, &tensor.to_bytes()), tensor);
        let values = tensor.to_tensor(&ocelli_oracle::device()).unwrap().to_f32_vec().unwrap();
        assert!(
            values.iter().zip(&tensor.values).all(|(&found, &expected)| found == expected as f32),
            "{values:?}"
        );
    }
}

#[test]
fn rounding_is_to_nearest_even() {
    let rounded = |dtype, value| vector(dtype, &[value]).rounded().values[0];
    assert_eq!(rounded(DType::F16, 2049.0), 2048.0);
    assert_eq!(rounded(DType::F16, 2051.0), 2052.0);
    assert_eq!(rounded(DType::F16, 65519.9), 65504.0);
    assert_eq!(rounded(DType::F16, 65520.0), f64::INFINITY);
    assert_eq!(rounded(DType::BF16, 257.0), 256.0);
    assert_eq!(rounded(DType::BF16, 259.0), 260.0);
    assert_eq!(rounded(DType::F32, 16777217.0), 16777216.0);
}

/// `x -> cast to f16 -> cast back`, which is the identity only when nothing is rounded.
#[test]
fn casts_between_floats_round_only_when_asked() {
    let x = vector(DType::F32, &[0.1, 2049.0]);
    let mut graph = Graph::default();
    let leaf = graph.push_leaf(Leaf::Data { index: 0, resident: false }, x.ty);
    let half = graph.cast(leaf, DType::F16).unwrap();
    let back = graph.cast(half, DType::F32).unwrap();
    graph.roots = vec![back];
    let bindings = Bindings { data: vec![x], ..Bindings::default() };
    let values = |rounding| interpret(&graph, &bindings, rounding).unwrap().roots.remove(0).values;
    assert_eq!(values(Rounding::None), [0.1, 2049.0]);
    assert_eq!(values(Rounding::Stored), [0.0999755859375, 2048.0]);
}

/// Two states that exchange their values: both reads see the old ones.
#[test]
fn updates_take_effect_after_all_reads() {
    let ty = TensorType::scalar();
    let mut graph = Graph::default();
    let [a, b] = [0, 1].map(|index| graph.push_leaf(Leaf::State { index, trainable: false }, ty));
    graph.updates = vec![Update { state: 0, value: b }, Update { state: 1, value: a }];
    let scalar = |value| HostTensor::filled(ty, value);
    let bindings = Bindings { states: vec![scalar(1.0), scalar(2.0)], ..Bindings::default() };
    let results = interpret(&graph, &bindings, Rounding::None).unwrap();
    assert_eq!(results.updates, [(0, scalar(2.0)), (1, scalar(1.0))]);
}

#[test]
fn leaves_without_a_fitting_binding_are_refused() {
    let mut graph = Graph::default();
    let leaf = graph.push_leaf(Leaf::Data { index: 0, resident: false }, TensorType::scalar());
    graph.roots = vec![graph.push(Op::Unary(Unary::Exp), vec![leaf]).unwrap()];
    let run =
        |data: Vec<HostTensor>| interpret(&graph, &Bindings { data, ..Bindings::default() }, Rounding::None);
    assert!(matches!(run(Vec::new()), Err(Error::Plan { pass: "oracle", .. })));
    assert!(matches!(run(vec![vector(DType::F32, &[1.0])]), Err(Error::Plan { pass: "oracle", .. })));
    assert!(run(vec![HostTensor::filled(TensorType::scalar(), 1.0)]).is_ok());
}

#[test]
fn another_devices_buffer_is_refused() {
    let foreign: Buffer = Arc::new(7u32);
    assert!(matches!(
        Oracle::default().download(&foreign, TensorType::scalar()),
        Err(Error::DeviceMismatch { .. })
    ));
}

/// States keep what `f32` cannot hold, from step to step: a thousand additions of 1e-9 to 1 leave a trace.
#[test]
fn states_are_not_rounded_between_steps() {
    let run = |rounding| {
        let device = Device::with_executor(Box::new(Oracle { rounding }));
        let params = ocelli_core::nn::Params::new(&device, ocelli_core::nn::Seed(0));
        let one = ocelli_core::init::Init::Constant(1.0);
        let fans = ocelli_core::init::Fans { fan_in: 1, fan_out: 1 };
        let state: State = params.parameter("w", Shape::SCALAR, fans, one).unwrap();
        let config = ocelli_core::optim::SgdConfig { lr: 1e-9, ..Default::default() };
        let mut sgd = ocelli_core::optim::Sgd::new(&params, config);
        for _ in 0..1000 {
            ocelli_core::optim::Optimizer::minimize(&mut sgd, &state.tensor()).unwrap();
        }
        let one = Tensor::constant(&device, 1.0).unwrap();
        one.sub(&state.tensor()).unwrap().value().unwrap()
    };
    assert!((run(Rounding::None) - 1e-6).abs() < 1e-12);
    assert_eq!(run(Rounding::Stored), 0.0);
}
