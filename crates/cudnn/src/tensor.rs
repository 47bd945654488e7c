//! What cuDNN is told of a tensor.

use std::fmt;

use ocelli_cudnn_sys as sys;
use serde::{Deserialize, Serialize};

/// The type of a tensor's elements, or of an operation's arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DataType {
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// IEEE half precision.
    F16,
    /// Half the bits of a single, with all of its exponent.
    BF16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// A truth value, one byte.
    Bool,
}

impl DataType {
    /// An element's size in bytes.
    pub fn bytes(self) -> usize {
        match self {
            DataType::I8 | DataType::U8 | DataType::Bool => 1,
            DataType::F16 | DataType::BF16 => 2,
            DataType::F32 | DataType::I32 => 4,
            DataType::F64 | DataType::I64 => 8,
        }
    }

    pub(crate) fn raw(self) -> sys::DataType {
        match self {
            DataType::F32 => sys::CUDNN_DATA_FLOAT,
            DataType::F64 => sys::CUDNN_DATA_DOUBLE,
            DataType::F16 => sys::CUDNN_DATA_HALF,
            DataType::BF16 => sys::CUDNN_DATA_BFLOAT16,
            DataType::I8 => sys::CUDNN_DATA_INT8,
            DataType::U8 => sys::CUDNN_DATA_UINT8,
            DataType::I32 => sys::CUDNN_DATA_INT32,
            DataType::I64 => sys::CUDNN_DATA_INT64,
            DataType::Bool => sys::CUDNN_DATA_BOOLEAN,
        }
    }
}

/// A tensor of an operation graph.
///
/// Dimensions are in cuDNN's order whatever the layout: N, C, H, W for images, K, C, R, S for filters; `strides`, in
/// elements, say how they lie. The constructors lay channels innermost (NHWC, KRSC). Two operations share a tensor when
/// they name equal specs of one `uid`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorSpec {
    /// Unique in its graph: the name under which a pointer is given.
    pub uid: i64,
    /// The elements' type.
    pub data_type: DataType,
    /// Sizes.
    pub dims: Vec<i64>,
    /// Distances, in elements, between neighbours along each dimension.
    pub strides: Vec<i64>,
    /// What every pointer given for it is a multiple of, in bytes.
    pub alignment: i64,
    /// Whether it exists only between operations of its graph, and has no memory.
    pub virtual_: bool,
}

impl TensorSpec {
    /// A tensor of any shape, aligned to 16 bytes.
    pub fn new(uid: i64, data_type: DataType, dims: Vec<i64>, strides: Vec<i64>) -> TensorSpec {
        TensorSpec { uid, data_type, dims, strides, alignment: 16, virtual_: false }
    }

    /// Images `[n, c, h, w]`, stored NHWC.
    pub fn nhwc(uid: i64, data_type: DataType, n: i64, h: i64, w: i64, c: i64) -> TensorSpec {
        TensorSpec::new(uid, data_type, vec![n, c, h, w], vec![h * w * c, 1, w * c, c])
    }

    /// Filters `[k, c, r, s]`, stored KRSC. In a grouped convolution `c` is the input's channels over the groups.
    pub fn krsc(uid: i64, data_type: DataType, k: i64, r: i64, s: i64, c: i64) -> TensorSpec {
        TensorSpec::nhwc(uid, data_type, k, r, s, c)
    }

    /// A value for each channel, `[1, c, 1, 1]`.
    pub fn channels(uid: i64, data_type: DataType, c: i64) -> TensorSpec {
        TensorSpec::nhwc(uid, data_type, 1, 1, 1, c)
    }

    /// One value in device memory, `[1, 1, 1, 1]`.
    pub fn scalar(uid: i64, data_type: DataType) -> TensorSpec {
        TensorSpec::channels(uid, data_type, 1)
    }

    /// Matrices `[batch, rows, columns]`, stored row by row.
    pub fn matrix(uid: i64, data_type: DataType, batch: i64, rows: i64, columns: i64) -> TensorSpec {
        TensorSpec::new(uid, data_type, vec![batch, rows, columns], vec![rows * columns, columns, 1])
    }

    /// The same tensor without memory: a value that one operation of the graph hands to the next.
    pub fn virtual_(self) -> TensorSpec {
        TensorSpec { virtual_: true, ..self }
    }

    /// The same tensor with another promise of alignment, in bytes.
    pub fn aligned(self, alignment: i64) -> TensorSpec {
        TensorSpec { alignment, ..self }
    }

    /// The bytes its elements span.
    pub fn bytes(&self) -> usize {
        let last: i64 = self.dims.iter().zip(&self.strides).map(|(dim, stride)| (dim - 1) * stride).sum();
        (last.max(0) as usize + 1) * self.data_type.bytes()
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{:?}", self.data_type, self.dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_innermost() {
        let x = TensorSpec::nhwc(1, DataType::F16, 2, 5, 7, 3);
        assert_eq!((x.dims.as_slice(), x.strides.as_slice()), (&[2, 3, 5, 7][..], &[105, 1, 21, 3][..]));
        assert_eq!(x.bytes(), 2 * 3 * 5 * 7 * 2);
        assert_eq!(x.to_string(), "F16[2, 3, 5, 7]");
    }
}
