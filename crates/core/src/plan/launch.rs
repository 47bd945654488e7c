//! What a plan is made of: launches and buffers, as plain data.

use crate::codegen::KernelSpec;
use crate::ops::{Conv2d, Matmul};
use crate::types::{Shape, TensorType};

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

/// Which of the three convolutions it is, and what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConvolutionKind {
    /// Reads `x` and `w`, writes `y`.
    Forward,
    /// Reads `dy` and `w`, writes `dx`.
    BackwardData,
    /// Reads `x` and `dy`, writes `dw`.
    BackwardFilter,
}

/// A convolution or one of its gradients.
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
}

/// A matrix product: reads `a` and `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatmulLaunch {
    /// Which operands are transposed.
    pub matmul: Matmul,
    /// The type of `a`; `b` and the result have its element type.
    pub a: TensorType,
    /// The shape of `b`.
    pub b: Shape,
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
