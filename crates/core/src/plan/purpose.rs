//! What launches are for: which layers of the network each one serves, and what it does for them.
//!
//! The planner knows no names, they would make equal networks have different plans. It notes a state of each layer; what
//! the state is called is known where the plan is bound.

use super::cluster::{is_fusible, source};
use super::{Convolution, ConvolutionKind};
use crate::graph::{Graph, Leaf, Node, Value};
use crate::ops::{Binary, Op};

/// What a launch is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// A parameter of each layer that it serves: a weight, a scale, a running mean. Empty for work that belongs to no layer
    /// with parameters, and for what does the same to all parameters.
    pub layers: Vec<Source>,
    /// What is done, in words: `batch norm + add + relu`.
    pub pattern: String,
}

/// Where a parameter is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The state of this index.
    State(u32),
    /// The data leaf of this index, which keeps its place: where sessions keep what they made of the parameters.
    Data(u32),
}

/// The state that each root of a graph comes from, if it is made of parameters alone; of several the largest.
pub fn states_of_roots(graph: &Graph) -> Vec<Option<u32>> {
    let purposes = Purposes::new(graph);
    let state = |&root: &Value| match purposes.state(root) {
        Some(Source::State(index)) => Some(index),
        _ => None,
    };
    graph.roots.iter().map(state).collect()
}

/// What the nodes of a graph are for.
pub struct Purposes<'a> {
    graph: &'a Graph,
    /// A parameter of the layer that each node serves.
    layers: Vec<Option<Source>>,
    /// Values that are computed from states, statistics and numbers alone, with what each comes from: they are no images.
    parameters: Vec<Parameter>,
    /// Nodes that only the optimizer needs.
    backward: Vec<bool>,
}

/// Whether a node yields something of the size of a parameter, and from which one that comes, with its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameter {
    No,
    Yes(Option<(Source, usize)>),
}

