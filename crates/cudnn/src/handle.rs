//! What a plan is made for: a handle on a device, or a description of one.

use std::ptr::null_mut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ocelli_cuda::Device;
use ocelli_cudnn_sys::{self as sys, Functions};

use crate::descriptor::Descriptor;
use crate::error::check;
use crate::{Result, Version};

/// Owns a `cudnnHandle_t`, bound to its device's compute stream.
#[derive(Debug)]
pub(crate) struct Handle {
    raw: sys::Handle,
    functions: &'static Functions,
    device: Device,
    /// Held while work is enqueued: cuDNN allows one thread at a time on a handle.
    enqueue: Mutex<()>,
}

// SAFETY: a handle belongs to a context, not to a thread; calls that enqueue are serialised by `enqueue`, and planning
// only reads the device's properties from it, which NVIDIA's own parallel compilation sample does from many threads.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    pub(crate) fn new(functions: &'static Functions, device: &Device) -> Result<Handle> {
        device.bind()?;
        let mut raw = null_mut();
        // SAFETY: `raw` is a valid place for the handle, and a context is current.
        check(functions, unsafe { (functions.create)(&mut raw) }, || "cudnnCreate".into())?;
        let handle = Handle { raw, functions, device: device.clone(), enqueue: Mutex::new(()) };
        // SAFETY: the handle is alive; so is the stream as long as the device, which the handle keeps.
        let status = unsafe { (functions.set_stream)(raw, device.stream().raw()) };
        check(functions, status, || "cudnnSetStream".into())?;
        Ok(handle)
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn functions(&self) -> &'static Functions {
        self.functions
    }

    /// The device in cuDNN's words, which [`Target::described`] takes.
    pub(crate) fn describe(&self) -> Result<String> {
        self.device.bind()?;
        let mut properties = device_properties(self.functions)?;
        // SAFETY: the handle outlives the descriptor.
        unsafe { properties.set_handle(sys::CUDNN_ATTR_DEVICEPROP_HANDLE, self.raw)? };
        properties.finalize()?;
        properties.get_text(sys::CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION)
    }

    /// The handle to enqueue work with, for as long as the guard lives, its device's context current.
    pub(crate) fn enqueue(&self) -> Result<(sys::Handle, MutexGuard<'_, ()>)> {
        self.device.bind()?;
        // A panic elsewhere while enqueuing leaves nothing of ours half done.
        let guard = self.enqueue.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((self.raw, guard))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: the handle is this value's own and not used again. A failure leaves nothing to be done.
            unsafe { (self.functions.destroy)(self.raw) };
        }
    }
}

fn device_properties(functions: &'static Functions) -> Result<Descriptor> {
    Descriptor::new(functions, sys::CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "device properties")
}

/// What plans are made for.
#[derive(Debug)]
pub(crate) enum Target {
    /// A device at hand.
    Device(Arc<Handle>),
    /// A description of one (`CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR`): plans can be made and kept, not run.
    Description { properties: Descriptor, json: String },
}

impl Target {
    pub(crate) fn described(functions: &'static Functions, json: &str) -> Result<Target> {
        let mut properties = device_properties(functions)?;
        properties.set_text(sys::CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, json)?.finalize()?;
        Ok(Target::Description { properties, json: json.to_owned() })
    }

    pub(crate) fn handle(&self) -> Option<&Arc<Handle>> {
        match self {
            Target::Device(handle) => Some(handle),
            Target::Description { .. } => None,
        }
    }

    /// All that decides which plans are valid and fast: library, device, driver.
    pub(crate) fn identity(&self, version: Version) -> String {
        match self {
            Target::Device(handle) => {
                let properties = handle.device.properties();
                format!(
                    "cuDNN {version}, {} {} with {} multiprocessors, driver {}",
                    properties.name,
                    properties.architecture(),
                    properties.multiprocessors,
                    properties.driver_version
                )
            }
            Target::Description { json, .. } => format!("cuDNN {version}, {json}"),
        }
    }

    /// Gives an operation graph the handle.
    pub(crate) fn set_graph_handle(&self, graph: &mut Descriptor) -> Result<()> {
        if let Target::Device(handle) = self {
            handle.device.bind()?;
            // SAFETY: plans keep their handle alive, and graphs live in plans or shorter.
            unsafe { graph.set_handle(sys::CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle.raw)? };
        }
        Ok(())
    }

    /// Gives heuristics the description.
    pub(crate) fn set_heuristics_device(&self, heuristics: &mut Descriptor) -> Result<()> {
        if let Target::Description { properties, .. } = self {
            heuristics.set_descriptor(sys::CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, properties)?;
        }
        Ok(())
    }

    /// Gives an execution plan the handle or the description.
    pub(crate) fn set_plan_device(&self, plan: &mut Descriptor) -> Result<()> {
        match self {
            Target::Device(handle) => {
                handle.device.bind()?;
                // SAFETY: a plan keeps its handle alive.
                unsafe { plan.set_handle(sys::CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle.raw)? };
            }
            Target::Description { properties, .. } => {
                plan.set_descriptor(sys::CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, properties)?;
            }
        }
        Ok(())
    }
}
