//! Short forms for appending the common operations, used by gradient rules and passes.

use super::{Graph, Value};
use crate::error::Result;
use crate::ops::{Binary, Op, SumTo, Unary};
use crate::types::{DType, Real, Shape};

impl Graph {
    /// A static number as an `f32` scalar.
    pub fn constant(&mut self, value: f32) -> Result<Value> {
        self.push(Op::Constant(Real(value)), Vec::new())
    }

    /// Applies a function of one variable to each element.
    pub fn unary(&mut self, op: Unary, x: Value) -> Result<Value> {
        self.push(Op::Unary(op), vec![x])
    }

    /// Applies a function of two variables to each pair of elements, broadcasting.
    pub fn binary(&mut self, op: Binary, a: Value, b: Value) -> Result<Value> {
        self.push(Op::Binary(op), vec![a, b])
    }

    /// `a + b`.
    pub fn add(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary(Binary::Add, a, b)
    }

    /// `a - b`.
    pub fn sub(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary(Binary::Sub, a, b)
    }

    /// `a * b`.
    pub fn mul(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary(Binary::Mul, a, b)
    }

    /// `a / b`.
    pub fn div(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary(Binary::Div, a, b)
    }

    /// `x * factor`.
    pub fn scale(&mut self, x: Value, factor: f32) -> Result<Value> {
        self.unary(Unary::MulScalar(Real(factor)), x)
    }

    /// `x + term`.
    pub fn shift(&mut self, x: Value, term: f32) -> Result<Value> {
        self.unary(Unary::AddScalar(Real(term)), x)
    }

    /// `x` as another element type; `x` itself when it has it.
    pub fn cast(&mut self, x: Value, dtype: DType) -> Result<Value> {
        if self.ty(x).dtype == dtype { Ok(x) } else { self.push(Op::Cast(dtype), vec![x]) }
    }

    /// `x` under another shape; `x` itself when it has it.
    pub fn reshape(&mut self, x: Value, shape: Shape) -> Result<Value> {
        if self.ty(x).shape == shape { Ok(x) } else { self.push(Op::Reshape(shape), vec![x]) }
    }

    /// Sums `x` over the extents that `shape` does not have, and gives it an element type; nothing is appended where
    /// nothing is to do.
    pub fn sum_to(&mut self, x: Value, shape: Shape, dtype: DType) -> Result<Value> {
        let ty = self.ty(x);
        if ty.shape.elements() == shape.elements() {
            let x = self.cast(x, dtype)?;
            return self.reshape(x, shape);
        }
        self.push(Op::SumTo(SumTo { shape, dtype }), vec![x])
    }

    /// Repeats `x` to fill `shape`; `x` itself when it has it.
    pub fn broadcast_to(&mut self, x: Value, shape: Shape) -> Result<Value> {
        if self.ty(x).shape == shape { Ok(x) } else { self.push(Op::BroadcastTo(shape), vec![x]) }
    }

    /// The sum of several values of one type; the value itself when there is one.
    pub fn add_n(&mut self, values: Vec<Value>) -> Result<Value> {
        match values[..] {
            [single] => Ok(single),
            [a, b] => self.add(a, b),
            _ => self.push(Op::AddN, values),
        }
    }
}
