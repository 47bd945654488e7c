//! A plan bound to memory.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ocelli_cuda::cublaslt::{Epilogue, MatmulSpec, ScalarType};
use ocelli_cuda::{DeviceBuffer, KernelArgs, KernelSource, ReplayGraph, nvtx};

use super::block::Block;
use super::convolution::{self, Engine, Wanted};
use super::launch::{BoundLaunch, MatmulOperands};
use super::report::{LaunchGroup, LaunchReport, PlanReport};
use super::{Gpu, GpuValue, is_scalar};
use crate::codegen::{Kernel, Scratch, generate};
use crate::device::{Buffer, Precision};
use crate::error::{Error, Result};
use crate::plan::{BufferClass, BufferId, Launch, LaunchKind, MatmulEpilogue, MatmulLaunch, Plan};
use crate::tensor::Data;
use crate::types::DType;
use crate::work::Work;

/// Memory that a plan reads and writes where it lies: states, and resident tensors.
#[derive(Clone)]
pub(super) struct Places {
    states: Vec<DeviceBuffer>,
    residents: Vec<Option<DeviceBuffer>>,
}

impl Places {
    pub(super) fn of(gpu: &Gpu, work: &Work) -> Result<Places> {
        let resident = |data: &Data| match data {
            Data::Device { buffer, resident: true } => gpu.device_buffer(buffer).map(Some),
            _ => Ok(None),
        };
        Ok(Places {
            states: work
                .states
                .iter()
                .map(|state| gpu.device_buffer(state.buffer()))
                .collect::<Result<_>>()?,
            residents: work.data.iter().map(|(_, data)| resident(data)).collect::<Result<_>>()?,
        })
    }

    fn addresses(&self) -> impl Iterator<Item = u64> {
        let residents = self.residents.iter().map(|place| place.as_ref().map_or(0, DeviceBuffer::ptr));
        self.states.iter().map(DeviceBuffer::ptr).chain(residents)
    }
}

/// A plan bound to memory: everything that its launches touch is kept here.
pub(super) struct BoundPlan {
    plan: Arc<Plan>,
    places: Places,
    memory: Arc<Memory>,
    block: Block,
    launches: Arc<Vec<BoundLaunch>>,
    how: Vec<String>,
    /// The layers that each launch serves.
    layers: Vec<Vec<String>>,
    precision: Precision,
    replay: Option<ReplayGraph>,
    runs: u64,
    last_run: u64,
}

/// Pinned buffers in the ring of a plan that is run without waiting.
const RING: usize = 4;

/// The memory of a bound plan.
struct Memory {
    arena: DeviceBuffer,
    workspace: DeviceBuffer,
    /// Counters, constants and pointer tables: launches hold their addresses.
    _kept: Vec<DeviceBuffer>,
}

/// A launch whose workspace is not placed yet.
enum Prepared {
    Kernel(Kernel),
    Convolution(Engine),
    Matmul(ocelli_cuda::cublaslt::MatmulPlan),
    Copy(usize),
}

impl BoundPlan {
    /// Compiles, chooses engines, allocates.
    pub(super) fn new(gpu: &Gpu, plan: Arc<Plan>, work: &Work, places: Places) -> Result<BoundPlan> {
        BoundPlan::with_ring(gpu, plan, work, places, RING)
    }

    /// The same for a plan whose every run is waited for.
    pub(super) fn alone(gpu: &Gpu, plan: Arc<Plan>, work: &Work, places: Places) -> Result<BoundPlan> {
        BoundPlan::with_ring(gpu, plan, work, places, 1)
    }

