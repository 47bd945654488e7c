//! The table of function pointers.

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use ocelli_cuda::library::{Library, open};

use crate::{
    BackendAttributeName, BackendAttributeType, BackendDescriptorType, DataType, SoftmaxAlgorithm,
    SoftmaxMode, Status, TensorFormat,
};

/// cuDNN's library context (`cudnnHandle_t`).
pub type Handle = *mut c_void;
/// A descriptor of the graph API (`cudnnBackendDescriptor_t`).
pub type BackendDescriptor = *mut c_void;
/// A tensor descriptor of the older calls (`cudnnTensorDescriptor_t`), which softmax takes.
pub type TensorDescriptor = *mut c_void;
/// A CUDA stream (`cudaStream_t`, the driver's `CUstream`).
pub type Stream = *mut c_void;
/// A CUDA graph (`cudaGraph_t`, the driver's `CUgraph`).
pub type CudaGraph = *mut c_void;

/// Declares the table, and how each entry is found by its C name.
macro_rules! functions {
    (
        required { $($(#[$meta:meta])* $field:ident = $symbol:ident($($argument:ident: $type:ty),*) -> $result:ty;)* }
        newer { $($(#[$newer_meta:meta])* $newer_field:ident = $newer_symbol:ident($($newer_argument:ident: $newer_type:ty),*) -> $newer_result:ty;)* }
    ) => {
        /// cuDNN's functions, found in the library that [`open`] chose.
        ///
        /// Every pointer belongs to a library that stays mapped until the process ends. What each call asks of its
        /// arguments is on NVIDIA's pages for the
        /// [graph](https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-graph-library.html) and
        /// [operations](https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-ops-library.html) libraries.
        #[derive(Debug, Clone, Copy)]
        pub struct Functions {
            $(
                $(#[$meta])*
                #[doc = concat!("(`", stringify!($symbol), "`)")]
                pub $field: unsafe extern "C" fn($($argument: $type),*) -> $result,
            )*
            $(
                $(#[$newer_meta])*
                #[doc = concat!("(`", stringify!($newer_symbol), "`)")]
                pub $newer_field: Option<unsafe extern "C" fn($($newer_argument: $newer_type),*) -> $newer_result>,
            )*
        }

        impl Functions {
            fn load() -> ocelli_cuda::Result<Functions> {
                let library = open(Library::Cudnn)?;
                Ok(Functions {
                    // SAFETY: each type above is the C declaration's, with its enums as the integers they are in C's ABI.
                    $($field: unsafe { library.symbol(stringify!($symbol))? },)*
                    // SAFETY: as above.
                    $($newer_field: unsafe { library.symbol(stringify!($newer_symbol)).ok() },)*
                })
            }
        }
    };
}

functions! {
    required {
        /// The library's version: 10000 major + 100 minor + patch since 9.0.
        get_version = cudnnGetVersion() -> usize;
        /// A status's name, in static storage.
        get_error_string = cudnnGetErrorString(status: Status) -> *const c_char;
        /// Copies this thread's latest error text, and clears it.
        get_last_error_string = cudnnGetLastErrorString(message: *mut c_char, max_size: usize) -> ();

        /// Creates a handle on the current CUDA context's device.
        create = cudnnCreate(handle: *mut Handle) -> Status;
        /// Destroys a handle.
        destroy = cudnnDestroy(handle: Handle) -> Status;
        /// Sets the stream on which a handle's work runs.
        set_stream = cudnnSetStream(handle: Handle, stream: Stream) -> Status;

        /// Creates a descriptor of the graph API.
        backend_create_descriptor = cudnnBackendCreateDescriptor(
            descriptor_type: BackendDescriptorType, descriptor: *mut BackendDescriptor) -> Status;
        /// Destroys a descriptor.
        backend_destroy_descriptor = cudnnBackendDestroyDescriptor(descriptor: BackendDescriptor) -> Status;
        /// Initialises a descriptor in memory of the caller's.
        backend_initialize = cudnnBackendInitialize(descriptor: BackendDescriptor) -> Status;
        /// Checks a descriptor's attributes and makes it usable.
        backend_finalize = cudnnBackendFinalize(descriptor: BackendDescriptor) -> Status;
        /// Copies values into an attribute.
        backend_set_attribute = cudnnBackendSetAttribute(
            descriptor: BackendDescriptor, name: BackendAttributeName, kind: BackendAttributeType,
            count: i64, values: *const c_void) -> Status;
        /// Copies an attribute's values out, and says how many there are.
        backend_get_attribute = cudnnBackendGetAttribute(
            descriptor: BackendDescriptor, name: BackendAttributeName, kind: BackendAttributeType,
            requested: i64, count: *mut i64, values: *mut c_void) -> Status;
        /// Enqueues a plan's work on the handle's stream.
        backend_execute = cudnnBackendExecute(
            handle: Handle, plan: BackendDescriptor, variant_pack: BackendDescriptor) -> Status;

        /// Creates a tensor descriptor.
        create_tensor_descriptor = cudnnCreateTensorDescriptor(descriptor: *mut TensorDescriptor) -> Status;
        /// Destroys a tensor descriptor.
        destroy_tensor_descriptor = cudnnDestroyTensorDescriptor(descriptor: TensorDescriptor) -> Status;
        /// Describes a packed 4-D tensor.
        set_tensor_4d_descriptor = cudnnSetTensor4dDescriptor(
            descriptor: TensorDescriptor, format: TensorFormat, data_type: DataType,
            n: c_int, c: c_int, h: c_int, w: c_int) -> Status;
        /// Computes `y = alpha softmax(x) + beta y`.
        softmax_forward = cudnnSoftmaxForward(
            handle: Handle, algorithm: SoftmaxAlgorithm, mode: SoftmaxMode,
            alpha: *const c_void, x_descriptor: TensorDescriptor, x: *const c_void,
            beta: *const c_void, y_descriptor: TensorDescriptor, y: *mut c_void) -> Status;
        /// Computes softmax's gradient from its output `y`: `dx = alpha (...) + beta dx`.
        softmax_backward = cudnnSoftmaxBackward(
            handle: Handle, algorithm: SoftmaxAlgorithm, mode: SoftmaxMode,
            alpha: *const c_void, y_descriptor: TensorDescriptor, y: *const c_void,
            dy_descriptor: TensorDescriptor, dy: *const c_void,
            beta: *const c_void, dx_descriptor: TensorDescriptor, dx: *mut c_void) -> Status;
    }
    newer {
        /// Fills an empty CUDA graph with a plan's work. Since 9.5.
        backend_populate_cuda_graph = cudnnBackendPopulateCudaGraph(
            handle: Handle, plan: BackendDescriptor, variant_pack: BackendDescriptor, graph: CudaGraph) -> Status;
        /// Points a populated CUDA graph at other tensors. Since 9.5.
        backend_update_cuda_graph = cudnnBackendUpdateCudaGraph(
            handle: Handle, plan: BackendDescriptor, variant_pack: BackendDescriptor, graph: CudaGraph) -> Status;
    }
}

/// The version of the cuDNN that is used: 10000 major + 100 minor + patch since 9.0, 1000 major + 100 minor + patch
/// before. It needs no function that an old library lacks, so that a library too old can be refused by its version.
///
/// # Errors
/// No cuDNN is found, or it does not open.
pub fn version() -> ocelli_cuda::Result<usize> {
    // SAFETY: `cudnnGetVersion` has had this type since cuDNN 1.
    let get_version: unsafe extern "C" fn() -> usize =
        unsafe { open(Library::Cudnn)?.symbol("cudnnGetVersion")? };
    // SAFETY: the call takes nothing and returns a number.
    Ok(unsafe { get_version() })
}

/// Opens cuDNN, once in a process, and finds its functions.
///
/// # Errors
/// No cuDNN is found, it does not open, or it lacks a function (older than 9.0): the error says where was looked.
pub fn functions() -> ocelli_cuda::Result<&'static Functions> {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    if let Some(functions) = FUNCTIONS.get() {
        return Ok(functions);
    }
    let loaded = Functions::load()?;
    Ok(FUNCTIONS.get_or_init(|| loaded))
}
