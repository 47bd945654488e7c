//! Matrix products by cuBLASLt, row-major, with bias and ReLU in the epilogue.
//!
//! cuBLASLt thinks in column-major matrices. A row-major matrix read as column-major is its transpose, so the product
//! `D = op(A) op(B)` is asked for as `Dᵀ = op(B)ᵀ op(A)ᵀ`: the operands change places, each keeps its transpose flag,
//! and `m` and `n` swap. The bias, which cuBLASLt adds along a column of its result, then runs along a row of `D`.

mod descriptors;
mod plan;
mod spec;
mod table;

use std::ptr;
use std::sync::Arc;

pub use plan::MatmulPlan;
pub use spec::{Epilogue, MatmulSpec, ScalarType};

use crate::context::Context;
use crate::device::Device;
use crate::error::{Error, Result};
use table::{Handle, Table};

/// A cuBLASLt handle of one device; cloning shares it. The handle holds no state that calls change, and NVIDIA
/// declares its functions thread-safe, so it may be used from any thread.
#[derive(Clone, Debug)]
pub struct CublasLt(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    raw: Handle,
    table: &'static Table,
    context: Arc<Context>,
}

// SAFETY: cuBLASLt's functions are thread-safe on one handle; destroyed once, with the last clone.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: last owner.
            let _ = unsafe { (self.table.destroy)(self.raw) };
        }
    }
}

impl CublasLt {
    /// Opens cuBLASLt on `device`.
    ///
    /// # Errors
    /// A library error when it is missing; [`Error::CublasLt`] when it does not start.
    pub fn new(device: &Device) -> Result<CublasLt> {
        let table = Table::get()?;
        let context = device.stream().context().clone();
        context.bind()?;
        let mut raw = ptr::null_mut();
        // SAFETY: a context is current; writes a new handle.
        table.check("cublasLtCreate", unsafe { (table.create)(&mut raw) })?;
        Ok(CublasLt(Arc::new(Inner { raw, table, context })))
    }

    /// The library's version, major * 10000 + minor * 100 + patch; needs no GPU.
    ///
    /// # Errors
    /// A library error when cuBLASLt is missing.
    pub fn version() -> Result<usize> {
        // SAFETY: takes nothing, returns a number.
        Ok(unsafe { (Table::get()?.version)() })
    }

    /// The ways cuBLASLt proposes to compute `spec` with at most `workspace_limit` bytes, by its estimate fastest first.
    ///
    /// # Errors
    /// [`Error::InvalidMatmul`] for a spec that makes no sense, [`Error::NoMatmul`] when there is none,
    /// [`Error::CublasLt`].
    pub fn candidates(&self, spec: &MatmulSpec, workspace_limit: usize) -> Result<Vec<MatmulPlan>> {
        plan::candidates(self, spec, workspace_limit, 16)
    }

    /// The first of [`candidates`](CublasLt::candidates).
    ///
    /// # Errors
    /// As [`candidates`](CublasLt::candidates).
    pub fn plan(&self, spec: &MatmulSpec, workspace_limit: usize) -> Result<MatmulPlan> {
        let first = plan::candidates(self, spec, workspace_limit, 1)?.into_iter().next();
        first.ok_or_else(|| Error::NoMatmul { spec: spec.to_string(), workspace_limit })
    }
}
