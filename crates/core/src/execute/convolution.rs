//! Convolutions through cuDNN or cuBLASLt: the choice of an engine by measured times.

mod describe;
mod tuning;

use std::sync::{Arc, PoisonError};

use ocelli_cuda::cublaslt::MatmulPlan;
use ocelli_cudnn::{Plan, PlanOptions};
use rustc_hash::FxHashSet;

use super::Gpu;
use super::bind::matmul_plan;
use super::launch::BoundLaunch;
use crate::device::Precision;
use crate::error::{Error, Result};
use crate::ops::ConvFusion;
use crate::plan::costs::{Analytic, Cost, Costs, refusal};
use crate::plan::{Convolution, MatmulLaunch, Operand};
use crate::types::DType;
use describe::{Product, describe, product, uid};
pub(super) use tuning::Tuner;

/// The largest workspace that a convolution may ask for.
const WORKSPACE_LIMIT: usize = 1 << 29;
/// Candidates of cuDNN that are timed: its heuristics offer the promising ones first.
const CANDIDATES: usize = 16;
/// The same of cuBLASLt.
const PRODUCTS: usize = 4;

/// What runs a convolution.
#[derive(Clone)]
pub(super) enum Engine {
    /// A plan of cuDNN's.
    Cudnn(Arc<Plan>),
    /// A matrix product of cuBLASLt's.
    CublasLt(MatmulPlan),
}

/// The engine for a convolution.
#[derive(Clone)]
pub(super) struct Chosen {
    pub(super) engine: Engine,
    /// Its time in microseconds, where it was measured.
    microseconds: Option<f32>,
}

/// What engines are chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) convolution: Convolution,
    pub(super) precision: Precision,
    pub(super) deterministic: bool,
}

impl Engine {
    /// Bytes that it needs beside its operands, while it runs.
    pub(super) fn workspace_bytes(&self) -> usize {
        match self {
            Engine::Cudnn(plan) => plan.workspace_bytes(),
            Engine::CublasLt(plan) => plan.workspace_bytes(),
        }
    }

    /// Its name for reports.
    pub(super) fn describe(&self) -> String {
        match self {
            Engine::Cudnn(plan) => plan.engine(),
            Engine::CublasLt(plan) => format!("cuBLASLt {}", plan.spec()),
        }
    }

    /// The launch with these operands, in the order of [`Convolution::reads`] and [`Convolution::writes`].
    pub(super) fn bind(
        self,
        convolution: &Convolution,
        reads: &[u64],
        writes: &[u64],
        workspace: u64,
    ) -> Result<BoundLaunch> {
        let operands = convolution.reads().into_iter().zip(reads.iter().copied());
        let operands: Vec<(Operand, u64)> =
            operands.chain(convolution.writes().into_iter().zip(writes.iter().copied())).collect();
        match self {
            Engine::Cudnn(plan) => {
                let pointers: Vec<(i64, u64)> =
                    operands.iter().map(|&(operand, address)| (uid(operand), address)).collect();
                Ok(BoundLaunch::Convolution(plan.bind(&pointers, workspace)?))
            }
            Engine::CublasLt(plan) => {
                // Precision is part of the plan already; the roles do not depend on it.
                let product = product(convolution, Precision::F32)
                    .and_then(|product| product.operands(convolution, &operands));
                let missing =
                    || Error::Plan { pass: "bind", what: "a convolution is no matrix product".into() };
                Ok(BoundLaunch::Matmul { plan, operands: product.ok_or_else(missing)?, workspace })
            }
        }
    }
}

/// Which engines of cuDNN may be used.
fn options(dtype: DType, precision: Precision, deterministic: bool) -> PlanOptions {
    PlanOptions {
        deterministic,
        tensor_cores: dtype.is_half() || precision != Precision::F32,
        workspace_limit: WORKSPACE_LIMIT,
        allow_runtime_compiled: false,
    }
}

/// The fastest engine, measured once; cuDNN's are remembered on disk. In deterministic runs it is the first of cuDNN's
/// heuristics, as measured times may choose another one tomorrow.
pub(super) fn choose(gpu: &Gpu, wanted: Wanted) -> Result<Chosen> {
    let known = || gpu.engines.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(chosen) = known().get(&wanted) {
        return Ok(chosen.clone());
    }
    let mut chosen = choose_cudnn(gpu, wanted)?;
    if !wanted.deterministic
        && let Some(product) = product(&wanted.convolution, wanted.precision)
        && let Some(limit) = chosen.microseconds
        && let Some(faster) = faster_product(gpu, wanted, &product, limit)?
    {
        chosen = faster;
    }
    known().insert(wanted, chosen.clone());
    Ok(chosen)
}

fn choose_cudnn(gpu: &Gpu, wanted: Wanted) -> Result<Chosen> {
    let Wanted { convolution, precision, deterministic } = wanted;
    let options = options(convolution.x.dtype, precision, deterministic);
    match engine_of_cudnn(gpu, wanted, &options) {
        // Compiling takes a second: not for what can be done in other ways.
        Err(Error::Cudnn(error)) if error.is_unsupported() && convolution.fusion == ConvFusion::NONE => {
            engine_of_cudnn(gpu, wanted, &PlanOptions { allow_runtime_compiled: true, ..options })
        }
        result => result,
    }
}

