//! A backend descriptor and its attributes.

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

use ocelli_cudnn_sys::{
    self as sys, BackendAttributeName, BackendAttributeType, BackendDescriptorType, Functions,
};

use crate::error::check;
use crate::{DataType, Error, Result};

/// Owns one `cudnnBackendDescriptor_t`.
#[derive(Debug)]
pub(crate) struct Descriptor {
    raw: NonNull<c_void>,
    functions: &'static Functions,
    /// What it describes, for errors.
    what: &'static str,
}

// SAFETY: a descriptor is plain host memory that belongs to no thread.
unsafe impl Send for Descriptor {}
// SAFETY: once finalised a descriptor is only read; what changes it takes `&mut self`.
unsafe impl Sync for Descriptor {}

/// A value that attributes are made of.
///
/// # Safety
/// `KIND` must be the attribute type whose C representation `Self` has, for which any bits are a valid value.
pub(crate) unsafe trait AttributeValue: Copy + Default {
    const KIND: BackendAttributeType;
}

// SAFETY: `CUDNN_TYPE_INT64` is C's `int64_t`.
unsafe impl AttributeValue for i64 {
    const KIND: BackendAttributeType = sys::CUDNN_TYPE_INT64;
}
// SAFETY: `CUDNN_TYPE_FLOAT` is C's `float`.
unsafe impl AttributeValue for f32 {
    const KIND: BackendAttributeType = sys::CUDNN_TYPE_FLOAT;
}
// SAFETY: `CUDNN_TYPE_DOUBLE` is C's `double`.
unsafe impl AttributeValue for f64 {
    const KIND: BackendAttributeType = sys::CUDNN_TYPE_DOUBLE;
}
// SAFETY: `CUDNN_TYPE_CHAR` is C's `char`.
unsafe impl AttributeValue for u8 {
    const KIND: BackendAttributeType = sys::CUDNN_TYPE_CHAR;
}

impl Descriptor {
    pub(crate) fn new(
        functions: &'static Functions,
        kind: BackendDescriptorType,
        what: &'static str,
    ) -> Result<Self> {
        let mut raw = null_mut();
        // SAFETY: `raw` is a valid place for the new descriptor.
        let status = unsafe { (functions.backend_create_descriptor)(kind, &mut raw) };
        check(functions, status, || format!("cudnnBackendCreateDescriptor ({what})"))?;
        match NonNull::new(raw) {
            Some(raw) => Ok(Descriptor { raw, functions, what }),
            None => Err(Error::Cudnn {
                call: format!("cudnnBackendCreateDescriptor ({what})"),
                status: sys::CUDNN_STATUS_INTERNAL_ERROR,
                name: "CUDNN_STATUS_INTERNAL_ERROR".into(),
                reason: "returned no descriptor".into(),
            }),
        }
    }

    pub(crate) fn raw(&self) -> sys::BackendDescriptor {
        self.raw.as_ptr()
    }

