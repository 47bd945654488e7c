//! Convolutions as the tests describe them.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod host;

use ocelli_cudnn::{ConvolutionSpec, DataType, Operation, OperationGraph, TensorSpec};

/// Names under which the tests give pointers.
pub(crate) const X: i64 = 1;
pub(crate) const W: i64 = 2;
pub(crate) const Y: i64 = 3;

/// Which of a convolution's three computations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    BackwardData,
    BackwardFilter,
}

pub(crate) const DIRECTIONS: [Direction; 3] =
    [Direction::Forward, Direction::BackwardData, Direction::BackwardFilter];

/// A square convolution; the output's size follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Convolution {
    pub(crate) n: i64,
    pub(crate) size: i64,
    pub(crate) c: i64,
    pub(crate) k: i64,
    pub(crate) kernel: i64,
    pub(crate) stride: i64,
    pub(crate) padding: i64,
    pub(crate) dilation: i64,
    pub(crate) groups: i64,
}

impl Convolution {
    /// One of stride 1, "same" padding, one group.
    pub(crate) fn new(n: i64, size: i64, c: i64, k: i64, kernel: i64) -> Convolution {
        Convolution { n, size, c, k, kernel, stride: 1, padding: kernel / 2, dilation: 1, groups: 1 }
    }

    pub(crate) fn output_size(&self) -> i64 {
        (self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) / self.stride + 1
    }

    pub(crate) fn spec(&self) -> ConvolutionSpec {
        ConvolutionSpec {
            padding: [self.padding; 2],
            stride: [self.stride; 2],
            dilation: [self.dilation; 2],
            compute: DataType::F32,
        }
    }

    pub(crate) fn x(&self, data_type: DataType) -> TensorSpec {
        TensorSpec::nhwc(X, data_type, self.n, self.size, self.size, self.c)
    }

    pub(crate) fn w(&self, data_type: DataType) -> TensorSpec {
        TensorSpec::krsc(W, data_type, self.k, self.kernel, self.kernel, self.c / self.groups)
    }

    pub(crate) fn y(&self, data_type: DataType) -> TensorSpec {
        TensorSpec::nhwc(Y, data_type, self.n, self.output_size(), self.output_size(), self.k)
    }

    pub(crate) fn graph(&self, direction: Direction, data_type: DataType) -> OperationGraph {
        let (x, w, y, spec) = (self.x(data_type), self.w(data_type), self.y(data_type), self.spec());
        OperationGraph::new(vec![match direction {
            Direction::Forward => Operation::ConvolutionForward { x, w, y, spec },
            Direction::BackwardData => Operation::ConvolutionBackwardData { dy: y, w, dx: x, spec },
            Direction::BackwardFilter => Operation::ConvolutionBackwardFilter { x, dy: y, dw: w, spec },
        }])
    }
}
