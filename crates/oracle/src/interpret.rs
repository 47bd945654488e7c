//! One graph, node after node.

use ocelli_core::graph::{Graph, Leaf, Node, verify};
use ocelli_core::ops::Op;
use ocelli_core::{Error, Result, TensorType};

use crate::host_tensor::HostTensor;
use crate::ops;

/// What the leaves of a graph stand for, each kind by index.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    /// The tensors from outside.
    pub data: Vec<HostTensor>,
    /// The states' values before the run.
    pub states: Vec<HostTensor>,
    /// The block of scalars.
    pub scalars: Vec<f64>,
    /// The key of the run's random numbers.
    pub seed: u64,
    /// The number of the run.
    pub step: u32,
}

/// What a graph yields.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// The roots' values, in the graph's order.
    pub roots: Vec<HostTensor>,
    /// The states that change, by index, with their new values.
    pub updates: Vec<(u32, HostTensor)>,
}

/// Whether values are rounded to their element types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// Nothing is rounded between nodes, and a cast between floating-point types changes nothing, so that two graphs that
    /// mean the same agree to the precision of `f64`. A cast to an integer cuts the fraction off even so.
    #[default]
    None,
    /// What a node yields is rounded to its element type, as if each stored its result: a model of what a chain of kernels
    /// in half precision does.
    Stored,
}

/// The values of a graph's roots, and the new values of its states.
///
/// # Errors
/// A graph that [`verify`] refuses; [`Error::Plan`] for a leaf that is bound to nothing or to values of another type.
pub fn interpret(graph: &Graph, bindings: &Bindings, rounding: Rounding) -> Result<Results> {
    verify(graph, "oracle")?;
    let mut values: Vec<Vec<HostTensor>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let inputs: Vec<&HostTensor> =
            node.inputs.iter().map(|input| &values[input.node as usize][input.output as usize]).collect();
        let mut outputs = match node.op {
            Op::Leaf(leaf) => vec![leaf_value(leaf, node.outputs[0], bindings)?],
            _ => evaluate(node, &inputs, bindings),
        };
        if rounding == Rounding::Stored {
            outputs = outputs.into_iter().map(HostTensor::rounded).collect();
        }
        values.push(outputs);
    }
    let value = |value: ocelli_core::graph::Value| values[value.node as usize][value.output as usize].clone();
    Ok(Results {
        roots: graph.roots.iter().map(|&root| value(root)).collect(),
        updates: graph.updates.iter().map(|update| (update.state, value(update.value))).collect(),
    })
}

/// What a leaf is bound to.
fn leaf_value(leaf: Leaf, ty: TensorType, bindings: &Bindings) -> Result<HostTensor> {
    let bound = match leaf {
        Leaf::Data { index, .. } => bindings.data.get(index as usize).cloned(),
        Leaf::State { index, .. } => bindings.states.get(index as usize).cloned(),
        Leaf::Scalar { slot } => {
            bindings.scalars.get(slot as usize).map(|&number| HostTensor::filled(ty, number))
        }
    };
    match bound {
        Some(tensor) if tensor.ty == ty && tensor.values.len() == ty.shape.elements() => Ok(tensor),
        Some(tensor) => fail(format!(
            "{leaf:?} is {ty}, but {} values of {} are bound to it",
            tensor.values.len(),
            tensor.ty
        )),
        None => fail(format!("{leaf:?} is bound to nothing")),
    }
}

fn fail<T>(what: String) -> Result<T> {
    Err(Error::Plan { pass: "oracle", what })
}

/// What a node yields for these inputs.
fn evaluate(node: &Node, inputs: &[&HostTensor], bindings: &Bindings) -> Vec<HostTensor> {
    let values = ops::evaluate(node, inputs, bindings.seed, bindings.step);
    debug_assert_eq!(values.len(), node.outputs.len(), "{}", node.op.name());
    node.outputs.iter().zip(values).map(|(&ty, values)| HostTensor::new(ty, values)).collect()
}
