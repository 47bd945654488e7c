//! Data types and the modes of operations.

constants! {
    /// C's `cudnnDataType_t`.
    DataType {
        CUDNN_DATA_FLOAT = 0,
        CUDNN_DATA_DOUBLE = 1,
        CUDNN_DATA_HALF = 2,
        CUDNN_DATA_INT8 = 3,
        CUDNN_DATA_INT32 = 4,
        CUDNN_DATA_UINT8 = 6,
        CUDNN_DATA_BFLOAT16 = 9,
        CUDNN_DATA_INT64 = 10,
        CUDNN_DATA_BOOLEAN = 11,
        CUDNN_DATA_UINT32 = 19,
    }
}

constants! {
    /// C's `cudnnConvolutionMode_t`.
    ConvolutionMode {
        CUDNN_CONVOLUTION = 0,
        CUDNN_CROSS_CORRELATION = 1,
    }
}

constants! {
    /// C's `cudnnPointwiseMode_t`.
    PointwiseMode {
        CUDNN_POINTWISE_ADD = 0,
        CUDNN_POINTWISE_ADD_SQUARE = 5,
        CUDNN_POINTWISE_DIV = 6,
        CUDNN_POINTWISE_MAX = 3,
        CUDNN_POINTWISE_MIN = 2,
        CUDNN_POINTWISE_MOD = 7,
        CUDNN_POINTWISE_MUL = 1,
        CUDNN_POINTWISE_POW = 8,
        CUDNN_POINTWISE_SUB = 9,
        CUDNN_POINTWISE_ABS = 10,
        CUDNN_POINTWISE_CEIL = 11,
        CUDNN_POINTWISE_COS = 12,
        CUDNN_POINTWISE_EXP = 13,
        CUDNN_POINTWISE_FLOOR = 14,
        CUDNN_POINTWISE_LOG = 15,
        CUDNN_POINTWISE_NEG = 16,
        CUDNN_POINTWISE_RSQRT = 17,
        CUDNN_POINTWISE_SIN = 18,
        CUDNN_POINTWISE_SQRT = 4,
        CUDNN_POINTWISE_TAN = 19,
        CUDNN_POINTWISE_ERF = 20,
        CUDNN_POINTWISE_IDENTITY = 21,
        CUDNN_POINTWISE_RECIPROCAL = 22,
        CUDNN_POINTWISE_ATAN2 = 23,
        CUDNN_POINTWISE_RELU_FWD = 100,
        CUDNN_POINTWISE_TANH_FWD = 101,
        CUDNN_POINTWISE_SIGMOID_FWD = 102,
        CUDNN_POINTWISE_ELU_FWD = 103,
        CUDNN_POINTWISE_GELU_FWD = 104,
        CUDNN_POINTWISE_SOFTPLUS_FWD = 105,
        CUDNN_POINTWISE_SWISH_FWD = 106,
        CUDNN_POINTWISE_GELU_APPROX_TANH_FWD = 107,
        CUDNN_POINTWISE_RELU_BWD = 200,
        CUDNN_POINTWISE_TANH_BWD = 201,
        CUDNN_POINTWISE_SIGMOID_BWD = 202,
        CUDNN_POINTWISE_ELU_BWD = 203,
        CUDNN_POINTWISE_GELU_BWD = 204,
        CUDNN_POINTWISE_SOFTPLUS_BWD = 205,
        CUDNN_POINTWISE_SWISH_BWD = 206,
        CUDNN_POINTWISE_GELU_APPROX_TANH_BWD = 207,
        CUDNN_POINTWISE_CMP_EQ = 300,
        CUDNN_POINTWISE_CMP_NEQ = 301,
        CUDNN_POINTWISE_CMP_GT = 302,
        CUDNN_POINTWISE_CMP_GE = 303,
        CUDNN_POINTWISE_CMP_LT = 304,
        CUDNN_POINTWISE_CMP_LE = 305,
        CUDNN_POINTWISE_LOGICAL_AND = 400,
        CUDNN_POINTWISE_LOGICAL_OR = 401,
        CUDNN_POINTWISE_LOGICAL_NOT = 402,
        CUDNN_POINTWISE_GEN_INDEX = 501,
        CUDNN_POINTWISE_BINARY_SELECT = 601,
    }
}

constants! {
    /// C's `cudnnReduceTensorOp_t`.
    ReduceTensorOp {
        CUDNN_REDUCE_TENSOR_ADD = 0,
        CUDNN_REDUCE_TENSOR_MUL = 1,
        CUDNN_REDUCE_TENSOR_MIN = 2,
        CUDNN_REDUCE_TENSOR_MAX = 3,
        CUDNN_REDUCE_TENSOR_AMAX = 4,
        CUDNN_REDUCE_TENSOR_AVG = 5,
        CUDNN_REDUCE_TENSOR_NORM1 = 6,
        CUDNN_REDUCE_TENSOR_NORM2 = 7,
        CUDNN_REDUCE_TENSOR_MUL_NO_ZEROS = 8,
    }
}

constants! {
    /// C's `cudnnGenStatsMode_t`.
    GenStatsMode {
        CUDNN_GENSTATS_SUM_SQSUM = 0,
    }
}

constants! {
    /// C's `cudnnBnFinalizeStatsMode_t`.
    BnFinalizeStatsMode {
        CUDNN_BN_FINALIZE_STATISTICS_TRAINING = 0,
        CUDNN_BN_FINALIZE_STATISTICS_INFERENCE = 1,
    }
}

constants! {
    /// C's `cudnnResampleMode_t`.
    ResampleMode {
        CUDNN_RESAMPLE_NEAREST = 0,
        CUDNN_RESAMPLE_BILINEAR = 1,
        CUDNN_RESAMPLE_AVGPOOL = 2,
        CUDNN_RESAMPLE_AVGPOOL_INCLUDE_PADDING = 2,
        CUDNN_RESAMPLE_AVGPOOL_EXCLUDE_PADDING = 4,
        CUDNN_RESAMPLE_MAXPOOL = 3,
    }
}

constants! {
    /// C's `cudnnPaddingMode_t`.
    PaddingMode {
        CUDNN_ZERO_PAD = 0,
        CUDNN_NEG_INF_PAD = 1,
        CUDNN_EDGE_VAL_PAD = 2,
    }
}

constants! {
    /// C's `cudnnBackendNormMode_t`.
    NormMode {
        CUDNN_LAYER_NORM = 0,
        CUDNN_INSTANCE_NORM = 1,
        CUDNN_BATCH_NORM = 2,
        CUDNN_GROUP_NORM = 3,
        CUDNN_RMS_NORM = 4,
        CUDNN_ADA_LAYER_NORM = 5,
    }
}

constants! {
    /// C's `cudnnBackendNormFwdPhase_t`.
    NormForwardPhase {
        CUDNN_NORM_FWD_INFERENCE = 0,
        CUDNN_NORM_FWD_TRAINING = 1,
    }
}
