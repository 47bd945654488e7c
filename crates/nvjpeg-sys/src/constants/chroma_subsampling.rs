//! How many samples chroma has, against those of luma.

constants! {
    /// C's `nvjpegChromaSubsampling_t`.
    ChromaSubsampling: i32 {
        /// Full width and height.
        NVJPEG_CSS_444 = 0,
        /// Half the width.
        NVJPEG_CSS_422 = 1,
        /// Half the width and height.
        NVJPEG_CSS_420 = 2,
        /// Half the height.
        NVJPEG_CSS_440 = 3,
        /// A quarter of the width.
        NVJPEG_CSS_411 = 4,
        /// A quarter of the width, half the height.
        NVJPEG_CSS_410 = 5,
        /// No chroma: one component.
        NVJPEG_CSS_GRAY = 6,
        /// 4:1:0 in its vertical form.
        NVJPEG_CSS_410V = 7,
        /// Another number of components, or factors that are none of these.
        NVJPEG_CSS_UNKNOWN = -1,
    }
}
