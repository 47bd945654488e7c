//! cuBLASLt's functions, numbers and opaque types, as `cublasLt.h` has them; statuses are plain integers.

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use crate::driver::text;
use crate::error::{Error, Result};
use crate::library::{self, Library};

pub(super) type Handle = *mut c_void;
/// A matmul descriptor, a matrix layout or a preference.
pub(super) type Descriptor = *mut c_void;

/// `cublasLtMatmulAlgo_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Algorithm([u64; 8]);

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeuristicResult {
    pub(super) algorithm: Algorithm,
    pub(super) workspace_bytes: usize,
    pub(super) state: c_int,
    pub(super) waves: f32,
    reserved: [c_int; 4],
}

// cudaDataType_t
pub(super) const R_32F: c_int = 0;
pub(super) const R_16F: c_int = 2;
pub(super) const R_16BF: c_int = 14;
// cublasComputeType_t
pub(super) const COMPUTE_32F: c_int = 68;
pub(super) const COMPUTE_32F_FAST_TF32: c_int = 77;
// cublasLtMatmulDescAttributes_t
pub(super) const DESC_TRANSA: c_int = 3;
pub(super) const DESC_TRANSB: c_int = 4;
pub(super) const DESC_EPILOGUE: c_int = 7;
pub(super) const DESC_BIAS_POINTER: c_int = 8;
// cublasLtMatrixLayoutAttribute_t
pub(super) const LAYOUT_BATCH_COUNT: c_int = 5;
pub(super) const LAYOUT_BATCH_STRIDE: c_int = 6;
// cublasLtMatmulPreferenceAttributes_t
pub(super) const PREF_WORKSPACE_BYTES: c_int = 1;
pub(super) const PREF_REDUCTION_MASK: c_int = 3;
/// The alignments of A, B, C and D.
pub(super) const PREF_ALIGNMENTS: std::ops::RangeInclusive<c_int> = 5..=8;
// cublasLtReductionScheme_t: the parts of a split sum are added in f32, in a step of their own.
pub(super) const REDUCTION_IN_COMPUTE_TYPE: u32 = 2;
// cublasStatus_t
pub(super) const NOT_SUPPORTED: c_int = 15;

/// Declares the table, with each field's name in the library, so that the two cannot drift apart.
macro_rules! table {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*) -> $result:ty;)*) => {
        #[derive(Debug)]
        pub(super) struct Table {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Table {
            fn load() -> Result<Table> {
                let library = library::open(Library::CublasLt)?;
                // SAFETY: the types are those of cublasLt.h since CUDA 11; an enum is an int there.
                Ok(unsafe { Table { $($field: library.symbol($symbol)?,)* } })
            }
        }
    };
}

table! {
    create = "cublasLtCreate": fn(*mut Handle) -> c_int;
    destroy = "cublasLtDestroy": fn(Handle) -> c_int;
    version = "cublasLtGetVersion": fn() -> usize;
    status_name = "cublasLtGetStatusName": fn(c_int) -> *const c_char;
    status_string = "cublasLtGetStatusString": fn(c_int) -> *const c_char;
    desc_create = "cublasLtMatmulDescCreate": fn(*mut Descriptor, c_int, c_int) -> c_int;
    desc_destroy = "cublasLtMatmulDescDestroy": fn(Descriptor) -> c_int;
    desc_set = "cublasLtMatmulDescSetAttribute": fn(Descriptor, c_int, *const c_void, usize) -> c_int;
    layout_create = "cublasLtMatrixLayoutCreate": fn(*mut Descriptor, c_int, u64, u64, i64) -> c_int;
    layout_destroy = "cublasLtMatrixLayoutDestroy": fn(Descriptor) -> c_int;
    layout_set = "cublasLtMatrixLayoutSetAttribute": fn(Descriptor, c_int, *const c_void, usize) -> c_int;
    preference_create = "cublasLtMatmulPreferenceCreate": fn(*mut Descriptor) -> c_int;
    preference_destroy = "cublasLtMatmulPreferenceDestroy": fn(Descriptor) -> c_int;
    preference_set = "cublasLtMatmulPreferenceSetAttribute": fn(Descriptor, c_int, *const c_void, usize) -> c_int;
    heuristic = "cublasLtMatmulAlgoGetHeuristic": fn(
        Handle, Descriptor, Descriptor, Descriptor, Descriptor, Descriptor, Descriptor, c_int, *mut HeuristicResult,
        *mut c_int
    ) -> c_int;
    matmul = "cublasLtMatmul": fn(
        Handle, Descriptor, *const c_void, *const c_void, Descriptor, *const c_void, Descriptor, *const c_void,
        *const c_void, Descriptor, *mut c_void, Descriptor, *const Algorithm, *mut c_void, usize, *mut c_void
    ) -> c_int;
}

impl Table {
    /// The table of this process's cuBLASLt, opened at the first call.
    pub(super) fn get() -> Result<&'static Table> {
        static TABLE: OnceLock<Table> = OnceLock::new();
        match TABLE.get() {
            Some(table) => Ok(table),
            None => {
                let table = Table::load()?;
                Ok(TABLE.get_or_init(|| table))
            }
        }
    }

    /// Turns a status into a result that carries cuBLASLt's own name and text of it.
    pub(super) fn check(&self, call: &'static str, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: both return static strings for any number.
        let (name, message) = unsafe { (text((self.status_name)(code)), text((self.status_string)(code))) };
        Err(Error::CublasLt { call, code, name, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_sizes_of_the_header() {
        assert_eq!(size_of::<Algorithm>(), 64);
        assert_eq!(size_of::<HeuristicResult>(), 96);
    }
}
