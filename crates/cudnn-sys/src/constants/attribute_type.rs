//! Types of the values that `cudnnBackendSetAttribute` and `cudnnBackendGetAttribute` copy.

constants! {
    /// C's `cudnnBackendAttributeType_t`.
    BackendAttributeType {
        CUDNN_TYPE_HANDLE = 0,
        CUDNN_TYPE_DATA_TYPE = 1,
        CUDNN_TYPE_BOOLEAN = 2,
        CUDNN_TYPE_INT64 = 3,
        CUDNN_TYPE_FLOAT = 4,
        CUDNN_TYPE_DOUBLE = 5,
        CUDNN_TYPE_VOID_PTR = 6,
        CUDNN_TYPE_CONVOLUTION_MODE = 7,
        CUDNN_TYPE_HEUR_MODE = 8,
        CUDNN_TYPE_KNOB_TYPE = 9,
        CUDNN_TYPE_NUMERICAL_NOTE = 11,
        CUDNN_TYPE_LAYOUT_TYPE = 12,
        CUDNN_TYPE_ATTRIB_NAME = 13,
        CUDNN_TYPE_POINTWISE_MODE = 14,
        CUDNN_TYPE_BACKEND_DESCRIPTOR = 15,
        CUDNN_TYPE_GENSTATS_MODE = 16,
        CUDNN_TYPE_BN_FINALIZE_STATS_MODE = 17,
        CUDNN_TYPE_REDUCTION_OPERATOR_TYPE = 18,
        CUDNN_TYPE_BEHAVIOR_NOTE = 19,
        CUDNN_TYPE_TENSOR_REORDERING_MODE = 20,
        CUDNN_TYPE_RESAMPLE_MODE = 21,
        CUDNN_TYPE_PADDING_MODE = 22,
        CUDNN_TYPE_INT32 = 23,
        CUDNN_TYPE_CHAR = 24,
        CUDNN_TYPE_FRACTION = 26,
        CUDNN_TYPE_NORM_MODE = 27,
        CUDNN_TYPE_NORM_FWD_PHASE = 28,
    }
}
