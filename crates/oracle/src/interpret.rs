//! One graph, node after node.

use ocelli_core::graph::{Graph, Leaf, Value, verify};
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
        let outputs = ops::evaluate(node, &inputs, bindings)?.into_iter().zip(&node.outputs);
        let outputs = outputs.map(|(values, &ty)| HostTensor::new(ty, values));
        values.push(match rounding {
            Rounding::None => outputs.collect(),
            Rounding::Stored => outputs.map(HostTensor::rounded).collect(),
        });
    }
    let value = |value: Value| values[value.node as usize][value.output as usize].clone();
    Ok(Results {
        roots: graph.roots.iter().map(|&root| value(root)).collect(),
        updates: graph.updates.iter().map(|update| (update.state, value(update.value))).collect(),
    })
}

impl Bindings {
    /// The values that a leaf is bound to.
    pub(crate) fn leaf(&self, leaf: Leaf, ty: TensorType) -> Result<Vec<f64>> {
        let fail =
            |what: String| Err(Error::Plan { pass: "oracle", what: format!("{leaf:?} of {ty} {what}") });
        let bound = match leaf {
            Leaf::Data { index, .. } => self.data.get(index as usize),
            Leaf::State { index, .. } => self.states.get(index as usize),
            Leaf::Scalar { slot } => {
                let Some(&number) = self.scalars.get(slot as usize) else {
                    return fail("has no scalar".into());
                };
                return Ok(vec![number]);
            }
        };
        match bound {
            Some(tensor) if tensor.ty == ty => Ok(tensor.values.clone()),
            Some(tensor) => fail(format!("is bound to {}", tensor.ty)),
            None => fail("is bound to nothing".into()),
        }
    }
}
