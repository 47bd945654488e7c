//! Sessions against plain evaluation, interpreted on the host.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use ocelli_core::graph::{Graph, Leaf};
use ocelli_core::nn::{
    BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, Dropout, Linear, Module, Params, Seed,
};
use ocelli_core::ops::Op;
use ocelli_core::plan::costs::Analytic;
use ocelli_core::plan::split::{Given, Split, split};
use ocelli_core::plan::{LaunchKind, PlanOptions, lower, lower_with, rewrite};
use ocelli_core::{
    DType, Device, Error, Half, Precision, Result, Session, Shape, Task, Tensor, TensorType, WorkKey,
    evaluate,
};
use ocelli_oracle::{
    Bindings, HostTensor, Random, RandomProgram, Rounding, device, interpret, interpret_plan,
    recording_device,
};

const SIDE: usize = 6;
const EACH: usize = SIDE * SIDE * 3;
const CLASSES: usize = 5;

/// A small residual network with folded and unfolded normalisations.
struct Net {
    params: Params,
    conv1: Conv2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
    norm2: BatchNorm2d,
    norm3: BatchNorm2d,
    fc: Linear,
}

impl Net {
    fn new(device: &Device) -> Net {
        let params = Params::new(device, Seed(7));
        let config = Conv2dConfig { padding: 1, bias: false, ..Default::default() };
        let norm = |name: &str| BatchNorm2d::new(&params / name, 8, BatchNormConfig::default()).unwrap();
        let net = Net {
            conv1: Conv2d::new(&params / "conv1", 3, 8, config).unwrap(),
            norm1: norm("norm1"),
            conv2: Conv2d::new(&params / "conv2", 8, 8, config).unwrap(),
            norm2: norm("norm2"),
            norm3: norm("norm3"),
            fc: Linear::new(&params / "fc", 8, CLASSES).unwrap(),
            params,
        };
        net.params.eval();
        net.randomise(1);
        net
    }

    /// Other weights and statistics.
    fn randomise(&self, seed: u64) {
        let mut random = Random::new(seed);
        for state in self.params.all() {
            let values: Vec<f32> =
                random.positive(state.ty()).values.into_iter().map(|value| value as f32 * 0.5).collect();
            state.set(&values).unwrap();
        }
    }
}

impl Module for Net {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.norm1.forward(&self.conv1.forward(x)?)?.relu()?;
        let y = self.norm2.forward(&self.conv2.forward(&x)?)?.add(&x)?.relu()?;
        self.fc.forward(&self.norm3.forward(&y)?.mean_images()?.flatten()?)
    }
}

fn images(batch: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..batch * EACH).map(|_| random.signed() as f32).collect()
}

fn input(batch: usize) -> TensorType {
    TensorType::new(DType::F32, Shape::nhwc(batch, SIDE, SIDE, 3))
}

fn plainly(net: &Net, device: &Device, images: &[f32]) -> Vec<f32> {
    let x = Tensor::from_slice(device, images, &[images.len() / EACH, SIDE, SIDE, 3]).unwrap();
    net.forward(&x).unwrap().to_vec().unwrap()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 2e-7 * expected.abs().max(1.0),
            "{found} where {expected} is right"
        );
    }
}

fn session(batch: usize) -> (Device, Arc<Net>, Session) {
    let device = device();
    let net = Arc::new(Net::new(&device));
    let served = Arc::clone(&net);
    let session = Session::new(&device, input(batch), Precision::F32, move |x| served.forward(x)).unwrap();
    (device, net, session)
}

#[test]
fn a_session_answers_as_plain_evaluation_does() {
    let (device, net, mut session) = session(2);
    for seed in 0..3 {
        let images = images(2, seed);
        let outputs = session.run(&images).unwrap();
        assert_eq!(outputs.count(), 1);
        assert_eq!(outputs.ty(0), Some(TensorType::new(DType::F32, Shape::matrix(2, CLASSES))));
        assert_close(outputs.get(0).unwrap(), &plainly(&net, &device, &images));
    }
}

