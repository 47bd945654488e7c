//! The driver API behind every other module: opened and initialised once, its statuses turned into errors.
//!
//! The types are cudarc's; the table of functions is ours, filled from the libcuda that [`library::open`] chose. cudarc
//! looks libcuda up by bare names, `libcuda.so` first: with one libcuda chosen and another of that name on the loader's
//! path, it maps the second and runs it. It also panics on a missing function, and its status is a Rust enum, which a
//! status that a newer driver invents must not become.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_ulonglong, c_void};
use std::ptr;
use std::sync::OnceLock;

use cudarc::driver::sys::{
    CUcontext, CUdevice, CUdevice_attribute, CUdeviceptr, CUevent, CUfunction, CUfunction_attribute, CUgraph,
    CUgraphExec, CUgraphNode, CUlaunchConfig, CUmodule, CUstream, CUstreamCaptureMode, CUstreamCaptureStatus,
};

use crate::connections;
use crate::error::{Error, Result};
use crate::library::{self, Library};

/// The oldest driver whose symbols and graph behaviour this crate relies on (CUDA 12.0, driver 525).
const OLDEST_DRIVER: i32 = 12000;

/// Declares the table; each field is called what the function is called in libcuda.
macro_rules! table {
    ($($name:ident($($argument:ty),* $(,)?);)*) => {
        /// libcuda's functions, with the prototypes of cuda.h; statuses are plain integers.
        #[expect(non_snake_case, reason = "the names of libcuda")]
        pub(crate) struct Table {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Table {
            fn load() -> Result<Table> {
                let library = library::open(Library::Cuda)?;
                // SAFETY: the types are those of cuda.h since CUDA 12.0.
                Ok(unsafe { Table { $($name: library.symbol(stringify!($name))?,)* } })
            }
        }
    };
}

table! {
    cuCtxGetCurrent(*mut CUcontext);
    cuCtxSetCurrent(CUcontext);
    cuCtxSynchronize();
    cuDeviceGet(*mut CUdevice, c_int);
    cuDeviceGetAttribute(*mut c_int, CUdevice_attribute, CUdevice);
    cuDeviceGetCount(*mut c_int);
    cuDeviceGetName(*mut c_char, c_int, CUdevice);
    cuDevicePrimaryCtxRelease_v2(CUdevice);
    cuDevicePrimaryCtxRetain(*mut CUcontext, CUdevice);
    cuDeviceTotalMem_v2(*mut usize, CUdevice);
    cuDriverGetVersion(*mut c_int);
    cuEventCreate(*mut CUevent, c_uint);
    cuEventDestroy_v2(CUevent);
    cuEventElapsedTime(*mut f32, CUevent, CUevent);
    cuEventQuery(CUevent);
    cuEventRecord(CUevent, CUstream);
    cuEventRecordWithFlags(CUevent, CUstream, c_uint);
    cuEventSynchronize(CUevent);
    cuFuncGetAttribute(*mut c_int, CUfunction_attribute, CUfunction);
    cuFuncSetAttribute(CUfunction, CUfunction_attribute, c_int);
    cuGetErrorName(c_int, *mut *const c_char);
    cuGetErrorString(c_int, *mut *const c_char);
    cuGraphChildGraphNodeGetGraph(CUgraphNode, *mut CUgraph);
    cuGraphDestroy(CUgraph);
    cuGraphExecDestroy(CUgraphExec);
    cuGraphGetNodes(CUgraph, *mut CUgraphNode, *mut usize);
    cuGraphInstantiateWithFlags(*mut CUgraphExec, CUgraph, c_ulonglong);
    cuGraphLaunch(CUgraphExec, CUstream);
    cuGraphNodeGetType(CUgraphNode, *mut c_uint);
    cuGraphUpload(CUgraphExec, CUstream);
    cuInit(c_uint);
    cuLaunchKernel(CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream, *mut *mut c_void, *mut *mut c_void);
    cuLaunchKernelEx(*const CUlaunchConfig, CUfunction, *mut *mut c_void, *mut *mut c_void);
    cuMemAlloc_v2(*mut CUdeviceptr, usize);
    cuMemFreeHost(*mut c_void);
    cuMemFree_v2(CUdeviceptr);
    cuMemGetInfo_v2(*mut usize, *mut usize);
    cuMemHostAlloc(*mut *mut c_void, usize, c_uint);
    cuMemcpyDtoDAsync_v2(CUdeviceptr, CUdeviceptr, usize, CUstream);
    cuMemcpyDtoHAsync_v2(*mut c_void, CUdeviceptr, usize, CUstream);
    cuMemcpyHtoDAsync_v2(CUdeviceptr, *const c_void, usize, CUstream);
    cuMemsetD8Async(CUdeviceptr, c_uchar, usize, CUstream);
    cuModuleGetFunction(*mut CUfunction, CUmodule, *const c_char);
    cuModuleLoadData(*mut CUmodule, *const c_void);
    cuModuleUnload(CUmodule);
    cuOccupancyMaxActiveBlocksPerMultiprocessor(*mut c_int, CUfunction, c_int, usize);
    cuStreamBeginCapture_v2(CUstream, CUstreamCaptureMode);
    cuStreamCreate(*mut CUstream, c_uint);
    cuStreamDestroy_v2(CUstream);
    cuStreamEndCapture(CUstream, *mut CUgraph);
    cuStreamIsCapturing(CUstream, *mut CUstreamCaptureStatus);
    cuStreamSynchronize(CUstream);
    cuStreamWaitEvent(CUstream, CUevent, c_uint);
    cuThreadExchangeStreamCaptureMode(*mut CUstreamCaptureMode);
}

/// The functions of this process's libcuda, opened at the first call.
pub(crate) fn table() -> Result<&'static Table> {
    static TABLE: OnceLock<Table> = OnceLock::new();
    match TABLE.get() {
        Some(table) => Ok(table),
        None => {
            let table = Table::load()?;
            Ok(TABLE.get_or_init(|| table))
        }
    }
}

