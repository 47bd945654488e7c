//! Batch normalisation folded into the weights, against the graph that it was folded in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli_core::graph::{Graph, verify};
use ocelli_core::ops::{Binary, Conv2d, Op};
use ocelli_core::plan::rules::fold_batch_norm::fold_batch_norm;
use ocelli_core::plan::{PlanOptions, plan};
use ocelli_core::{
    DType, Device, Half, Precision, Shape, State, Task, Tensor, TensorType, WorkKey, evaluate,
};
use ocelli_oracle::{
    Bindings, Random, RandomProgram, Results, Rounding, interpret, interpret_plan, recording_device,
};

const CHANNELS: usize = 6;

/// A device that records, and random states on it.
struct Build {
    device: Device,
    random: std::cell::RefCell<Random>,
}

impl Build {
    fn ty(extents: &[usize]) -> TensorType {
        TensorType::new(DType::F32, Shape::new(extents).unwrap())
    }

    fn data(&self, extents: &[usize]) -> Tensor {
        self.random.borrow_mut().tensor(Build::ty(extents)).to_tensor(&self.device).unwrap()
    }

    fn state(&self, extents: &[usize]) -> Tensor {
        let ty = Build::ty(extents);
        let values: Vec<f32> =
            self.random.borrow_mut().positive(ty).values.into_iter().map(|value| value as f32).collect();
        State::new(&self.device, "state", ty, &values).unwrap().trainable().tensor()
    }

    fn norm(&self, x: &Tensor) -> Tensor {
        let channel = || self.state(&[x.shape().channels()]);
        x.batch_norm_with(&channel(), &channel(), &channel(), &channel(), 1e-5).unwrap()
    }

    fn images(&self) -> Tensor {
        self.data(&[2, 7, 6, 4])
    }

    fn conv(&self, x: &Tensor) -> Tensor {
        x.conv2d(&self.state(&[CHANNELS, 3, 3, x.shape().channels()]), Conv2d::default()).unwrap()
    }
}

/// What tracing these roots gives, and what it was bound to.
fn trace(roots: impl Fn(&Build) -> Vec<Tensor>) -> (Graph, Bindings) {
    let (device, recorder) = recording_device();
    let roots = roots(&Build { device, random: Random::new(1).into() });
    evaluate(&roots.iter().collect::<Vec<_>>()).unwrap();
    recorder.take().pop().unwrap()
}

#[track_caller]
fn assert_close(found: &Results, expected: &Results) {
    assert_eq!(found.roots.len(), expected.roots.len());
    for (found, expected) in found.roots.iter().zip(&expected.roots) {
        assert_eq!(found.ty, expected.ty);
        let largest = expected.values.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
        for (found, expected) in found.values.iter().zip(&expected.values) {
            assert!((found - expected).abs() <= 1e-12 * largest, "{found} where {expected} is right");
        }
    }
}

/// Folds, checks that the result means the same, as a plan too, and returns the names of the nodes that work on the data.
#[track_caller]
fn folded(roots: impl Fn(&Build) -> Vec<Tensor>) -> Vec<&'static str> {
    let (graph, bindings) = trace(roots);
    let folded = fold_batch_norm(&graph).unwrap();
    verify(&folded, "test").unwrap();
    assert_eq!(fold_batch_norm(&folded).unwrap(), folded, "a second time changes something");
    let expected = interpret(&graph, &bindings, Rounding::None).unwrap();
    assert_close(&interpret(&folded, &bindings, Rounding::None).unwrap(), &expected);
    let planned = plan(&folded, PlanOptions::default()).unwrap();
    assert_close(&interpret_plan(&planned, &bindings).unwrap(), &expected);
    on_data(&folded)
}

/// The names of the nodes that data flows through.
fn on_data(graph: &Graph) -> Vec<&'static str> {
    let mut reached = vec![false; graph.nodes.len()];
    let mut names = Vec::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        reached[id] = matches!(node.op, Op::Leaf(ocelli_core::graph::Leaf::Data { .. }))
            || node.inputs.iter().any(|input| reached[input.node as usize]);
        if reached[id] && !matches!(node.op, Op::Leaf(_)) {
            names.push(node.op.name());
        }
    }
    names
}

#[test]
fn a_convolution_and_its_norm() {
    let names = folded(|b| vec![b.norm(&b.conv(&b.images())).relu().unwrap()]);
    assert_eq!(names, ["conv2d", "add", "relu"]);
}

#[test]
fn the_bias_is_one_number_a_channel_and_reads_no_data() {
    let (graph, _) = trace(|b| vec![b.norm(&b.conv(&b.images()))]);
    let folded = fold_batch_norm(&graph).unwrap();
    let root = folded.node(folded.roots[0]);
    assert_eq!(root.op, Op::Binary(Binary::Add));
    assert!(matches!(folded.node(root.inputs[0]).op, Op::Conv2d(_)));
    assert_eq!(folded.ty(root.inputs[1]), Build::ty(&[CHANNELS]));
}

