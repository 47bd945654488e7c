//! The table of function pointers.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::OnceLock;

use ocelli_cuda::Error;
use ocelli_cuda::library::{Library, Opened, open};

use crate::{
    Backend, BufferDevice, BufferPinned, ChromaSubsampling, DecodeParams, DeviceAllocator, DeviceAllocatorV2,
    EncoderBackend, EncoderParams, EncoderState, ExifOrientation, Flags, Handle, Image, InputFormat,
    JpegDecoder, JpegEncoding, JpegState, JpegStream, LibraryProperty, MAJOR_VERSION, MINOR_VERSION,
    NVJPEG_STATUS_SUCCESS, OutputFormat, PATCH_LEVEL, PinnedAllocator, PinnedAllocatorV2, ScaleFactor,
    Status, Stream,
};

/// Declares the table, and how each entry is found by its C name.
macro_rules! functions {
    (
        required { $($(#[$meta:meta])* $field:ident = $symbol:ident($($argument:ident: $type:ty),*) -> $result:ty;)* }
        newer { $($(#[$newer_meta:meta])* $newer_field:ident = $newer_symbol:ident($($newer_argument:ident: $newer_type:ty),*) -> $newer_result:ty;)* }
    ) => {
        /// nvJPEG's functions, found in the library that [`open`] chose.
        ///
        /// Every pointer belongs to a library that stays mapped until the process ends. What each call asks of its
        /// arguments is on [NVIDIA's page](https://docs.nvidia.com/cuda/nvjpeg/index.html). Lengths, sizes, paddings
        /// and pitches are in bytes; widths, heights and offsets in pixels.
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
                let library = library()?;
                Ok(Functions {
                    // SAFETY: each type above is the C declaration's, with its enums as the integers they are in C's ABI.
                    $($field: unsafe { library.symbol(stringify!($symbol))? },)*
                    // SAFETY: as above.
                    $($newer_field: unsafe { library.symbol(stringify!($newer_symbol)).ok() },)*
                })
            }
        }

        /// Every function by its C name, with the types of its arguments.
        #[cfg(test)]
        pub(crate) const PROTOTYPES: &[(&str, &[&str])] = &[
            $((stringify!($symbol), &[$(stringify!($type)),*]),)*
            $((stringify!($newer_symbol), &[$(stringify!($newer_type)),*]),)*
        ];
    };
}

functions! {
    required {
        /// A part of the library's version.
        get_property = nvjpegGetProperty(property: LibraryProperty, value: *mut c_int) -> Status;
        /// A part of the version of the CUDA runtime that the library was built with.
        get_cudart_property = nvjpegGetCudartProperty(property: LibraryProperty, value: *mut c_int) -> Status;

        /// Creates a handle with a backend and an allocator of device memory; null takes CUDA's.
        create = nvjpegCreate(
            backend: Backend, device_allocator: *mut DeviceAllocator, handle: *mut Handle) -> Status;
        /// Creates a handle with the default backend and CUDA's allocators.
        create_simple = nvjpegCreateSimple(handle: *mut Handle) -> Status;
        /// Creates a handle with a backend, allocators and flags; null takes CUDA's allocator. Without a usable driver
        /// it returns `NVJPEG_STATUS_EXECUTION_FAILED` and leaves `handle` as it was.
        create_ex = nvjpegCreateEx(
            backend: Backend, device_allocator: *mut DeviceAllocator, pinned_allocator: *mut PinnedAllocator,
            flags: Flags, handle: *mut Handle) -> Status;
        /// As `create_ex`, with allocators that work in the order of streams.
        create_ex_v2 = nvjpegCreateExV2(
            backend: Backend, device_allocator: *mut DeviceAllocatorV2, pinned_allocator: *mut PinnedAllocatorV2,
            flags: Flags, handle: *mut Handle) -> Status;
        /// Destroys a handle, after everything that was created with it.
        destroy = nvjpegDestroy(handle: Handle) -> Status;
        /// Rounds allocations of device memory up to a multiple, bytes.
        set_device_memory_padding = nvjpegSetDeviceMemoryPadding(padding: usize, handle: Handle) -> Status;
        /// What allocations of device memory are rounded up to, bytes.
        get_device_memory_padding = nvjpegGetDeviceMemoryPadding(padding: *mut usize, handle: Handle) -> Status;
        /// Rounds allocations of pinned memory up to a multiple, bytes.
        set_pinned_memory_padding = nvjpegSetPinnedMemoryPadding(padding: usize, handle: Handle) -> Status;
        /// What allocations of pinned memory are rounded up to, bytes.
        get_pinned_memory_padding = nvjpegGetPinnedMemoryPadding(padding: *mut usize, handle: Handle) -> Status;
        /// The number of JPEG engines that decode, and of cores in each: their product is what they decode at once.
        get_hardware_decoder_info = nvjpegGetHardwareDecoderInfo(
            handle: Handle, engines: *mut c_uint, cores_per_engine: *mut c_uint) -> Status;

        /// Creates a decoder state.
        jpeg_state_create = nvjpegJpegStateCreate(handle: Handle, state: *mut JpegState) -> Status;
        /// Destroys a decoder state, whichever call created it.
        jpeg_state_destroy = nvjpegJpegStateDestroy(state: JpegState) -> Status;
        /// Reads a header: the number of components, and four widths and heights, 0 for absent components. Threads may
        /// call it at once.
        get_image_info = nvjpegGetImageInfo(
            handle: Handle, data: *const u8, length: usize, components: *mut c_int,
            subsampling: *mut ChromaSubsampling, widths: *mut c_int, heights: *mut c_int) -> Status;
        /// Decodes an image from host memory to device memory, on a stream (but see the crate's traps).
        decode = nvjpegDecode(
            handle: Handle, state: JpegState, data: *const u8, length: usize, format: OutputFormat,
            destination: *mut Image, stream: Stream) -> Status;

        /// Makes a state ready for batches of a size; once per size, and again after a batch that failed.
        decode_batched_initialize = nvjpegDecodeBatchedInitialize(
            handle: Handle, state: JpegState, batch_size: c_int, max_cpu_threads: c_int, format: OutputFormat) -> Status;
        /// Allocates for batches of images up to a size, so that decoding them does not.
        decode_batched_pre_allocate = nvjpegDecodeBatchedPreAllocate(
            handle: Handle, state: JpegState, batch_size: c_int, width: c_int, height: c_int,
            subsampling: ChromaSubsampling, format: OutputFormat) -> Status;
        /// Takes Huffman and quantisation tables from a bitstream, for batches of bitstreams without their own.
        decode_batched_parse_jpeg_tables = nvjpegDecodeBatchedParseJpegTables(
            handle: Handle, state: JpegState, data: *const u8, length: usize) -> Status;
        /// Whether the handle's backend decodes a parsed bitstream in a batch: 0 is **yes**.
        decode_batched_supported = nvjpegDecodeBatchedSupported(
            handle: Handle, stream: JpegStream, is_supported: *mut c_int) -> Status;
        /// Whether the handle's backend decodes a parsed bitstream in a batch with these parameters: 0 is **yes**.
        decode_batched_supported_ex = nvjpegDecodeBatchedSupportedEx(
            handle: Handle, stream: JpegStream, parameters: DecodeParams, is_supported: *mut c_int) -> Status;
        /// Decodes a batch; the arrays are as long as it. One bad image fails all. The hardware backend may write before
        /// the stream's earlier work has ended. Four components need the decoupled calls where the backend is the
        /// default or hybrid one.
        decode_batched = nvjpegDecodeBatched(
            handle: Handle, state: JpegState, data: *const *const u8, lengths: *const usize,
            destinations: *mut Image, stream: Stream) -> Status;
        /// Decodes a batch with parameters for each image (an array as long as it); otherwise as `decode_batched`.
        decode_batched_ex = nvjpegDecodeBatchedEx(
            handle: Handle, state: JpegState, data: *const *const u8, lengths: *const usize,
            destinations: *mut Image, parameters: *mut DecodeParams, stream: Stream) -> Status;

        /// Creates a decoder of a backend, for the decoupled calls.
        decoder_create = nvjpegDecoderCreate(
            handle: Handle, implementation: Backend, decoder: *mut JpegDecoder) -> Status;
        /// Destroys a decoder, after the states that were created with it.
        decoder_destroy = nvjpegDecoderDestroy(decoder: JpegDecoder) -> Status;
        /// Whether a decoder decodes a parsed bitstream with these parameters: 0 is **yes**.
        decoder_jpeg_supported = nvjpegDecoderJpegSupported(
            decoder: JpegDecoder, stream: JpegStream, parameters: DecodeParams, is_supported: *mut c_int) -> Status;
        /// Creates a state for a decoder.
        decoder_state_create = nvjpegDecoderStateCreate(
            handle: Handle, decoder: JpegDecoder, state: *mut JpegState) -> Status;
        /// Creates a pinned buffer; a null allocator takes CUDA's.
        buffer_pinned_create = nvjpegBufferPinnedCreate(
            handle: Handle, allocator: *mut PinnedAllocator, buffer: *mut BufferPinned) -> Status;
        /// As `buffer_pinned_create`, with an allocator that works in the order of streams.
        buffer_pinned_create_v2 = nvjpegBufferPinnedCreateV2(
            handle: Handle, allocator: *mut PinnedAllocatorV2, buffer: *mut BufferPinned) -> Status;
        /// A pinned buffer's size in bytes and its memory.
        buffer_pinned_retrieve = nvjpegBufferPinnedRetrieve(
            buffer: BufferPinned, size: *mut usize, pointer: *mut *mut c_void) -> Status;
        /// Destroys a pinned buffer.
        buffer_pinned_destroy = nvjpegBufferPinnedDestroy(buffer: BufferPinned) -> Status;
        /// Creates a device buffer; a null allocator takes CUDA's.
        buffer_device_create = nvjpegBufferDeviceCreate(
            handle: Handle, allocator: *mut DeviceAllocator, buffer: *mut BufferDevice) -> Status;
        /// As `buffer_device_create`, with an allocator that works in the order of streams.
        buffer_device_create_v2 = nvjpegBufferDeviceCreateV2(
            handle: Handle, allocator: *mut DeviceAllocatorV2, buffer: *mut BufferDevice) -> Status;
        /// A device buffer's size in bytes and its memory.
        buffer_device_retrieve = nvjpegBufferDeviceRetrieve(
            buffer: BufferDevice, size: *mut usize, pointer: *mut *mut c_void) -> Status;
        /// Destroys a device buffer.
        buffer_device_destroy = nvjpegBufferDeviceDestroy(buffer: BufferDevice) -> Status;
        /// Lets a state work in a pinned buffer, which the device may still read after an image's host phase: take
        /// another for the next image, or wait.
        state_attach_pinned_buffer = nvjpegStateAttachPinnedBuffer(
            state: JpegState, buffer: BufferPinned) -> Status;
        /// Lets a state work in a device buffer.
        state_attach_device_buffer = nvjpegStateAttachDeviceBuffer(
            state: JpegState, buffer: BufferDevice) -> Status;

        /// Creates an empty bitstream.
        jpeg_stream_create = nvjpegJpegStreamCreate(handle: Handle, stream: *mut JpegStream) -> Status;
        /// Destroys a bitstream.
        jpeg_stream_destroy = nvjpegJpegStreamDestroy(stream: JpegStream) -> Status;
        /// Parses a bitstream. Unless `save_stream` is non-zero, `data` must stay until it has been decoded. Non-zero
        /// `save_metadata` keeps what an encoder can copy.
        jpeg_stream_parse = nvjpegJpegStreamParse(
            handle: Handle, data: *const u8, length: usize, save_metadata: c_int, save_stream: c_int,
            stream: JpegStream) -> Status;
        /// Parses a bitstream's header only. Too little for the hardware backend, which damage further on can break.
        jpeg_stream_parse_header = nvjpegJpegStreamParseHeader(
            handle: Handle, data: *const u8, length: usize, stream: JpegStream) -> Status;
        /// Parses tables, for bitstreams without their own.
        jpeg_stream_parse_tables = nvjpegJpegStreamParseTables(
            handle: Handle, data: *const u8, length: usize, stream: JpegStream) -> Status;
        /// How a bitstream is coded.
        jpeg_stream_get_jpeg_encoding = nvjpegJpegStreamGetJpegEncoding(
            stream: JpegStream, encoding: *mut JpegEncoding) -> Status;
        /// Width and height of a bitstream's frame, pixels, before any EXIF orientation.
        jpeg_stream_get_frame_dimensions = nvjpegJpegStreamGetFrameDimensions(
            stream: JpegStream, width: *mut c_uint, height: *mut c_uint) -> Status;
        /// The number of a bitstream's components.
        jpeg_stream_get_components_num = nvjpegJpegStreamGetComponentsNum(
            stream: JpegStream, components: *mut c_uint) -> Status;
        /// Width and height of a component, from 0, in its own samples.
        jpeg_stream_get_component_dimensions = nvjpegJpegStreamGetComponentDimensions(
            stream: JpegStream, component: c_uint, width: *mut c_uint, height: *mut c_uint) -> Status;
        /// The orientation that a bitstream's EXIF header states.
        jpeg_stream_get_exif_orientation = nvjpegJpegStreamGetExifOrientation(
            stream: JpegStream, orientation: *mut ExifOrientation) -> Status;
        /// A bitstream's chroma subsampling.
        jpeg_stream_get_chroma_subsampling = nvjpegJpegStreamGetChromaSubsampling(
            stream: JpegStream, subsampling: *mut ChromaSubsampling) -> Status;

        /// Creates decoding parameters.
        decode_params_create = nvjpegDecodeParamsCreate(handle: Handle, parameters: *mut DecodeParams) -> Status;
        /// Destroys decoding parameters.
        decode_params_destroy = nvjpegDecodeParamsDestroy(parameters: DecodeParams) -> Status;
        /// Sets the output's format.
        decode_params_set_output_format = nvjpegDecodeParamsSetOutputFormat(
            parameters: DecodeParams, format: OutputFormat) -> Status;
        /// Sets the rectangle to decode, pixels; (0, 0, -1, -1) is the whole image.
        decode_params_set_roi = nvjpegDecodeParamsSetROI(
            parameters: DecodeParams, x: c_int, y: c_int, width: c_int, height: c_int) -> Status;
        /// Non-zero allows CMYK, converted by plain subtraction.
        decode_params_set_allow_cmyk = nvjpegDecodeParamsSetAllowCMYK(
            parameters: DecodeParams, allow: c_int) -> Status;
        /// Sets the scale of the output; only the hardware backend scales.
        decode_params_set_scale_factor = nvjpegDecodeParamsSetScaleFactor(
            parameters: DecodeParams, scale: ScaleFactor) -> Status;
        /// Sets the orientation that the output undoes.
        decode_params_set_exif_orientation = nvjpegDecodeParamsSetExifOrientation(
            parameters: DecodeParams, orientation: ExifOrientation) -> Status;

        /// Decodes a parsed bitstream: the three calls below in one.
        decode_jpeg = nvjpegDecodeJpeg(
            handle: Handle, decoder: JpegDecoder, state: JpegState, bitstream: JpegStream,
            destination: *mut Image, parameters: DecodeParams, stream: Stream) -> Status;
        /// The first phase, on the host alone: leaves its results in the state's pinned buffer.
        decode_jpeg_host = nvjpegDecodeJpegHost(
            handle: Handle, decoder: JpegDecoder, state: JpegState, parameters: DecodeParams,
            bitstream: JpegStream) -> Status;
        /// The second phase: enqueues the copies to the state's device buffer.
        decode_jpeg_transfer_to_device = nvjpegDecodeJpegTransferToDevice(
            handle: Handle, decoder: JpegDecoder, state: JpegState, bitstream: JpegStream, stream: Stream) -> Status;
        /// The third phase: enqueues the device's work, on the second's stream.
        decode_jpeg_device = nvjpegDecodeJpegDevice(
            handle: Handle, decoder: JpegDecoder, state: JpegState, destination: *mut Image, stream: Stream) -> Status;

        /// Creates an encoder state.
        encoder_state_create = nvjpegEncoderStateCreate(
            handle: Handle, state: *mut EncoderState, stream: Stream) -> Status;
        /// Destroys an encoder state.
        encoder_state_destroy = nvjpegEncoderStateDestroy(state: EncoderState) -> Status;
        /// Creates encoding parameters.
        encoder_params_create = nvjpegEncoderParamsCreate(
            handle: Handle, parameters: *mut EncoderParams, stream: Stream) -> Status;
        /// Destroys encoding parameters.
        encoder_params_destroy = nvjpegEncoderParamsDestroy(parameters: EncoderParams) -> Status;
        /// Sets the quality, 1 to 100.
        encoder_params_set_quality = nvjpegEncoderParamsSetQuality(
            parameters: EncoderParams, quality: c_int, stream: Stream) -> Status;
        /// Sets the coding: baseline or progressive.
        encoder_params_set_encoding = nvjpegEncoderParamsSetEncoding(
            parameters: EncoderParams, encoding: JpegEncoding, stream: Stream) -> Status;
        /// Non-zero makes Huffman tables for the image: smaller, slower.
        encoder_params_set_optimized_huffman = nvjpegEncoderParamsSetOptimizedHuffman(
            parameters: EncoderParams, optimized: c_int, stream: Stream) -> Status;
        /// Sets the bitstream's chroma subsampling.
        encoder_params_set_sampling_factors = nvjpegEncoderParamsSetSamplingFactors(
            parameters: EncoderParams, subsampling: ChromaSubsampling, stream: Stream) -> Status;
        /// Copies the metadata (APPn and COM) that a parsed bitstream has kept.
        encoder_params_copy_metadata = nvjpegEncoderParamsCopyMetadata(
            state: EncoderState, parameters: EncoderParams, bitstream: JpegStream, stream: Stream) -> Status;
        /// Copies a parsed bitstream's quantisation tables.
        encoder_params_copy_quantization_tables = nvjpegEncoderParamsCopyQuantizationTables(
            parameters: EncoderParams, bitstream: JpegStream, stream: Stream) -> Status;
        /// The most bytes that a bitstream of an image of that size takes.
        encode_get_buffer_size = nvjpegEncodeGetBufferSize(
            handle: Handle, parameters: EncoderParams, width: c_int, height: c_int, max_length: *mut usize) -> Status;
        /// Encodes planes of Y, Cb and Cr in device memory, which have that subsampling.
        encode_yuv = nvjpegEncodeYUV(
            handle: Handle, state: EncoderState, parameters: EncoderParams, source: *const Image,
            subsampling: ChromaSubsampling, width: c_int, height: c_int, stream: Stream) -> Status;
        /// Encodes red, green and blue in device memory.
        encode_image = nvjpegEncodeImage(
            handle: Handle, state: EncoderState, parameters: EncoderParams, source: *const Image,
            format: InputFormat, width: c_int, height: c_int, stream: Stream) -> Status;
        /// Copies the bitstream to host memory: `length` is the buffer's on entry, the bitstream's on return, bytes. Null
        /// `data` asks for the length alone.
        encode_retrieve_bitstream = nvjpegEncodeRetrieveBitstream(
            handle: Handle, state: EncoderState, data: *mut u8, length: *mut usize, stream: Stream) -> Status;
        /// Copies the bitstream to device memory; otherwise as `encode_retrieve_bitstream`.
        encode_retrieve_bitstream_device = nvjpegEncodeRetrieveBitstreamDevice(
            handle: Handle, state: EncoderState, data: *mut u8, length: *mut usize, stream: Stream) -> Status;
    }
    newer {
        /// Bits per sample of a bitstream. Since 12.2.
        jpeg_stream_get_sample_precision = nvjpegJpegStreamGetSamplePrecision(
            stream: JpegStream, precision: *mut c_uint) -> Status;
        /// Resizes a pinned buffer, bytes. Since 12.3.
        buffer_pinned_resize = nvjpegBufferPinnedResize(
            buffer: BufferPinned, size: usize, stream: Stream) -> Status;
        /// Resizes a device buffer, bytes. Since 12.3.
        buffer_device_resize = nvjpegBufferDeviceResize(
            buffer: BufferDevice, size: usize, stream: Stream) -> Status;
        /// The number of JPEG engines that encode. Since 12.4.
        get_hardware_encoder_info = nvjpegGetHardwareEncoderInfo(handle: Handle, engines: *mut c_uint) -> Status;
        /// Creates an encoder state of a backend. Since 12.4.
        encoder_state_create_with_backend = nvjpegEncoderStateCreateWithBackend(
            handle: Handle, state: *mut EncoderState, backend: EncoderBackend, stream: Stream) -> Status;
        /// Sets the interval of restart markers, which JPEG counts in MCUs. Since 12.4.
        encoder_params_set_restart_interval = nvjpegEncoderParamsSetRestartInterval(
            parameters: EncoderParams, interval: c_uint, stream: Stream) -> Status;
        /// Encodes an image of any input format in device memory. Since 12.4.
        encode = nvjpegEncode(
            handle: Handle, state: EncoderState, parameters: EncoderParams, source: *const Image,
            subsampling: ChromaSubsampling, format: InputFormat, width: c_int, height: c_int, stream: Stream) -> Status;
    }
}

/// The library, opened behind the driver's: the CUDA runtime within it asks for libcuda by name, and ours must be there
/// before the loader searches for one.
fn library() -> ocelli_cuda::Result<&'static Opened> {
    let _ = open(Library::Cuda);
    open(Library::Nvjpeg)
}

/// The version of the nvJPEG that is used: major, minor, patch. It needs no function that an old library lacks, so that a
/// library too old can be refused by its version.
///
/// # Errors
/// No nvJPEG is found, or it does not open.
pub fn version() -> ocelli_cuda::Result<(i32, i32, i32)> {
    let library = library()?;
    // SAFETY: `nvjpegGetProperty` has had this type since CUDA 10.0.
    let get_property: unsafe extern "C" fn(LibraryProperty, *mut c_int) -> Status =
        unsafe { library.symbol("nvjpegGetProperty")? };
    let number = |property| {
        let mut value = 0;
        // SAFETY: the call writes one number, and needs neither handle nor driver.
        match unsafe { get_property(property, &raw mut value) } {
            NVJPEG_STATUS_SUCCESS => Ok(value),
            status => Err(Error::LibraryUnusable {
                library: Library::Nvjpeg,
                path: library.found().path.clone(),
                reason: format!("nvjpegGetProperty({property}) returned {status}"),
            }),
        }
    };
    Ok((number(MAJOR_VERSION)?, number(MINOR_VERSION)?, number(PATCH_LEVEL)?))
}

/// Opens nvJPEG, once in a process, and finds its functions.
///
/// # Errors
/// No nvJPEG is found, it does not open, or it lacks a function (older than 12.0): the error says where was looked.
pub fn functions() -> ocelli_cuda::Result<&'static Functions> {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    if let Some(functions) = FUNCTIONS.get() {
        return Ok(functions);
    }
    let loaded = Functions::load()?;
    Ok(FUNCTIONS.get_or_init(|| loaded))
}
