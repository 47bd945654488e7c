//! How the image lies that an EXIF header describes.

constants! {
    /// C's `nvjpegExifOrientation_t`: the values of EXIF's tag Orientation (0x0112).
    ExifOrientation: i32 {
        /// The header has none.
        NVJPEG_ORIENTATION_UNKNOWN = 0,
        /// Upright: the first row is the top, the first column the left side.
        NVJPEG_ORIENTATION_NORMAL = 1,
        /// Mirrored: the first row is the top, the first column the right side.
        NVJPEG_ORIENTATION_FLIP_HORIZONTAL = 2,
        /// The first row is the bottom, the first column the right side: upright after 180 degrees.
        NVJPEG_ORIENTATION_ROTATE_180 = 3,
        /// Mirrored: the first row is the bottom, the first column the left side.
        NVJPEG_ORIENTATION_FLIP_VERTICAL = 4,
        /// Mirrored: the first row is the left side, the first column the top.
        NVJPEG_ORIENTATION_TRANSPOSE = 5,
        /// The first row is the right side, the first column the top: upright after 90 degrees clockwise.
        NVJPEG_ORIENTATION_ROTATE_90 = 6,
        /// Mirrored: the first row is the right side, the first column the bottom.
        NVJPEG_ORIENTATION_TRANSVERSE = 7,
        /// The first row is the left side, the first column the bottom: upright after 270 degrees clockwise.
        NVJPEG_ORIENTATION_ROTATE_270 = 8,
    }
}
