//! One GPU: its context, compute stream, memory pool and loaded kernels.

use std::ffi::{CStr, c_char};
use std::sync::Arc;

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};

use crate::context::Context;
use crate::driver::{self, cu};
use crate::error::{Error, Result};
use crate::kernel::{KernelSource, Module, ModuleCache};
use crate::memory::{DeviceBuffer, MemoryPool, MemoryStats, PinnedBuffer};
use crate::stream::Stream;

/// One GPU, with a compute stream and a memory pool of its own; cloning shares both.
///
/// All work goes to one compute stream, so that launches, copies and the reuse of freed memory are ordered without
/// events. Work on another stream ([`new_stream`](Device::new_stream)) is joined to it by an explicit
/// [`Event`](crate::Event). Two calls of [`Device::new`] give two independent compute streams and pools: a buffer of
/// one must not be handed to the other without an event, and `==` tells them apart.
///
/// A device may be used from any thread: the pool and the module cache are behind locks and the driver's own calls
/// are thread-safe. Threads that share a device share its compute stream, so while one captures
/// ([`Stream::begin_capture`]) the others must not submit work to it.
#[derive(Clone, Debug)]
pub struct Device(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ordinal: usize,
    properties: DeviceProperties,
    modules: ModuleCache,
    pool: Arc<MemoryPool>,
    compute: Stream,
    context: Arc<Context>,
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Device {}

impl Drop for Inner {
    fn drop(&mut self) {
        // The modules are unloaded next, and kernels of theirs may still be running. What failed can be told no more.
        let _ = self.compute.synchronize();
    }
}

/// What a GPU is and has.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeviceProperties {
    /// Marketing name, such as "NVIDIA H200".
    pub name: String,
    /// Compute capability, major and minor.
    pub compute_capability: (u32, u32),
    /// Number of streaming multiprocessors.
    pub multiprocessors: u32,
    /// Threads that may be resident on one multiprocessor.
    pub max_threads_per_multiprocessor: u32,
    /// Threads of a warp.
    pub warp_size: u32,
    /// L2 cache, bytes.
    pub l2_bytes: usize,
    /// Device memory, bytes.
    pub memory_bytes: usize,
    /// Shared memory that a block may opt in to, bytes.
    pub max_shared_bytes_per_block: usize,
    /// Peak clock of the multiprocessors, kHz.
    pub clock_khz: u32,
    /// Peak clock of the memory, kHz.
    pub memory_clock_khz: u32,
    /// Width of the memory bus, bits.
    pub memory_bus_bits: u32,
    /// The driver's CUDA version, major * 1000 + minor * 10.
    pub driver_version: u32,
}

impl DeviceProperties {
    /// The architecture that kernels are compiled for, such as `sm_90`.
    pub fn architecture(&self) -> String {
        let (major, minor) = self.compute_capability;
        format!("sm_{major}{minor}")
    }

    /// Whether [`Function::launch_ahead`](crate::Function::launch_ahead) works, also in a capture: from Hopper on, with
    /// drivers of CUDA 12.3 or newer.
    pub fn launches_ahead(&self) -> bool {
        self.compute_capability >= (9, 0) && self.driver_version >= 12030
    }
}

