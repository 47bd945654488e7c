//! Random programs: what must hold of every graph.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocelli_core::autograd::differentiate;
use ocelli_core::graph::{Graph, Leaf, Value, verify};
use ocelli_core::ops::Op;
use ocelli_core::{Precision, evaluate};
use ocelli_oracle::{
    Bindings, Random, RandomProgram, Results, Rounding, interpret, minimise, recording_device, training_step,
};

const SEEDS: std::ops::Range<u64> = 0..120;

/// A step of a random program as the planner gets it.
fn step(seed: u64, precision: Precision) -> (Graph, Bindings) {
    training_step(seed, precision).unwrap()
}

/// A random program's loss alone.
fn forward(seed: u64) -> (Graph, Bindings) {
    let (device, recorder) = recording_device();
    evaluate(&[&RandomProgram::new(&device, seed).unwrap().loss().unwrap()]).unwrap();
    recorder.take().pop().unwrap()
}

fn run(graph: &Graph, bindings: &Bindings, rounding: Rounding) -> Results {
    interpret(graph, bindings, rounding).unwrap()
}

#[test]
fn every_step_is_well_formed_and_finite() {
    for seed in SEEDS {
        let (graph, bindings) = step(seed, Precision::F32);
        verify(&graph, "test").unwrap();
        let results = run(&graph, &bindings, Rounding::None);
        let updates = results.updates.iter().map(|(_, value)| value);
        for tensor in results.roots.iter().chain(updates) {
            assert!(tensor.values.iter().all(|value| value.abs() < 1e6), "seed {seed}: {tensor:?}\n{graph}");
        }
    }
}

/// What the generator is for.
#[test]
fn the_seeds_hold_what_breaks_planners() {
    let graphs: Vec<Graph> = SEEDS.map(|seed| step(seed, Precision::F32).0).collect();
    let share = |holds: &dyn Fn(&Graph) -> bool| graphs.iter().filter(|graph| holds(graph)).count();
    let state = |value: &Value, graph: &Graph| matches!(graph.node(*value).op, Op::Leaf(Leaf::State { .. }));
    let has = |graph: &Graph, wanted: &dyn Fn(&Op) -> bool| graph.nodes.iter().any(|node| wanted(&node.op));
    let dims = |graph: &Graph| {
        graph.nodes.iter().filter_map(|node| node.outputs.first()?.shape.as_nhwc()).collect::<Vec<_>>()
    };
    assert!(share(&|graph| graph.uses().iter().any(|&uses| uses >= 4)) > 40);
    assert!(share(&|graph| dims(graph).iter().any(|&(_, _, _, c)| c > 8 && c % 8 != 0)) > 20);
    let images = |graph: &Graph, wanted: fn((usize, usize, usize, usize)) -> bool| {
        let data = graph.nodes.iter().find(|node| matches!(node.op, Op::Leaf(Leaf::Data { .. })));
        data.and_then(|node| node.outputs[0].shape.as_nhwc()).is_some_and(wanted)
    };
    assert!(share(&|graph| images(graph, |(n, ..)| n == 1)) > 30);
    assert!(share(&|graph| images(graph, |(_, h, w, _)| h == 1 && w == 1)) > 10);
    assert!(share(&|graph| has(graph, &|op| matches!(op, Op::AddN))) > 20);
    assert!(share(&|graph| has(graph, &|op| matches!(op, Op::Dropout(_)))) > 20);
    assert!(
        share(&|graph| has(graph, &|op| matches!(op, Op::Leaf(Leaf::State { trainable: false, .. })))) > 60
    );
    // In 16 bits, a concatenation of what is 16 bits wide and what is not.
    let mixed = SEEDS.map(|seed| step(seed, Precision::mixed_f16()).0);
    let joins = |graph: &Graph| {
        let mut inputs =
            graph.nodes.iter().filter(|node| matches!(node.op, Op::Concat)).flat_map(|node| &node.inputs);
        inputs.any(|&input| matches!(graph.node(input).op, Op::Cast(_)))
    };
    assert!(mixed.filter(joins).count() > 5);
    // A filter that two convolutions share.
    assert!(
        share(&|graph| {
            let filters =
                graph.nodes.iter().filter(|node| matches!(node.op, Op::Conv2d(_))).map(|node| node.inputs[1]);
            let filters: Vec<Value> = filters.filter(|filter| state(filter, graph)).collect();
            (1..filters.len()).any(|i| filters[..i].contains(&filters[i]))
        }) > 10
    );
    // Batch normalisations that outnumber the statistics: some state moves twice.
    assert!(
        share(&|graph| {
            let norms = graph.nodes.iter().filter(|node| matches!(node.op, Op::BatchNorm(_)));
            let scales: Vec<Value> = norms.map(|node| node.inputs[1]).collect();
            (1..scales.len()).any(|i| scales[..i].contains(&scales[i]))
        }) > 10
    );
}

#[test]
fn the_same_seed_gives_the_same_graph_and_numbers() {
    for seed in SEEDS.step_by(7) {
        let ((first, a), (second, b)) = (step(seed, Precision::F32), step(seed, Precision::F32));
        assert_eq!(first, second);
        assert_eq!(a.data, b.data);
        assert_eq!(a.states, b.states);
    }
}

