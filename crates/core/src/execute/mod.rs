//! The executor: binds plans to memory on the GPU, runs them, and replays them as CUDA graphs.
//!
//! A plan is looked up by its [`WorkKey`]. Its first run launches one by one, as a real step; the second captures the
//! same launches into a CUDA graph; from then on a step is one copy of inputs and one replay, with no allocation, no
//! planning and no waiting.

mod bind;
mod block;
mod ceilings;
mod convolution;
mod explain;
mod held;
mod launch;
mod profile;
mod readback;
mod report;

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ocelli_cuda::cublaslt::CublasLt;
use ocelli_cuda::{Device as CudaDevice, DeviceBuffer, MemoryStats};
use ocelli_cudnn::Cudnn;
use rustc_hash::FxHashMap;

use crate::codegen::Target;
use crate::device::{Buffer, Device, Executor};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::plan::{Decision, Plan, PlanOptions, lower, rewrite};
use crate::session::Held;
use crate::types::{Shape, TensorType};
use crate::work::{Work, WorkKey};
use bind::{BoundPlan, Places};
use convolution::{Chosen, Measured, Tuner, Wanted};
use readback::{Readback, Readbacks};

pub use ceilings::Ceilings;
pub use explain::{ExplainedLaunch, Explanation, GroupTotal};
pub use report::{Counters, LaunchGroup, LaunchReport, LaunchTime, PlanReport, PlanTimes};

/// The executor of one GPU.
pub struct Gpu {
    device: CudaDevice,
    cudnn: OnceLock<Cudnn>,
    cublaslt: OnceLock<CublasLt>,
    plans: Mutex<FxHashMap<WorkKey, Planned>>,
    readbacks: Arc<Readbacks>,
    /// Held for writing while work is captured, when no other thread may use the stream, and for reading by those who do.
    stream_use: RwLock<()>,
    /// The engines chosen so far.
    engines: Mutex<FxHashMap<Wanted, Chosen>>,
    /// What times candidates, while a plan is made.
    tuner: Mutex<Option<Tuner>>,
    options: PlanOptions,
    planned: AtomicU64,
    bound: AtomicU64,
    runs: AtomicU64,
}

/// A plan, and its bindings to states and resident tensors; the one used last comes last.
struct Planned {
    plan: Arc<Plan>,
    bound: Vec<BoundPlan>,
}

/// At most this many bindings of one plan are kept.
const MAX_BINDINGS: usize = 4;

/// A tensor's values on the GPU.
pub(crate) enum GpuValue {
    /// In memory of its own.
    Device(DeviceBuffer),
    /// One number on its way to the host.
    Scalar(Readback),
}

impl Device {
    /// The GPU of this ordinal, counted from 0. Open it before you start threads: only then can the process ask for as many
    /// work queues as training beside a loader wants ([`ocelli_cuda::connections()`]).
    ///
    /// # Errors
    /// [`Error::Cuda`] when there is no driver or no such GPU; it says what to do.
    pub fn new(ordinal: usize) -> Result<Device> {
        Device::with_plan_options(ordinal, PlanOptions::default())
    }

    /// The same with optimisations of the planner switched off, to find out which of them is at fault.
    ///
    /// # Errors
    /// As [`Device::new`].
    pub fn with_plan_options(ordinal: usize, options: PlanOptions) -> Result<Device> {
        Ok(Device::with_executor(Box::new(Gpu::new(CudaDevice::new(ordinal)?, options))))
    }

    /// The GPU behind this device; `None` when the oracle stands in for it.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.executor().as_any().downcast_ref()
    }

    /// Waits until all work has been done.
    ///
    /// # Errors
    /// What any of that work failed with.
    pub fn synchronize(&self) -> Result<()> {
        self.gpu().map_or(Ok(()), |gpu| Ok(gpu.device.synchronize()?))
    }
}

impl Gpu {
    fn new(device: CudaDevice, options: PlanOptions) -> Gpu {
        Gpu {
            device,
            cudnn: OnceLock::new(),
            cublaslt: OnceLock::new(),
            plans: Mutex::new(FxHashMap::default()),
            readbacks: Arc::default(),
            stream_use: RwLock::new(()),
            engines: Mutex::default(),
            tuner: Mutex::default(),
            options,
            planned: AtomicU64::new(0),
            bound: AtomicU64::new(0),
            runs: AtomicU64::new(0),
        }
    }

    /// The CUDA device.
    pub fn cuda(&self) -> &CudaDevice {
        &self.device
    }

