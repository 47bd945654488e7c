//! Activations that the backward pass makes again instead of keeping them (Chen et al., 2016, "Training deep nets with
//! sublinear memory cost"), where that is cheap.
//!
//! ```text
//! y -> z = relu(y * scale + bias) -> convolution ... filter gradient(z, dy)
//! y -> z = relu(y * scale + bias) -> convolution ... y -> z' = relu(y * scale + bias) -> filter gradient(z', dy)
//! ```
//!
//! Condition: `z` is pointwise work on one large tensor that the backward pass reads anyway, so that nothing else lives
//! longer for it. `z` is forgotten as soon as the forward pass has used it. It costs one pass over `z`, and joins the
//! launch that reads `y` for batch normalisation's sums.

use std::collections::{BTreeSet, HashMap};

use crate::error::Result;
use crate::graph::{Graph, NodeId, Update, Value};

/// Smaller activations are kept.
const LARGE: usize = 1 << 16;
/// At most this many operations make an activation.
const MAX_NODES: usize = 16;

/// The graph of a training step whose backward pass makes cheap activations again; other graphs stay as they are.
pub fn rematerialise(graph: &Graph) -> Result<Graph> {
    let trains = graph.nodes.iter().any(|node| node.op.updates_in_place());
    let (true, Some(loss)) = (trains, graph.roots.first()) else { return Ok(graph.clone()) };
    let activations = find(graph, loss.node);
    let needed = graph.needed();
    let mut new = Graph::default();
    let mut map: Vec<Vec<Value>> = vec![Vec::new(); graph.nodes.len()];
    let mut again: HashMap<NodeId, Value> = HashMap::new();
    for (id, node) in graph.nodes.iter().enumerate().filter(|&(id, _)| needed[id]) {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &input in &node.inputs {
            let is_late = id as NodeId > loss.node && activations.contains(&input.node);
            inputs.push(if is_late {
                repeat(graph, &mut new, &map, &mut again, input.node)?
            } else {
                map[input.node as usize][input.output as usize]
            });
        }
        map[id] = new.push_like(node, inputs)?;
    }
    let moved = |value: Value| map[value.node as usize][value.output as usize];
    new.roots = graph.roots.iter().map(|&value| moved(value)).collect();
    let update = |update: &Update| Update { state: update.state, value: moved(update.value) };
    new.updates = graph.updates.iter().map(update).collect();
    Ok(new)
}

/// The activations that are made again: those before the loss that operations of their own read before it and others
/// after it.
fn find(graph: &Graph, loss: NodeId) -> BTreeSet<NodeId> {
    let count = graph.nodes.len();
    let (mut early, mut late) = (vec![false; count], vec![false; count]);
    for (id, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            let input = input.node as usize;
            late[input] |= id as NodeId > loss;
            early[input] |= id as NodeId <= loss && !node.op.is_pointwise();
        }
    }
    let kept: BTreeSet<NodeId> = graph
        .roots
        .iter()
        .chain(graph.updates.iter().map(|update| &update.value))
        .map(|value| value.node)
        .collect();
    let mut found = BTreeSet::new();
    for id in 0..=loss {
        let elements = graph.nodes[id as usize].outputs[0].shape.elements();
        if early[id as usize] && late[id as usize] && elements >= LARGE && !kept.contains(&id) {
            let Some(sources) = sources(graph, id) else { continue };
            let lives = |source: &NodeId| late[*source as usize] && !found.contains(source);
            if sources.len() == 1 && sources.iter().all(lives) {
                found.insert(id);
            }
        }
    }
    found
}

