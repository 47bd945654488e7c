//! One plan, launch after launch, over simulated memory.
//!
//! Every buffer lies where the plan puts it: what is written over another value makes that one undefined, states change
//! in their place at once, and roots are read when all is done. So a wrong lifetime, offset or order shows.

use std::collections::BTreeMap;
use std::ops::Range;

use ocelli_core::codegen::{Access, KernelSpec, MapWrite};
use ocelli_core::graph::{Leaf, Node};
use ocelli_core::ops::optimizer::group_count;
use ocelli_core::ops::{AdamW, Op, Sgd};
use ocelli_core::plan::{BufferClass, BufferId, BufferSpec, Launch, LaunchKind, Plan};
use ocelli_core::{DType, Error, Origin, Result, TensorType};

use crate::host_tensor::{HostTensor, round};
use crate::interpret::{Bindings, Results};
use crate::{map, ops};

/// What a plan yields, without rounding: its roots, under the shapes that their buffers have, and the states that it
/// writes, by index.
///
/// # Errors
/// [`Error::Execution`] naming the launch that reads what is undefined, writes where it or another of its operands still
/// lies, or whose operands do not fit; [`Error::Plan`] for a root that is undefined in the end.
pub fn interpret_plan(plan: &Plan, bindings: &Bindings) -> Result<Results> {
    let mut memory = Memory { plan, bindings, arena: BTreeMap::new(), states: BTreeMap::new() };
    for (position, launch) in plan.launches.iter().enumerate() {
        memory.launch(launch).map_err(|source| Error::Execution {
            operation: format!("launch {position}, {}", launch.label),
            source: Box::new(source),
        })?;
    }
    Ok(Results {
        roots: plan.roots.iter().map(|&root| memory.read(root)).collect::<Result<_>>()?,
        updates: memory.states.into_iter().collect(),
    })
}

struct Memory<'a> {
    plan: &'a Plan,
    bindings: &'a Bindings,
    /// The values in the arena that nothing has been written over.
    arena: BTreeMap<BufferId, HostTensor>,
    /// The states that have been written.
    states: BTreeMap<u32, HostTensor>,
}

impl Memory<'_> {
    fn launch(&mut self, launch: &Launch) -> Result<()> {
        let reads = launch.reads.iter().map(|&buffer| self.read(buffer)).collect::<Result<Vec<_>>>()?;
        self.check_overlaps(launch)?;
        let outputs = self.evaluate(&launch.kind, reads)?;
        if outputs.len() != launch.writes.len() {
            return fail(format!("{} results have {} buffers", outputs.len(), launch.writes.len()));
        }
        launch.writes.iter().zip(outputs).try_for_each(|(&buffer, values)| self.write(buffer, values))
    }

    /// What a launch computes.
    fn evaluate(&self, kind: &LaunchKind, reads: Vec<HostTensor>) -> Result<Vec<Vec<f64>>> {
        match kind {
            LaunchKind::Kernel(KernelSpec::Map(spec)) => map::evaluate(spec, &reads, self.bindings),
            LaunchKind::Kernel(KernelSpec::Operation { op, inputs, outputs }) => {
                if op.infer(inputs, Origin::caller())? != *outputs {
                    return fail(format!("{} does not yield {outputs:?}", op.name()));
                }
                self.operation(op.clone(), inputs, reads)
            }
            LaunchKind::Kernel(KernelSpec::CastMany { tensors }) => {
                let cast = |(&(elements, from, to), x): (&(usize, DType, DType), HostTensor)| {
                    if x.ty.dtype != from || x.values.len() != elements {
                        return fail(format!("a cast of {elements} {from} gets {}", x.ty));
                    }
                    let convert = |x: f64| if to.is_float() { x } else { round(to, x) };
                    Ok(x.values.into_iter().map(convert).collect())
                };
                tensors.iter().zip(reads).map(cast).collect()
            }
            LaunchKind::Convolution(convolution) => {
                let inputs: Vec<TensorType> =
                    convolution.reads().into_iter().map(|operand| convolution.operand(operand)).collect();
                self.operation(convolution.op(), &inputs, reads)
            }
            LaunchKind::Matmul(launch) => {
                let (op, inputs) = launch.op();
                self.operation(op, &inputs, reads)
            }
            LaunchKind::Copy(bytes) => {
                if reads.iter().any(|x| x.ty.bytes() != *bytes) {
                    return fail(format!("a copy of {bytes} bytes of another size"));
                }
                Ok(reads.into_iter().map(|x| x.values).collect())
            }
        }
    }

    /// An operation on what has been read, under the shapes that it takes.
    fn operation(&self, op: Op, types: &[TensorType], reads: Vec<HostTensor>) -> Result<Vec<Vec<f64>>> {
        if types.len() != reads.len() {
            return fail(format!("{} of {} inputs gets {}", op.name(), types.len(), reads.len()));
        }
        let view = |(&ty, x): (&TensorType, HostTensor)| {
            if x.ty.dtype != ty.dtype || x.values.len() != ty.shape.elements() {
                return fail(format!("{} reads {} as {ty}", op.name(), x.ty));
            }
            Ok(HostTensor::new(ty, x.values))
        };
        let inputs = types.iter().zip(reads).map(view).collect::<Result<Vec<_>>>()?;
        let outputs = op.infer(types, Origin::caller())?;
        let node = Node { op, inputs: Default::default(), outputs: outputs.into() };
        ops::evaluate(&node, &inputs.iter().collect::<Vec<_>>(), self.bindings)
    }

    fn read(&self, buffer: BufferId) -> Result<HostTensor> {
        let spec = self.spec(buffer)?;
        let leaf = match spec.class {
            BufferClass::Arena(_) => {
                let undefined = || Error::Plan {
                    pass: "oracle",
                    what: format!("buffer {buffer} ({}) was never written, or was written over", spec.ty),
                };
                return self.arena.get(&buffer).cloned().ok_or_else(undefined);
            }
            BufferClass::State(index) => {
                if let Some(written) = self.states.get(&index) {
                    return Ok(written.clone());
                }
                Leaf::State { index, trainable: false }
            }
            BufferClass::Data { index, resident } => Leaf::Data { index, resident },
            BufferClass::Scalar(slot) => Leaf::Scalar { slot },
        };
        Ok(HostTensor::new(spec.ty, self.bindings.leaf(leaf, spec.ty)?))
    }

    fn write(&mut self, buffer: BufferId, values: Vec<f64>) -> Result<()> {
        let spec = self.spec(buffer)?;
        if values.len() != spec.ty.shape.elements() {
            return fail(format!("{} values are written to buffer {buffer} ({})", values.len(), spec.ty));
        }
        let tensor = HostTensor::new(spec.ty, values);
        match spec.class {
            BufferClass::Arena(offset) => {
                if offset + spec.ty.bytes() > self.plan.arena_bytes {
                    return fail(format!("buffer {buffer} ({}) does not lie within the arena", spec.ty));
                }
                let plan = self.plan;
                self.arena.retain(|&other, _| !overlap(&spec, &plan.buffers[other as usize]));
                self.arena.insert(buffer, tensor);
            }
            BufferClass::State(index) => _ = self.states.insert(index, tensor),
            class => return fail(format!("{class:?} is written")),
        }
        Ok(())
    }

    fn spec(&self, buffer: BufferId) -> Result<BufferSpec> {
        let missing = || Error::Plan { pass: "oracle", what: format!("there is no buffer {buffer}") };
        self.plan.buffers.get(buffer as usize).copied().ok_or_else(missing)
    }

    /// Refuses a launch that writes where it reads, or twice to one place, unless each element is read by the thread that
    /// writes it and by no other.
    fn check_overlaps(&self, launch: &Launch) -> Result<()> {
        for (k, &write) in launch.writes.iter().enumerate() {
            let written = self.spec(write)?;
            for &other in &launch.writes[..k] {
                if overlap(&written, &self.spec(other)?) {
                    return fail(format!("both buffer {write} and buffer {other} are written in one place"));
                }
            }
            for (j, &read) in launch.reads.iter().enumerate() {
                let found = self.spec(read)?;
                let in_step = place(&found) == place(&written) && in_step(&launch.kind, j, k);
                if overlap(&written, &found) && !in_step {
                    return fail(format!("buffer {write} is written where threads still read buffer {read}"));
                }
            }
        }
        Ok(())
    }
}

