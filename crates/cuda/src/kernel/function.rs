//! One kernel of a loaded module.

use cudarc::driver::sys::{self, CUfunction_attribute as Attribute};

use super::{KernelArgs, Module};
use crate::driver::cu;
use crate::error::Result;
use crate::stream::Stream;

/// A kernel that can be launched; keeps its module loaded.
///
/// May be used from any thread: the handle is constant and the driver's launch call is thread-safe.
#[derive(Clone, Debug)]
pub struct Function {
    raw: sys::CUfunction,
    module: Module,
}

// SAFETY: a constant handle of a module that `module` keeps loaded; the driver's calls on it are thread-safe.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// What a kernel takes of a multiprocessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionAttributes {
    /// Registers of a thread.
    pub registers: u32,
    /// Statically declared shared memory of a block, bytes.
    pub shared_bytes: u32,
    /// Local memory of a thread, bytes: spilled registers and stack.
    pub local_bytes: u32,
    /// The largest block it can be launched with, threads.
    pub max_threads_per_block: u32,
}

impl Function {
    pub(crate) fn new(raw: sys::CUfunction, module: Module) -> Function {
        Function { raw, module }
    }

    /// What the kernel takes of a multiprocessor.
    ///
    /// # Errors
    /// [`Error::Driver`](crate::Error::Driver) when the driver refuses.
    pub fn attributes(&self) -> Result<FunctionAttributes> {
        self.module.context().bind()?;
        let attribute = |attribute: Attribute| -> Result<u32> {
            let mut value = 0;
            // SAFETY: the function is loaded.
            unsafe { cu!(cuFuncGetAttribute(&mut value, attribute, self.raw)) }?;
            Ok(value.max(0) as u32)
        };
        Ok(FunctionAttributes {
            registers: attribute(Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
            shared_bytes: attribute(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?,
            local_bytes: attribute(Attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
            max_threads_per_block: attribute(Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
        })
    }

    /// Blocks of `threads` threads and `dynamic_shared` bytes that fit on one multiprocessor at once.
    ///
    /// # Errors
    /// [`Error::Driver`](crate::Error::Driver) when the driver refuses.
    pub fn max_active_blocks(&self, threads: u32, dynamic_shared: usize) -> Result<u32> {
        self.module.context().bind()?;
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        let mut blocks = 0;
        // SAFETY: the function is loaded; the driver checks the numbers.
        unsafe {
            cu!(cuOccupancyMaxActiveBlocksPerMultiprocessor(&mut blocks, self.raw, threads, dynamic_shared))
        }?;
        Ok(blocks.max(0) as u32)
    }

    /// Permits launches with up to `bytes` of dynamic shared memory, needed above 48 KiB.
    ///
    /// # Errors
    /// [`Error::Driver`](crate::Error::Driver) when the GPU has less for a block.
    pub fn set_max_dynamic_shared(&self, bytes: u32) -> Result<()> {
        self.module.context().bind()?;
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function is loaded; the driver checks the number.
        unsafe { cu!(cuFuncSetAttribute(self.raw, attribute, bytes)) }
    }

    /// Launches the kernel on `stream`, asynchronously; `grid` counts blocks and `block` threads, x first.
    ///
    /// # Errors
    /// [`Error::Driver`](crate::Error::Driver) when the launch is refused, or with what earlier work failed with.
    ///
    /// # Safety
    /// The arguments must match the kernel's parameters in number, order and type, and every pointer among them be
    /// valid, for the accesses the kernel makes, until the stream has run it. A clone of the function must be kept as
    /// long, as unloading its module does not wait; on a device's compute stream the device sees to that.
    pub unsafe fn launch(
        &self,
        stream: &Stream,
        grid: [u32; 3],
        block: [u32; 3],
        shared_bytes: u32,
        args: &KernelArgs,
    ) -> Result<()> {
        self.module.context().bind()?;
        let ([gx, gy, gz], [bx, by, bz]) = (grid, block);
        let (raw, stream, pointers) = (self.raw, stream.handle(), args.pointers());
        let no_extra = std::ptr::null_mut();
        // SAFETY: the function and the stream are alive; the arguments are the caller's promise.
        unsafe { cu!(cuLaunchKernel(raw, gx, gy, gz, bx, by, bz, shared_bytes, stream, pointers, no_extra)) }
    }

    /// Launches a kernel that waits for earlier work itself: its blocks may take their places while the kernel before it on
    /// the stream runs its last ones, which hides what a launch costs. NVIDIA calls it
    /// [programmatic dependent launch](https://docs.nvidia.com/cuda/cuda-c-programming-guide/#programmatic-dependent-launch-and-synchronization);
    /// [`DeviceProperties::launches_ahead`](crate::DeviceProperties::launches_ahead) tells where it can be had.
    ///
    /// # Errors
    /// As [`launch`](Function::launch).
    ///
    /// # Safety
    /// As [`launch`](Function::launch); and every thread of the kernel must execute `griddepcontrol.wait` before it reads
    /// or writes device memory.
    pub unsafe fn launch_ahead(
        &self,
        stream: &Stream,
        [grid_x, grid_y, grid_z]: [u32; 3],
        [block_x, block_y, block_z]: [u32; 3],
        shared_bytes: u32,
        args: &KernelArgs,
    ) -> Result<()> {
        self.module.context().bind()?;
        let mut ahead = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        let config = sys::CUlaunchConfig {
            gridDimX: grid_x,
            gridDimY: grid_y,
            gridDimZ: grid_z,
            blockDimX: block_x,
            blockDimY: block_y,
            blockDimZ: block_z,
            sharedMemBytes: shared_bytes,
            hStream: stream.handle(),
            attrs: &mut ahead,
            numAttrs: 1,
        };
        let no_extra = std::ptr::null_mut();
        // SAFETY: the function and the stream are alive, and the driver copies the configuration; the arguments are the
        // caller's promise.
        unsafe { cu!(cuLaunchKernelEx(&config, self.raw, args.pointers(), no_extra)) }
    }
}
