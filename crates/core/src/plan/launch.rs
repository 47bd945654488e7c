//! What a plan is made of: launches and buffers, as plain data.

use super::Purpose;
use crate::codegen::{KernelSpec, filter_gradient};
use crate::ops::{Conv2d, ConvFusion, FusedMatmul, Matmul, Op};
use crate::types::{DType, Shape, TensorType};

/// The index of a buffer in [`super::Plan::buffers`].
pub type BufferId = u32;

/// One unit of work for the GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// What is done.
    pub kind: LaunchKind,
    /// What it reads, in the order that the kind states.
    pub reads: Vec<BufferId>,
    /// What it writes, likewise.
    pub writes: Vec<BufferId>,
    /// A short description for profiles and errors.
    pub label: String,
    /// Which layers it serves, and how.
    pub purpose: Purpose,
}

/// What a launch does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LaunchKind {
    /// A kernel of ours; reads and writes are its inputs and outputs.
    Kernel(KernelSpec),
    /// A convolution or one of its gradients, through cuDNN.
    Convolution(Convolution),
    /// A matrix product, through cuBLASLt.
    Matmul(MatmulLaunch),
    /// A copy of this many bytes.
    Copy(usize),
}

/// Which of the three convolutions it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConvolutionKind {
    /// Reads `x` and `w`, writes `y`.
    Forward,
    /// Reads `dy` and `w`, writes `dx`.
    BackwardData,
    /// Reads `x` and `dy`, writes `dw`.
    BackwardFilter,
}

/// A convolution or one of its gradients, with the work before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// Which one.
    pub kind: ConvolutionKind,
    /// Strides, padding, dilation, groups.
    pub conv: Conv2d,
    /// The image, or its gradient.
    pub x: TensorType,
    /// The filter, or its gradient.
    pub w: Shape,
    /// The output, or its gradient.
    pub y: Shape,
    /// What is done in the same launch: the forward takes all of it, the filter's gradient the prologue, the data's
    /// gradient nothing.
    pub fusion: ConvFusion,
}

/// A tensor that a [`Convolution`] reads or writes, by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// The image, or its gradient; before the prologue, if there is one.
    X,
    /// The filter, or its gradient.
    W,
    /// The output, or its gradient.
    Y,
    /// The prologue's scale.
    Scale,
    /// The prologue's shift.
    Shift,
    /// The bias.
    Bias,
    /// What is added.
    Residual,
    /// The sums of the output's channels.
    Sum,
    /// The sums of their squares.
    Squares,
}

impl Convolution {
    /// The launch that an operation is, with the types of its inputs and its first output; `None` when cuDNN does not run
    /// it.
    pub fn of(op: &Op, inputs: &[TensorType], output: TensorType) -> Option<Convolution> {
        let new = |kind, conv: &Conv2d, x, w: Shape, y: Shape, fusion| {
            Some(Convolution { kind, conv: *conv, x, w, y, fusion })
        };
        let (&a, &b) = (inputs.first()?, inputs.get(1)?);
        let prologue = ConvFusion { prologue: true, ..ConvFusion::NONE };
        match op {
            Op::Conv2d(conv) => {
                new(ConvolutionKind::Forward, conv, a, b.shape, output.shape, ConvFusion::NONE)
            }
            Op::FusedConv { conv, fusion } => {
                new(ConvolutionKind::Forward, conv, a, b.shape, output.shape, *fusion)
            }
            Op::ConvBackwardData { conv, .. } => {
                new(ConvolutionKind::BackwardData, conv, output, b.shape, a.shape, ConvFusion::NONE)
            }
            Op::ConvBackwardFilter { conv, filter } if !filter_gradient::is_small(conv, *filter) => {
                new(ConvolutionKind::BackwardFilter, conv, a, output.shape, b.shape, ConvFusion::NONE)
            }
            Op::FusedConvBackwardFilter { conv, .. } => {
                new(ConvolutionKind::BackwardFilter, conv, a, output.shape, b.shape, prologue)
            }
            _ => None,
        }
    }

    /// The operation that this is a launch of: the inverse of [`Convolution::of`].
    pub fn op(&self) -> Op {
        let Convolution { kind, conv, x, w, fusion, .. } = *self;
        match kind {
            ConvolutionKind::Forward if fusion == ConvFusion::NONE => Op::Conv2d(conv),
            ConvolutionKind::Forward => Op::FusedConv { conv, fusion },
            ConvolutionKind::BackwardData => Op::ConvBackwardData { conv, input: x.shape },
            ConvolutionKind::BackwardFilter if fusion.prologue => {
                Op::FusedConvBackwardFilter { conv, filter: w }
            }
            ConvolutionKind::BackwardFilter => Op::ConvBackwardFilter { conv, filter: w },
        }
    }

