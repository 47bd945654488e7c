//! Encoder kinds.

constants! {
    /// C's `nvjpegEncBackend_t`: how an encoder state encodes. Since 12.4.
    EncoderBackend: i32 {
        /// The library chooses.
        NVJPEG_ENC_BACKEND_DEFAULT = 0,
        /// The device's multiprocessors.
        NVJPEG_ENC_BACKEND_GPU = 1,
        /// The JPEG engines, where the device has some that encode.
        NVJPEG_ENC_BACKEND_HARDWARE = 2,
    }
}