impl Device {
    /// Number of GPUs that the driver shows (`CUDA_VISIBLE_DEVICES` applies). The first use of the driver asks for
    /// [`connections`](crate::connections()), as that by [`new`](Device::new) does.
    ///
    /// # Errors
    /// When libcuda is missing or unusable, or the driver is too old.
    pub fn count() -> Result<usize> {
        driver::initialise()?;
        let mut count = 0;
        // SAFETY: the driver is initialised.
        unsafe { cu!(cuDeviceGetCount(&mut count)) }?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Opens the GPU `ordinal` (from 0): primary context, one non-default compute stream, an empty memory pool. The first
    /// time, the process asks for as many [`connections`](crate::connections()) as it can have: open the device before you
    /// start threads.
    ///
    /// # Errors
    /// As [`count`](Device::count); [`Error::NoSuchDevice`] for an ordinal out of range.
    pub fn new(ordinal: usize) -> Result<Device> {
        let version = driver::initialise()?;
        let count = Device::count()?;
        if ordinal >= count {
            return Err(Error::NoSuchDevice { ordinal, count });
        }
        let mut device = 0;
        // SAFETY: the driver is initialised; the ordinal is below a count that came from an i32.
        unsafe { cu!(cuDeviceGet(&mut device, ordinal as i32)) }?;
        let properties = read_properties(device, version)?;
        let context = Context::new(device)?;
        let compute = Stream::new(&context)?;
        let pool = MemoryPool::new(&context, &compute);
        let modules = ModuleCache::new(&context, properties.architecture());
        Ok(Device(Arc::new(Inner { ordinal, properties, modules, pool, compute, context })))
    }

    /// Which GPU this is, in the driver's order.
    pub fn ordinal(&self) -> usize {
        self.0.ordinal
    }

    /// What the GPU is and has.
    pub fn properties(&self) -> &DeviceProperties {
        &self.0.properties
    }

    /// The compute stream, on which freed memory is reused.
    pub fn stream(&self) -> &Stream {
        &self.0.compute
    }

    /// A further stream, not ordered with the compute stream except by events.
    ///
    /// # Errors
    /// [`Error::Driver`] when the driver refuses.
    pub fn new_stream(&self) -> Result<Stream> {
        Stream::new(&self.0.context)
    }

    /// Device memory from the pool: contents undefined, 256-byte aligned; zero bytes give a null pointer.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when neither the pool nor the GPU has enough, after the pool has given back what it
    /// keeps unused.
    pub fn alloc(&self, bytes: usize) -> Result<DeviceBuffer> {
        self.0.pool.alloc(bytes)
    }

    /// Page-locked host memory, cached (so the host reads it at full speed) and zeroed.
    ///
    /// # Errors
    /// [`Error::Driver`] when the host has no such memory left.
    pub fn alloc_pinned(&self, bytes: usize) -> Result<PinnedBuffer> {
        PinnedBuffer::new(&self.0.context, bytes)
    }

    /// What the pool has handed out and holds, and what the GPU has free.
    ///
    /// # Errors
    /// [`Error::Driver`] when the GPU cannot be asked.
    pub fn memory(&self) -> Result<MemoryStats> {
        self.0.pool.stats()
    }

    /// Starts the peak of [`memory`](Device::memory) anew from what is in use now.
    pub fn reset_peak_memory(&self) {
        self.0.pool.reset_peak();
    }

    /// Gives the memory that the pool keeps unused back to the GPU; waits for the compute stream first.
    ///
    /// # Errors
    /// [`Error::Driver`] with what earlier work failed with.
    pub fn release_unused_memory(&self) -> Result<()> {
        self.0.pool.release_unused()
    }

    /// Waits until the GPU has finished everything, on all streams. Not while any of them is captured: the driver
    /// refuses, and the capture is lost.
    ///
    /// # Errors
    /// [`Error::Driver`] with what earlier work failed with.
    pub fn synchronize(&self) -> Result<()> {
        self.0.context.synchronize()
    }

    /// Makes the GPU's context current on this thread, for calls into other libraries; ours do it themselves.
    ///
    /// # Errors
    /// [`Error::Driver`] when the driver refuses.
    pub fn bind(&self) -> Result<()> {
        self.0.context.bind()
    }

    /// Compiles a kernel for this GPU and loads it; looked up in memory, then on disk, before NVRTC is asked.
    ///
    /// # Errors
    /// [`Error::CompileFailed`] with NVRTC's log; a library error when NVRTC is missing; [`Error::Driver`] when the
    /// GPU refuses the module.
    pub fn compile(&self, source: &KernelSource) -> Result<Module> {
        self.0.modules.get(source)
    }
}

fn read_properties(device: sys::CUdevice, driver_version: i32) -> Result<DeviceProperties> {
    let attribute = |attribute: Attribute| -> Result<u32> {
        let mut value = 0;
        // SAFETY: the driver is initialised and `device` came from it.
        unsafe { cu!(cuDeviceGetAttribute(&mut value, attribute, device)) }?;
        Ok(value.max(0) as u32)
    };
    let mut name = [0 as c_char; 256];
    let mut memory_bytes = 0;
    // SAFETY: as above; the name buffer is as long as stated, its last byte stays zero.
    unsafe {
        cu!(cuDeviceGetName(name.as_mut_ptr(), name.len() as i32 - 1, device))?;
        cu!(cuDeviceTotalMem_v2(&mut memory_bytes, device))?;
    }
    // SAFETY: ends in a zero byte at the latest at its last place.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    Ok(DeviceProperties {
        name,
        compute_capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        max_threads_per_multiprocessor: attribute(
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR,
        )?,
        warp_size: attribute(Attribute::CU_DEVICE_ATTRIBUTE_WARP_SIZE)?,
        l2_bytes: attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)? as usize,
        memory_bytes,
        max_shared_bytes_per_block: attribute(
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )? as usize,
        clock_khz: attribute(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
        memory_clock_khz: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?,
        memory_bus_bits: attribute(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?,
        driver_version: driver_version.max(0) as u32,
    })
}