#[test]
fn every_way_to_give_an_input_and_to_get_an_output_is_the_same() {
    let (device, net, mut session) = session(2);
    let images = images(2, 9);
    let expected = plainly(&net, &device, &images);
    assert_close(session.run(images.as_slice()).unwrap().get(0).unwrap(), &expected);
    let tensor = Tensor::from_slice(&device, &images, &[2, SIDE, SIDE, 3]).unwrap();
    assert_close(&session.run(&tensor).unwrap().to_vec(0).unwrap(), &expected);
    let doubled = tensor.mul_scalar(2.0).unwrap().mul_scalar(0.5).unwrap();
    assert_close(&session.run(&doubled).unwrap().to_vec(0).unwrap(), &expected);
    let outputs = session.run_with(2, |place: &mut [f32]| place.copy_from_slice(&images)).unwrap();
    assert_close(outputs.get(0).unwrap(), &expected);
    let mut own = vec![0.0; expected.len()];
    session.run_into(&images, &mut own).unwrap();
    assert_close(&own, &expected);
}

#[test]
fn weights_are_those_of_the_last_refresh() {
    let (device, net, mut session) = session(1);
    session.warm_up(&[3]).unwrap();
    let (one, three) = (images(1, 4), images(3, 5));
    let before = [plainly(&net, &device, &one), plainly(&net, &device, &three)];
    net.randomise(2);
    let after = [plainly(&net, &device, &one), plainly(&net, &device, &three)];
    assert_ne!(before, after);
    assert_close(session.run(&one).unwrap().get(0).unwrap(), &before[0]);
    assert_close(session.run(&three).unwrap().get(0).unwrap(), &before[1]);
    session.refresh().unwrap();
    assert_close(session.run(&one).unwrap().get(0).unwrap(), &after[0]);
    assert_close(session.run(&three).unwrap().get(0).unwrap(), &after[1]);
}

#[test]
fn each_batch_size_has_its_plan_and_no_more_are_kept_than_asked_for() {
    let (device, net, mut session) = session(1);
    session.keep_plans(2);
    for batch in [1, 3, 1, 4, 3, 1] {
        let images = images(batch, batch as u64);
        let expected = plainly(&net, &device, &images);
        assert_close(session.run(&images).unwrap().get(0).unwrap(), &expected);
        assert!(session.planned_batches().count() <= 2);
    }
    assert_eq!(session.planned_batches().collect::<Vec<_>>(), [3, 1]);
    session.keep_plans(0);
    assert_eq!(session.planned_batches().collect::<Vec<_>>(), [1]);
    // What is dropped and made again still follows the weights.
    net.randomise(8);
    session.refresh().unwrap();
    let images = images(5, 5);
    assert_close(session.run(&images).unwrap().get(0).unwrap(), &plainly(&net, &device, &images));
}

#[test]
fn plans_of_several_batch_sizes_share_what_is_prepared() {
    let (device, recorder) = recording_device();
    let net = Net::new(&device);
    let mut session =
        Session::new(&device, input(1), Precision::mixed_f16(), move |x| net.forward(x)).unwrap();
    // The preparation and the first run.
    assert_eq!(recorder.take().len(), 2);
    session.warm_up(&[1, 8]).unwrap();
    assert_eq!(recorder.take().len(), 1);
    session.refresh().unwrap();
    assert_eq!(recorder.take().len(), 1);
}

#[test]
fn a_session_moves_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Session>();
    let (device, net, mut session) = session(2);
    let images = images(2, 3);
    let expected = plainly(&net, &device, &images);
    let found = std::thread::spawn(move || session.run(&images).unwrap().to_vec::<f32>(0).unwrap());
    assert_close(&found.join().unwrap(), &expected);
}

#[test]
fn pixels_several_inputs_and_several_outputs() {
    let device = device();
    let net = Net::new(&device);
    let types = [
        TensorType::new(DType::U8, Shape::nhwc(2, SIDE, SIDE, 3)),
        TensorType::new(DType::F32, Shape::matrix(2, CLASSES)),
    ];
    let network = move |inputs: &[Tensor]| {
        let x = inputs[0].cast(DType::F32)?.mul_scalar(1.0 / 255.0)?;
        let logits = net.forward(&x)?.add(&inputs[1])?;
        Ok([logits.argmax()?, logits.softmax()?, logits])
    };
    let mut session = Session::with_inputs(&device, &types, Precision::F32, network).unwrap();
    let pixels: Vec<u8> = (0..3 * EACH).map(|i| (i * 37 % 256) as u8).collect();
    let mut shift = vec![0.0f32; 3 * CLASSES];
    shift[2] = 1e4;
    shift[CLASSES] = 1e4;
    shift[2 * CLASSES + 4] = 1e4;
    let outputs = session.run_all(&[(&pixels).into(), (&shift).into()]).unwrap();
    assert_eq!(outputs.count(), 3);
    assert_eq!(outputs.get::<i32>(0).unwrap(), [2, 0, 4]);
    let softmax = outputs.get::<f32>(1).unwrap();
    assert!((softmax.iter().sum::<f32>() - 3.0).abs() < 1e-5);
    assert_eq!(outputs.get::<f32>(2).unwrap().len(), 3 * CLASSES);
    assert!(matches!(outputs.get::<f32>(0), Err(Error::ReadType { found: DType::I32, wanted: DType::F32 })));
    assert!(outputs.get::<f32>(3).is_err());
}