impl<'a> Purposes<'a> {
    /// Finds out what the nodes of a whole graph are for, the optimizer's included.
    pub fn new(graph: &'a Graph) -> Purposes<'a> {
        let count = graph.nodes.len();
        let mut purposes = Purposes {
            graph,
            layers: vec![None; count],
            parameters: vec![Parameter::No; count],
            backward: backward(graph),
        };
        for id in 0..count {
            purposes.parameters[id] = purposes.parameter(id);
            purposes.layers[id] = purposes.direct(id);
        }
        purposes.follow_gradients();
        purposes.follow_statistics();
        purposes
    }

    /// What a launch of these nodes is for.
    pub fn of(&self, nodes: &[u32]) -> Purpose {
        let many = |&id: &u32| {
            let node = &self.graph.nodes[id as usize];
            is_optimizer(self.graph, node) || matches!(node.op, Op::Blend | Op::Cast(_))
        };
        let mut layers = Vec::new();
        if nodes.len() == 1 || !nodes.iter().all(many) {
            nodes.iter().filter_map(|&id| self.layers[id as usize]).for_each(|layer| {
                if !layers.contains(&layer) {
                    layers.push(layer);
                }
            });
        }
        Purpose { layers, pattern: self.pattern(nodes) }
    }

    fn node(&self, value: Value) -> &Node {
        self.graph.node(value)
    }

    fn is_parameter(&self, value: Value) -> bool {
        self.parameters[value.node as usize] != Parameter::No
            || (value.output > 0 && matches!(self.node(value).op, Op::FusedConv { .. }))
    }

    fn origin(&self, value: Value) -> Option<(Source, usize)> {
        match self.parameters[value.node as usize] {
            Parameter::Yes(origin) => origin,
            Parameter::No => None,
        }
    }

    /// The parameter that a value of its size comes from.
    fn state(&self, value: Value) -> Option<Source> {
        self.origin(value).map(|(source, _)| source)
    }

    /// The same for the weight of a convolution or a product, which may have been prepared.
    fn weight(&self, value: Value) -> Option<Source> {
        match self.graph.node(source(self.graph, value)).op {
            Op::Leaf(Leaf::Data { index, resident: true }) => Some(Source::Data(index)),
            _ => self.state(value),
        }
    }

    fn parameter(&self, id: usize) -> Parameter {
        let node = &self.graph.nodes[id];
        match node.op {
            Op::Leaf(Leaf::State { index, .. }) => {
                Parameter::Yes(Some((Source::State(index), node.outputs[0].shape.elements())))
            }
            // Images and labels may lie on the device as well; a number for each channel is neither.
            Op::Leaf(Leaf::Data { index, resident: true })
                if node.outputs[0].dtype.is_float() && node.outputs[0].shape.rank() == 1 =>
            {
                Parameter::Yes(Some((Source::Data(index), node.outputs[0].shape.elements())))
            }
            Op::Leaf(Leaf::Scalar { .. }) | Op::Constant(_) | Op::ChannelStats => Parameter::Yes(None),
            // Forward, a sum is the mean of each image; backward, it is that of each channel.
            Op::SumTo(_) if self.backward[id] => Parameter::Yes(None),
            ref op if op.is_pointwise() || is_view(op) || matches!(op, Op::BroadcastTo(_)) => {
                if !node.inputs.is_empty() && node.inputs.iter().all(|&input| self.is_parameter(input)) {
                    let origins = node.inputs.iter().filter_map(|&input| self.origin(input));
                    Parameter::Yes(origins.reduce(|a, b| if b.1 > a.1 { b } else { a }))
                } else {
                    Parameter::No
                }
            }
            _ => Parameter::No,
        }
    }

    /// The parameter that a node reads, through whatever is made of parameters alone.
    fn direct(&self, id: usize) -> Option<Source> {
        let node = &self.graph.nodes[id];
        match node.op {
            Op::Leaf(_) | Op::Sgd(_) | Op::AdamW(_) | Op::GradientNorm | Op::Blend => None,
            Op::Conv2d(_) | Op::FusedConv { .. } | Op::ConvBackwardData { .. } | Op::FusedMatmul(_) => {
                self.weight(node.inputs[1])
            }
            // Its scale and shift are those of the layer before; its own layer is that of the gradient it makes.
            Op::FusedConvBackwardFilter { .. } => None,
            Op::Matmul(_) => self.weight(node.inputs[1]).or_else(|| self.state(node.inputs[0])),
            _ => node.inputs.iter().rev().find_map(|&input| self.state(input)),
        }
    }

    /// What makes the gradient of a parameter serves that parameter's layer.
    fn follow_gradients(&mut self) {
        for node in self.graph.nodes.iter().filter(|node| is_optimizer(self.graph, node)) {
            for pair in node.inputs.windows(2) {
                let (Some(weight), gradient) = (self.state(pair[0]), pair[1]) else { continue };
                if !matches!(self.node(pair[0]).op, Op::Leaf(_))
                    || self.graph.node(gradient).inputs.is_empty()
                {
                    continue;
                }
                let mut made = Some(gradient);
                while let Some(value) = made {
                    let id = value.node as usize;
                    if self.layers[id].is_some() {
                        break;
                    }
                    self.layers[id] = Some(weight);
                    let node = self.node(value);
                    // A chain of casts and factors leads to what makes it; the sum over a batch is made there.
                    let passes = node.op.is_pointwise() || is_view(&node.op);
                    made = node.inputs.first().copied().filter(|_| passes);
                }
            }
        }
    }

    /// Statistics, and what is made of them alone, serve the layer that reads them.
    fn follow_statistics(&mut self) {
        for id in (0..self.graph.nodes.len()).rev() {
            let Some(layer) = self.layers[id] else { continue };
            for input in &self.graph.nodes[id].inputs {
                let of = input.node as usize;
                let is_leaf = matches!(self.graph.nodes[of].op, Op::Leaf(_));
                if self.parameters[of] != Parameter::No && self.layers[of].is_none() && !is_leaf {
                    self.layers[of] = Some(layer);
                }
            }
        }
    }

    fn pattern(&self, nodes: &[u32]) -> String {
        let first = nodes.first().map(|&id| &self.graph.nodes[id as usize]);
        let whole = |node: &&Node| !is_fusible(&node.op);
        if let Some(node) = first.filter(whole) {
            let inputs: Vec<_> = node.inputs.iter().map(|&input| self.graph.ty(input)).collect();
            return match (Convolution::of(&node.op, &inputs, node.outputs[0]), &node.op) {
                (Some(convolution), _) => convolution_pattern(&convolution),
                (None, Op::FusedMatmul(fused)) if fused.relu => "matmul + bias + relu".into(),
                (None, Op::FusedMatmul(_)) => "matmul + bias".into(),
                (None, op) => op.name().replace('_', " "),
            };
        }
        let mut parts: Vec<&str> = Vec::new();
        let casts =
            nodes.iter().filter(|&&id| matches!(self.graph.nodes[id as usize].op, Op::Cast(_))).count();
        for &id in nodes {
            let part = self.part(id as usize);
            parts.extend(part.filter(|part| !parts.contains(part)));
        }
        // The sums that batch norm's gradient needs are of normalised images, which are not written.
        if let Some(norm) = parts.iter().position(|&part| part == "batch norm")
            && parts.contains(&"channel sums")
        {
            parts.remove(norm);
        }
        // Where nothing else is done, the steps themselves are named.
        if parts.is_empty() && casts == nodes.len() {
            parts.push("cast");
        } else if parts.is_empty() && nodes.iter().all(|&id| self.is_per_channel(id)) {
            parts.push("values for each channel");
        } else if parts.is_empty() && casts > 0 {
            parts.push("cast");
        } else if parts.is_empty() {
            parts.extend(nodes.iter().map(|&id| self.graph.nodes[id as usize].op.name()));
            parts.dedup();
        }
        let backward = nodes.iter().any(|&id| self.backward[id as usize]);
        let what = parts.join(" + ");
        if backward { format!("gradient: {what}") } else { what }
    }

    /// The part of a pattern that a pointwise operation or a sum belongs to.
    fn part(&self, id: usize) -> Option<&'static str> {
        let node = &self.graph.nodes[id];
        let image = !matches!(self.parameters[id], Parameter::Yes(_));
        let of_parameter =
            node.inputs.iter().any(|&input| self.is_parameter(input) && !self.is_number(input));
        match &node.op {
            Op::SumTo(_) if self.graph.ty(Value { node: id as u32, output: 0 }).shape.elements() == 1 => {
                Some("sum")
            }
            Op::SumTo(_) if self.backward[id] => Some("channel sums"),
            Op::SumTo(_) => Some("sums"),
            Op::Unary(unary) if image && !unary.is_quick() => Some(unary.name()),
            Op::Unary(crate::ops::Unary::Relu | crate::ops::Unary::Relu6) if image => Some(node.op.name()),
            Op::Binary(Binary::Chain(unary)) => Some(unary.name()),
            // Nothing else takes a channel's mean off.
            Op::Binary(Binary::Sub) if image && of_parameter => Some("batch norm"),
            Op::Binary(Binary::Add) if image && !of_parameter => Some("add"),
            Op::AddN if image => Some("add"),
            Op::Dropout(_) => Some("dropout"),
            Op::MaxPoolGradAtPlaces { .. } => Some("max pool"),
            Op::TakeRows => Some("take rows"),
            _ => None,
        }
    }

