//! Decoder kinds.

constants! {
    /// C's `nvjpegBackend_t`: how a handle or a decoder decodes.
    Backend: i32 {
        /// The library chooses.
        NVJPEG_BACKEND_DEFAULT = 0,
        /// The host decodes the Huffman codes, the device the rest.
        NVJPEG_BACKEND_HYBRID = 1,
        /// The device helps with the Huffman codes. In batches, it decodes those of baseline bitstreams with an
        /// interleaved scan only where the batch is larger than 50.
        NVJPEG_BACKEND_GPU_HYBRID = 2,
        /// The JPEG engines: baseline bitstreams with a single scan, no 4:1:0 and 4:1:1. It ignores the order of streams
        /// on Hopper: see the crate's traps.
        NVJPEG_BACKEND_HARDWARE = 3,
        /// As `NVJPEG_BACKEND_GPU_HYBRID`, with the bitstreams of batches in device memory.
        NVJPEG_BACKEND_GPU_HYBRID_DEVICE = 4,
        /// As `NVJPEG_BACKEND_HARDWARE`, with the bitstreams of batches in device memory.
        NVJPEG_BACKEND_HARDWARE_DEVICE = 5,
        /// Lossless bitstreams. Since 12.2. Some of 9 to 15 bits are reported as supported and decoded to zeros.
        /// ([Report](https://github.com/NVIDIA/nvImageCodec/issues/50).)
        NVJPEG_BACKEND_LOSSLESS_JPEG = 6,
    }
}
