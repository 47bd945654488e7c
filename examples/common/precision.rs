//! The precision of a network, as an option.

use clap::ValueEnum;
use ocelli::Precision;

/// The element type of convolutions and matrix products.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum PrecisionOption {
    /// Half precision
    #[value(alias = "fp16")]
    F16,
    /// bfloat16
    Bf16,
    /// Single precision
    F32,
    /// Single precision, whose products round their operands to TensorFloat-32
    Tf32,
}

impl From<PrecisionOption> for Precision {
    fn from(option: PrecisionOption) -> Precision {
        match option {
            PrecisionOption::F16 => Precision::mixed_f16(),
            PrecisionOption::Bf16 => Precision::mixed_bf16(),
            PrecisionOption::F32 => Precision::F32,
            PrecisionOption::Tf32 => Precision::Tf32,
        }
    }
}
