//! Tensors on the host, whatever their element type, as `f64`.

use half::{bf16, f16};
use ocelli_core::{DType, Device, Result, Tensor, TensorType};

/// The values of a tensor, in row-major order. `ty` says what they stand for; they are not rounded to it unless asked.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// The element type and the shape.
    pub ty: TensorType,
    /// As many values as the shape holds.
    pub values: Vec<f64>,
}

impl HostTensor {
    /// A tensor of these values, which must be as many as the shape holds.
    pub fn new(ty: TensorType, values: Vec<f64>) -> HostTensor {
        debug_assert_eq!(values.len(), ty.shape.elements(), "{ty}");
        HostTensor { ty, values }
    }

    /// A tensor whose elements all have this value.
    pub fn filled(ty: TensorType, value: f64) -> HostTensor {
        HostTensor::new(ty, vec![value; ty.shape.elements()])
    }

    /// The tensor whose elements these bytes are, in the machine's byte order.
    pub fn from_bytes(ty: TensorType, bytes: &[u8]) -> HostTensor {
        let values = match ty.dtype {
            DType::F32 => numbers::<4>(bytes, |b| f64::from(f32::from_ne_bytes(b))),
            DType::F16 => numbers::<2>(bytes, |b| f16::from_ne_bytes(b).to_f64()),
            DType::BF16 => numbers::<2>(bytes, |b| bf16::from_ne_bytes(b).to_f64()),
            DType::I32 => numbers::<4>(bytes, |b| f64::from(i32::from_ne_bytes(b))),
            DType::U8 => bytes.iter().map(|&b| f64::from(b)).collect(),
        };
        HostTensor::new(ty, values)
    }

    /// The elements as bytes of their type, rounded to it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let values = self.values.iter();
        match self.ty.dtype {
            DType::F32 => values.flat_map(|&v| (v as f32).to_ne_bytes()).collect(),
            DType::F16 => values.flat_map(|&v| f16::from_f32(v as f32).to_ne_bytes()).collect(),
            DType::BF16 => values.flat_map(|&v| bf16::from_f32(v as f32).to_ne_bytes()).collect(),
            DType::I32 => values.flat_map(|&v| (v as i32).to_ne_bytes()).collect(),
            DType::U8 => values.map(|&v| v as u8).collect(),
        }
    }

    /// The same tensor with its values rounded to its type.
    #[must_use]
    pub fn rounded(mut self) -> HostTensor {
        for value in &mut self.values {
            *value = round(self.ty.dtype, *value);
        }
        self
    }

    /// A tensor of a device with these values, rounded to their type.
    ///
    /// # Errors
    /// [`ocelli_core::Error::LengthMismatch`] when there are not as many values as the shape holds.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        let dims = self.ty.shape.dims();
        match self.ty.dtype {
            DType::F32 => Tensor::from_slice(device, &self.elements(|v| v as f32), dims),
            DType::F16 => Tensor::from_slice(device, &self.elements(|v| f16::from_f32(v as f32)), dims),
            DType::BF16 => Tensor::from_slice(device, &self.elements(|v| bf16::from_f32(v as f32)), dims),
            DType::I32 => Tensor::from_slice(device, &self.elements(|v| v as i32), dims),
            DType::U8 => Tensor::from_slice(device, &self.elements(|v| v as u8), dims),
        }
    }

    fn elements<T>(&self, convert: impl Fn(f64) -> T) -> Vec<T> {
        self.values.iter().map(|&value| convert(value)).collect()
    }

    /// The extents, with ones in front up to four.
    pub(crate) fn extents(&self) -> [usize; 4] {
        self.ty.shape.aligned()
    }

    /// The element at these coordinates; where an extent is 1, every coordinate means its one element (broadcasting).
    pub(crate) fn at(&self, coordinates: [usize; 4]) -> f64 {
        self.values[offset(self.extents(), coordinates)]
    }

    /// The rows along the last extent.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks(self.ty.shape.channels().max(1))
    }
}

/// The nearest number of an element type. 16-bit numbers are reached through `f32`, as in the kernels, which compute in
/// `f32`; integers are cut off and saturate.
pub(crate) fn round(dtype: DType, value: f64) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::F16 => f16::from_f32(value as f32).to_f64(),
        DType::BF16 => bf16::from_f32(value as f32).to_f64(),
        DType::I32 => f64::from(value as i32),
        DType::U8 => f64::from(value as u8),
    }
}

/// Where an element lies; where an extent is 1, its coordinate does not count.
pub(crate) fn offset(extents: [usize; 4], coordinates: [usize; 4]) -> usize {
    extents
        .iter()
        .zip(coordinates)
        .fold(0, |offset, (&extent, i)| offset * extent + if extent == 1 { 0 } else { i })
}

/// All coordinates of these extents, in row-major order.
pub(crate) fn coordinates(extents: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    let [a, b, c, d] = extents;
    (0..a).flat_map(move |i| {
        (0..b).flat_map(move |j| (0..c).flat_map(move |k| (0..d).map(move |l| [i, j, k, l])))
    })
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| number(chunk)).collect()
}