#[test]
fn a_convolution_with_a_bias_and_its_norm() {
    let names = folded(|b| {
        let y = b.conv(&b.images()).add(&b.state(&[CHANNELS])).unwrap();
        vec![b.norm(&y)]
    });
    assert_eq!(names, ["conv2d", "add"]);
}

#[test]
fn a_convolution_in_groups_and_two_norms() {
    let names = folded(|b| {
        let w = b.state(&[8, 3, 2, 2]);
        let conv = Conv2d { groups: 2, stride: [2, 1], padding: [1, 0], ..Conv2d::default() };
        vec![b.norm(&b.norm(&b.images().conv2d(&w, conv).unwrap()))]
    });
    assert_eq!(names, ["conv2d", "add"]);
}

#[test]
fn a_transposed_convolution_and_its_norm() {
    let names = folded(|b| {
        let w = b.state(&[4, 3, 3, 5]);
        let conv = Conv2d { stride: [2, 2], ..Conv2d::default() };
        vec![b.norm(&b.images().conv_transpose2d(&w, conv, [0, 0]).unwrap())]
    });
    assert_eq!(names, ["conv2d_backward_data", "add"]);
    // A channel of a group is a column of several filters.
    let names = folded(|b| {
        let w = b.state(&[4, 3, 3, 3]);
        let conv = Conv2d { groups: 2, ..Conv2d::default() };
        vec![b.norm(&b.images().conv_transpose2d(&w, conv, [0, 0]).unwrap())]
    });
    assert_eq!(names, ["conv2d_backward_data", "mul", "add"]);
}

#[test]
fn a_linear_layer_and_its_norm() {
    let names = folded(|b| vec![b.norm(&b.data(&[5, 4]).linear(&b.state(&[3, 4])).unwrap())]);
    assert_eq!(names, ["matmul", "add"]);
    let names = folded(|b| vec![b.norm(&b.data(&[5, 4]).matmul(&b.state(&[4, 3])).unwrap())]);
    assert_eq!(names, ["matmul", "add"]);
    // As many rows as columns: the factor must not be taken for one a row.
    let names = folded(|b| vec![b.norm(&b.data(&[4, 4]).linear(&b.state(&[4, 4])).unwrap())]);
    assert_eq!(names, ["matmul", "add"]);
}

#[test]
fn factors_and_terms_in_either_order() {
    let names = folded(|b| {
        let (s, t, u) = (b.state(&[CHANNELS]), b.state(&[1, 1, 1, CHANNELS]), b.state(&[1, CHANNELS]));
        let y = b.conv(&b.images()).sub(&t).unwrap();
        vec![t.add(&s.mul(&y).unwrap()).unwrap().sub(&u).unwrap()]
    });
    assert_eq!(names, ["conv2d", "add"]);
    let names = folded(|b| vec![b.state(&[CHANNELS]).sub(&b.conv(&b.images())).unwrap()]);
    assert_eq!(names, ["conv2d", "sub"]);
}

#[test]
fn a_residual_block() {
    let names = folded(|b| {
        let x = b.images();
        let inner = b.norm(&b.conv(&x)).relu().unwrap();
        let w = b.state(&[4, 1, 1, CHANNELS]);
        let conv = Conv2d { padding: [1, 1], ..Conv2d::default() };
        let outer = b.norm(&inner.conv2d(&w, conv).unwrap());
        vec![outer.add(&x).unwrap().relu().unwrap()]
    });
    assert_eq!(names, ["conv2d", "add", "relu", "conv2d", "add", "add", "relu"]);
}

#[test]
fn near_misses_are_left_alone() {
    // Somebody else reads the convolution: as a root, in another node.
    let names = folded(|b| {
        let y = b.conv(&b.images());
        vec![b.norm(&y), y]
    });
    assert_eq!(names, ["conv2d", "mul", "add"]);
    let names = folded(|b| {
        let y = b.conv(&b.images());
        vec![b.norm(&y).add(&y).unwrap()]
    });
    assert_eq!(names, ["conv2d", "mul", "add", "add"]);
    // Between the two lies what is not linear.
    let names = folded(|b| vec![b.norm(&b.conv(&b.images()).relu().unwrap())]);
    assert_eq!(names, ["conv2d", "relu", "mul", "add"]);
    // The factor is one number a column, a pixel, an image, or all of them; or it comes from the data.
    for extents in [[1, 1, 4, 1], [1, 5, 4, CHANNELS], [2, 1, 1, CHANNELS], [1, 1, 1, 1]] {
        let names = folded(|b| vec![b.conv(&b.images()).mul(&b.state(&extents)).unwrap()]);
        assert_eq!(names, ["conv2d", "mul"], "{extents:?}");
    }
    let names = folded(|b| vec![b.conv(&b.images()).mul(&b.data(&[CHANNELS])).unwrap()]);
    assert_eq!(names, ["conv2d", "mul"]);
    // The filters come from the data.
    let names = folded(|b| {
        let w = b.data(&[CHANNELS, 3, 3, 4]);
        vec![b.norm(&b.images().conv2d(&w, Conv2d::default()).unwrap())]
    });
    assert_eq!(names, ["conv2d", "mul", "add"]);
    // The factor makes the result larger than the convolution's.
    let names =
        folded(|b| vec![b.data(&[1, 4]).linear(&b.state(&[3, 4])).unwrap().mul(&b.state(&[2, 3])).unwrap()]);
    assert_eq!(names, ["matmul", "mul"]);
}