/// The gradients of all parameters at once against the slope along a random direction.
#[test]
fn gradients_of_whole_programs_are_slopes() {
    const STEP: f64 = 1e-6;
    for seed in SEEDS {
        let (mut graph, mut bindings) = forward(seed);
        let mut random = Random::new(seed);
        // Away from the zeros of initial biases, which lie on the kinks of what follows.
        for state in &mut bindings.states {
            state.values.iter_mut().for_each(|value| *value += 0.1 * random.signed());
        }
        graph.updates.clear();
        graph = graph.without_dead_code().unwrap();
        if graph.nodes.iter().any(|node| matches!(node.op, Op::Detach)) {
            continue; // Its gradient is not the slope, and is not meant to be.
        }
        let loss = graph.clone();
        let leaf = |(id, node): (usize, &ocelli_core::graph::Node)| match node.op {
            Op::Leaf(Leaf::State { index, trainable: true }) => {
                Some((index as usize, Value { node: id as u32, output: 0 }))
            }
            _ => None,
        };
        let parameters: Vec<(usize, Value)> = graph.nodes.iter().enumerate().filter_map(leaf).collect();
        let one = graph.constant(1.0).unwrap();
        let targets: Vec<Value> = parameters.iter().map(|&(_, value)| value).collect();
        let found = differentiate(&mut graph, loss.roots[0], &targets, one).unwrap();
        graph.roots = found.iter().flatten().copied().collect();
        let mut gradients = run(&graph, &bindings, Rounding::None).roots.into_iter();

        let (mut above, mut below) = (bindings.clone(), bindings.clone());
        let mut expected = 0.0;
        for (&(state, _), gradient) in parameters.iter().zip(found) {
            let gradient = gradient.and_then(|_| gradients.next());
            for element in 0..bindings.states[state].values.len() {
                let direction = random.signed();
                above.states[state].values[element] += STEP * direction;
                below.states[state].values[element] -= STEP * direction;
                expected += gradient.as_ref().map_or(0.0, |gradient| gradient.values[element] * direction);
            }
        }
        let value = |bindings: &Bindings| run(&loss, bindings, Rounding::None).roots[0].values[0];
        let slope = (value(&above) - value(&below)) / (2.0 * STEP);
        let close = (slope - expected).abs() < 1e-6 * (1.0 + slope.abs().max(expected.abs()));
        assert!(close, "seed {seed}: the gradient is {expected}, the slope {slope}, of\n{loss}");
    }
}

/// Casts change nothing when nothing is rounded, and the loss scale is a power of two: every bit of the loss, of the weights
/// and of the running statistics is the same. The step's own states are others: `f16` has those of the loss scale.
#[test]
fn mixed_precision_means_the_same() {
    for seed in SEEDS {
        let (graph, bindings) = step(seed, Precision::F32);
        let of_program = forward(seed).1.states.len() as u32;
        let of_program = |mut results: Results| {
            results.updates.retain(|(state, _)| *state < of_program);
            results.updates.sort_by_key(|(state, _)| *state);
            results
        };
        let expected = of_program(run(&graph, &bindings, Rounding::None));
        for precision in [Precision::mixed_f16(), Precision::mixed_bf16()] {
            let (mixed, bindings) = step(seed, precision);
            verify(&mixed, "mixed precision").unwrap();
            let found = of_program(run(&mixed, &bindings, Rounding::None));
            if !found.roots[0].values[0].is_finite() {
                continue; // A step in f16 that is skipped, which random programs have on purpose.
            }
            assert_eq!(found, expected, "seed {seed}, {precision:?}:\n{mixed}");
        }
    }
}

#[test]
fn dead_code_changes_nothing() {
    for seed in SEEDS.step_by(3) {
        let (graph, bindings) = step(seed, Precision::mixed_f16());
        let smaller = graph.without_dead_code().unwrap();
        verify(&smaller, "dead code").unwrap();
        assert!(smaller.nodes.len() <= graph.nodes.len());
        // As text, because what overflows is not equal to itself.
        let results = |graph| format!("{:?}", run(graph, &bindings, Rounding::Stored));
        assert_eq!(results(&smaller), results(&graph));
    }
}

/// The fault looked for is a batch normalisation's gradient: nothing but it and leaves may be left.
#[test]
fn a_faulty_graph_is_made_small() {
    let faulty = |graph: &Graph| graph.nodes.iter().any(|node| matches!(node.op, Op::BatchNormGrad(_)));
    let (graph, bindings) =
        SEEDS.map(|seed| step(seed, Precision::F32)).find(|(graph, _)| faulty(graph)).unwrap();
    let fails = |graph: &Graph, bindings: &Bindings| {
        faulty(graph) && interpret(graph, bindings, Rounding::None).is_ok()
    };
    let (small, bound) = minimise(&graph, &bindings, fails).unwrap();
    assert!(fails(&small, &bound));
    assert_eq!(small.nodes.iter().filter(|node| !matches!(node.op, Op::Leaf(_))).count(), 1, "{small}");
    assert_eq!(small.roots.len() + small.updates.len(), 1, "{small}");
}
