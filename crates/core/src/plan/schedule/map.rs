//! A unit of pointwise work and sums as a [`MapSpec`].

use std::collections::{BTreeSet, HashMap};

use super::Buffers;
use crate::codegen::{Access, Instruction, KernelSpec, MapInput, MapSpec, MapSum, MapWrite, Register};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::ops::{Binary, Op};
use crate::plan::cluster::{Clusters, kept};
use crate::plan::{BufferId, Launch, LaunchKind, Purpose};

/// The launch of a unit that has an iteration space; of its values, it writes those that are `needed`.
pub(super) fn launch(
    graph: &Graph,
    clusters: &Clusters,
    needed: &BTreeSet<Value>,
    unit: usize,
    buffers: &mut Buffers<'_>,
) -> Result<Launch> {
    let space = clusters.units[unit].space.unwrap_or([1; 4]);
    let mut writer = Writer {
        graph,
        clusters,
        unit,
        buffers,
        spec: MapSpec {
            space,
            inputs: Vec::new(),
            body: Vec::new(),
            writes: Vec::new(),
            sums: Vec::new(),
            backwards: false,
        },
        reads: Vec::new(),
        registers: HashMap::new(),
    };
    let mut writes = Vec::new();
    let mut sums = Vec::new();
    let mut names = Vec::new();
    for &id in &clusters.units[unit].nodes {
        let node = &graph.nodes[id as usize];
        let value = Value { node: id, output: 0 };
        names.push(node.op.name());
        if let Op::SumTo(_) = node.op {
            let summed = writer.register(node.inputs[0])?;
            let keep = kept(graph, id as usize);
            writer.spec.sums.push(MapSum { value: summed, keep, dtype: node.outputs[0].dtype });
            sums.push(writer.buffers.of(value));
            continue;
        }
        let register = writer.instruction(id)?;
        writer.registers.insert(value, register);
        if needed.contains(&value) {
            writer.spec.writes.push(MapWrite { value: register, dtype: node.outputs[0].dtype });
            writes.push(writer.buffers.of(value));
        }
    }
    writes.extend(sums);
    names.dedup();
    let extents: Vec<String> = space.iter().map(usize::to_string).collect();
    let label = format!("{} [{}]", names.join("+"), extents.join(", "));
    let (spec, reads) = (writer.spec, writer.reads);
    Ok(Launch {
        kind: LaunchKind::Kernel(KernelSpec::Map(spec)),
        reads,
        writes,
        label,
        purpose: Purpose::default(),
    })
}

struct Writer<'a, 'b> {
    graph: &'a Graph,
    clusters: &'a Clusters,
    unit: usize,
    buffers: &'a mut Buffers<'b>,
    spec: MapSpec,
    reads: Vec<BufferId>,
    registers: HashMap<Value, Register>,
}

impl Writer<'_, '_> {
    /// The register that holds a value, loaded or computed if it is not there yet.
    fn register(&mut self, value: Value) -> Result<Register> {
        if let Some(&register) = self.registers.get(&value) {
            return Ok(register);
        }
        let register = if self.clusters.computes(self.unit, value.node) {
            self.instruction(value.node)?
        } else {
            self.load(value)
        };
        self.registers.insert(value, register);
        Ok(register)
    }

    fn push(&mut self, instruction: Instruction) -> Register {
        self.spec.body.push(instruction);
        self.spec.body.len() as Register - 1
    }

    /// The element of a tensor in memory that belongs to an element of the space.
    fn load(&mut self, value: Value) -> Register {
        let aligned = self.graph.ty(value).shape.aligned();
        let access = if aligned == self.spec.space {
            Access::Full
        } else {
            Access::Broadcast(aligned.map(|extent| extent != 1))
        };
        self.load_with(value, access)
    }

    fn load_with(&mut self, value: Value, access: Access) -> Register {
        let input = self.input(value, access);
        self.push(Instruction::Load(input))
    }

    fn input(&mut self, value: Value, access: Access) -> u32 {
        let dtype = self.graph.ty(value).dtype;
        let buffer = self.buffers.of(value);
        self.spec.inputs.push(MapInput { dtype, access });
        self.reads.push(buffer);
        self.spec.inputs.len() as u32 - 1
    }

    /// The instructions of a node.
    fn instruction(&mut self, id: u32) -> Result<Register> {
        let node = &self.graph.nodes[id as usize];
        let inputs = &node.inputs;
        Ok(match node.op {
            Op::Constant(value) => self.push(Instruction::Constant(value)),
            Op::Unary(unary) => {
                let x = self.register(inputs[0])?;
                self.push(Instruction::Unary(unary, x))
            }
            Op::Binary(binary) => {
                let (a, b) = (self.register(inputs[0])?, self.register(inputs[1])?);
                self.push(Instruction::Binary(binary, a, b))
            }
            Op::AddN => {
                let mut sum = self.register(inputs[0])?;
                for &input in &inputs[1..] {
                    let term = self.register(input)?;
                    sum = self.push(Instruction::Binary(Binary::Add, sum, term));
                }
                sum
            }
            Op::Cast(dtype) => {
                let x = self.register(inputs[0])?;
                let exact = dtype == crate::types::DType::F32 || dtype == self.graph.ty(inputs[0]).dtype;
                if exact { x } else { self.push(Instruction::Round(dtype, x)) }
            }
            Op::BroadcastTo(_) => self.register(inputs[0])?,
            Op::Dropout(dropout) => {
                let x = self.register(inputs[0])?;
                self.push(Instruction::Dropout(dropout, x))
            }
            Op::ChannelSlice(slice) => {
                let channels = self.graph.ty(inputs[0]).shape.channels();
                self.load_with(inputs[0], Access::ChannelSlice { start: slice.start, channels })
            }
            Op::ChannelPad(pad) => {
                let channels = self.graph.ty(inputs[0]).shape.channels();
                self.load_with(inputs[0], Access::ChannelPad { before: pad.before, channels })
            }
            Op::SpaceToDepth(blocks) => {
                let [_, h, w, c] = self.graph.ty(inputs[0]).shape.aligned();
                self.load_with(inputs[0], Access::SpaceToDepth { blocks, input: [h, w, c] })
            }
            Op::DepthToSpace { blocks, .. } => self.load_with(inputs[0], Access::DepthToSpace { blocks }),
            Op::ChannelShuffle { groups } => self.load_with(inputs[0], Access::ChannelShuffle { groups }),
            Op::MaxPoolGradAtPlaces { pool, .. } => {
                let [_, p, q, _] = self.graph.ty(inputs[0]).shape.aligned();
                let places = self.input(inputs[1], Access::Indices);
                self.load_with(inputs[0], Access::Windows { windows: pool.0, output: [p, q], places })
            }
            Op::TakeRows => {
                let shape = self.graph.ty(inputs[0]).shape;
                let rows = shape.dims().first().copied().unwrap_or(1);
                let row_elements = shape.elements() / rows.max(1);
                let indices = self.input(inputs[1], Access::Indices);
                self.load_with(inputs[0], Access::Rows { row_elements, rows, indices })
            }
            ref other => {
                let what = format!("{} is no pointwise operation", other.name());
                return Err(Error::Plan { pass: "schedule", what });
            }
        })
    }
}
