//! Owners of cuBLASLt's descriptors.

use std::ffi::{c_int, c_void};
use std::ptr;

use super::table::{self, Descriptor, Table};
use crate::error::Result;

/// A descriptor of one of the three kinds, destroyed on drop.
#[derive(Debug)]
struct Owned {
    raw: Descriptor,
    destroy: unsafe extern "C" fn(Descriptor) -> c_int,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: created by the function that goes with `destroy`, destroyed once.
        let _ = unsafe { (self.destroy)(self.raw) };
    }
}

// SAFETY: host memory that no thread is bound to; changed through `&mut self` only.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

/// What is computed: types, transposes, epilogue.
#[derive(Debug)]
pub(super) struct MatmulDesc {
    owned: Owned,
    table: &'static Table,
}

impl MatmulDesc {
    pub(super) fn new(table: &'static Table, compute: c_int) -> Result<MatmulDesc> {
        let mut raw = ptr::null_mut();
        // SAFETY: writes a new descriptor; alpha and beta are f32.
        let status = unsafe { (table.desc_create)(&mut raw, compute, table::R_32F) };
        table.check("cublasLtMatmulDescCreate", status)?;
        Ok(MatmulDesc { owned: Owned { raw, destroy: table.desc_destroy }, table })
    }

    pub(super) fn set<T: Copy>(&mut self, attribute: c_int, value: T) -> Result<()> {
        // SAFETY: the library copies as many bytes as stated, and refuses a size that is not the attribute's.
        let status =
            unsafe { (self.table.desc_set)(self.owned.raw, attribute, address(&value), size_of::<T>()) };
        self.table.check("cublasLtMatmulDescSetAttribute", status)
    }

    pub(super) fn raw(&self) -> Descriptor {
        self.owned.raw
    }
}

/// Type, shape and stride of a matrix, in cuBLASLt's column-major terms.
#[derive(Debug)]
pub(super) struct Layout(Owned);

impl Layout {
    pub(super) fn new(
        table: &'static Table,
        kind: c_int,
        rows: usize,
        columns: usize,
        batch: usize,
    ) -> Result<Layout> {
        let mut raw = ptr::null_mut();
        // SAFETY: writes a new descriptor; columns follow each other without a gap.
        let status =
            unsafe { (table.layout_create)(&mut raw, kind, rows as u64, columns as u64, rows as i64) };
        table.check("cublasLtMatrixLayoutCreate", status)?;
        let layout = Layout(Owned { raw, destroy: table.layout_destroy });
        if batch > 1 {
            let (count, stride) = (batch as i32, (rows * columns) as i64);
            // SAFETY: the sizes are the attributes'; the library copies the values.
            let statuses = unsafe {
                [
                    (table.layout_set)(raw, table::LAYOUT_BATCH_COUNT, address(&count), 4),
                    (table.layout_set)(raw, table::LAYOUT_BATCH_STRIDE, address(&stride), 8),
                ]
            };
            statuses
                .iter()
                .try_for_each(|&status| table.check("cublasLtMatrixLayoutSetAttribute", status))?;
        }
        Ok(layout)
    }

    pub(super) fn raw(&self) -> Descriptor {
        self.0.raw
    }
}

/// What the heuristics may choose from.
pub(super) struct Preference {
    owned: Owned,
    table: &'static Table,
}

impl Preference {
    pub(super) fn new(table: &'static Table) -> Result<Preference> {
        let mut raw = ptr::null_mut();
        // SAFETY: writes a new descriptor.
        let status = unsafe { (table.preference_create)(&mut raw) };
        table.check("cublasLtMatmulPreferenceCreate", status)?;
        Ok(Preference { owned: Owned { raw, destroy: table.preference_destroy }, table })
    }

    pub(super) fn set<T: Copy>(&mut self, attribute: c_int, value: T) -> Result<()> {
        // SAFETY: the library copies as many bytes as stated, and refuses a size that is not the attribute's.
        let status = unsafe {
            (self.table.preference_set)(self.owned.raw, attribute, address(&value), size_of::<T>())
        };
        self.table.check("cublasLtMatmulPreferenceSetAttribute", status)
    }

    pub(super) fn raw(&self) -> Descriptor {
        self.owned.raw
    }
}

fn address<T>(value: &T) -> *const c_void {
    ptr::from_ref(value).cast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    #[cfg_attr(not(ocelli_cublaslt), ignore = "needs cuBLASLt")]
    fn the_library_takes_every_attribute_with_the_type_we_give_it() {
        let table = Table::get().unwrap();
        let mut desc = MatmulDesc::new(table, table::COMPUTE_32F_FAST_TF32).unwrap();
        desc.set(table::DESC_TRANSA, 1_i32).unwrap();
        desc.set(table::DESC_TRANSB, 0_i32).unwrap();
        desc.set(table::DESC_EPILOGUE, 6_i32).unwrap();
        desc.set(table::DESC_BIAS_POINTER, 256_u64).unwrap();
        let mut preference = Preference::new(table).unwrap();
        preference.set(table::PREF_WORKSPACE_BYTES, 1_usize << 20).unwrap();
        preference.set(table::PREF_REDUCTION_MASK, table::REDUCTION_IN_COMPUTE_TYPE).unwrap();
        for attribute in table::PREF_ALIGNMENTS {
            preference.set(attribute, 16_u32).unwrap();
        }
        Layout::new(table, table::R_16BF, 24, 40, 5).unwrap();
        let error = desc.set(table::DESC_BIAS_POINTER, 1_u8).unwrap_err();
        assert!(
            matches!(&error, Error::CublasLt { name, .. } if name == "CUBLAS_STATUS_INVALID_VALUE"),
            "{error:?}"
        );
    }
}