#[test]
fn what_does_not_fit_is_refused_with_what_was_expected() {
    let (device, _, mut session) = session(2);
    let says = |result: Result<()>, words: &[&str]| {
        let message = result.unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let mut run = |values: &[f32]| session.run(values).map(|_| ());
    says(run(&[0.0; EACH + 1]), &["input 0", "f32[2, 6, 6, 3]", "109 values", "multiple of 108"]);
    says(run(&[]), &["input 0", "0 values"]);
    says(session.run(&[0u8; EACH]).map(|_| ()), &["input 0", "f32[2, 6, 6, 3]", "u8 values"]);
    let wrong = Tensor::from_slice(&device, &[0.0f32; 2 * EACH], &[2, 3, 12, 3]).unwrap();
    says(session.run(&wrong).map(|_| ()), &["input 0", "a tensor f32[2, 3, 12, 3]"]);
    says(session.run_all(&[]).map(|_| ()), &["0 inputs", "not 1"]);
    let elsewhere =
        Tensor::from_slice(&ocelli_oracle::device(), &[0.0f32; EACH], &[1, SIDE, SIDE, 3]).unwrap();
    assert!(matches!(session.run(&elsewhere), Err(Error::DeviceMismatch { .. })));
    says(session.run_with(1, |_: &mut [u8]| ()).map(|_| ()), &["u8 values were to be written"]);
    says(session.run_with(0, |_: &mut [f32]| ()).map(|_| ()), &["batch of 0"]);
    says(session.run_into(&[0.0f32; EACH], &mut [0.0f32; 3]), &["3 values", "[1, 5]"]);
    says(session.latencies(0).map(|_| ()), &["no runs"]);
    // After all that it still answers.
    assert_eq!(session.run(&images(2, 1)).unwrap().get::<f32>(0).unwrap().len(), 2 * CLASSES);
}

#[test]
fn two_inputs_must_have_one_batch_size() {
    let device = device();
    let ty = TensorType::new(DType::F32, Shape::matrix(2, 3));
    let add = |inputs: &[Tensor]| inputs[0].add(&inputs[1]);
    let mut session = Session::with_inputs(&device, &[ty, ty], Precision::F32, add).unwrap();
    let error = session.run_all(&[(&[1.0f32; 6]).into(), (&[1.0f32; 9]).into()]).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("input 1") && error.to_string().contains("3 of them"), "{error}");
    let other = TensorType::new(DType::F32, Shape::matrix(3, 3));
    assert!(Session::with_inputs(&device, &[ty, other], Precision::F32, add).is_err());
    assert!(Session::with_inputs(&device, &[], Precision::F32, add).is_err());
    assert!(Session::with_inputs(&device, &[TensorType::scalar(), ty], Precision::F32, add).is_err());
}

#[test]
fn networks_that_train_or_look_at_their_input_are_refused() {
    let device = device();
    let net = Net::new(&device);
    net.params.train();
    let error = Session::new(&device, input(2), Precision::F32, move |x| net.forward(x)).err().unwrap();
    assert!(error.to_string().contains("running statistics"), "{error}");

    let params = Params::new(&device, Seed(1));
    let dropout = Dropout::new(&params, 0.5);
    let error = Session::new(&device, input(2), Precision::F32, move |x| dropout.forward(x)).err().unwrap();
    assert!(error.to_string().contains("eval()"), "{error}");

    let peeks = |x: &Tensor| if x.to_f32_vec()?[0] > 0.0 { x.relu() } else { x.neg() };
    let error = Session::new(&device, input(2), Precision::F32, peeks).err().unwrap();
    assert!(matches!(error, Error::InputRead), "{error}");
    let peeks = |x: &Tensor| if x.sum()?.value()? > 0.0 { x.relu() } else { x.neg() };
    let error = Session::new(&device, input(2), Precision::F32, peeks).err().unwrap();
    assert!(matches!(error, Error::InputRead), "{error}");
}