    pub(crate) fn functions(&self) -> &'static Functions {
        self.functions
    }

    /// # Safety
    /// `values` points to `count` values of the C type that `kind` names.
    unsafe fn set_raw(
        &mut self,
        name: BackendAttributeName,
        kind: BackendAttributeType,
        count: usize,
        values: *const c_void,
    ) -> Result<()> {
        // SAFETY: the descriptor is alive; the caller answers for `values`, which cuDNN copies.
        let status =
            unsafe { (self.functions.backend_set_attribute)(self.raw(), name, kind, count as i64, values) };
        check(self.functions, status, || {
            format!("cudnnBackendSetAttribute ({}, attribute {name})", self.what)
        })
    }

    pub(crate) fn set<T: AttributeValue>(
        &mut self,
        name: BackendAttributeName,
        values: &[T],
    ) -> Result<&mut Self> {
        // SAFETY: a slice of the C type that `KIND` names.
        unsafe { self.set_raw(name, T::KIND, values.len(), values.as_ptr().cast()) }?;
        Ok(self)
    }

    /// Sets an attribute of one of cuDNN's enums.
    pub(crate) fn set_enum(
        &mut self,
        name: BackendAttributeName,
        kind: BackendAttributeType,
        value: i32,
    ) -> Result<&mut Self> {
        // SAFETY: C's enums are ints here.
        unsafe { self.set_raw(name, kind, 1, (&raw const value).cast()) }?;
        Ok(self)
    }

    pub(crate) fn set_type(&mut self, name: BackendAttributeName, value: DataType) -> Result<&mut Self> {
        self.set_enum(name, sys::CUDNN_TYPE_DATA_TYPE, value.raw())
    }

    pub(crate) fn set_bool(&mut self, name: BackendAttributeName, value: bool) -> Result<&mut Self> {
        // SAFETY: `CUDNN_TYPE_BOOLEAN` is C's `bool`, which is Rust's.
        unsafe { self.set_raw(name, sys::CUDNN_TYPE_BOOLEAN, 1, (&raw const value).cast()) }?;
        Ok(self)
    }

    pub(crate) fn set_descriptors(
        &mut self,
        name: BackendAttributeName,
        values: &[&Descriptor],
    ) -> Result<&mut Self> {
        let raw: Vec<_> = values.iter().map(|value| value.raw()).collect();
        // SAFETY: an array of live descriptors.
        unsafe { self.set_raw(name, sys::CUDNN_TYPE_BACKEND_DESCRIPTOR, raw.len(), raw.as_ptr().cast()) }?;
        Ok(self)
    }

    pub(crate) fn set_descriptor(
        &mut self,
        name: BackendAttributeName,
        value: &Descriptor,
    ) -> Result<&mut Self> {
        self.set_descriptors(name, &[value])
    }

    /// # Safety
    /// The handle is alive, and outlives every use of the descriptor.
    pub(crate) unsafe fn set_handle(
        &mut self,
        name: BackendAttributeName,
        handle: sys::Handle,
    ) -> Result<&mut Self> {
        // SAFETY: `CUDNN_TYPE_HANDLE` is a `cudnnHandle_t`.
        unsafe { self.set_raw(name, sys::CUDNN_TYPE_HANDLE, 1, (&raw const handle).cast()) }?;
        Ok(self)
    }

    pub(crate) fn set_text(&mut self, name: BackendAttributeName, value: &str) -> Result<&mut Self> {
        // cuDNN reads the text as C does: its end is a null, which is counted.
        let text: Vec<u8> = value.bytes().chain([0]).collect();
        self.set(name, &text)
    }

    /// Device addresses; they are kept, and read when the descriptor is executed.
    pub(crate) fn set_addresses(&mut self, name: BackendAttributeName, values: &[u64]) -> Result<&mut Self> {
        // SAFETY: `CUDNN_TYPE_VOID_PTR` is a pointer, 64 bits on every platform with CUDA 12.
        unsafe { self.set_raw(name, sys::CUDNN_TYPE_VOID_PTR, values.len(), values.as_ptr().cast()) }?;
        Ok(self)
    }

    pub(crate) fn finalize(&mut self) -> Result<()> {
        // SAFETY: the descriptor is alive, and those it refers to are.
        let status = unsafe { (self.functions.backend_finalize)(self.raw()) };
        check(self.functions, status, || format!("cudnnBackendFinalize ({})", self.what))
    }

    /// # Safety
    /// `values` has room for `room` values of the C type that `kind` names.
    unsafe fn get_raw(
        &self,
        name: BackendAttributeName,
        kind: BackendAttributeType,
        room: usize,
        values: *mut c_void,
    ) -> Result<usize> {
        let mut count = 0;
        // SAFETY: the descriptor is alive; the caller answers for `values`.
        let status = unsafe {
            (self.functions.backend_get_attribute)(self.raw(), name, kind, room as i64, &mut count, values)
        };
        check(self.functions, status, || {
            format!("cudnnBackendGetAttribute ({}, attribute {name})", self.what)
        })?;
        Ok(count.max(0) as usize)
    }

    /// All values of an attribute, as many as cuDNN says there are.
    pub(crate) fn get<T: AttributeValue>(&self, name: BackendAttributeName) -> Result<Vec<T>> {
        // SAFETY: no room is claimed, so nothing is written.
        let count = unsafe { self.get_raw(name, T::KIND, 0, null_mut()) }?;
        let mut values = vec![T::default(); count];
        // SAFETY: `values` has room for `count` values of the C type that `KIND` names.
        let count = unsafe { self.get_raw(name, T::KIND, count, values.as_mut_ptr().cast()) }?;
        values.truncate(count);
        Ok(values)
    }

    /// The first value of an attribute.
    pub(crate) fn get_one<T: AttributeValue>(&self, name: BackendAttributeName) -> Result<T> {
        let mut value = T::default();
        // SAFETY: room for one value.
        unsafe { self.get_raw(name, T::KIND, 1, (&raw mut value).cast()) }?;
        Ok(value)
    }

    pub(crate) fn get_text(&self, name: BackendAttributeName) -> Result<String> {
        let text: Vec<u8> = self.get(name)?;
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8(text.to_vec())
            .map_err(|error| Error::InvalidText { what: self.what, problem: error.to_string() })
    }

    /// Up to `room` values of an attribute of one of cuDNN's enums.
    pub(crate) fn get_enums(
        &self,
        name: BackendAttributeName,
        kind: BackendAttributeType,
        room: usize,
    ) -> Result<Vec<i32>> {
        let mut values = vec![0; room];
        // SAFETY: `values` has room for `room` ints, which C's enums are.
        let count = unsafe { self.get_raw(name, kind, room, values.as_mut_ptr().cast()) }?;
        values.truncate(count);
        Ok(values)
    }

    /// How many descriptors an attribute holds.
    pub(crate) fn count_descriptors(&self, name: BackendAttributeName) -> Result<usize> {
        // SAFETY: no room is claimed, so nothing is written.
        unsafe { self.get_raw(name, sys::CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, null_mut()) }
    }

    /// Copies an attribute's descriptors into new ones.
    pub(crate) fn get_descriptors(
        &self,
        name: BackendAttributeName,
        kind: BackendDescriptorType,
        what: &'static str,
        room: usize,
    ) -> Result<Vec<Descriptor>> {
        let mut owned = Vec::with_capacity(room);
        for _ in 0..room {
            owned.push(Descriptor::new(self.functions, kind, what)?);
        }
        let mut raw: Vec<_> = owned.iter().map(Descriptor::raw).collect();
        // SAFETY: `raw` holds `room` live descriptors of the kind that cuDNN fills in.
        let count =
            unsafe { self.get_raw(name, sys::CUDNN_TYPE_BACKEND_DESCRIPTOR, room, raw.as_mut_ptr().cast()) }?;
        owned.truncate(count);
        Ok(owned)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the descriptor is this value's own, and not used again. A failure leaves nothing to be done.
        unsafe { (self.functions.backend_destroy_descriptor)(self.raw()) };
    }
}