fn engine_of_cudnn(gpu: &Gpu, wanted: Wanted, options: &PlanOptions) -> Result<Chosen> {
    let (cudnn, graph) = (gpu.cudnn()?, describe(&wanted.convolution));
    let first = || -> Result<Chosen> {
        Ok(Chosen { engine: Engine::Cudnn(cudnn.plan(&graph, options)?), microseconds: None })
    };
    if wanted.deterministic {
        return first();
    }
    let mut time = |plans: &[Plan]| {
        let candidates: Vec<_> = plans.iter().map(tuning::Candidate::Cudnn).collect();
        Tuner::time(gpu, &wanted.convolution, &candidates)
    };
    match cudnn.autotune(&graph, options, CANDIDATES, &mut time) {
        Ok(tuned) => {
            Ok(Chosen { engine: Engine::Cudnn(tuned.plan), microseconds: Some(tuned.milliseconds * 1000.0) })
        }
        // Where memory is too short to measure, it may still be enough to compute.
        Err(ocelli_cudnn::Error::Cuda(ocelli_cuda::Error::OutOfMemory { .. })) => first(),
        Err(error) => Err(error.into()),
    }
}

/// A matrix product that takes less than `limit` microseconds.
fn faster_product(gpu: &Gpu, wanted: Wanted, product: &Product, limit: f32) -> Result<Option<Chosen>> {
    let found = gpu.cublaslt().and_then(|library| {
        let mut plans = library.candidates(&product.spec, WORKSPACE_LIMIT)?;
        plans.truncate(PRODUCTS);
        let candidates: Vec<_> =
            plans.iter().map(|plan| tuning::Candidate::CublasLt { plan, product }).collect();
        let times = Tuner::time(gpu, &wanted.convolution, &candidates)?;
        let timed = plans.into_iter().zip(times).filter_map(|(plan, time)| Some((time? * 1000.0, plan)));
        Ok(timed.min_by(|(a, _), (b, _)| a.total_cmp(b)))
    });
    match found {
        Ok(Some((time, plan))) if time < limit => {
            Ok(Some(Chosen { engine: Engine::CublasLt(plan), microseconds: Some(time) }))
        }
        Ok(_) => Ok(None),
        // There is cuDNN's engine.
        Err(error) => {
            tracing::debug!(spec = %product.spec, %error, "no matrix product for a convolution");
            Ok(None)
        }
    }
}

/// What launches cost on this GPU: the measured times of the engines that will run.
pub(super) struct Measured<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) precision: Precision,
    pub(super) deterministic: bool,
}

/// The share of the memory's peak rate that a copy reaches: 4.23 of 4.92 TB/s on an H200.
const REACHED: f32 = 0.86;

impl Measured<'_> {
    /// Times by the ceilings, with this GPU's memory: for what is not measured.
    fn analytic(&self) -> Analytic {
        let properties = self.gpu.cuda().properties();
        // Two transfers a clock; kHz times bits.
        let peak =
            2.0 * properties.memory_clock_khz as f32 * properties.memory_bus_bits as f32 / 8.0 / 1000.0;
        let analytic = Analytic::default();
        if peak > 0.0 { Analytic { bytes: peak * REACHED, ..analytic } } else { analytic }
    }
}

impl Costs for Measured<'_> {
    fn announce(&self, convolutions: &[Convolution]) -> Result<()> {
        let Measured { gpu, precision, deterministic } = *self;
        if deterministic {
            return Ok(());
        }
        let known = gpu.engines.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |convolution: &Convolution| {
            let wanted = Wanted { convolution: *convolution, precision, deterministic };
            refusal(convolution).is_none() && !known.contains_key(&wanted)
        };
        let distinct: FxHashSet<Convolution> = convolutions.iter().copied().filter(is_new).collect();
        drop(known);
        if distinct.is_empty() {
            return Ok(());
        }
        let request = |convolution: &Convolution| {
            (describe(convolution), options(convolution.x.dtype, precision, deterministic))
        };
        let requests: Vec<_> = distinct.iter().map(request).collect();
        gpu.cudnn()?.prefetch(&requests, CANDIDATES);
        Ok(())
    }

    fn convolution(&self, convolution: &Convolution) -> Result<Cost> {
        // What is known to be refused need not be asked: cuDNN takes its time to refuse.
        if let Some(reason) = refusal(convolution) {
            return Ok(Cost::Refused(reason.into()));
        }
        let Measured { gpu, precision, deterministic } = *self;
        // Blocks add to cuDNN's sums as they come.
        if deterministic && convolution.fusion.statistics {
            return Ok(Cost::Refused("the statistics are not the same bits every time".into()));
        }
        match choose(gpu, Wanted { convolution: *convolution, precision, deterministic }) {
            Ok(Chosen { microseconds: Some(time), .. }) => Ok(Cost::Microseconds(time)),
            Ok(_) => self.analytic().convolution(convolution),
            Err(Error::Cudnn(error)) if error.is_unsupported() => Ok(Cost::Refused(error.to_string())),
            Err(error) => Err(error),
        }
    }

    fn refuses_matmul(&self, launch: &MatmulLaunch) -> Result<Option<String>> {
        let Measured { gpu, precision, deterministic } = *self;
        match matmul_plan(gpu, launch, precision, deterministic) {
            Ok(_) => Ok(None),
            Err(error) => Ok(Some(error.to_string())),
        }
    }

    fn bytes(&self, bytes: usize) -> Result<f32> {
        self.analytic().bytes(bytes)
    }
}

#[cfg(test)]
mod tests;
