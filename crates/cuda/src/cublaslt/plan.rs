//! A chosen algorithm for a matrix product, ready to run.

use std::ffi::c_int;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use super::descriptors::{Layout, MatmulDesc, Preference};
use super::table::{self, Algorithm, HeuristicResult};
use super::{CublasLt, MatmulSpec};
use crate::error::{Error, Result};
use crate::stream::Stream;

/// One way to compute one [`MatmulSpec`]; cloning shares its descriptors. May be used from any thread: the one thing
/// that execution changes, the bias pointer in the descriptor, is under a lock.
#[derive(Clone, Debug)]
pub struct MatmulPlan {
    problem: Arc<Problem>,
    algorithm: Algorithm,
    workspace_bytes: usize,
}

/// The descriptors that all candidates of a spec share; `left` and `right` are cuBLASLt's A and B, our B and A.
#[derive(Debug)]
struct Problem {
    spec: MatmulSpec,
    desc: Mutex<MatmulDesc>,
    left: Layout,
    right: Layout,
    result: Layout,
    library: CublasLt,
}

impl Problem {
    fn new(library: &CublasLt, spec: &MatmulSpec) -> Result<Problem> {
        spec.check()?;
        let table = library.0.table;
        let compute = if spec.tf32 { table::COMPUTE_32F_FAST_TF32 } else { table::COMPUTE_32F };
        let mut desc = MatmulDesc::new(table, compute)?;
        desc.set(table::DESC_TRANSA, c_int::from(spec.transpose_b))?;
        desc.set(table::DESC_TRANSB, c_int::from(spec.transpose_a))?;
        desc.set(table::DESC_EPILOGUE, spec.epilogue.code())?;
        if spec.epilogue.has_bias() {
            // The heuristics read the alignment off this address and never what it points to.
            desc.set(table::DESC_BIAS_POINTER, spec.alignment as u64)?;
        }
        // A stored row-major matrix [rows, columns] is a column-major one of [columns, rows].
        let layout = |scalar: super::ScalarType, (rows, columns)| {
            Layout::new(table, scalar.code(), columns, rows, spec.batch)
        };
        let transposed = |(rows, columns), flag| if flag { (columns, rows) } else { (rows, columns) };
        Ok(Problem {
            desc: Mutex::new(desc),
            left: layout(spec.b_type, transposed((spec.k, spec.n), spec.transpose_b))?,
            right: layout(spec.a_type, transposed((spec.m, spec.k), spec.transpose_a))?,
            result: layout(spec.d_type, (spec.m, spec.n))?,
            library: library.clone(),
            spec: spec.clone(),
        })
    }
}

pub(super) fn candidates(
    library: &CublasLt,
    spec: &MatmulSpec,
    workspace_limit: usize,
    wanted: usize,
) -> Result<Vec<MatmulPlan>> {
    let problem = Arc::new(Problem::new(library, spec)?);
    let table = library.0.table;
    let mut preference = Preference::new(table)?;
    preference.set(table::PREF_WORKSPACE_BYTES, workspace_limit)?;
    for attribute in table::PREF_ALIGNMENTS {
        preference.set(attribute, spec.alignment as u32)?;
    }
    if spec.deterministic || spec.d_type != super::ScalarType::F32 {
        preference.set(table::PREF_REDUCTION_MASK, table::REDUCTION_IN_COMPUTE_TYPE)?;
    }
    library.0.context.bind()?;
    let mut results = vec![HeuristicResult::default(); wanted];
    let mut found = 0;
    let status = {
        let desc = problem.desc.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, right, result) = (problem.left.raw(), problem.right.raw(), problem.result.raw());
        // SAFETY: all descriptors are alive; the array has room for as many results as stated.
        unsafe {
            (table.heuristic)(
                library.0.raw,
                desc.raw(),
                left,
                right,
                result,
                result,
                preference.raw(),
                wanted as c_int,
                results.as_mut_ptr(),
                &mut found,
            )
        }
    };
    let none = || Error::NoMatmul { spec: spec.to_string(), workspace_limit };
    if status == table::NOT_SUPPORTED {
        return Err(none());
    }
    table.check("cublasLtMatmulAlgoGetHeuristic", status)?;
    results.truncate(usize::try_from(found).unwrap_or(0));
    let plans: Vec<MatmulPlan> = results
        .iter()
        .filter(|result| result.state == 0 && result.workspace_bytes <= workspace_limit)
        .map(|result| MatmulPlan {
            problem: problem.clone(),
            algorithm: result.algorithm,
            workspace_bytes: result.workspace_bytes,
        })
        .collect();
    if plans.is_empty() { Err(none()) } else { Ok(plans) }
}

impl MatmulPlan {
    /// What the plan computes.
    pub fn spec(&self) -> &MatmulSpec {
        &self.problem.spec
    }

    /// Bytes of workspace that [`execute`](MatmulPlan::execute) needs.
    pub fn workspace_bytes(&self) -> usize {
        self.workspace_bytes
    }

    /// Computes `D = epilogue(alpha op(A) op(B) + beta C)` on `stream`, asynchronously. C has D's type and shape, and may be
    /// D itself: with `beta` one, the product is added to what it holds. With `beta` zero, C is not read. `bias` is ignored
    /// unless the epilogue has one.
    ///
    /// # Errors
    /// [`Error::CublasLt`] when the launch is refused.
    ///
    /// # Safety
    /// The addresses must be device memory of the spec's sizes and alignment, and of
    /// [`workspace_bytes`](MatmulPlan::workspace_bytes) at `workspace` (null will do for zero), and stay valid until
    /// the stream has run the product; no other work may use the workspace meanwhile. `stream` must be of the device
    /// the plan was made for.
    #[expect(clippy::too_many_arguments, reason = "the operands of a matrix product, in their usual order")]
    pub unsafe fn execute(
        &self,
        stream: &Stream,
        a: u64,
        b: u64,
        c: u64,
        d: u64,
        bias: u64,
        workspace: u64,
        alpha: f32,
        beta: f32,
    ) -> Result<()> {
        let Problem { spec, desc, left, right, result, library } = &*self.problem;
        let table = library.0.table;
        library.0.context.bind()?;
        let mut desc = desc.lock().unwrap_or_else(PoisonError::into_inner);
        if spec.epilogue.has_bias() {
            desc.set(table::DESC_BIAS_POINTER, bias)?;
        }
        let address = |address: u64| ptr::without_provenance_mut::<std::ffi::c_void>(address as usize);
        // SAFETY: the handle and the descriptors are alive; the library reads the bias pointer, alpha and beta during
        // the call; device addresses are the caller's promise.
        let status = unsafe {
            (table.matmul)(
                library.0.raw,
                desc.raw(),
                ptr::from_ref(&alpha).cast(),
                address(b),
                left.raw(),
                address(a),
                right.raw(),
                ptr::from_ref(&beta).cast(),
                address(c),
                result.raw(),
                address(d),
                result.raw(),
                &self.algorithm,
                address(workspace),
                self.workspace_bytes,
                stream.raw(),
            )
        };
        table.check("cublasLtMatmul", status)
    }
}