    /// What it reads, in the order of the operation's inputs and of [`Launch::reads`].
    pub fn reads(&self) -> Vec<Operand> {
        use Operand::{Bias, Residual, Scale, Shift, W, X, Y};
        let mut reads = match self.kind {
            ConvolutionKind::Forward => vec![X, W],
            ConvolutionKind::BackwardData => vec![Y, W],
            ConvolutionKind::BackwardFilter => vec![X, Y],
        };
        let optional = [
            (self.fusion.prologue, &[Scale, Shift][..]),
            (self.fusion.bias, &[Bias]),
            (self.fusion.residual, &[Residual]),
        ];
        optional.iter().filter(|(on, _)| *on).for_each(|(_, operands)| reads.extend(*operands));
        reads
    }

    /// What it writes, in the order of the operation's outputs and of [`Launch::writes`].
    pub fn writes(&self) -> Vec<Operand> {
        match self.kind {
            ConvolutionKind::Forward if self.fusion.statistics => {
                vec![Operand::Y, Operand::Sum, Operand::Squares]
            }
            ConvolutionKind::Forward => vec![Operand::Y],
            ConvolutionKind::BackwardData => vec![Operand::X],
            ConvolutionKind::BackwardFilter => vec![Operand::W],
        }
    }

    /// The type of a tensor that it reads or writes.
    pub fn operand(&self, operand: Operand) -> TensorType {
        let ty = |shape| TensorType::new(self.x.dtype, shape);
        match operand {
            Operand::X => self.x,
            Operand::W => ty(self.w),
            Operand::Y | Operand::Residual => ty(self.y),
            Operand::Scale | Operand::Shift => ty(Shape::vector(self.x.shape.channels())),
            Operand::Bias => ty(Shape::vector(self.y.channels())),
            Operand::Sum | Operand::Squares => TensorType::new(DType::F32, Shape::vector(self.y.channels())),
        }
    }

    /// The bytes of all that it reads and writes, each once.
    pub fn bytes(&self) -> usize {
        self.reads().into_iter().chain(self.writes()).map(|operand| self.operand(operand).bytes()).sum()
    }

    /// Additions and multiplications of the convolution itself; taps that lie in the padding count.
    pub fn operations(&self) -> f64 {
        let [k, r, s, per_group] = self.w.aligned();
        let pixels = self.y.elements() / k.max(1);
        2.0 * pixels as f64 * k as f64 * (r * s * per_group) as f64
    }
}

/// A matrix product: reads `a` and `b`, and the bias where there is an epilogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatmulLaunch {
    /// Which operands are transposed.
    pub matmul: Matmul,
    /// The type of `a`; `b` has its element type, and so has the result without an epilogue.
    pub a: TensorType,
    /// The shape of `b`.
    pub b: Shape,
    /// What is done before the result is written.
    pub epilogue: Option<MatmulEpilogue>,
}

/// What is done to a matrix product before it is written: a bias is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatmulEpilogue {
    /// Negative numbers become zero.
    pub relu: bool,
    /// The element type of the bias and the result.
    pub dtype: DType,
}

impl FusedMatmul {
    /// The epilogue alone.
    pub fn epilogue(&self) -> MatmulEpilogue {
        MatmulEpilogue { relu: self.relu, dtype: self.dtype }
    }
}

impl MatmulLaunch {
    /// The operation that it is, and the types that it reads.
    pub fn op(&self) -> (Op, Vec<TensorType>) {
        let b = TensorType::new(self.a.dtype, self.b);
        match self.epilogue {
            None => (Op::Matmul(self.matmul), vec![self.a, b]),
            Some(MatmulEpilogue { relu, dtype }) => {
                let columns = self.matmul.extents(self.a.shape, self.b).map_or(0, |(_, _, n)| n);
                let fused = FusedMatmul { matmul: self.matmul, relu, dtype };
                (Op::FusedMatmul(fused), vec![self.a, b, TensorType::new(dtype, Shape::vector(columns))])
            }
        }
    }
}

/// Where a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BufferClass {
    /// At this offset in the arena.
    Arena(usize),
    /// The data leaf of this index; `resident` ones lie where their tensor does.
    Data {
        /// Which data leaf.
        index: u32,
        /// It is read where its tensor lies.
        resident: bool,
    },
    /// The state of this index, which keeps its place.
    State(u32),
    /// This slot of the block of scalars.
    Scalar(u32),
}

/// A buffer that launches read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSpec {
    /// Where it lies.
    pub class: BufferClass,
    /// What it holds.
    pub ty: TensorType,
    /// The first launch that writes it (0 when it is given).
    pub first: usize,
    /// The last launch that reads it (the last of all for roots).
    pub last: usize,
}