    /// cuDNN, opened when it is first needed.
    ///
    /// # Errors
    /// [`Error::Cudnn`] when it is missing or too old.
    pub fn cudnn(&self) -> Result<&Cudnn> {
        if self.cudnn.get().is_none() {
            let opened = Cudnn::new(&self.device)?;
            return Ok(self.cudnn.get_or_init(|| opened));
        }
        self.cudnn.get().ok_or_else(|| Error::Plan { pass: "bind", what: "cuDNN vanished".into() })
    }

    /// cuBLASLt, opened when it is first needed.
    ///
    /// # Errors
    /// [`Error::Cuda`] when it is missing.
    pub fn cublaslt(&self) -> Result<&CublasLt> {
        if self.cublaslt.get().is_none() {
            let opened = CublasLt::new(&self.device)?;
            return Ok(self.cublaslt.get_or_init(|| opened));
        }
        self.cublaslt.get().ok_or_else(|| Error::Plan { pass: "bind", what: "cuBLASLt vanished".into() })
    }

    /// What kernels are generated for.
    pub fn target(&self) -> Target {
        let properties = self.device.properties();
        Target {
            compute_capability: properties.compute_capability,
            multiprocessors: properties.multiprocessors,
        }
    }

    /// Bytes of device memory in use, at most so far, and left.
    ///
    /// # Errors
    /// A failure of the driver.
    pub fn memory(&self) -> Result<MemoryStats> {
        Ok(self.device.memory()?)
    }

    /// How often something was planned, bound and run; a training loop plans and binds nothing after its second step.
    pub fn counters(&self) -> Counters {
        Counters {
            planned: self.planned.load(Ordering::Relaxed),
            bound: self.bound.load(Ordering::Relaxed),
            runs: self.runs.load(Ordering::Relaxed),
        }
    }

    /// What each plan consists of, the latest used last.
    pub fn report(&self) -> Vec<PlanReport> {
        let plans = self.plans();
        let mut reports: Vec<PlanReport> =
            plans.values().flat_map(|p| p.bound.iter().map(BoundPlan::report)).collect();
        reports.sort_by_key(|report| report.last_run);
        reports
    }

    /// Gives up the memory in which candidates were timed.
    fn finish_tuning(&self) {
        *self.tuner.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn plans(&self) -> MutexGuard<'_, FxHashMap<WorkKey, Planned>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the stream beside others: what a capture of another thread recorded of it would not happen now.
    fn share_stream(&self) -> RwLockReadGuard<'_, ()> {
        self.stream_use.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the stream alone, for a capture.
    fn own_stream(&self) -> RwLockWriteGuard<'_, ()> {
        self.stream_use.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up the memory of all plans that are looked up.
    fn give_up_plans(&self) -> Result<()> {
        self.device.synchronize()?;
        self.plans().values_mut().for_each(|planned| planned.bound.clear());
        Ok(())
    }

    fn value(buffer: &Buffer) -> Result<&GpuValue> {
        let foreign = || Error::Plan { pass: "execute", what: "a buffer belongs to another executor".into() };
        buffer.downcast_ref::<GpuValue>().ok_or_else(foreign)
    }

    /// Memory as the value of a tensor.
    pub(crate) fn hold_memory(memory: DeviceBuffer) -> Buffer {
        Arc::new(GpuValue::Device(memory))
    }

    /// The device memory that holds a value; a number that went to the host is brought back.
    pub(crate) fn device_buffer(&self, buffer: &Buffer) -> Result<DeviceBuffer> {
        match Gpu::value(buffer)? {
            GpuValue::Device(memory) => Ok(memory.clone()),
            GpuValue::Scalar(readback) => {
                let memory = self.device.alloc(4)?;
                self.device.stream().upload(&memory, 0, &readback.wait()?)?;
                Ok(memory)
            }
        }
    }

    /// Allocates; when memory is short, gives up what bound plans hold and tries again.
    fn alloc(&self, bytes: usize, plans: Option<&mut FxHashMap<WorkKey, Planned>>) -> Result<DeviceBuffer> {
        match (self.device.alloc(bytes), plans) {
            (Err(ocelli_cuda::Error::OutOfMemory { .. }), Some(plans)) => {
                self.device.synchronize()?;
                plans.values_mut().for_each(|planned| planned.bound.clear());
                Ok(self.device.alloc(bytes)?)
            }
            (result, _) => Ok(result?),
        }
    }
}

impl Gpu {
    fn plan(&self, key: &WorkKey) -> Result<Plan> {
        let (graph, decisions) = self.rewrite(key)?;
        Ok(Plan { decisions, ..lower(&graph, self.options)? })
    }

