//! Scaling of the decoded image.

constants! {
    /// C's `nvjpegScaleFactor_t`; only the hardware backend scales.
    ScaleFactor: i32 {
        /// Full width and height.
        NVJPEG_SCALE_NONE = 0,
        /// Half the width and height.
        NVJPEG_SCALE_1_BY_2 = 1,
        /// A quarter of the width and height.
        NVJPEG_SCALE_1_BY_4 = 2,
        /// An eighth of the width and height.
        NVJPEG_SCALE_1_BY_8 = 3,
    }
}