#[test]
fn outputs_that_depend_on_no_input_and_inputs_that_nobody_reads() {
    let device = device();
    let net = Net::new(&device);
    let bias = net.params.get("fc.bias").unwrap();
    let ty = TensorType::new(DType::F32, Shape::matrix(1, 2));
    let network = move |_: &[Tensor]| Ok(vec![bias.tensor(), bias.tensor().mul_scalar(2.0)?.sum()?]);
    let mut session = Session::with_inputs(&device, &[ty, ty], Precision::F32, network).unwrap();
    let outputs = session.run_all(&[(&[1.0f32; 2]).into(), (&[1.0f32; 2]).into()]).unwrap();
    let expected: Vec<f32> = net.params.get("fc.bias").unwrap().to_vec().unwrap();
    assert_eq!(outputs.get::<f32>(0).unwrap(), expected);
    assert_close(outputs.get(1).unwrap(), &[2.0 * expected.iter().sum::<f32>()]);
}

#[test]
fn latencies_count_runs_and_leave_the_input_as_it_was() {
    let (device, net, mut session) = session(2);
    let images = images(2, 6);
    session.run(&images).unwrap();
    let latencies = session.latencies(20).unwrap();
    assert_eq!((latencies.batch, latencies.end_to_end.count), (2, 20));
    assert!(latencies.end_to_end.least > 0.0 && latencies.end_to_end.p50 <= latencies.end_to_end.p99);
    assert!(latencies.gpu.is_none() && latencies.launches.is_none());
    let again = session.run_with(2, |_: &mut [f32]| ()).unwrap();
    assert_close(again.get(0).unwrap(), &plainly(&net, &device, &images));
}

/// The forward trace of a program, as planned, and the number of its only data leaf that is an input.
fn traced(seed: u64, precision: Precision) -> (Graph, Bindings, Vec<Option<u32>>) {
    let (device, recorder) = recording_device();
    let program = RandomProgram::new(&device, seed).unwrap();
    program.params().eval();
    evaluate(&[&program.loss().unwrap()]).unwrap();
    let (graph, bindings) = recorder.take().pop().unwrap();
    let key = WorkKey { graph, task: Task::Evaluate, precision, deterministic: false };
    let options = PlanOptions::default();
    let (graph, _) = rewrite(&key.expand_for(options).unwrap(), options, &Analytic::default()).unwrap();
    let images = graph.nodes.iter().find_map(|node| match node.op {
        Op::Leaf(Leaf::Data { index, .. }) if node.outputs[0].shape.rank() == 4 => Some(index),
        _ => None,
    });
    (graph, bindings, vec![images])
}

/// The two parts, interpreted one after the other.
fn in_two_parts(
    split: &Split,
    bindings: &Bindings,
    inputs: &[Option<u32>],
    as_plans: bool,
) -> Vec<HostTensor> {
    let run = |graph: &Graph, bindings: &Bindings| {
        if as_plans {
            interpret_plan(&lower(graph, PlanOptions::default()).unwrap(), bindings).unwrap().roots
        } else {
            interpret(graph, bindings, Rounding::None).unwrap().roots
        }
    };
    let data = |index: &u32| bindings.data[*index as usize].clone();
    let prepared = run(
        &split.preparation,
        &Bindings { data: split.preparation_data.iter().map(data).collect(), ..bindings.clone() },
    );
    let unread = HostTensor::filled(TensorType::scalar(), 0.0);
    let mut rest: Vec<HostTensor> =
        inputs.iter().map(|input| input.as_ref().map_or(unread.clone(), data)).collect();
    rest.extend(split.given.iter().map(|given| match given {
        // A plan's roots have the shapes of their buffers.
        Given::Prepared(root) => {
            let ty = split.preparation.ty(split.preparation.roots[*root]);
            HostTensor::new(ty, prepared[*root].values.clone())
        }
        Given::Resident(index) => data(index),
    }));
    run(&split.rest, &Bindings { data: rest, ..Bindings::default() })
}