/// The large tensors that pointwise work makes an activation of, if it takes little work.
fn sources(graph: &Graph, id: NodeId) -> Option<BTreeSet<NodeId>> {
    let elements = graph.nodes[id as usize].outputs[0].shape.elements();
    let is_large = |id: NodeId| graph.nodes[id as usize].outputs[0].shape.elements() * 4 > elements;
    let (mut seen, mut sources) = (BTreeSet::new(), BTreeSet::new());
    let mut stack = vec![id];
    while let Some(id) = stack.pop() {
        let op = &graph.nodes[id as usize].op;
        if !op.is_repeatable() {
            sources.insert(id);
        } else if seen.insert(id) {
            let inputs = graph.nodes[id as usize].inputs.iter().map(|input| input.node);
            stack.extend(inputs.filter(|&input| is_large(input)));
        }
    }
    (!seen.is_empty() && seen.len() <= MAX_NODES).then_some(sources)
}

/// The second copy of an activation, made when it is first asked for.
fn repeat(
    graph: &Graph,
    new: &mut Graph,
    map: &[Vec<Value>],
    again: &mut HashMap<NodeId, Value>,
    id: NodeId,
) -> Result<Value> {
    if let Some(&value) = again.get(&id) {
        return Ok(value);
    }
    let node = &graph.nodes[id as usize];
    let elements = node.outputs[0].shape.elements();
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for &input in &node.inputs {
        let source = &graph.nodes[input.node as usize];
        let is_made = source.outputs[0].shape.elements() * 4 > elements && source.op.is_repeatable();
        inputs.push(if is_made {
            repeat(graph, new, map, again, input.node)?
        } else {
            map[input.node as usize][input.output as usize]
        });
    }
    let value = new.push_like(node, inputs)?[0];
    again.insert(id, value);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::super::testing::image;
    use super::*;
    use crate::ops::{Conv2d, Op, Sgd};
    use crate::types::{DType, Shape, TensorType};

    /// A chain of convolutions around an activation, with its gradients.
    fn step(trains: bool) -> Graph {
        let mut graph = Graph::default();
        let x = image(&mut graph, 0, DType::F32, [1, 64, 64, 16]);
        let state = |graph: &mut Graph, index| {
            let ty = TensorType::new(DType::F32, Shape::nhwc(16, 1, 1, 16));
            graph.push_leaf(crate::graph::Leaf::State { index, trainable: true }, ty)
        };
        let (v, w) = (state(&mut graph, 0), state(&mut graph, 1));
        let conv = Op::Conv2d(Conv2d::default());
        let y = graph.push(conv.clone(), vec![x, v]).unwrap();
        let z = graph.unary(crate::ops::Unary::Silu, y).unwrap();
        let output = graph.push(conv, vec![z, w]).unwrap();
        let loss = graph.sum_to(output, Shape::SCALAR, DType::F32).unwrap();
        graph.roots.push(loss);
        if trains {
            let one = graph.constant(1.0).unwrap();
            let gradients = crate::autograd::differentiate(&mut graph, loss, &[v, w], one).unwrap();
            let buffer = state(&mut graph, 2);
            let mut inputs = vec![one; Sgd::SCALARS];
            for (weight, gradient) in [v, w].into_iter().zip(gradients) {
                inputs.extend([weight, gradient.unwrap(), buffer]);
            }
            let sgd = Sgd { nesterov: false, groups: vec![0, 0] };
            let first = graph.push(Op::Sgd(sgd), inputs).unwrap();
            graph.updates.push(Update { state: 1, value: first.output(2) });
            graph.updates.push(Update { state: 0, value: first });
        }
        graph
    }

    #[test]
    fn an_activation_that_the_backward_pass_can_make_is_made_again() {
        let before = step(true);
        let after = rematerialise(&before).unwrap();
        let silus = |graph: &Graph| {
            graph.nodes.iter().filter(|node| node.op == Op::Unary(crate::ops::Unary::Silu)).count()
        };
        assert_eq!((silus(&before), silus(&after)), (1, 2), "{after}");
        crate::graph::verify(&after, "rematerialise").unwrap();
    }

    #[test]
    fn graphs_without_gradients_stay_as_they_are() {
        let graph = step(false);
        assert_eq!(rematerialise(&graph).unwrap(), graph);
    }
}
