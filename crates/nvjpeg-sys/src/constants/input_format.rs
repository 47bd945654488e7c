//! What an encoder reads.

constants! {
    /// C's `nvjpegInputFormat_t`.
    InputFormat: i32 {
        /// Y, Cb and Cr, a plane each. Since 12.4.
        NVJPEG_INPUT_YUV = 1,
        /// Red, green and blue, a plane each.
        NVJPEG_INPUT_RGB = 3,
        /// Blue, green and red, a plane each.
        NVJPEG_INPUT_BGR = 4,
        /// Red, green and blue, interleaved in the first plane.
        NVJPEG_INPUT_RGBI = 5,
        /// Blue, green and red, interleaved in the first plane.
        NVJPEG_INPUT_BGRI = 6,
        /// Y in the first plane, Cb and Cr interleaved and of half the width and height in the second. Since 12.4.
        NVJPEG_INPUT_NV12 = 8,
    }
}
