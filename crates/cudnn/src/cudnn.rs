use std::sync::Arc;

use ocelli_cuda::{Device, paths};

use crate::handle::{Handle, Target};
use crate::planner::{Planner, Time, Tuned, library};
use crate::{OperationGraph, Plan, PlanOptions, Result, SoftmaxSpec, Version, softmax};

/// cuDNN on a device: a handle bound to the device's compute stream, and the plans made with it.
///
/// Clones share both. Threads may share it: what enqueues is serialised inside.
#[derive(Debug, Clone)]
pub struct Cudnn(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handle: Arc<Handle>,
    planner: Planner,
}

impl Cudnn {
    /// Opens cuDNN on `device`. Plans are kept on disk in the cache directory of the user.
    ///
    /// # Errors
    /// No cuDNN is found, it is [too old](crate::Error::TooOld), or it cannot start on the device.
    pub fn new(device: &Device) -> Result<Cudnn> {
        let (functions, version) = library()?;
        let handle = Arc::new(Handle::new(functions, device)?);
        let planner = Planner::for_target(functions, version, Target::Device(handle.clone()))
            .with_cache(paths::cache("plans"));
        Ok(Cudnn(Arc::new(Inner { handle, planner })))
    }

    /// The library's version.
    pub fn version(&self) -> Version {
        self.0.planner.version()
    }

    /// The device.
    pub fn device(&self) -> &Device {
        self.0.handle.device()
    }

    /// The device in cuDNN's own words (JSON), from which [`Planner::deviceless`] plans on machines without it.
    ///
    /// # Errors
    /// cuDNN's own, from versions that cannot describe devices too.
    pub fn describe_device(&self) -> Result<String> {
        self.0.handle.describe()
    }

    /// A plan for `graph`: one from memory or disk, else the first engine, in the heuristics' order, that keeps to the
    /// options and finalises.
    ///
    /// # Errors
    /// [`InvalidGraph`](crate::Error::InvalidGraph), [`NoEngine`](crate::Error::NoEngine), or cuDNN's own.
    pub fn plan(&self, graph: &OperationGraph, options: &PlanOptions) -> Result<Arc<Plan>> {
        self.0.planner.plan(graph, options)
    }

    /// Another plan than `refused`, which failed when it ran (see [`Error::is_refusal`](crate::Error::is_refusal)).
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn plan_after(
        &self,
        graph: &OperationGraph,
        options: &PlanOptions,
        refused: &Plan,
    ) -> Result<Arc<Plan>> {
        self.0.planner.plan_after(graph, options, refused)
    }

    /// Every plan that keeps to the options and finalises, in the heuristics' order.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn candidates(&self, graph: &OperationGraph, options: &PlanOptions) -> Result<Vec<Plan>> {
        self.0.planner.candidates(graph, options)
    }

    /// The fastest plan by measurement, remembered in memory and on disk: see [`Planner::autotune`].
    ///
    /// # Errors
    /// As [`plan`](Self::plan); an error of `time`'s.
    pub fn autotune(
        &self,
        graph: &OperationGraph,
        options: &PlanOptions,
        limit: usize,
        time: &mut Time<'_>,
    ) -> Result<Tuned> {
        self.0.planner.autotune(graph, options, limit, time)
    }

    /// Makes what [`autotune`](Self::autotune) will need, on all cores at once: see [`Planner::prefetch`].
    pub fn prefetch(&self, wanted: &[(OperationGraph, PlanOptions)], limit: usize) {
        self.0.planner.prefetch(wanted, limit);
    }

    /// Enqueues `y = softmax(x)`, or its logarithm, over the channels. `x` and `y` may be the same memory.
    ///
    /// # Errors
    /// [`InvalidGraph`](crate::Error::InvalidGraph) for a size below 1 or a type that is not floating point; cuDNN's own.
    ///
    /// # Safety
    /// `x` and `y` are device addresses of tensors as `spec` says, which stay allocated until the stream has run this.
    pub unsafe fn softmax(&self, spec: &SoftmaxSpec, x: u64, y: u64) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { softmax::forward(&self.0.handle, spec, x, y) }
    }

    /// Enqueues the gradient of softmax's input, from its output `y` and the output's gradient `dy`.
    ///
    /// # Errors
    /// As [`softmax`](Self::softmax).
    ///
    /// # Safety
    /// As [`softmax`](Self::softmax), of `y`, `dy` and `dx`.
    pub unsafe fn softmax_backward(&self, spec: &SoftmaxSpec, y: u64, dy: u64, dx: u64) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { softmax::backward(&self.0.handle, spec, y, dy, dx) }
    }
}