    fn is_per_channel(&self, id: u32) -> bool {
        let value = Value { node: id, output: 0 };
        self.is_parameter(value) && !self.is_number(value)
    }

    fn is_number(&self, value: Value) -> bool {
        self.graph.ty(value).shape.elements() == 1
    }
}

/// Whether the result is the operand under another shape, or a part of it, or with zeros around it.
fn is_view(op: &Op) -> bool {
    matches!(op, Op::Reshape(_) | Op::Detach | Op::ChannelPad(_) | Op::ChannelSlice(_))
}

/// Whether a node is the end of gradients. A blend by given factors sums them; one by computed factors keeps or takes what
/// the forward pass made, running statistics.
fn is_optimizer(graph: &Graph, node: &Node) -> bool {
    match node.op {
        Op::Sgd(_) | Op::AdamW(_) | Op::GradientNorm => true,
        Op::Blend => matches!(graph.node(node.inputs[1]).op, Op::Leaf(_)),
        _ => false,
    }
}

/// Which nodes are needed by the optimizer alone: gradients, and what is computed again for them.
fn backward(graph: &Graph) -> Vec<bool> {
    let mut forward = vec![false; graph.nodes.len()];
    let updates = graph.updates.iter().map(|update| update.value);
    for value in graph.roots.iter().copied().chain(updates) {
        forward[value.node as usize] = !is_optimizer(graph, graph.node(value));
    }
    for id in (0..graph.nodes.len()).rev() {
        if forward[id] && !is_optimizer(graph, &graph.nodes[id]) {
            graph.nodes[id].inputs.iter().for_each(|input| forward[input.node as usize] = true);
        }
    }
    let steps = |id: usize| is_optimizer(graph, &graph.nodes[id]);
    (0..graph.nodes.len()).map(|id| !forward[id] && !steps(id)).collect()
}

fn convolution_pattern(convolution: &Convolution) -> String {
    let fusion = convolution.fusion;
    let name = match convolution.kind {
        ConvolutionKind::Forward => "convolution",
        ConvolutionKind::BackwardData => "convolution's data gradient",
        ConvolutionKind::BackwardFilter => "convolution's filter gradient",
    };
    let mut parts = Vec::new();
    if fusion.prologue {
        parts.push("scale + shift + relu before");
    }
    parts.push(name);
    let after = [
        (fusion.residual, "add"),
        (fusion.bias, "bias"),
        (fusion.relu, "relu"),
        (fusion.statistics, "statistics"),
    ];
    parts.extend(after.iter().filter(|(on, _)| *on).map(|&(_, part)| part));
    parts.join(" + ")
}
