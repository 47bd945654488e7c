//! Convolutions in the libraries' terms: cuDNN's operation graphs, and cuBLASLt's matrix products for those that are one.

use ocelli_cuda::cublaslt::{Epilogue, MatmulSpec, ScalarType};
use ocelli_cudnn::{
    ConvolutionSpec, DataType, Operation, OperationGraph, PointwiseMode, PointwiseParameters, TensorSpec,
};

use crate::device::Precision;
use crate::execute::launch::MatmulOperands;
use crate::ops::{Conv2d, ConvFusion};
use crate::plan::{Convolution, ConvolutionKind, Operand};
use crate::types::DType;

/// The identity of a tensor in cuDNN's graph.
pub(in crate::execute) fn uid(operand: Operand) -> i64 {
    operand as i64 + 1
}

/// The element type in cuDNN's terms.
fn data_type(dtype: DType) -> DataType {
    match dtype {
        DType::F32 => DataType::F32,
        DType::F16 => DataType::F16,
        DType::BF16 => DataType::BF16,
        DType::I32 => DataType::I32,
        DType::U8 => DataType::U8,
    }
}

/// What cuDNN is to do.
pub(super) fn describe(convolution: &Convolution) -> OperationGraph {
    let Convolution { kind, conv, fusion, .. } = *convolution;
    let tensor = |operand| {
        let ty = convolution.operand(operand);
        let [n, h, w, c] = ty.shape.aligned().map(|extent| extent as i64);
        let spec = TensorSpec::nhwc(uid(operand), data_type(ty.dtype), n, h, w, c);
        spec.aligned(crate::plan::memory::ALIGNMENT as i64)
    };
    let pair = |extents: [usize; 2]| extents.map(|extent| extent as i64);
    let spec = ConvolutionSpec {
        padding: pair(conv.padding),
        stride: pair(conv.stride),
        dilation: pair(conv.dilation),
        compute: DataType::F32,
    };
    let mut chain = Chain::default();
    let (mut x, w, y) = (tensor(Operand::X), tensor(Operand::W), tensor(Operand::Y));
    if fusion.prologue {
        let scaled = chain.apply(PointwiseMode::Mul, x.clone(), Some(tensor(Operand::Scale)), None);
        let shifted = chain.apply(PointwiseMode::Add, scaled, Some(tensor(Operand::Shift)), None);
        let z = TensorSpec { data_type: x.data_type, ..chain.between(&x) };
        x = chain.apply(PointwiseMode::Relu, shifted, None, Some(z));
    }
    match kind {
        ConvolutionKind::BackwardData => {
            chain.operations.push(Operation::ConvolutionBackwardData { dy: y, w, dx: x, spec });
        }
        ConvolutionKind::BackwardFilter => {
            chain.operations.push(Operation::ConvolutionBackwardFilter { x, dy: y, dw: w, spec });
        }
        // cuDNN knows what is added before the bias, and no other order.
        ConvolutionKind::Forward => {
            let steps = [
                fusion.residual.then(|| (PointwiseMode::Add, Some(tensor(Operand::Residual)))),
                fusion.bias.then(|| (PointwiseMode::Add, Some(tensor(Operand::Bias)))),
                fusion.relu.then_some((PointwiseMode::Relu, None)),
            ];
            let steps: Vec<_> = steps.into_iter().flatten().collect();
            let mut result = if steps.is_empty() { y.clone() } else { chain.between(&y) };
            chain.operations.push(Operation::ConvolutionForward { x, w, y: result.clone(), spec });
            let count = steps.len();
            for (step, (mode, operand)) in steps.into_iter().enumerate() {
                let last = (step + 1 == count).then(|| y.clone());
                result = chain.apply(mode, result, operand, last);
            }
            if fusion.statistics {
                let (sum, sqsum) = (tensor(Operand::Sum), tensor(Operand::Squares));
                chain.operations.push(Operation::GenStats { x: y, sum, sqsum, compute: DataType::F32 });
            }
        }
    }
    OperationGraph::new(chain.operations)
}

