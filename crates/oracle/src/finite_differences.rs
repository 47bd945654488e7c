//! Derivatives held against central differences.

use ocelli_core::autograd::differentiate;
use ocelli_core::graph::{Graph, Leaf, Value};
use ocelli_core::ops::Op;
use ocelli_core::{Error, Result, Tensor, evaluate};

use crate::host_tensor::HostTensor;
use crate::interpret::{Bindings, Rounding, interpret};
use crate::random::Random;
use crate::record::recording_device;

/// Half the distance between the two points of a difference: its error is of the order of `STEP^2` by the series cut
/// off, and of `1e-16 / STEP` by rounding.
const STEP: f64 = 1e-5;

/// The largest difference between a gradient and a slope that passes for rounding, relative to the largest gradient of
/// the same input, or to 1.
const TOLERANCE: f64 = 1e-6;

/// Holds the gradients of `sum(random * build(inputs))` for each floating-point input against central differences, all in
/// `f64`. Inputs should lie further than `1e-5` from kinks and ties.
///
/// # Errors
/// [`Error::Plan`] with the first element whose gradient is not the slope; what tracing and interpreting can fail with.
pub fn check_gradient(build: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[HostTensor]) -> Result<()> {
    let (device, recorder) = recording_device();
    let tensors = inputs.iter().map(|input| input.to_tensor(&device)).collect::<Result<Vec<Tensor>>>()?;
    let output = build(&tensors)?;
    let loss = output.mul(&Random::new(1).tensor(output.ty()).to_tensor(&device)?)?.sum()?;
    // The inputs are roots too, so that their leaves are known in the graph.
    evaluate(&std::iter::once(&loss).chain(&tensors).collect::<Vec<_>>())?;
    let Some((mut forward, mut bindings)) = recorder.take().pop() else {
        return fail("nothing was run".into());
    };
    let leaves = forward.roots.split_off(1);
    let differentiable = |index: &usize| inputs[*index].ty.dtype.is_float();
    for index in (0..inputs.len()).filter(differentiable) {
        // What was traced from tensors is rounded to their type; from here on the numbers themselves count.
        let bound = data_index(&forward, leaves[index])?;
        bindings.data[bound] = inputs[index].clone();
    }
    for index in (0..inputs.len()).filter(differentiable) {
        let gradient = gradient(&forward, leaves[index], &bindings)?;
        let scale = gradient.values.iter().fold(1f64, |largest, g| largest.max(g.abs()));
        let bound = data_index(&forward, leaves[index])?;
        for (element, analytic) in gradient.values.into_iter().enumerate() {
            let numeric = slope(&forward, &mut bindings, bound, element)?;
            let error = (numeric - analytic).abs() / scale;
            if error.is_nan() || error > TOLERANCE {
                let at = format!("input {index}, element {element}");
                return fail(format!("{at}: the gradient is {analytic}, the slope {numeric}, of\n{forward}"));
            }
        }
    }
    Ok(())
}

/// The gradient of a graph's first root for a leaf, by the rules under test; zeros where it does not depend on it.
fn gradient(forward: &Graph, leaf: Value, bindings: &Bindings) -> Result<HostTensor> {
    let mut graph = forward.clone();
    let seed = graph.constant(1.0)?;
    let found = differentiate(&mut graph, forward.roots[0], &[leaf], seed)?;
    graph.roots = found.into_iter().flatten().collect();
    let zeros = HostTensor::filled(forward.ty(leaf), 0.0);
    Ok(interpret(&graph, bindings, Rounding::None)?.roots.pop().unwrap_or(zeros))
}

/// The central difference of a graph's first root, a scalar, in one element of one of the bound tensors.
fn slope(graph: &Graph, bindings: &mut Bindings, leaf: usize, element: usize) -> Result<f64> {
    let middle = bindings.data[leaf].values[element];
    let mut value = |x: f64| -> Result<f64> {
        bindings.data[leaf].values[element] = x;
        Ok(interpret(graph, bindings, Rounding::None)?.roots[0].values[0])
    };
    let slope = (value(middle + STEP)? - value(middle - STEP)?) / (2.0 * STEP);
    bindings.data[leaf].values[element] = middle;
    Ok(slope)
}

/// Which of the bound tensors a leaf stands for.
fn data_index(graph: &Graph, leaf: Value) -> Result<usize> {
    match graph.node(leaf).op {
        Op::Leaf(Leaf::Data { index, .. }) => Ok(index as usize),
        _ => fail(format!("{leaf} is no input")),
    }
}

fn fail<T>(what: String) -> Result<T> {
    Err(Error::Plan { pass: "finite differences", what })
}
