//! What a decoder writes.

constants! {
    /// C's `nvjpegOutputFormat_t`.
    OutputFormat: i32 {
        /// The components as they are coded, a plane each, of their own sizes.
        NVJPEG_OUTPUT_UNCHANGED = 0,
        /// Y, Cb and Cr, a plane each, of their own sizes.
        NVJPEG_OUTPUT_YUV = 1,
        /// Y alone, or what other colours become as grey; the first plane.
        NVJPEG_OUTPUT_Y = 2,
        /// Red, green and blue, a plane each.
        NVJPEG_OUTPUT_RGB = 3,
        /// Blue, green and red, a plane each.
        NVJPEG_OUTPUT_BGR = 4,
        /// Red, green and blue, interleaved in the first plane.
        NVJPEG_OUTPUT_RGBI = 5,
        /// Blue, green and red, interleaved in the first plane.
        NVJPEG_OUTPUT_BGRI = 6,
        /// The components as they are coded, 16 bits each, interleaved in the first plane. Since 12.2.
        NVJPEG_OUTPUT_UNCHANGEDI_U16 = 7,
        /// Y in the first plane, Cb and Cr interleaved and of half the width and height in the second. Since 12.4.
        NVJPEG_OUTPUT_NV12 = 8,
        /// Y, Cb, Y, Cr in the first plane, the chroma of half the width. Since 12.4.
        NVJPEG_OUTPUT_YUY2 = 9,
        /// The components as they are coded, interleaved in the first plane. Since 13.3.
        NVJPEG_OUTPUT_UNCHANGEDI = 10,
    }
}
