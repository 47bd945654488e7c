//! Plans: a graph with the engine that runs it.

use std::sync::Arc;

use ocelli_cudnn_sys as sys;

use crate::descriptor::Descriptor;
use crate::engine::{Candidate, Engine};
use crate::error::check;
use crate::handle::{Handle, Target};
use crate::lower::LoweredGraph;
use crate::{BehaviorNote, Error, NumericalNote, OperationGraph, Result};

/// An operation graph finalised for one engine: ready to run, any number of times, from any thread.
#[derive(Debug)]
pub struct Plan {
    descriptor: Descriptor,
    engine: Engine,
    workspace_bytes: usize,
    /// The operations, for errors.
    operations: String,
    /// The tensors that have memory.
    uids: Vec<i64>,
    handle: Option<Arc<Handle>>,
    /// What the plan was made from, unless it was read from its JSON.
    _source: Option<(Descriptor, Arc<LoweredGraph>)>,
}

impl Plan {
    pub(crate) fn new(
        target: &Target,
        graph: &OperationGraph,
        lowered: &Arc<LoweredGraph>,
        candidate: Candidate,
    ) -> Result<Plan> {
        let functions = lowered.graph.functions();
        let mut descriptor =
            Descriptor::new(functions, sys::CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "execution plan")?;
        target.set_plan_device(&mut descriptor)?;
        descriptor.set_descriptor(sys::CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, &candidate.config)?;
        descriptor.finalize()?;
        Plan::finished(target, graph, descriptor, candidate.engine, Some((candidate.config, lowered.clone())))
    }

    /// Restores a plan from what [`Plan::to_json`] returned in the same circumstances.
    pub(crate) fn from_json(
        target: &Target,
        functions: &'static sys::Functions,
        graph: &OperationGraph,
        engine: Engine,
        json: &str,
    ) -> Result<Plan> {
        let mut descriptor =
            Descriptor::new(functions, sys::CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "execution plan")?;
        target.set_plan_device(&mut descriptor)?;
        descriptor.set_text(sys::CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, json)?.finalize()?;
        Plan::finished(target, graph, descriptor, engine, None)
    }

    fn finished(
        target: &Target,
        graph: &OperationGraph,
        descriptor: Descriptor,
        engine: Engine,
        source: Option<(Descriptor, Arc<LoweredGraph>)>,
    ) -> Result<Plan> {
        let workspace: i64 = descriptor.get_one(sys::CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)?;
        let uids =
            graph.tensors()?.into_iter().filter(|tensor| !tensor.virtual_).map(|tensor| tensor.uid).collect();
        Ok(Plan {
            descriptor,
            engine,
            workspace_bytes: workspace.max(0) as usize,
            operations: graph.to_string(),
            uids,
            handle: target.handle().cloned(),
            _source: source,
        })
    }

    /// cuDNN's own description of the plan: 3 to 7 KB, or a few hundred with a kernel that was compiled for it.
    pub(crate) fn to_json(&self) -> Result<String> {
        self.descriptor.get_text(sys::CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION)
    }

    /// Bytes of device memory that the plan uses while it runs.
    pub fn workspace_bytes(&self) -> usize {
        self.workspace_bytes
    }

    /// The engine and its settings, as text: "engine 57, knobs 2=13 14=4".
    pub fn engine(&self) -> String {
        self.engine.to_string()
    }

    /// The operations it runs, with shapes, as text.
    pub fn operations(&self) -> &str {
        &self.operations
    }

    /// What the engine says of its arithmetic.
    pub fn numerical_notes(&self) -> &[NumericalNote] {
        &self.engine.numerical_notes
    }

    /// What the engine needs or allows beside.
    pub fn behavior_notes(&self) -> &[BehaviorNote] {
        &self.engine.behavior_notes
    }

    pub(crate) fn engine_settings(&self) -> &Engine {
        &self.engine
    }

    /// Enqueues the plan on the device's compute stream.
    ///
    /// `pointers` gives the device address of each tensor that is not virtual, by `uid`, in any order; `workspace` is the
    /// address of [`workspace_bytes`](Self::workspace_bytes) bytes (anything if that is 0). A plan that runs often is
    /// better [bound](Self::bind).
    ///
    /// # Errors
    /// [`Error::MissingPointer`]; [`Error::NoDevice`]; [`Error::Cudnn`], for which
    /// [`is_refusal`](Error::is_refusal) says whether another engine may do.
    ///
    /// # Safety
    /// Each address is that of device memory that holds its tensor, aligned as its spec promises, and the workspace; all
    /// stay allocated until the stream has run the plan, and nothing else writes there meanwhile.
    pub unsafe fn execute(&self, pointers: &[(i64, u64)], workspace: u64) -> Result<()> {
        let pack = self.variant_pack(pointers, workspace)?;
        // SAFETY: the caller's promise.
        unsafe { self.execute_pack(&pack) }
    }

    /// Builds once what [`execute`](Self::execute) builds at each call. Nothing is read or written yet.
    ///
    /// # Errors
    /// [`Error::MissingPointer`]; [`Error::Cudnn`].
    pub fn bind(self: &Arc<Self>, pointers: &[(i64, u64)], workspace: u64) -> Result<BoundPlan> {
        Ok(BoundPlan { pack: self.variant_pack(pointers, workspace)?, plan: self.clone() })
    }

    fn variant_pack(&self, pointers: &[(i64, u64)], workspace: u64) -> Result<Descriptor> {
        let addresses = self
            .uids
            .iter()
            .map(|&uid| {
                let given = pointers.iter().find(|(known, _)| *known == uid);
                given
                    .map(|&(_, address)| address)
                    .ok_or_else(|| Error::MissingPointer { plan: self.operations.clone(), uid })
            })
            .collect::<Result<Vec<u64>>>()?;
        let mut pack = Descriptor::new(
            self.descriptor.functions(),
            sys::CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
            "variant pack",
        )?;
        pack.set(sys::CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, &self.uids)?
            .set_addresses(sys::CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, &addresses)?
            .set_addresses(sys::CUDNN_ATTR_VARIANT_PACK_WORKSPACE, &[workspace])?
            .finalize()?;
        Ok(pack)
    }

    /// # Safety
    /// As [`Plan::execute`], of the addresses in `pack`.
    unsafe fn execute_pack(&self, pack: &Descriptor) -> Result<()> {
        let handle = self.handle.as_ref().ok_or_else(|| Error::NoDevice { plan: self.operations.clone() })?;
        let (raw, _guard) = handle.enqueue()?;
        let functions = handle.functions();
        // SAFETY: handle, plan and pack are alive and finalised, and this thread alone uses the handle; the caller answers
        // for the addresses.
        let status = unsafe { (functions.backend_execute)(raw, self.descriptor.raw(), pack.raw()) };
        check(functions, status, || format!("cudnnBackendExecute ({}, {})", self.operations, self.engine))
    }
}

/// A plan with the addresses it works on. Executing it allocates nothing on the host or the device, and can be captured.
#[derive(Debug)]
pub struct BoundPlan {
    pack: Descriptor,
    plan: Arc<Plan>,
}

impl BoundPlan {
    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Enqueues the plan on the device's compute stream.
    ///
    /// # Errors
    /// As [`Plan::execute`].
    ///
    /// # Safety
    /// As [`Plan::execute`], of the addresses that were bound.
    pub unsafe fn execute(&self) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.plan.execute_pack(&self.pack) }
    }
}
