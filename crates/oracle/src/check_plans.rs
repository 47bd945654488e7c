//! Plans and passes held against the graph that they were made from.

use std::collections::BTreeMap;

use ocelli_core::graph::{Graph, Leaf, Update};
use ocelli_core::ops::Op;
use ocelli_core::plan::{PASSES, PlanOptions, passes, plan};
use ocelli_core::{Error, Result};

use crate::host_tensor::HostTensor;
use crate::interpret::{Bindings, Results, Rounding, interpret};
use crate::minimise::minimise;
use crate::plan::interpret_plan;

/// The largest difference that passes for another order of summation, relative to the largest value of the same tensor.
const TOLERANCE: f64 = 1e-9;

/// The same where batch normalisation's gradient is taken apart, which rounds `1 / m` to `f32`; where several follow each
/// other, or an optimizer divides by what is left of terms that cancel, that error has no bound.
const ROUNDED_COUNT: f64 = 1e-6;

/// Differences are never held against less than this: it is what values that cancel each other are made of.
const SMALLEST: f64 = 1e-3;

/// Holds each pass alone, and the plans with all of [`PlanOptions`], without each of them, and with none, against the graph.
///
/// # Errors
/// [`Error::Plan`] with the first difference, and the smallest graph found that still shows it; what interpreting the
/// graph can fail with.
pub fn check_plans(graph: &Graph, bindings: &Bindings) -> Result<()> {
    interpret(graph, bindings, Rounding::None)?;
    for variant in variants() {
        let Some(difference) = variant.difference(graph, bindings) else { continue };
        let fails = |graph: &Graph, bindings: &Bindings| {
            interpret(graph, bindings, Rounding::None).is_ok()
                && variant.difference(graph, bindings).is_some()
        };
        let (small, bound) = minimise(graph, bindings, fails)?;
        let smallest = variant.difference(&small, &bound).unwrap_or_default();
        let what = format!("{variant:?}: {difference}; the smallest such graph: {smallest}, of\n{small}");
        return Err(Error::Plan { pass: "oracle", what });
    }
    Ok(())
}

/// A way from a graph to results that must be those of the graph.
#[derive(Clone, Copy, Debug)]
enum Variant {
    Pass(usize),
    Plan(PlanOptions),
}

fn variants() -> impl Iterator<Item = Variant> {
    let all = PlanOptions::default();
    let options = [
        all,
        PlanOptions { fuse: false, ..all },
        PlanOptions { fuse_convolutions: false, ..all },
        PlanOptions { fuse_at_any_price: true, ..all },
        PlanOptions { recompute: false, ..all },
        PlanOptions { fold_batch_norm: false, ..all },
        PlanOptions { save_memory: true, ..all },
        PlanOptions { share_memory: false, ..all },
        PlanOptions {
            fuse: false,
            fuse_convolutions: false,
            fuse_at_any_price: false,
            fold_batch_norm: false,
            recompute: false,
            save_memory: false,
            alternate: false,
            launch_ahead: false,
            share_memory: false,
        },
    ];
    (0..PASSES.len()).map(Variant::Pass).chain(options.map(Variant::Plan))
}

impl Variant {
    /// What is different, if anything is. Plans are held against what the passes together make of the graph.
    fn difference(self, graph: &Graph, bindings: &Bindings) -> Option<String> {
        let compared = || -> Result<_> {
            Ok(match self {
                Variant::Pass(index) => {
                    let changed = PASSES[index].1(graph)?;
                    let mut expected = interpret(graph, bindings, Rounding::None)?;
                    let mut found = interpret(&changed, bindings, Rounding::None)?;
                    let rounded_counts = gradients_of_norms(graph) - gradients_of_norms(&changed);
                    if rounded_counts > 0 {
                        expected.updates.clear();
                        found.updates.clear();
                    }
                    (expected, found, if rounded_counts > 0 { ROUNDED_COUNT } else { TOLERANCE })
                }
                Variant::Plan(options) => {
                    let mut expected = interpret(&passes(graph)?, bindings, Rounding::None)?;
                    // A plan does nothing for a state that keeps its value.
                    let stays = |update: &Update| matches!(graph.node(update.value).op, Op::Leaf(Leaf::State { index, .. }) if index == update.state);
                    let staying: Vec<u32> = graph
                        .updates
                        .iter()
                        .filter(|update| stays(update))
                        .map(|update| update.state)
                        .collect();
                    expected.updates.retain(|(state, _)| !staying.contains(state));
                    (expected, interpret_plan(&plan(graph, options)?, bindings)?, TOLERANCE)
                }
            })
        };
        match compared() {
            Ok((expected, found, tolerance)) => difference(&expected, &found, tolerance),
            Err(error) => Some(error.to_string()),
        }
    }
}

fn gradients_of_norms(graph: &Graph) -> usize {
    graph.nodes.iter().filter(|node| matches!(node.op, Op::BatchNormGrad(_))).count()
}

fn difference(expected: &Results, found: &Results, tolerance: f64) -> Option<String> {
    let (wanted, changed) = (by_state(expected), by_state(found));
    if !wanted.keys().eq(changed.keys()) || expected.roots.len() != found.roots.len() {
        return Some(format!("the states {:?} change, not {:?}", changed.keys(), wanted.keys()));
    }
    let roots = expected.roots.iter().zip(&found.roots).enumerate();
    let roots = roots.map(|(index, (a, b))| (format!("root {index}"), a, b));
    let updates = wanted.iter().map(|(state, a)| (format!("state {state}"), *a, changed[state]));
    roots.chain(updates).find_map(|(name, a, b)| {
        let different = tensor_difference(a, b, tolerance)?;
        Some(format!("{name} {different}"))
    })
}

fn by_state(results: &Results) -> BTreeMap<u32, &HostTensor> {
    results.updates.iter().map(|(state, value)| (*state, value)).collect()
}

/// The first element that differs by more than rounding; shapes may differ, as reshapes move nothing.
fn tensor_difference(expected: &HostTensor, found: &HostTensor, tolerance: f64) -> Option<String> {
    if expected.ty.dtype != found.ty.dtype || expected.values.len() != found.values.len() {
        return Some(format!("is {}, not {}", found.ty, expected.ty));
    }
    let finite = expected.values.iter().filter(|value| value.is_finite());
    let scale = finite.fold(SMALLEST, |largest, value| largest.max(value.abs()));
    let close = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= tolerance * scale;
    let pairs = expected.values.iter().zip(&found.values).enumerate();
    pairs.into_iter().find(|(_, (a, b))| !close(**a, **b)).map(|(element, (a, b))| {
        format!("has {b} at element {element} where {a} is right, {} in all", found.ty)
    })
}
