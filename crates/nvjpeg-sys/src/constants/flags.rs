//! Flags of a handle.

constants! {
    /// The `flags` of the calls that create a handle, an `unsigned int` in C; any of them, added up.
    Flags: u32 {
        /// None.
        NVJPEG_FLAGS_DEFAULT = 0,
        /// The hardware backend buffers no further images of a batch; others ignore it.
        NVJPEG_FLAGS_HW_DECODE_NO_PIPELINE = 1,
        /// Memory pools within the library.
        NVJPEG_FLAGS_ENABLE_MEMORY_POOLS = 2,
        /// A bitstream that departs from the standard is an error, even where it can be decoded.
        NVJPEG_FLAGS_BITSTREAM_STRICT = 4,
        /// The hybrid backends use less memory where they can.
        NVJPEG_FLAGS_REDUCED_MEMORY_DECODE = 8,
        /// Memory that host and device share is not copied, where the platform can.
        NVJPEG_FLAGS_REDUCED_MEMORY_DECODE_ZERO_COPY = 16,
        /// Chroma is interpolated as libjpeg does by default ("fancy upsampling"), not repeated: pixels come nearer to
        /// those of other decoders. Since 12.1.
        NVJPEG_FLAGS_UPSAMPLING_WITH_INTERPOLATION = 32,
    }
}
