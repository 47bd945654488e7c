//! GPU-only deep learning for vision, on cuDNN.