    fn with_ring(gpu: &Gpu, plan: Arc<Plan>, work: &Work, places: Places, ring: usize) -> Result<BoundPlan> {
        let prepared = prepare_all(gpu, &plan, work)?;
        gpu.finish_tuning();
        let workspace_bytes = prepared.iter().map(Prepared::workspace_bytes).max().unwrap_or(0);
        let _shared = gpu.share_stream();
        let device = gpu.cuda();
        let arena = device.alloc(plan.arena_bytes).map_err(|error| too_large(&plan, error))?;
        let workspace = device.alloc(workspace_bytes)?;
        let block = Block::new(device, work, ring)?;
        let mut binder =
            Binder { gpu, plan: &plan, places: &places, block: &block, arena, workspace, kept: Vec::new() };
        let mut launches = Vec::with_capacity(prepared.len());
        let mut how = Vec::with_capacity(prepared.len());
        for (launch, ready) in plan.launches.iter().zip(prepared) {
            how.push(ready.describe());
            launches.push(binder.bind(launch, ready).map_err(|source| in_launch(launch, source))?);
        }
        let memory = Memory { arena: binder.arena, workspace: binder.workspace, _kept: binder.kept };
        let layers = plan.launches.iter().map(|launch| work.layer_names(&launch.purpose.layers)).collect();
        Ok(BoundPlan {
            plan,
            places,
            memory: Arc::new(memory),
            block,
            launches: Arc::new(launches),
            how,
            layers,
            precision: work.key.precision,
            replay: None,
            runs: 0,
            last_run: 0,
        })
    }

    /// Whether the plan is bound to these places.
    pub(super) fn is_at(&self, places: &Places) -> bool {
        self.places.addresses().eq(places.addresses())
    }

    /// Runs the plan: the first time launch by launch, from the second on as a CUDA graph.
    pub(super) fn run(&mut self, gpu: &Gpu, work: &Work) -> Result<()> {
        let _range = nvtx::range("ocelli: run a plan");
        self.runs += 1;
        self.last_run = gpu.runs.load(Ordering::Relaxed);
        let device = gpu.cuda();
        {
            let _shared = gpu.share_stream();
            self.block.fill(gpu, work)?;
        }
        if self.replay.is_none() && self.runs > 1 && !self.launches.is_empty() {
            let _alone = gpu.own_stream();
            let capture = device.stream().begin_capture()?;
            self.enqueue(gpu)?;
            self.replay = Some(capture.end()?.instantiate(self.kept())?);
        }
        let _shared = gpu.share_stream();
        match &self.replay {
            Some(replay) => Ok(replay.launch(device.stream())?),
            None => self.enqueue(gpu),
        }
    }

    /// What the launches touch, for what replays them.
    pub(super) fn kept(&self) -> Vec<Box<dyn Any + Send + Sync>> {
        vec![
            Box::new(Arc::clone(&self.memory)),
            Box::new(Arc::clone(&self.launches)),
            Box::new(self.places.clone()),
        ]
    }

    /// The block.
    pub(super) fn block(&self) -> &Block {
        &self.block
    }

    /// The block, for writing.
    pub(super) fn block_mut(&mut self) -> &mut Block {
        &mut self.block
    }

    /// Enqueues all launches.
    pub(super) fn enqueue(&self, gpu: &Gpu) -> Result<()> {
        (0..self.launches.len()).try_for_each(|position| self.enqueue_one(gpu, position))
    }

    /// Enqueues one launch.
    pub(super) fn enqueue_one(&self, gpu: &Gpu, position: usize) -> Result<()> {
        let launch = &self.plan.launches[position];
        let _range = nvtx::range(&launch.label);
        self.launches[position].enqueue(gpu.cuda()).map_err(|source| in_launch(launch, source))
    }

    /// The element types in which the plan's network is computed.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// How many launches there are.
    pub(super) fn launch_count(&self) -> usize {
        self.launches.len()
    }

    /// The states that the plan reads and writes.
    pub(super) fn states(&self) -> &[DeviceBuffer] {
        &self.places.states
    }

    /// Takes the roots' values out of the plan's memory: numbers go to the host, others to memory of their own.
    pub(super) fn roots(&self, gpu: &Gpu) -> Result<Vec<Buffer>> {
        let device = gpu.cuda();
        let _shared = gpu.share_stream();
        let take = |&root: &BufferId| -> Result<Buffer> {
            let spec = &self.plan.buffers[root as usize];
            let (from, offset) = self.root(root)?;
            if is_scalar(spec.ty) {
                return Ok(Arc::new(GpuValue::Scalar(gpu.readbacks.start(device, &from, offset)?)));
            }
            let own = device.alloc(spec.ty.bytes())?;
            device.stream().copy_device(&own, 0, &from, offset, spec.ty.bytes())?;
            Ok(Arc::new(GpuValue::Device(own)))
        };
        self.plan.roots.iter().map(take).collect()
    }

