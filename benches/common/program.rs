//! What is timed: operations on states, planned and replayed as any program of this library is.

use anyhow::{Context, Result};
use half::{bf16, f16};
use ocelli::graph::{Graph, Leaf, Update, Value};
use ocelli::ops::Op;
use ocelli::{DType, Device, Element, Gpu, Precision, Shape, State, Task, TensorType, Work, WorkKey};

/// A replay touches about as many bytes: far more than an L2 cache holds, so that nothing is found there, and enough
/// work that the launch of the replay itself does not count.
const BYTES_OF_A_REPLAY: usize = 2 << 30;
/// At most so many copies of a program are run by a replay.
const MOST_COPIES: usize = 32;

/// Operations whose inputs and outputs are states: they are read and written where they lie, so that a replay consists
/// of the operations' own launches alone.
#[derive(Default)]
pub(crate) struct Program {
    graph: Graph,
    states: Vec<TensorType>,
    scalars: Vec<f32>,
    bytes: usize,
}

impl Program {
    /// A tensor that is read.
    pub(crate) fn input(&mut self, dtype: DType, shape: Shape) -> Value {
        let ty = TensorType::new(dtype, shape);
        self.states.push(ty);
        self.bytes += ty.bytes();
        self.graph.push_leaf(Leaf::State { index: self.states.len() as u32 - 1, trainable: false }, ty)
    }

    /// A number that may change from run to run.
    pub(crate) fn scalar(&mut self, value: f32) -> Value {
        self.scalars.push(value);
        self.graph.push_leaf(Leaf::Scalar { slot: self.scalars.len() as u32 - 1 }, TensorType::scalar())
    }

    /// An operation; its first output.
    pub(crate) fn push(&mut self, op: Op, inputs: Vec<Value>) -> Result<Value> {
        Ok(self.graph.push(op, inputs)?)
    }

    /// Keeps a value in a state of its own.
    pub(crate) fn output(&mut self, value: Value) {
        let ty = self.graph.ty(value);
        self.states.push(ty);
        self.update(self.states.len() as u32 - 1, value);
    }

    /// Keeps a value in the place of an input.
    pub(crate) fn replace(&mut self, input: Value, value: Value) {
        if let Op::Leaf(Leaf::State { index, .. }) = self.graph.node(input).op {
            self.update(index, value);
        }
    }

    fn update(&mut self, state: u32, value: Value) {
        self.bytes += self.graph.ty(value).bytes();
        self.graph.updates.push(Update { state, value });
    }

    /// The bytes that must be moved: each input read once, each output written once.
    pub(crate) fn bytes(&self) -> f64 {
        self.bytes as f64
    }

    /// How often a replay runs the program, each time on other states.
    pub(crate) fn copies(&self) -> usize {
        (BYTES_OF_A_REPLAY / self.bytes.max(1)).clamp(1, MOST_COPIES)
    }

    /// Fills the states with random numbers and runs the plan until it is replayed.
    pub(crate) fn prepare(&self, device: &Device) -> Result<Replay> {
        let copies = self.copies();
        let mut graph = Graph::default();
        for copy in 0..copies {
            self.append_to(&mut graph, copy as u32);
        }
        let sets: Vec<Vec<State>> =
            self.states.iter().map(|&ty| random_states(device, ty, copies)).collect::<Result<_>>()?;
        let states = (0..copies).flat_map(|copy| sets.iter().map(move |set| set[copy].clone()));
        let work = Work {
            key: WorkKey {
                graph,
                task: Task::Evaluate,
                // The graph names every element type itself.
                precision: Precision::F32,
                deterministic: false,
            },
            data: Vec::new(),
            states: states.collect(),
            scalars: self.scalars.repeat(copies),
            seed: 0,
            step: 0,
            data_names: Vec::new(),
        };
        let replay = Replay { device: device.clone(), work };
        // The first run binds, the second captures.
        for _ in 0..3 {
            replay.launch()?;
        }
        device.synchronize()?;
        Ok(replay)
    }

    /// Appends a copy of the program on states and scalars of its own.
    fn append_to(&self, graph: &mut Graph, copy: u32) {
        let (states, scalars) = (copy * self.states.len() as u32, copy * self.scalars.len() as u32);
        let nodes = graph.nodes.len() as u32;
        let moved = |value: Value| Value { node: nodes + value.node, ..value };
        for node in &self.graph.nodes {
            let mut node = node.clone();
            match &mut node.op {
                Op::Leaf(Leaf::State { index, .. }) => *index += states,
                Op::Leaf(Leaf::Scalar { slot }) => *slot += scalars,
                _ => {}
            }
            node.inputs.iter_mut().for_each(|input| *input = moved(*input));
            graph.nodes.push(node);
        }
        let update = |update: &Update| Update { state: states + update.state, value: moved(update.value) };
        graph.updates.extend(self.graph.updates.iter().map(update));
    }
}

/// A program whose plan is captured.
pub(crate) struct Replay {
    device: Device,
    work: Work,
}

impl Replay {
    /// Enqueues one replay.
    pub(crate) fn launch(&self) -> Result<()> {
        self.device.executor().run(&self.work)?;
        Ok(())
    }

    /// The GPU that it runs on.
    pub(crate) fn gpu(&self) -> Result<&Gpu> {
        self.device.gpu().context("the device is no GPU")
    }
}

/// As many states of one type.
fn random_states(device: &Device, ty: TensorType, count: usize) -> Result<Vec<State>> {
    match ty.dtype {
        // Variances are drawn from it, too: none may be negative.
        DType::F32 => states(device, ty, count, f32::abs),
        DType::F16 => states(device, ty, count, f16::from_f32),
        DType::BF16 => states(device, ty, count, bf16::from_f32),
        DType::I32 => states(device, ty, count, |value| value as i32),
        DType::U8 => states(device, ty, count, |value| (value.abs() * 255.0) as u8),
    }
}

fn states<T: Element>(
    device: &Device,
    ty: TensorType,
    count: usize,
    convert: fn(f32) -> T,
) -> Result<Vec<State>> {
    let values = random(ty.shape.elements(), convert);
    let state = |_| State::new(device, "operand", ty, &values).with_context(|| format!("a state for {ty}"));
    (0..count).map(state).collect()
}

/// Random numbers in -1..1: tensor cores draw more power, and run slower, on such than on zeros. After a million they
/// come again.
pub(crate) fn random<T: Copy>(count: usize, convert: impl Fn(f32) -> T) -> Vec<T> {
    let mut bits = 0x2545_f491_u32;
    let mut next = || {
        bits ^= bits << 13;
        bits ^= bits >> 17;
        bits ^= bits << 5;
        convert(bits as i32 as f32 / 2_147_483_648.0)
    };
    let period: Vec<T> = (0..count.min(1_000_003)).map(|_| next()).collect();
    let mut values = period.repeat(count.div_ceil(period.len().max(1)));
    values.truncate(count);
    values
}
