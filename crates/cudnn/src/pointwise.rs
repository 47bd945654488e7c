use ocelli_cudnn_sys as sys;
use serde::{Deserialize, Serialize};

/// Declares the modes beside cuDNN's constants.
macro_rules! modes {
    ($($(#[$meta:meta])* $name:ident = $constant:ident, $operands:ident;)*) => {
        /// What a pointwise operation computes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum PointwiseMode {
            $($(#[$meta])* $name,)*
        }

        impl PointwiseMode {
            pub(crate) fn raw(self) -> sys::PointwiseMode {
                match self {
                    $(PointwiseMode::$name => sys::$constant,)*
                }
            }

            pub(crate) fn operands(self) -> Operands {
                match self {
                    $(PointwiseMode::$name => Operands::$operands,)*
                }
            }
        }
    };
}

/// What a mode takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operands {
    /// `x`.
    One,
    /// `x` and `b`.
    Two,
    /// `x`, the forward's input, and `b`, the gradient of its output.
    Gradient,
}

modes! {
    /// `x + b`.
    Add = CUDNN_POINTWISE_ADD, Two;
    /// `x - b`.
    Sub = CUDNN_POINTWISE_SUB, Two;
    /// `x b`.
    Mul = CUDNN_POINTWISE_MUL, Two;
    /// `x / b`.
    Div = CUDNN_POINTWISE_DIV, Two;
    /// The larger of `x` and `b`.
    Max = CUDNN_POINTWISE_MAX, Two;
    /// The smaller of `x` and `b`.
    Min = CUDNN_POINTWISE_MIN, Two;
    /// `x > b`, a truth value.
    GreaterThan = CUDNN_POINTWISE_CMP_GT, Two;
    /// `x`, in another type.
    Identity = CUDNN_POINTWISE_IDENTITY, One;
    /// Square root.
    Sqrt = CUDNN_POINTWISE_SQRT, One;
    /// One over the square root.
    Rsqrt = CUDNN_POINTWISE_RSQRT, One;
    /// Exponential.
    Exp = CUDNN_POINTWISE_EXP, One;
    /// Natural logarithm.
    Log = CUDNN_POINTWISE_LOG, One;
    /// `max(x, 0)`, or with a slope below zero and an upper limit.
    Relu = CUDNN_POINTWISE_RELU_FWD, One;
    /// Hyperbolic tangent.
    Tanh = CUDNN_POINTWISE_TANH_FWD, One;
    /// Logistic function.
    Sigmoid = CUDNN_POINTWISE_SIGMOID_FWD, One;
    /// Exponential linear unit.
    Elu = CUDNN_POINTWISE_ELU_FWD, One;
    /// Gaussian error linear unit.
    Gelu = CUDNN_POINTWISE_GELU_FWD, One;
    /// Its approximation by tanh.
    GeluTanh = CUDNN_POINTWISE_GELU_APPROX_TANH_FWD, One;
    /// `log(1 + exp(beta x)) / beta`.
    Softplus = CUDNN_POINTWISE_SOFTPLUS_FWD, One;
    /// `x sigmoid(beta x)`.
    Swish = CUDNN_POINTWISE_SWISH_FWD, One;
    /// Gradient of `Relu`.
    ReluBackward = CUDNN_POINTWISE_RELU_BWD, Gradient;
    /// Gradient of `Tanh`.
    TanhBackward = CUDNN_POINTWISE_TANH_BWD, Gradient;
    /// Gradient of `Sigmoid`.
    SigmoidBackward = CUDNN_POINTWISE_SIGMOID_BWD, Gradient;
    /// Gradient of `Elu`.
    EluBackward = CUDNN_POINTWISE_ELU_BWD, Gradient;
    /// Gradient of `Gelu`.
    GeluBackward = CUDNN_POINTWISE_GELU_BWD, Gradient;
    /// Gradient of `GeluTanh`.
    GeluTanhBackward = CUDNN_POINTWISE_GELU_APPROX_TANH_BWD, Gradient;
    /// Gradient of `Softplus`.
    SoftplusBackward = CUDNN_POINTWISE_SOFTPLUS_BWD, Gradient;
    /// Gradient of `Swish`.
    SwishBackward = CUDNN_POINTWISE_SWISH_BWD, Gradient;
}