#[test]
fn random_programs_in_two_parts_mean_the_same() {
    let mut prepared = 0;
    for seed in 0..120 {
        let precision = if seed % 2 == 0 { Precision::F32 } else { Precision::Mixed(Half::F16) };
        let (graph, bindings, inputs) = traced(seed, precision);
        let split = split(&graph, &inputs).unwrap();
        let expected = interpret(&graph, &bindings, Rounding::None).unwrap().roots;
        for as_plans in [false, true] {
            let found = in_two_parts(&split, &bindings, &inputs, as_plans);
            for (a, b) in found.iter().zip(&expected) {
                let close = |a: f64, b: f64| {
                    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * b.abs().max(1.0)
                };
                assert!(
                    a.values.iter().zip(&b.values).all(|(&a, &b)| close(a, b)),
                    "seed {seed}, as plans {as_plans}: {a:?}, not {b:?}"
                );
            }
        }
        // Nothing of the rest follows from states alone, but constants and what repeats a value.
        let mut moving = Vec::new();
        for node in &split.rest.nodes {
            let moves = match node.op {
                Op::Leaf(Leaf::Data { index, .. }) => (index as usize) < inputs.len(),
                Op::Leaf(leaf) => panic!("seed {seed}: the rest reads {leaf:?}"),
                _ => node.inputs.iter().any(|input| moving[input.node as usize]),
            };
            let cheap = matches!(node.op, Op::Leaf(_) | Op::BroadcastTo(_) | Op::Reshape(_) | Op::Detach);
            let constant = node.inputs.iter().all(|input| split.rest.node(*input).inputs.is_empty())
                && !node.inputs.iter().any(|input| matches!(split.rest.node(*input).op, Op::Leaf(_)));
            assert!(moves || cheap || constant, "seed {seed}: {:?} in the rest\n{}", node.op, split.rest);
            moving.push(moves);
        }
        prepared += split.preparation.roots.len();
    }
    assert!(prepared > 300, "{prepared}");
}

/// What a run launches when all that follows from the weights has been computed.
#[test]
fn nothing_but_casts_and_layers_is_left_for_a_run() {
    let (device, recorder) = recording_device();
    let net = Net::new(&device);
    let _session = Session::new(&device, input(1), Precision::mixed_f16(), move |x| net.forward(x)).unwrap();
    let (graph, _) = recorder.take().pop().unwrap();
    let names: Vec<&str> = graph
        .nodes
        .iter()
        .filter(|node| !matches!(node.op, Op::Leaf(_) | Op::Constant(_) | Op::Reshape(_)))
        .map(|node| node.op.name())
        .collect();
    assert!(!names.contains(&"rsqrt"), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.ends_with("conv2d")).count(), 2, "{names:?}");
    // The factor and the term of the norm that follows no convolution.
    assert_eq!(names.iter().filter(|&&name| name == "mul").count(), 1, "{names:?}");
    assert!(graph.nodes.iter().all(|node| !matches!(node.op, Op::Leaf(Leaf::State { .. }))));
}

/// Reports name the layers that a session's launches serve, though their weights were computed before.
#[test]
fn launches_know_the_layers_whose_weights_were_prepared() {
    let (device, recorder) = recording_device();
    let net = Net::new(&device);
    let x = Tensor::from_slice(&device, &images(1, 1), &[1, SIDE, SIDE, 3]).unwrap();
    net.forward(&x).unwrap().to_f32_vec().unwrap();
    let (graph, bindings) = recorder.take().pop().unwrap();
    let key =
        WorkKey { graph, task: Task::Evaluate, precision: Precision::mixed_f16(), deterministic: false };
    let options = PlanOptions::default();
    let (graph, _) = rewrite(&key.expand_for(options).unwrap(), options, &Analytic::default()).unwrap();
    let split = split(&graph, &[Some(0)]).unwrap();
    assert_eq!(split.origins.len(), 1 + split.given.len());
    let plan = lower_with(&split.rest, options, &split.origins).unwrap();
    let mut extents = Vec::new();
    for launch in &plan.launches {
        if let LaunchKind::Convolution(_) | LaunchKind::Matmul(_) = launch.kind {
            let [state] = launch.purpose.layers[..] else { panic!("{launch:?}") };
            extents.push(bindings.states[state as usize].ty.shape.dims().to_vec());
        }
    }
    assert_eq!(extents, [vec![8, 3, 3, 3], vec![8, 3, 3, 8], vec![CLASSES]]);
}
