//! Parts of a version.

constants! {
    /// C's `libraryPropertyType`.
    LibraryProperty: i32 {
        /// The first number.
        MAJOR_VERSION = 0,
        /// The second.
        MINOR_VERSION = 1,
        /// The third.
        PATCH_LEVEL = 2,
    }
}