    /// Where a root lies when all launches are done.
    pub(super) fn root(&self, root: BufferId) -> Result<(DeviceBuffer, usize)> {
        let (from, offset) = match self.plan.buffers[root as usize].class {
            BufferClass::Arena(offset) => (&self.memory.arena, offset),
            BufferClass::State(index) => (&self.places.states[index as usize], 0),
            BufferClass::Data { index, .. } => self.block.source(index, &self.places.residents)?,
            BufferClass::Scalar(slot) => self.block.scalar_source(slot),
        };
        Ok((from.clone(), offset))
    }

    pub(super) fn report(&self) -> PlanReport {
        let launch = |(position, launch): (usize, &Launch)| LaunchReport {
            layers: self.layers[position].clone(),
            pattern: launch.purpose.pattern.clone(),
            group: LaunchGroup::of(&launch.kind),
            label: launch.label.clone(),
            how: self.how[position].clone(),
            bytes: self.plan.bytes(launch),
            operations: self.plan.operations(launch),
        };
        PlanReport {
            launches: self.plan.launches.iter().enumerate().map(launch).collect(),
            decisions: self.plan.decisions.clone(),
            arena_bytes: self.plan.arena_bytes,
            workspace_bytes: self.memory.workspace.len(),
            replayed: self.replay.is_some(),
            last_run: self.last_run,
        }
    }
}

impl Prepared {
    /// Bytes that the launch needs besides its operands, while it runs.
    fn workspace_bytes(&self) -> usize {
        match self {
            Prepared::Kernel(kernel) => kernel.scratch.iter().map(partial_bytes).sum(),
            Prepared::Convolution(engine) => engine.workspace_bytes(),
            Prepared::Matmul(plan) => plan.workspace_bytes(),
            Prepared::Copy(_) => 0,
        }
    }

    fn describe(&self) -> String {
        match self {
            Prepared::Kernel(kernel) => kernel.name.clone(),
            Prepared::Convolution(engine) => engine.describe(),
            Prepared::Matmul(plan) => format!("cuBLASLt {}", plan.spec()),
            Prepared::Copy(bytes) => format!("copy of {bytes} bytes"),
        }
    }
}

/// Out of memory, with what takes it.
fn too_large(plan: &Plan, error: ocelli_cuda::Error) -> Error {
    if !matches!(error, ocelli_cuda::Error::OutOfMemory { .. }) {
        return error.into();
    }
    Error::PlanTooLarge { arena: plan.arena_bytes, largest: plan.largest(5), source: error }
}

fn partial_bytes(scratch: &Scratch) -> usize {
    match scratch {
        Scratch::Partial(bytes) => bytes.next_multiple_of(crate::plan::memory::ALIGNMENT),
        Scratch::Counters(_) => 0,
    }
}

