//! What a session is given, and what it answers.

use super::held::Held;
use crate::error::{Error, Result};
use crate::tensor::{Element, Tensor};
use crate::types::{DType, TensorType};

/// Values for an input of a session: a slice on the host, or a tensor.
#[derive(Clone, Copy)]
pub struct Input<'a>(pub(super) Values<'a>);

#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    Host(DType, &'a [u8]),
    Tensor(&'a Tensor),
}

impl<'a, T: Element> From<&'a [T]> for Input<'a> {
    fn from(values: &'a [T]) -> Input<'a> {
        Input(Values::Host(T::DTYPE, bytemuck::cast_slice(values)))
    }
}

impl<'a, T: Element> From<&'a Vec<T>> for Input<'a> {
    fn from(values: &'a Vec<T>) -> Input<'a> {
        values.as_slice().into()
    }
}

impl<'a, T: Element, const N: usize> From<&'a [T; N]> for Input<'a> {
    fn from(values: &'a [T; N]) -> Input<'a> {
        values.as_slice().into()
    }
}

impl<'a> From<&'a Tensor> for Input<'a> {
    fn from(tensor: &'a Tensor) -> Input<'a> {
        Input(Values::Tensor(tensor))
    }
}

impl Input<'_> {
    /// How many first extents of `expected` there are.
    pub(super) fn batch(&self, index: usize, expected: TensorType) -> Result<usize> {
        let fail = |found: String| Err(Error::SessionInput { index, expected, found });
        match self.0 {
            Values::Host(dtype, _) if dtype != expected.dtype => fail(format!("{dtype} values were given")),
            Values::Host(dtype, bytes) => {
                let each = expected.shape.elements() / expected.shape.dims()[0];
                let count = bytes.len() / dtype.bytes();
                if count == 0 || !count.is_multiple_of(each) {
                    return fail(format!("{count} values were given, which is no multiple of {each}"));
                }
                Ok(count / each)
            }
            Values::Tensor(tensor) => {
                let ty = tensor.ty();
                match ty.shape.dims().first() {
                    Some(&batch) if batch > 0 && with_batch(expected, batch) == Some(ty) => Ok(batch),
                    _ => fail(format!("a tensor {ty} was given")),
                }
            }
        }
    }
}

/// The type with another first extent; `None` when it would be too large.
pub(super) fn with_batch(ty: TensorType, batch: usize) -> Option<TensorType> {
    let mut extents = ty.shape.dims().to_vec();
    *extents.first_mut()? = batch;
    Some(TensorType::new(ty.dtype, crate::types::Shape::new(&extents)?))
}

/// What a run of a session yields, where it arrived: the next run writes over it.
#[derive(Clone, Copy)]
pub struct Outputs<'a> {
    pub(super) held: &'a dyn Held,
    pub(super) types: &'a [TensorType],
}

impl<'a> Outputs<'a> {
    /// How many outputs there are.
    pub fn count(&self) -> usize {
        self.types.len()
    }

    /// The type of an output, `None` when there are fewer.
    pub fn ty(&self, index: usize) -> Option<TensorType> {
        self.types.get(index).copied()
    }

    /// The values of an output, in row-major order.
    ///
    /// # Errors
    /// [`Error::ReadType`] when `T` is not its element type; [`Error::Plan`] when there is no such output.
    pub fn get<T: Element>(&self, index: usize) -> Result<&'a [T]> {
        let bytes = self.held.output(index)?;
        match self.types.get(index) {
            Some(ty) if ty.dtype != T::DTYPE => Err(Error::ReadType { found: ty.dtype, wanted: T::DTYPE }),
            _ => bytemuck::try_cast_slice(bytes)
                .map_err(|error| Error::Plan { pass: "session", what: error.to_string() }),
        }
    }

    /// A copy of the values of an output.
    ///
    /// # Errors
    /// As [`Outputs::get`].
    pub fn to_vec<T: Element>(&self, index: usize) -> Result<Vec<T>> {
        Ok(self.get(index)?.to_vec())
    }
}
