//! Statuses. A newer library may return others: a status is an integer, never an enum.

/// Declares the statuses, and their names and meanings as text: nvJPEG has no function for it.
macro_rules! statuses {
    ($($name:ident = $value:literal: $meaning:literal,)*) => {
        constants! {
            /// C's `nvjpegStatus_t`.
            Status: i32 { $(#[doc = $meaning] $name = $value,)* }
        }

        /// A status's name, `NVJPEG_STATUS_BAD_JPEG`; none of one that is unknown here.
        pub const fn status_name(status: Status) -> Option<&'static str> {
            match status {
                $($name => Some(stringify!($name)),)*
                _ => None,
            }
        }

        /// What a status means, as a sentence; none of one that is unknown here.
        pub const fn status_meaning(status: Status) -> Option<&'static str> {
            match status {
                $($name => Some($meaning),)*
                _ => None,
            }
        }
    };
}

statuses! {
    NVJPEG_STATUS_SUCCESS = 0: "The call succeeded.",
    NVJPEG_STATUS_NOT_INITIALIZED = 1: "The library handle was not initialised.",
    NVJPEG_STATUS_INVALID_PARAMETER = 2: "A parameter is wrong, such as a null pointer or an index out of range.",
    NVJPEG_STATUS_BAD_JPEG = 3: "The bitstream cannot be parsed: it is damaged, or its length is wrong.",
    NVJPEG_STATUS_JPEG_NOT_SUPPORTED = 4: "The bitstream is of a kind that this library or backend does not decode.",
    NVJPEG_STATUS_ALLOCATOR_FAILURE = 5: "An allocator's function returned an error.",
    NVJPEG_STATUS_EXECUTION_FAILED = 6: "Work on the device failed; from a call that creates a handle: no usable driver.",
    NVJPEG_STATUS_ARCH_MISMATCH = 7: "The device lacks what was asked for, such as a JPEG engine.",
    NVJPEG_STATUS_INTERNAL_ERROR = 8: "An error within the library.",
    NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED = 9: "The implementation does not support the call.",
    NVJPEG_STATUS_INCOMPLETE_BITSTREAM = 10: "The bitstream ends early.",
}