/// Whether the thread that writes an element of output `k` is the only one that reads the same element of input `j`.
fn in_step(kind: &LaunchKind, j: usize, k: usize) -> bool {
    let same_tensor = |groups: &[u32], scalars: usize, buffers: usize| {
        let first = scalars * group_count(groups);
        j >= first && (j - first) / (2 + buffers) == k / (1 + buffers)
    };
    match kind {
        LaunchKind::Kernel(KernelSpec::Map(map)) => {
            let same_width = |write: &MapWrite| write.dtype.bytes() == map.inputs[j].dtype.bytes();
            map.inputs[j].access == Access::Full && map.writes.get(k).is_some_and(same_width)
        }
        LaunchKind::Kernel(KernelSpec::Operation { op, .. }) => match op {
            Op::Blend => j >= Op::BLEND_FACTORS && (j - Op::BLEND_FACTORS) / 2 == k,
            Op::Sgd(sgd) => same_tensor(&sgd.groups, Sgd::SCALARS, Sgd::BUFFERS),
            Op::AdamW(adamw) => same_tensor(&adamw.groups, AdamW::SCALARS, AdamW::BUFFERS),
            _ => false,
        },
        LaunchKind::Kernel(KernelSpec::CastMany { tensors }) => {
            j == k && tensors.get(k).is_some_and(|(_, from, to)| from.bytes() == to.bytes())
        }
        LaunchKind::Copy(_) => true,
        LaunchKind::Convolution(_) | LaunchKind::Matmul(_) => false,
    }
}

/// Which memory a buffer lies in, and which of its bytes it takes.
fn place(spec: &BufferSpec) -> (BufferClass, Range<usize>) {
    match spec.class {
        BufferClass::Arena(offset) => (BufferClass::Arena(0), offset..offset + spec.ty.bytes()),
        class => (class, 0..spec.ty.bytes()),
    }
}

fn overlap(a: &BufferSpec, b: &BufferSpec) -> bool {
    let ((memory, a), (other, b)) = (place(a), place(b));
    memory == other && a.start < b.end && b.start < a.end
}

fn fail<T>(what: String) -> Result<T> {
    Err(Error::Plan { pass: "oracle", what })
}
