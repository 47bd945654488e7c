//! Handles, structures, and the functions that allocators consist of.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use crate::NVJPEG_MAX_COMPONENT;

/// nvJPEG's library context (`nvjpegHandle_t`).
pub type Handle = *mut c_void;
/// A decoder's intermediate results and buffers (`nvjpegJpegState_t`).
pub type JpegState = *mut c_void;
/// A parsed bitstream (`nvjpegJpegStream_t`).
pub type JpegStream = *mut c_void;
/// A decoder of the decoupled calls (`nvjpegJpegDecoder_t`).
pub type JpegDecoder = *mut c_void;
/// What is asked of a decoder (`nvjpegDecodeParams_t`).
pub type DecodeParams = *mut c_void;
/// Pinned memory that a decoder state works in (`nvjpegBufferPinned_t`).
pub type BufferPinned = *mut c_void;
/// Device memory that a decoder state works in (`nvjpegBufferDevice_t`).
pub type BufferDevice = *mut c_void;
/// An encoder's intermediate results and buffers (`nvjpegEncoderState_t`).
pub type EncoderState = *mut c_void;
/// What is asked of an encoder (`nvjpegEncoderParams_t`).
pub type EncoderParams = *mut c_void;
/// A CUDA stream (`cudaStream_t`, the driver's `CUstream`).
pub type Stream = *mut c_void;

/// The planes of an image in device memory (`nvjpegImage_t`); which are used depends on the format.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// The planes' first bytes; unused ones are null.
    pub channel: [*mut u8; NVJPEG_MAX_COMPONENT],
    /// From one row to the next, bytes.
    pub pitch: [usize; NVJPEG_MAX_COMPONENT],
}

impl Default for Image {
    /// No planes.
    fn default() -> Image {
        Image { channel: [ptr::null_mut(); NVJPEG_MAX_COMPONENT], pitch: [0; NVJPEG_MAX_COMPONENT] }
    }
}

/// Declares the types of allocators' functions, each with its C name.
macro_rules! callbacks {
    ($($(#[$meta:meta])* $name:ident = $symbol:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            $(#[$meta])*
            #[doc = concat!("Returns 0, or an error. (`", stringify!($symbol), "`)")]
            pub type $name = unsafe extern "C" fn($($argument: $type),*) -> c_int;
        )*

        /// Every type by its C name, with the types of its arguments.
        #[cfg(test)]
        pub(crate) const CALLBACKS: &[(&str, &[&str])] =
            &[$((stringify!($symbol), &[$(stringify!($type)),*]),)*];
    };
}

callbacks! {
    /// Allocates `size` bytes of device memory.
    DeviceMalloc = tDevMalloc(pointer: *mut *mut c_void, size: usize);
    /// Frees device memory.
    DeviceFree = tDevFree(pointer: *mut c_void);
    /// Allocates `size` bytes of pinned memory; the flags are those of `cudaHostAlloc`.
    PinnedMalloc = tPinnedMalloc(pointer: *mut *mut c_void, size: usize, flags: c_uint);
    /// Frees pinned memory.
    PinnedFree = tPinnedFree(pointer: *mut c_void);
    /// Allocates `size` bytes of device memory, in the order of a stream.
    DeviceMallocV2 = tDevMallocV2(context: *mut c_void, pointer: *mut *mut c_void, size: usize, stream: Stream);
    /// Frees `size` bytes of device memory, in the order of a stream.
    DeviceFreeV2 = tDevFreeV2(context: *mut c_void, pointer: *mut c_void, size: usize, stream: Stream);
    /// Allocates `size` bytes of pinned memory, in the order of a stream.
    PinnedMallocV2 = tPinnedMallocV2(context: *mut c_void, pointer: *mut *mut c_void, size: usize, stream: Stream);
    /// Frees `size` bytes of pinned memory, in the order of a stream.
    PinnedFreeV2 = tPinnedFreeV2(context: *mut c_void, pointer: *mut c_void, size: usize, stream: Stream);
}

/// The caller's allocator of device memory (`nvjpegDevAllocator_t`). A panic must not leave its functions.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DeviceAllocator {
    /// Allocates.
    pub dev_malloc: DeviceMalloc,
    /// Frees.
    pub dev_free: DeviceFree,
}

/// The caller's allocator of pinned memory (`nvjpegPinnedAllocator_t`). A panic must not leave its functions.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PinnedAllocator {
    /// Allocates.
    pub pinned_malloc: PinnedMalloc,
    /// Frees.
    pub pinned_free: PinnedFree,
}

/// The caller's allocator of device memory, in the order of streams (`nvjpegDevAllocatorV2_t`). A panic must not leave
/// its functions.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DeviceAllocatorV2 {
    /// Allocates.
    pub dev_malloc: DeviceMallocV2,
    /// Frees.
    pub dev_free: DeviceFreeV2,
    /// The context handed to both.
    pub dev_ctx: *mut c_void,
}

/// The caller's allocator of pinned memory, in the order of streams (`nvjpegPinnedAllocatorV2_t`). A panic must not
/// leave its functions.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PinnedAllocatorV2 {
    /// Allocates.
    pub pinned_malloc: PinnedMallocV2,
    /// Frees.
    pub pinned_free: PinnedFreeV2,
    /// The context handed to both.
    pub pinned_ctx: *mut c_void,
}
