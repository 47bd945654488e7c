//! Constants of the softmax calls.

constants! {
    /// C's `cudnnSoftmaxAlgorithm_t`.
    SoftmaxAlgorithm {
        CUDNN_SOFTMAX_FAST = 0,
        CUDNN_SOFTMAX_ACCURATE = 1,
        CUDNN_SOFTMAX_LOG = 2,
    }
}

constants! {
    /// C's `cudnnSoftmaxMode_t`.
    SoftmaxMode {
        CUDNN_SOFTMAX_MODE_INSTANCE = 0,
        CUDNN_SOFTMAX_MODE_CHANNEL = 1,
    }
}

constants! {
    /// C's `cudnnTensorFormat_t`.
    TensorFormat {
        CUDNN_TENSOR_NCHW = 0,
        CUDNN_TENSOR_NHWC = 1,
        CUDNN_TENSOR_NCHW_VECT_C = 2,
    }
}