/// Only graphs without gradients are folded, before element types are chosen: the product is rounded once.
#[test]
fn what_is_planned_is_folded_only_in_evaluation() {
    let (graph, _) = trace(|b| vec![b.norm(&b.conv(&b.images())).sum().unwrap()]);
    let key = |task| WorkKey {
        graph: graph.clone(),
        task,
        precision: Precision::Mixed(Half::F16),
        deterministic: false,
    };
    let names = on_data(&key(Task::Evaluate).expand_for(PlanOptions::default()).unwrap());
    assert_eq!(names, ["cast", "conv2d", "add", "cast", "sum"]);
    let off = PlanOptions { fold_batch_norm: false, fuse: false, ..PlanOptions::default() };
    assert_eq!(key(Task::Evaluate).expand_for(off).unwrap(), key(Task::Evaluate).expand().unwrap());
    let sgd = ocelli_core::Rule::Sgd(ocelli_core::ops::Sgd { groups: vec![0; 5], nesterov: false });
    let training = key(Task::Minimize(ocelli_core::Step::new(sgd)));
    assert_eq!(training.expand_for(PlanOptions::default()).unwrap(), training.expand().unwrap());

    let folded = key(Task::Evaluate).expand_for(PlanOptions::default()).unwrap();
    let conv = folded.nodes.iter().find(|node| matches!(node.op, Op::Conv2d(_))).unwrap();
    let weight = folded.node(conv.inputs[1]);
    assert_eq!(weight.op, Op::Cast(DType::F16));
    assert_eq!(folded.node(weight.inputs[0]).op, Op::Binary(Binary::Mul));
    assert_eq!(folded.ty(weight.inputs[0]).dtype, DType::F32);
}

#[test]
fn random_programs_mean_the_same() {
    let mut shorter = 0;
    for seed in 0..120 {
        let (device, recorder) = recording_device();
        let program = RandomProgram::new(&device, seed).unwrap();
        program.params().eval();
        evaluate(&[&program.loss().unwrap()]).unwrap();
        let (graph, bindings) = recorder.take().pop().unwrap();
        let folded = fold_batch_norm(&graph).unwrap();
        verify(&folded, "test").unwrap();
        let expected = interpret(&graph, &bindings, Rounding::None).unwrap();
        let found = interpret(&folded, &bindings, Rounding::None).unwrap();
        for (a, b) in found.roots.iter().zip(&expected.roots) {
            let close = |a: f64, b: f64| {
                a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * b.abs().max(1.0)
            };
            assert!(
                a.values.iter().zip(&b.values).all(|(&a, &b)| close(a, b)),
                "seed {seed}: {a:?}, not {b:?}"
            );
        }
        shorter += usize::from(on_data(&folded).len() < on_data(&graph).len());
    }
    assert!(shorter > 10, "only {shorter} programs hold something to fold");
}

/// All that is rewritten for evaluation alone, in 16 bits too: programs and their plans mean the same.
#[test]
fn what_is_planned_for_evaluation_means_what_is_asked_for() {
    for seed in 0..60 {
        let (device, recorder) = recording_device();
        let program = RandomProgram::new(&device, seed).unwrap();
        program.params().eval();
        let loss = program.loss().unwrap();
        evaluate(&[&loss]).unwrap();
        let (graph, bindings) = recorder.take().pop().unwrap();
        let precision = if seed % 2 == 0 { Precision::F32 } else { Precision::Mixed(Half::F16) };
        let key = WorkKey { graph, task: Task::Evaluate, precision, deterministic: false };
        let expected = interpret(&key.expand().unwrap(), &bindings, Rounding::None).unwrap();
        let options = PlanOptions::default();
        let planned = plan(&key.expand_for(options).unwrap(), options).unwrap();
        let found = interpret_plan(&planned, &bindings).unwrap();
        for (a, b) in found.roots.iter().zip(&expected.roots) {
            let (a, b) = (a.values[0], b.values[0]);
            let close = a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * b.abs().max(1.0);
            assert!(close, "seed {seed}: {a}, not {b}");
        }
    }
}