/// Operations one after the other, with tensors between them that have no memory.
#[derive(Default)]
struct Chain {
    operations: Vec<Operation>,
    tensors: i64,
}

impl Chain {
    /// A tensor of a shape that has no memory, in `f32`.
    fn between(&mut self, like: &TensorSpec) -> TensorSpec {
        self.tensors += 1;
        TensorSpec { uid: 100 + self.tensors, data_type: DataType::F32, ..like.clone() }.virtual_()
    }

    /// Appends a pointwise operation, and returns its result: `y` if one is given.
    fn apply(
        &mut self,
        mode: PointwiseMode,
        x: TensorSpec,
        b: Option<TensorSpec>,
        y: Option<TensorSpec>,
    ) -> TensorSpec {
        let y = y.unwrap_or_else(|| self.between(&x));
        let parameters = PointwiseParameters::default();
        let result = y.clone();
        self.operations.push(Operation::Pointwise { mode, x, b, y, parameters, compute: DataType::F32 });
        result
    }
}

/// A convolution as one matrix product, and which of its tensors are the product's operands and result.
pub(super) struct Product {
    pub(super) spec: MatmulSpec,
    pub(super) a: Operand,
    pub(super) b: Operand,
    pub(super) d: Operand,
}

impl Product {
    /// The product's operands among the convolution's; `None` when one of them is missing.
    pub(super) fn operands(
        &self,
        convolution: &Convolution,
        given: &[(Operand, u64)],
    ) -> Option<MatmulOperands> {
        let address =
            |wanted| given.iter().find(|(operand, _)| *operand == wanted).map(|&(_, address)| address);
        let fusion = convolution.fusion;
        Some(MatmulOperands {
            a: address(self.a)?,
            b: address(self.b)?,
            addend: if fusion.residual { Some(address(Operand::Residual)?) } else { None },
            d: address(self.d)?,
            bias: if fusion.bias { address(Operand::Bias)? } else { 0 },
        })
    }
}

/// The matrix product that a convolution with windows of one pixel is: its images are matrices `[n h w, c]`. `None` for
/// other windows, and for work after it that no epilogue of cuBLASLt does.
pub(super) fn product(convolution: &Convolution, precision: Precision) -> Option<Product> {
    let Convolution { kind, conv, x, w, y, fusion } = *convolution;
    let [k, r, s, c] = w.aligned();
    let plain = Conv2d { groups: conv.groups, ..Conv2d::default() };
    if conv != plain || conv.groups != 1 || r != 1 || s != 1 {
        return None;
    }
    // What is added is the product's addend, and no epilogue.
    let ConvFusion { prologue, bias, residual: _, relu, statistics } = fusion;
    let epilogue = match (bias, relu) {
        (false, false) => Epilogue::None,
        (true, false) => Epilogue::Bias,
        (false, true) => Epilogue::Relu,
        (true, true) => Epilogue::BiasRelu,
    };
    if prologue || statistics {
        return None;
    }
    let scalar = match x.dtype {
        DType::F32 => ScalarType::F32,
        DType::F16 => ScalarType::F16,
        DType::BF16 => ScalarType::BF16,
        DType::I32 | DType::U8 => return None,
    };
    let pixels = y.elements() / k.max(1);
    use Operand::{W, X, Y};
    let (m, n, inner, transpose_a, transpose_b, [a, b, d]) = match kind {
        ConvolutionKind::Forward => (pixels, k, c, false, true, [X, W, Y]),
        ConvolutionKind::BackwardData => (pixels, c, k, false, false, [Y, W, X]),
        ConvolutionKind::BackwardFilter => (k, c, pixels, true, false, [Y, X, W]),
    };
    let spec = MatmulSpec {
        transpose_a,
        transpose_b,
        epilogue,
        tf32: precision == Precision::Tf32,
        ..MatmulSpec::new(m, n, inner, scalar)
    };
    Some(Product { spec, a, b, d })
}
