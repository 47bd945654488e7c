//! What a matrix product is to compute.

use std::ffi::c_int;
use std::fmt;

use super::table;
use crate::error::{Error, Result};

/// Type of a matrix's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScalarType {
    /// 32-bit float.
    F32,
    /// 16-bit float with 5 bits of exponent.
    F16,
    /// 16-bit float with 8 bits of exponent.
    BF16,
}

impl ScalarType {
    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            ScalarType::F32 => 4,
            ScalarType::F16 | ScalarType::BF16 => 2,
        }
    }

    pub(super) fn code(self) -> c_int {
        match self {
            ScalarType::F32 => table::R_32F,
            ScalarType::F16 => table::R_16F,
            ScalarType::BF16 => table::R_16BF,
        }
    }
}

/// What happens to `alpha op(A) op(B) + beta C` before it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Epilogue {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x + bias[column]`.
    Bias,
    /// `max(x + bias[column], 0)`.
    BiasRelu,
}

impl Epilogue {
    pub(super) fn code(self) -> c_int {
        match self {
            Epilogue::None => 1,
            Epilogue::Relu => 2,
            Epilogue::Bias => 4,
            Epilogue::BiasRelu => 6,
        }
    }

    pub(super) fn has_bias(self) -> bool {
        matches!(self, Epilogue::Bias | Epilogue::BiasRelu)
    }
}

/// `D[m, n] = epilogue(alpha op(A)[m, k] op(B)[k, n] + beta C[m, n])`, row-major and contiguous, summed in f32.
///
/// `op` is the identity, for which A is stored `[m, k]` and B `[k, n]`, or the transpose, for which A is stored
/// `[k, m]` and B `[n, k]`. With `batch` above one, each matrix is an array of as many, without gaps; the bias `[n]`
/// has D's type and serves all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MatmulSpec {
    /// Rows of D.
    pub m: usize,
    /// Columns of D.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// Number of products.
    pub batch: usize,
    /// Whether A is stored `[k, m]`.
    pub transpose_a: bool,
    /// Whether B is stored `[n, k]`.
    pub transpose_b: bool,
    /// Type of A.
    pub a_type: ScalarType,
    /// Type of B.
    pub b_type: ScalarType,
    /// Type of D and of the bias.
    pub d_type: ScalarType,
    /// Rounds f32 operands to TF32 (10 bits of mantissa) for the tensor cores; no effect on other types.
    pub tf32: bool,
    /// Excludes split sums whose parts are added up in D itself, one block after another. (For a 16-bit D they are
    /// always excluded, so that every sum is rounded once.)
    pub deterministic: bool,
    /// What is done before D is written.
    pub epilogue: Epilogue,
    /// What every pointer is a multiple of, bytes; a power of two.
    pub alignment: usize,
}

impl MatmulSpec {
    /// One product `[m, k] [k, n]` of matrices of one type, as stored, nothing added, 256-byte aligned.
    pub fn new(m: usize, n: usize, k: usize, scalar: ScalarType) -> MatmulSpec {
        MatmulSpec {
            m,
            n,
            k,
            batch: 1,
            transpose_a: false,
            transpose_b: false,
            a_type: scalar,
            b_type: scalar,
            d_type: scalar,
            tf32: false,
            deterministic: false,
            epilogue: Epilogue::None,
            alignment: 256,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let invalid = |reason: &'static str| Err(Error::InvalidMatmul { spec: self.to_string(), reason });
        let fits = |x: usize, y: usize| {
            x.checked_mul(y)
                .and_then(|xy| xy.checked_mul(self.batch))
                .is_some_and(|all| i64::try_from(all).is_ok())
        };
        if self.m == 0 || self.n == 0 || self.k == 0 || self.batch == 0 {
            return invalid("a size is zero");
        }
        if i32::try_from(self.batch).is_err()
            || !fits(self.m, self.k)
            || !fits(self.k, self.n)
            || !fits(self.m, self.n)
        {
            return invalid("a size is too large");
        }
        if !self.alignment.is_power_of_two() || self.alignment > 256 {
            return invalid("the alignment must be a power of two up to 256");
        }
        Ok(())
    }
}

impl fmt::Display for MatmulSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MatmulSpec { m, n, k, batch, a_type, b_type, d_type, .. } = self;
        let mark = |transposed| if transposed { "ᵀ" } else { "" };
        let (a, b) = (mark(self.transpose_a), mark(self.transpose_b));
        write!(f, "{batch} x D[{m}, {n}]:{d_type:?} = A{a}[{m}, {k}]:{a_type:?} B{b}[{k}, {n}]:{b_type:?}")?;
        if self.tf32 {
            write!(f, ", TF32")?;
        }
        if self.epilogue != Epilogue::None {
            write!(f, ", {:?}", self.epilogue)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_that_makes_no_sense_is_refused_with_its_reason() {
        let good = MatmulSpec::new(3, 5, 7, ScalarType::F16);
        good.check().unwrap();
        let bad = [
            (MatmulSpec { k: 0, ..good.clone() }, "zero"),
            (MatmulSpec { batch: 0, ..good.clone() }, "zero"),
            (MatmulSpec { m: 1 << 40, n: 1 << 40, ..good.clone() }, "too large"),
            (MatmulSpec { batch: 1 << 40, ..good.clone() }, "too large"),
            (MatmulSpec { alignment: 24, ..good }, "power of two"),
        ];
        for (spec, reason) in bad {
            let error = spec.check().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("B["), "{error}");
        }
    }

    #[test]
    fn a_spec_reads_as_a_formula() {
        let spec = MatmulSpec {
            transpose_b: true,
            epilogue: Epilogue::BiasRelu,
            ..MatmulSpec::new(2, 3, 4, ScalarType::BF16)
        };
        assert_eq!(spec.to_string(), "1 x D[2, 3]:BF16 = A[2, 4]:BF16 Bᵀ[4, 3]:BF16, BiasRelu");
    }
}
