//! How a bitstream is coded.

constants! {
    /// C's `nvjpegJpegEncoding_t`: the low byte of the frame's marker.
    JpegEncoding: i32 {
        /// None that the library knows.
        NVJPEG_ENCODING_UNKNOWN = 0x0,
        /// Baseline (SOF0).
        NVJPEG_ENCODING_BASELINE_DCT = 0xc0,
        /// Extended sequential with Huffman codes (SOF1).
        NVJPEG_ENCODING_EXTENDED_SEQUENTIAL_DCT_HUFFMAN = 0xc1,
        /// Progressive with Huffman codes (SOF2).
        NVJPEG_ENCODING_PROGRESSIVE_DCT_HUFFMAN = 0xc2,
        /// Lossless with Huffman codes (SOF3). Since 12.2.
        NVJPEG_ENCODING_LOSSLESS_HUFFMAN = 0xc3,
    }
}