/// Generates kernels and chooses engines. Kernels are compiled on all cores meanwhile; a later request for them finds
/// them in the device's cache.
fn prepare_all(gpu: &Gpu, plan: &Plan, work: &Work) -> Result<Vec<Prepared>> {
    let target = gpu.target();
    let mut kernels: Vec<Option<Kernel>> = Vec::with_capacity(plan.launches.len());
    for launch in &plan.launches {
        kernels.push(match &launch.kind {
            LaunchKind::Kernel(spec) => {
                Some(generate(spec, &target).map_err(|source| in_launch(launch, source))?)
            }
            _ => None,
        });
    }
    let distinct: BTreeMap<&str, &Kernel> =
        kernels.iter().flatten().map(|kernel| (&*kernel.name, kernel)).collect();
    let distinct: Vec<&Kernel> = distinct.into_values().collect();
    let next = AtomicUsize::new(0);
    let compile = || -> Result<()> {
        while let Some(kernel) = distinct.get(next.fetch_add(1, Ordering::Relaxed)) {
            gpu.cuda().compile(&source(kernel))?;
        }
        Ok(())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let engines = std::thread::scope(|scope| {
        let compilers: Vec<_> = (0..cores.min(distinct.len())).map(|_| scope.spawn(compile)).collect();
        let engine = |launch: &Launch| match launch.kind {
            LaunchKind::Kernel(_) => Ok(None),
            _ => prepare(gpu, launch, work).map(Some).map_err(|source| in_launch(launch, source)),
        };
        let engines = plan.launches.iter().map(engine).collect::<Result<Vec<_>>>();
        let failed = || Error::Plan { pass: "compile", what: "a compiling thread panicked".into() };
        compilers.into_iter().try_for_each(|compiler| compiler.join().map_err(|_| failed())?)?;
        engines
    })?;
    let missing = || Error::Plan { pass: "bind", what: "a launch was not prepared".into() };
    let both = kernels.into_iter().zip(engines);
    both.map(|(kernel, engine)| kernel.map(Prepared::Kernel).or(engine).ok_or_else(missing)).collect()
}

fn source(kernel: &Kernel) -> KernelSource {
    KernelSource { name: kernel.name.clone(), source: kernel.source.clone(), options: Vec::new() }
}

fn prepare(gpu: &Gpu, launch: &Launch, work: &Work) -> Result<Prepared> {
    Ok(match &launch.kind {
        LaunchKind::Kernel(spec) => Prepared::Kernel(generate(spec, &gpu.target())?),
        LaunchKind::Convolution(convolution) => {
            let (precision, deterministic) = (work.key.precision, work.key.deterministic);
            let wanted = Wanted { convolution: *convolution, precision, deterministic };
            Prepared::Convolution(convolution::choose(gpu, wanted)?.engine)
        }
        LaunchKind::Matmul(matmul) => {
            Prepared::Matmul(matmul_plan(gpu, matmul, work.key.precision, work.key.deterministic)?)
        }
        LaunchKind::Copy(bytes) => Prepared::Copy(*bytes),
    })
}

/// Bytes of workspace that a matrix product may take.
const MATMUL_WORKSPACE: usize = 32 << 20;

/// cuBLASLt's plan for a matrix product.
pub(super) fn matmul_plan(
    gpu: &Gpu,
    launch: &MatmulLaunch,
    precision: Precision,
    deterministic: bool,
) -> Result<ocelli_cuda::cublaslt::MatmulPlan> {
    Ok(gpu.cublaslt()?.plan(&matmul_spec(launch, precision, deterministic)?, MATMUL_WORKSPACE)?)
}

fn matmul_spec(launch: &MatmulLaunch, precision: Precision, deterministic: bool) -> Result<MatmulSpec> {
    let wrong = || Error::Plan { pass: "bind", what: "the operands of a matrix product do not fit".into() };
    let (m, k, n) = launch.matmul.extents(launch.a.shape, launch.b).ok_or_else(wrong)?;
    let scalar = match launch.a.dtype {
        DType::F32 => ScalarType::F32,
        DType::F16 => ScalarType::F16,
        DType::BF16 => ScalarType::BF16,
        DType::I32 | DType::U8 => return Err(wrong()),
    };
    let (epilogue, written) = match launch.epilogue {
        None => (Epilogue::None, scalar),
        Some(MatmulEpilogue { relu, dtype }) => (
            if relu { Epilogue::BiasRelu } else { Epilogue::Bias },
            if dtype == launch.a.dtype { scalar } else { ScalarType::F32 },
        ),
    };
    Ok(MatmulSpec {
        d_type: written,
        epilogue,
        transpose_a: launch.matmul.transpose_a,
        transpose_b: launch.matmul.transpose_b,
        tf32: precision == Precision::Tf32,
        deterministic,
        ..MatmulSpec::new(m, n, k, scalar)
    })
}

fn in_launch(launch: &Launch, source: Error) -> Error {
    Error::Execution { operation: launch.label.clone(), source: Box::new(source) }
}

struct Binder<'a> {
    gpu: &'a Gpu,
    plan: &'a Plan,
    places: &'a Places,
    block: &'a Block,
    arena: DeviceBuffer,
    workspace: DeviceBuffer,
    kept: Vec<DeviceBuffer>,
}

