//! Derivatives held against central differences.

use ocelli_core::graph::{Graph, Leaf, Value};
use ocelli_core::ops::Op;
use ocelli_core::{Error, Result, Tensor, evaluate, gradients};

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

    let wanted: Vec<usize> = (0..inputs.len()).filter(|&i| inputs[i].ty.dtype.is_float()).collect();
    let targets: Vec<&Tensor> = wanted.iter().map(|&i| &tensors[i]).collect();
    let found = gradients(&loss, &targets)?;
    // The inputs are roots too, so that their leaves are known in the graph.
    evaluate(&std::iter::once(&loss).chain(&found).chain(targets).collect::<Vec<_>>())?;
    let Some((graph, mut bindings)) = recorder.take().pop() else { return fail("nothing was run".into()) };
    let leaves = graph.roots[1 + wanted.len()..].iter().map(|&root| data_index(&graph, root));
    let leaves = leaves.collect::<Result<Vec<usize>>>()?;
    // What was traced from tensors is rounded to their type; from here on the numbers themselves count.
    for (&leaf, &input) in leaves.iter().zip(&wanted) {
        bindings.data[leaf] = inputs[input].clone();
    }

    let gradients = interpret(&graph, &bindings, Rounding::None)?.roots;
    let mut forward = graph.clone();
    forward.roots.truncate(1);
    let forward = forward.without_dead_code()?;
    for (position, (&leaf, input)) in leaves.iter().zip(wanted).enumerate() {
        let gradient = &gradients[1 + position].values;
        let scale = gradient.iter().fold(1f64, |largest, g| largest.max(g.abs()));
        for (element, &analytic) in gradient.iter().enumerate() {
            let numeric = slope(&forward, &mut bindings, leaf, element)?;
            let error = (numeric - analytic).abs() / scale;
            if error.is_nan() || error > TOLERANCE {
                let at = format!("input {input}, element {element}");
                return fail(format!("{at}: the gradient is {analytic}, the slope {numeric}, of\n{forward}"));
            }
        }
    }
    Ok(())
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