    /// Binds the plan of some work, which is made if need be; when memory is short, other plans give theirs up.
    fn bind(
        &self,
        plans: &mut FxHashMap<WorkKey, Planned>,
        work: &Work,
        places: Places,
    ) -> Result<BoundPlan> {
        let plan = match plans.get(&work.key) {
            Some(planned) => Arc::clone(&planned.plan),
            None => {
                let plan = Arc::new(self.plan(&work.key)?);
                self.planned.fetch_add(1, Ordering::Relaxed);
                plans.insert(work.key.clone(), Planned { plan: Arc::clone(&plan), bound: Vec::new() });
                plan
            }
        };
        self.bound.fetch_add(1, Ordering::Relaxed);
        match BoundPlan::new(self, Arc::clone(&plan), work, places.clone()) {
            Err(error) if is_out_of_memory(&error) => {
                self.device.synchronize()?;
                plans.values_mut().for_each(|planned| planned.bound.clear());
                BoundPlan::new(self, plan, work, places)
            }
            result => result,
        }
    }
}

impl Executor for Gpu {
    fn upload(&self, ty: TensorType, bytes: &[u8]) -> Result<Buffer> {
        let memory = self.alloc(ty.bytes(), Some(&mut self.plans()))?;
        let _shared = self.share_stream();
        self.device.stream().upload(&memory, 0, bytes)?;
        Ok(Arc::new(GpuValue::Device(memory)))
    }

    fn overwrite(&self, buffer: &Buffer, _: TensorType, bytes: &[u8]) -> Result<()> {
        let _shared = self.share_stream();
        Ok(self.device.stream().upload(&self.device_buffer(buffer)?, 0, bytes)?)
    }

    fn duplicate(&self, buffer: &Buffer, ty: TensorType) -> Result<Buffer> {
        let _shared = self.share_stream();
        let (from, to) = (self.device_buffer(buffer)?, self.device.alloc(ty.bytes())?);
        self.device.stream().copy_device(&to, 0, &from, 0, ty.bytes())?;
        Ok(Arc::new(GpuValue::Device(to)))
    }

    fn download(&self, buffer: &Buffer, ty: TensorType) -> Result<Vec<u8>> {
        match Gpu::value(buffer)? {
            GpuValue::Scalar(readback) => Ok(readback.wait()?.to_vec()),
            GpuValue::Device(memory) => {
                let mut bytes = vec![0; ty.bytes()];
                let _shared = self.share_stream();
                self.device.stream().download(memory, 0, &mut bytes)?;
                Ok(bytes)
            }
        }
    }

    fn assign(&self, to: &Buffer, from: &Buffer, ty: TensorType) -> Result<()> {
        let _shared = self.share_stream();
        let (to, from) = (self.device_buffer(to)?, self.device_buffer(from)?);
        Ok(self.device.stream().copy_device(&to, 0, &from, 0, ty.bytes())?)
    }

    fn rewrite(&self, key: &WorkKey) -> Result<(Graph, Vec<Decision>)> {
        let costs = Measured { gpu: self, precision: key.precision, deterministic: key.deterministic };
        rewrite(&key.expand_for(self.options)?, self.options, &costs)
    }

    fn hold(&self, work: Work) -> Result<Box<dyn Held>> {
        self.planned.fetch_add(1, Ordering::Relaxed);
        self.bound.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(self.hold_plan(&work)?))
    }

    fn run(&self, work: &Work) -> Result<Vec<Buffer>> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let places = Places::of(self, work)?;
        let mut plans = self.plans();
        if let Some(planned) = plans.get_mut(&work.key)
            && let Some(bound) = planned.bound.iter_mut().find(|bound| bound.is_at(&places))
        {
            bound.run(self, work)?;
            return bound.roots(self);
        }
        let mut bound = self.bind(&mut plans, work, places)?;
        bound.run(self, work)?;
        let roots = bound.roots(self);
        if let Some(planned) = plans.get_mut(&work.key) {
            if planned.bound.len() == MAX_BINDINGS {
                planned.bound.remove(0);
            }
            planned.bound.push(bound);
        }
        roots
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn is_out_of_memory(error: &Error) -> bool {
    match error {
        Error::Cuda(ocelli_cuda::Error::OutOfMemory { .. }) | Error::PlanTooLarge { .. } => true,
        Error::Cudnn(ocelli_cudnn::Error::Cuda(ocelli_cuda::Error::OutOfMemory { .. })) => true,
        Error::Execution { source, .. } => is_out_of_memory(source),
        _ => false,
    }
}

/// Whether a root is one `f32`, which goes to the host by itself.
fn is_scalar(ty: TensorType) -> bool {
    ty == TensorType { shape: Shape::SCALAR, ..TensorType::scalar() }
}