impl Binder<'_> {
    /// The buffer that a value lies in, and where in it.
    fn place(&self, buffer: BufferId) -> Result<(DeviceBuffer, usize)> {
        let borrowed = match self.plan.buffers[buffer as usize].class {
            BufferClass::Arena(offset) => (&self.arena, offset),
            BufferClass::State(index) => {
                let missing = || Error::Plan { pass: "bind", what: format!("state {index} is not bound") };
                (self.places.states.get(index as usize).ok_or_else(missing)?, 0)
            }
            BufferClass::Data { index, .. } => self.block.source(index, &self.places.residents)?,
            BufferClass::Scalar(slot) => self.block.scalar_source(slot),
        };
        Ok((borrowed.0.clone(), borrowed.1))
    }

    fn address(&self, buffer: BufferId) -> Result<u64> {
        self.place(buffer).map(|(memory, offset)| memory.ptr() + offset as u64)
    }

    fn bind(&mut self, launch: &Launch, prepared: Prepared) -> Result<BoundLaunch> {
        let reads = launch.reads.iter().map(|&read| self.address(read)).collect::<Result<Vec<u64>>>()?;
        let writes = launch.writes.iter().map(|&write| self.address(write)).collect::<Result<Vec<u64>>>()?;
        Ok(match prepared {
            Prepared::Kernel(kernel) => self.kernel(kernel, &reads, &writes)?,
            Prepared::Convolution(engine) => {
                let LaunchKind::Convolution(convolution) = launch.kind else {
                    return Err(Error::Plan { pass: "bind", what: "no convolution".into() });
                };
                engine.bind(&convolution, &reads, &writes, self.workspace.ptr())?
            }
            Prepared::Matmul(plan) => {
                let workspace = self.workspace.ptr();
                let bias = reads.get(2).copied().unwrap_or(0);
                let operands = MatmulOperands { a: reads[0], b: reads[1], addend: None, d: writes[0], bias };
                BoundLaunch::Matmul { plan, operands, workspace }
            }
            Prepared::Copy(bytes) => BoundLaunch::Copy {
                from: self.place(launch.reads[0])?,
                to: self.place(launch.writes[0])?,
                bytes,
            },
        })
    }

    fn kernel(&mut self, kernel: Kernel, reads: &[u64], writes: &[u64]) -> Result<BoundLaunch> {
        let device = self.gpu.cuda();
        let function = device.compile(&source(&kernel))?.function(&kernel.name)?;
        if kernel.shared_bytes > 48 << 10 {
            function.set_max_dynamic_shared(kernel.shared_bytes)?;
        }
        let mut args = KernelArgs::new();
        if kernel.pointer_table {
            let table: Vec<u8> =
                reads.iter().chain(writes).flat_map(|address| address.to_ne_bytes()).collect();
            args.push_ptr(self.keep(&table)?);
        } else {
            reads.iter().chain(writes).for_each(|&address| _ = args.push_ptr(address));
        }
        let mut partial = self.workspace.ptr();
        for scratch in &kernel.scratch {
            match *scratch {
                Scratch::Partial(_) => {
                    args.push_ptr(partial);
                    partial += partial_bytes(scratch) as u64;
                }
                Scratch::Counters(count) => _ = args.push_ptr(self.keep(&vec![0; 4 * count])?),
            }
        }
        if !kernel.constants.is_empty() {
            let bytes: Vec<u8> = kernel.constants.iter().flat_map(|word| word.to_ne_bytes()).collect();
            args.push_ptr(self.keep(&bytes)?);
        }
        if kernel.header {
            args.push_ptr(self.block.header());
        }
        let Kernel { grid, block, shared_bytes, .. } = kernel;
        let ahead = self.gpu.options.launch_ahead && device.properties().launches_ahead();
        Ok(BoundLaunch::Kernel { function, grid, block, shared_bytes, args, ahead })
    }

    /// Puts bytes where they stay as long as the plan.
    fn keep(&mut self, bytes: &[u8]) -> Result<u64> {
        let device = self.gpu.cuda();
        let memory = device.alloc(bytes.len())?;
        device.stream().upload(&memory, 0, bytes)?;
        let address = memory.ptr();
        self.kept.push(memory);
        Ok(address)
    }
}