/// Calls a driver function and turns its status into a [`Result`].
///
/// Expands to an unsafe call: the caller writes the `unsafe` block and says why it is sound.
macro_rules! cu {
    ($name:ident($($argument:expr),* $(,)?)) => {
        match $crate::driver::table() {
            Ok(table) => $crate::driver::check(stringify!($name), (table.$name)($($argument),*)),
            Err(error) => Err(error),
        }
    };
}
pub(crate) use cu;

/// Turns a driver status into a result that carries the driver's own name and text of it.
pub(crate) fn check(call: &'static str, code: c_int) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    let table = table()?;
    let mut name: *const c_char = ptr::null();
    let mut message: *const c_char = ptr::null();
    // SAFETY: both calls only write a pointer to a static string, or null for an unknown status.
    unsafe {
        (table.cuGetErrorName)(code, &mut name);
        (table.cuGetErrorString)(code, &mut message);
    }
    Err(Error::Driver { call, code, name: text(name), message: text(message) })
}

/// Copies a static C string of one of NVIDIA's libraries; null gives "unknown".
pub(crate) fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return "unknown".to_owned();
    }
    // SAFETY: not null, and NVIDIA's status strings are static and end in a zero byte.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// Opens libcuda and initialises it; returns its version as major * 1000 + minor * 10.
pub(crate) fn initialise() -> Result<i32> {
    connections::ask_for_most();
    let mut version = 0;
    // SAFETY: the version may be read before cuInit.
    unsafe { cu!(cuDriverGetVersion(&mut version)) }?;
    if version < OLDEST_DRIVER {
        return Err(Error::DriverTooOld { found: version, needed: OLDEST_DRIVER });
    }
    // SAFETY: may run any number of times.
    unsafe { cu!(cuInit(0)) }?;
    Ok(version)
}
