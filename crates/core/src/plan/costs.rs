//! What launches cost: the planner asks before it chooses between two ways to do the same.

use super::{Convolution, ConvolutionKind, MatmulLaunch};
use crate::error::Result;
use crate::ops::ConvFusion;
use crate::types::DType;

/// The time of a launch.
#[derive(Clone, Debug, PartialEq)]
pub enum Cost {
    /// So many microseconds.
    Microseconds(f32),
    /// It cannot be launched, for this reason.
    Refused(String),
}

/// Times of launches. What is measured on a GPU and what is reckoned without one answer the same questions, so that there
/// is no GPU in the planner.
pub trait Costs {
    /// Is told which convolutions will be asked for, so that it can get ready for all of them at once.
    ///
    /// # Errors
    /// A failure to get ready.
    fn announce(&self, _convolutions: &[Convolution]) -> Result<()> {
        Ok(())
    }

    /// The time of a convolution's launch, its operands in device memory.
    ///
    /// # Errors
    /// A failure to find out; a refusal is none.
    fn convolution(&self, convolution: &Convolution) -> Result<Cost>;

    /// Why a matrix product with an epilogue cannot be launched; `None` when it can.
    ///
    /// # Errors
    /// A failure to find out; a refusal is none.
    fn refuses_matmul(&self, _launch: &MatmulLaunch) -> Result<Option<String>> {
        Ok(None)
    }

    /// Microseconds of a launch that does nothing but read or write so many bytes of device memory.
    ///
    /// # Errors
    /// A failure to find out.
    fn bytes(&self, bytes: usize) -> Result<f32>;

    /// Whether the times do not matter: what is not refused is done.
    fn at_any_price(&self) -> bool {
        false
    }
}

/// Times reckoned from a machine's ceilings: a launch takes as long as its bytes or its operations, whichever takes
/// longer. The default is an H200's, by measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Analytic {
    /// Bytes that device memory moves in a microsecond.
    pub bytes: f32,
    /// Operations of tensor cores in a microsecond, in 16 bits; in `f32` a half (TensorFloat-32).
    pub operations: f32,
    /// What a launch takes at least, in microseconds.
    pub launch: f32,
    /// How many times longer a prologue makes a launch take.
    pub prologue: f32,
}

impl Default for Analytic {
    fn default() -> Analytic {
        Analytic { bytes: 4.2e6, operations: 6e8, launch: 2.0, prologue: 1.2 }
    }
}

impl Costs for Analytic {
    fn convolution(&self, convolution: &Convolution) -> Result<Cost> {
        if let Some(reason) = refusal(convolution) {
            return Ok(Cost::Refused(reason.into()));
        }
        let half = convolution.x.dtype.is_half();
        let rate = if half { self.operations } else { self.operations / 2.0 };
        let slower = if convolution.fusion.prologue { self.prologue } else { 1.0 };
        let computing = convolution.operations() as f32 / rate;
        Ok(Cost::Microseconds(computing.max(self.bytes(convolution.bytes())?) * slower))
    }

    fn bytes(&self, bytes: usize) -> Result<f32> {
        Ok((bytes as f32 / self.bytes).max(self.launch))
    }
}

/// Convolutions for nothing, unless they are refused, so that nothing else can be cheaper: for tests of what fused ones
/// compute.
pub(super) struct AtAnyPrice<'a>(pub(super) &'a dyn Costs);

impl Costs for AtAnyPrice<'_> {
    fn announce(&self, convolutions: &[Convolution]) -> Result<()> {
        self.0.announce(convolutions)
    }

    fn convolution(&self, convolution: &Convolution) -> Result<Cost> {
        self.0.convolution(convolution)
    }

    fn refuses_matmul(&self, launch: &MatmulLaunch) -> Result<Option<String>> {
        self.0.refuses_matmul(launch)
    }

    fn bytes(&self, bytes: usize) -> Result<f32> {
        self.0.bytes(bytes)
    }

    fn at_any_price(&self) -> bool {
        true
    }
}

/// Why cuDNN has no ready kernel for a fused convolution, by the rules found by asking versions 9.19 and 9.28 for an
/// H200; `None` when it may have one. Plain convolutions are never refused.
pub fn refusal(convolution: &Convolution) -> Option<&'static str> {
    let Convolution { kind, conv, x, w, y, fusion } = convolution;
    let ConvFusion { prologue, bias, residual, relu, statistics } = *fusion;
    if *fusion == ConvFusion::NONE {
        return None;
    }
    let (c, k) = (x.shape.channels(), y.channels());
    let [_, r, s, _] = w.aligned();
    let batch_norm = prologue || statistics;
    if batch_norm {
        if x.dtype != DType::F16 {
            return Some("the statistics and the prologue exist in f16 alone");
        }
        if !c.is_multiple_of(8) || !k.is_multiple_of(8) {
            return Some("the statistics and the prologue take multiples of 8 channels");
        }
        if conv.groups != 1 {
            return Some("the statistics and the prologue take one group");
        }
        if bias || residual || relu {
            return Some("the statistics and the prologue take no bias, residual or ReLU of the result");
        }
        if r * s > MAX_TAPS_OF_STATISTICS {
            return Some("the statistics and the prologue take filters of few taps");
        }
    }
    match kind {
        ConvolutionKind::Forward if prologue && !statistics => {
            Some("the prologue comes with the statistics or not at all")
        }
        ConvolutionKind::Forward if (residual || relu) && !bias => {
            Some("what is added and ReLU come with a bias or not at all")
        }
        ConvolutionKind::Forward => None,
        ConvolutionKind::BackwardFilter if prologue && !statistics && !bias => None,
        _ => Some("a gradient takes no such work"),
    }
}

/// The largest filter of which cuDNN makes statistics.
const MAX_TAPS_OF_STATISTICS: usize = 32;
