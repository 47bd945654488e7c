//! Functions of one and of two variables, element by element.
//!
//! Each function stands here once for all: its value, its derivative and its CUDA C form. Arithmetic is done in `f32`
//! whatever the element types are, and rounded once when a value is stored. Operands of a binary function broadcast
//! (aligned at the last extent) and may have different floating-point types: the result has the type of the operand
//! with more elements, so that per-channel `f32` parameters applied to half-precision activations yield half precision;
//! between operands of equal size, the wider type.

use super::{Call, Op};
use crate::autograd::Gradient;
use crate::error::{Origin, Result};
use crate::tensor::Tensor;
use crate::types::{DType, Real, TensorType};

/// A function of one variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `-x`.
    Neg,
    /// `|x|`; the derivative at 0 is 0.
    Abs,
    /// `e^x`.
    Exp,
    /// The natural logarithm.
    Log,
    /// The square root.
    Sqrt,
    /// `1 / sqrt(x)`.
    Rsqrt,
    /// `1 / x`.
    Reciprocal,
    /// `x + c`.
    AddScalar(Real),
    /// `x * c`.
    MulScalar(Real),
    /// `x ^ c`.
    PowScalar(Real),
    /// `min(max(x, low), high)`; the gradient passes where `low <= x <= high`.
    Clamp(Real, Real),
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` where positive, else `slope * x`.
    LeakyRelu(Real),
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x * sigmoid(x)`.
    Silu,
    /// `relu6(x + 3) / 6`.
    HardSigmoid,
    /// `x * relu6(x + 3) / 6`.
    HardSwish,
    /// `x * Phi(x)`, Phi the normal distribution function (Hendrycks and Gimpel, 2016).
    Gelu,
    /// `log(1 + e^x)`.
    Softplus,
    /// Huber's function with the threshold `beta`, divided by it: `x^2 / (2 beta)` where `|x| < beta`, else
    /// `|x| - beta / 2`.
    SmoothL1(Real),
}

/// What a derivative is a function of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DerivativeOf {
    /// The function's argument.
    Input,
    /// The function's value.
    Output,
}

impl Unary {
    /// The function's name.
    pub fn name(self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Abs => "abs",
            Unary::Exp => "exp",
            Unary::Log => "log",
            Unary::Sqrt => "sqrt",
            Unary::Rsqrt => "rsqrt",
            Unary::Reciprocal => "reciprocal",
            Unary::AddScalar(_) => "add_scalar",
            Unary::MulScalar(_) => "mul_scalar",
            Unary::PowScalar(_) => "pow_scalar",
            Unary::Clamp(..) => "clamp",
            Unary::Relu => "relu",
            Unary::Relu6 => "relu6",
            Unary::LeakyRelu(_) => "leaky_relu",
            Unary::Sigmoid => "sigmoid",
            Unary::Tanh => "tanh",
            Unary::Silu => "silu",
            Unary::HardSigmoid => "hardsigmoid",
            Unary::HardSwish => "hardswish",
            Unary::Gelu => "gelu",
            Unary::Softplus => "softplus",
            Unary::SmoothL1(_) => "smooth_l1",
        }
    }

    /// Whether it takes no more than a few instructions.
    pub fn is_quick(self) -> bool {
        matches!(
            self,
            Unary::Neg
                | Unary::Abs
                | Unary::AddScalar(_)
                | Unary::MulScalar(_)
                | Unary::Clamp(..)
                | Unary::Relu
                | Unary::Relu6
                | Unary::LeakyRelu(_)
        )
    }

    /// Whether [`Unary::derivative`] takes the argument or the value: the one that is stored anyway, or needed later.
    pub fn derivative_of(self) -> DerivativeOf {
        match self {
            Unary::Exp
            | Unary::Sqrt
            | Unary::Rsqrt
            | Unary::Reciprocal
            | Unary::Relu
            | Unary::Sigmoid
            | Unary::Tanh => DerivativeOf::Output,
            Unary::LeakyRelu(slope) if slope.0 > 0.0 => DerivativeOf::Output,
            _ => DerivativeOf::Input,
        }
    }

    /// The function's value, in double precision.
    pub fn evaluate(self, x: f64) -> f64 {
        match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Exp => x.exp(),
            Unary::Log => x.ln(),
            Unary::Sqrt => x.sqrt(),
            Unary::Rsqrt => 1.0 / x.sqrt(),
            Unary::Reciprocal => 1.0 / x,
            Unary::AddScalar(c) => x + f64::from(c.0),
            Unary::MulScalar(c) => x * f64::from(c.0),
            Unary::PowScalar(c) => x.powf(f64::from(c.0)),
            Unary::Clamp(low, high) => nan_max(nan_min(x, f64::from(high.0)), f64::from(low.0)),
            Unary::Relu => nan_max(x, 0.0),
            Unary::Relu6 => nan_min(nan_max(x, 0.0), 6.0),
            Unary::LeakyRelu(slope) => {
                if x > 0.0 {
                    x
                } else {
                    x * f64::from(slope.0)
                }
            }
            Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Unary::Tanh => x.tanh(),
            Unary::Silu => x / (1.0 + (-x).exp()),
            Unary::HardSigmoid => nan_min(nan_max(x + 3.0, 0.0), 6.0) / 6.0,
            Unary::HardSwish => x * nan_min(nan_max(x + 3.0, 0.0), 6.0) / 6.0,
            Unary::Gelu => x * normal_cdf(x),
            Unary::Softplus => nan_max(x, 0.0) + (-x.abs()).exp().ln_1p(),
            Unary::SmoothL1(beta) => {
                let beta = f64::from(beta.0);
                if x.abs() < beta { 0.5 * x * x / beta } else { x.abs() - 0.5 * beta }
            }
        }
    }

    /// The derivative, a function of the argument or of the value as [`Unary::derivative_of`] says.
    pub fn derivative(self, v: f64) -> f64 {
        let step = |condition: bool| if condition { 1.0 } else { 0.0 };
        match self {
            Unary::Neg => -1.0,
            Unary::Abs => step(v > 0.0) - step(v < 0.0),
            Unary::Exp => v,
            Unary::Log => 1.0 / v,
            Unary::Sqrt => 0.5 / v,
            Unary::Rsqrt => -0.5 * v * v * v,
            Unary::Reciprocal => -v * v,
            Unary::AddScalar(_) => 1.0,
            Unary::MulScalar(c) => f64::from(c.0),
            Unary::PowScalar(c) if c.0 == 0.0 => 0.0,
            Unary::PowScalar(c) => f64::from(c.0) * v.powf(f64::from(c.0) - 1.0),
            Unary::Clamp(low, high) => step(v >= f64::from(low.0) && v <= f64::from(high.0)),
            Unary::Relu => step(v > 0.0),
            Unary::Relu6 => step(v > 0.0 && v < 6.0),
            Unary::LeakyRelu(slope) => {
                if v > 0.0 {
                    1.0
                } else {
                    f64::from(slope.0)
                }
            }
            Unary::Sigmoid => v * (1.0 - v),
            Unary::Tanh => 1.0 - v * v,
            Unary::Silu => {
                let s = 1.0 / (1.0 + (-v).exp());
                s * (1.0 + v * (1.0 - s))
            }
            Unary::HardSigmoid => step(v > -3.0 && v < 3.0) / 6.0,
            Unary::HardSwish if v < -3.0 => 0.0,
            Unary::HardSwish if v <= 3.0 => v / 3.0 + 0.5,
            Unary::HardSwish => 1.0,
            Unary::Gelu => normal_cdf(v) + v * (-0.5 * v * v).exp() / (2.0 * std::f64::consts::PI).sqrt(),
            Unary::Softplus => 1.0 / (1.0 + (-v).exp()),
            Unary::SmoothL1(beta) => (v / f64::from(beta.0)).clamp(-1.0, 1.0),
        }
    }

    /// The function as a CUDA C expression of the `float` variable `x`.
    pub fn source(self, x: &str) -> String {
        match self {
            Unary::Neg => format!("-{x}"),
            Unary::Abs => format!("fabsf({x})"),
            Unary::Exp => format!("expf({x})"),
            Unary::Log => format!("logf({x})"),
            Unary::Sqrt => format!("sqrtf({x})"),
            Unary::Rsqrt => format!("(1.0f / sqrtf({x}))"),
            Unary::Reciprocal => format!("(1.0f / {x})"),
            Unary::AddScalar(c) => format!("({x} + {})", literal(c)),
            Unary::MulScalar(c) => format!("({x} * {})", literal(c)),
            Unary::PowScalar(c) => match c.0 {
                0.0 => "1.0f".to_string(),
                1.0 => x.to_string(),
                2.0 => format!("({x} * {x})"),
                _ => format!("powf({x}, {})", literal(c)),
            },
            Unary::Clamp(low, high) => format!("nan_max(nan_min({x}, {}), {})", literal(high), literal(low)),
            Unary::Relu => format!("nan_max({x}, 0.0f)"),
            Unary::Relu6 => format!("nan_min(nan_max({x}, 0.0f), 6.0f)"),
            Unary::LeakyRelu(slope) => format!("({x} > 0.0f ? {x} : {x} * {})", literal(slope)),
            Unary::Sigmoid => format!("(1.0f / (1.0f + expf(-{x})))"),
            Unary::Tanh => format!("tanhf({x})"),
            Unary::Silu => format!("({x} / (1.0f + expf(-{x})))"),
            Unary::HardSigmoid => format!("(nan_min(nan_max({x} + 3.0f, 0.0f), 6.0f) / 6.0f)"),
            Unary::HardSwish => format!("({x} * nan_min(nan_max({x} + 3.0f, 0.0f), 6.0f) / 6.0f)"),
            Unary::Gelu => format!("(0.5f * {x} * erfcf(-0.70710678118654752f * {x}))"),
            Unary::Softplus => format!("(nan_max({x}, 0.0f) + log1pf(expf(-fabsf({x}))))"),
            Unary::SmoothL1(beta) => {
                let beta = literal(beta);
                format!("(fabsf({x}) < {beta} ? 0.5f * {x} * {x} / {beta} : fabsf({x}) - 0.5f * {beta})")
            }
        }
    }

    /// The derivative as a CUDA C expression of the `float` variable `v` (argument or value, as
    /// [`Unary::derivative_of`] says).
    pub fn derivative_source(self, v: &str) -> String {
        match self {
            Unary::Neg => "-1.0f".to_string(),
            Unary::Abs => format!("({v} > 0.0f ? 1.0f : {v} < 0.0f ? -1.0f : 0.0f)"),
            Unary::Exp => v.to_string(),
            Unary::Log => format!("(1.0f / {v})"),
            Unary::Sqrt => format!("(0.5f / {v})"),
            Unary::Rsqrt => format!("(-0.5f * {v} * {v} * {v})"),
            Unary::Reciprocal => format!("(-{v} * {v})"),
            Unary::AddScalar(_) => "1.0f".to_string(),
            Unary::MulScalar(c) => literal(c),
            Unary::PowScalar(c) => match c.0 {
                0.0 => "0.0f".to_string(),
                1.0 => "1.0f".to_string(),
                2.0 => format!("(2.0f * {v})"),
                _ => format!("({} * powf({v}, {}))", literal(c), literal(Real(c.0 - 1.0))),
            },
            Unary::Clamp(low, high) => {
                format!("({v} >= {} && {v} <= {} ? 1.0f : 0.0f)", literal(low), literal(high))
            }
            Unary::Relu => format!("({v} > 0.0f ? 1.0f : 0.0f)"),
            Unary::Relu6 => format!("({v} > 0.0f && {v} < 6.0f ? 1.0f : 0.0f)"),
            Unary::LeakyRelu(slope) => format!("({v} > 0.0f ? 1.0f : {})", literal(slope)),
            Unary::Sigmoid => format!("({v} * (1.0f - {v}))"),
            Unary::Tanh => format!("(1.0f - {v} * {v})"),
            Unary::Silu => format!("silu_derivative({v})"),
            Unary::HardSigmoid => format!("({v} > -3.0f && {v} < 3.0f ? 1.0f / 6.0f : 0.0f)"),
            Unary::HardSwish => format!("({v} < -3.0f ? 0.0f : {v} <= 3.0f ? {v} / 3.0f + 0.5f : 1.0f)"),
            Unary::Gelu => {
                format!(
                    "(0.5f * erfcf(-0.70710678118654752f * {v}) + {v} * 0.39894228040143268f * expf(-0.5f * {v} * {v}))"
                )
            }
            Unary::Softplus => format!("(1.0f / (1.0f + expf(-{v})))"),
            Unary::SmoothL1(beta) => format!("fminf(fmaxf({v} / {}, -1.0f), 1.0f)", literal(beta)),
        }
    }

    /// One node: the upstream gradient times the derivative.
    pub(crate) fn gradient(self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dy) = at.output_gradient(0) else { return Ok(()) };
        let dx = match self {
            Unary::AddScalar(_) => dy,
            Unary::MulScalar(_) | Unary::Neg => at.graph.unary(self, dy)?,
            _ => {
                let of = match self.derivative_of() {
                    DerivativeOf::Input => at.input(0),
                    DerivativeOf::Output => at.output(0),
                };
                at.graph.binary(Binary::Chain(self), dy, of)?
            }
        };
        at.give(0, dx)
    }
}

/// A function of two variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// The larger; a tie shares its gradient evenly.
    Max,
    /// The smaller; a tie shares its gradient evenly.
    Min,
    /// `a ^ b`.
    Pow,
    /// 1 where `a > b`, else 0; no gradient.
    Greater,
    /// 1 where `a == b`, else 0; no gradient.
    Equal,
    /// `a` times the derivative of a function at `b`: the chain rule in one node.
    Chain(Unary),
}

impl Binary {
    /// The function's name.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Max => "max",
            Binary::Min => "min",
            Binary::Pow => "pow",
            Binary::Greater => "greater",
            Binary::Equal => "equal",
            Binary::Chain(_) => "chain",
        }
    }

    /// The function's value, in double precision.
    pub fn evaluate(self, a: f64, b: f64) -> f64 {
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Max => nan_max(a, b),
            Binary::Min => nan_min(a, b),
            Binary::Pow => a.powf(b),
            Binary::Greater => f64::from(u8::from(a > b)),
            Binary::Equal => f64::from(u8::from(a == b)),
            Binary::Chain(unary) => {
                let derivative = unary.derivative(b);
                // A masked gradient is 0 even where the upstream one is infinite or not a number.
                if derivative == 0.0 { 0.0 } else { a * derivative }
            }
        }
    }

    /// The function as a CUDA C expression of two `float` variables.
    pub fn source(self, a: &str, b: &str) -> String {
        match self {
            Binary::Add => format!("({a} + {b})"),
            Binary::Sub => format!("({a} - {b})"),
            Binary::Mul => format!("({a} * {b})"),
            Binary::Div => format!("({a} / {b})"),
            Binary::Max => format!("nan_max({a}, {b})"),
            Binary::Min => format!("nan_min({a}, {b})"),
            Binary::Pow => format!("powf({a}, {b})"),
            Binary::Greater => format!("({a} > {b} ? 1.0f : 0.0f)"),
            Binary::Equal => format!("({a} == {b} ? 1.0f : 0.0f)"),
            Binary::Chain(unary) => format!("chain({a}, {})", unary.derivative_source(b)),
        }
    }

    pub(crate) fn gradient(self, at: &mut Gradient<'_>) -> Result<()> {
        let Some(dy) = at.output_gradient(0) else { return Ok(()) };
        let (a, b, y) = (at.input(0), at.input(1), at.output(0));
        match self {
            Binary::Add => {
                at.give(0, dy)?;
                at.give(1, dy)
            }
            Binary::Sub => {
                at.give(0, dy)?;
                if !at.wants(1) {
                    return Ok(());
                }
                let db = at.graph.unary(Unary::Neg, dy)?;
                at.give(1, db)
            }
            Binary::Mul => {
                for (wanted, other) in [(0, b), (1, a)] {
                    if at.wants(wanted) {
                        let gradient = at.graph.mul(dy, other)?;
                        at.give(wanted, gradient)?;
                    }
                }
                Ok(())
            }
            Binary::Div => {
                let da = at.graph.div(dy, b)?;
                at.give(0, da)?;
                if !at.wants(1) {
                    return Ok(());
                }
                let ratio = at.graph.mul(da, y)?;
                let db = at.graph.unary(Unary::Neg, ratio)?;
                at.give(1, db)
            }
            Binary::Max => gradient_of_extremum(at, a, b, dy),
            Binary::Min => gradient_of_extremum(at, b, a, dy),
            Binary::Pow => {
                if at.wants(0) {
                    let exponent = at.graph.shift(b, -1.0)?;
                    let power = at.graph.binary(Binary::Pow, a, exponent)?;
                    let slope = at.graph.mul(b, power)?;
                    let da = at.graph.mul(slope, dy)?;
                    at.give(0, da)?;
                }
                if at.wants(1) {
                    let log = at.graph.unary(Unary::Log, a)?;
                    let slope = at.graph.mul(y, log)?;
                    let db = at.graph.mul(slope, dy)?;
                    at.give(1, db)?;
                }
                Ok(())
            }
            Binary::Greater | Binary::Equal => Ok(()),
            Binary::Chain(_) => Err(crate::Error::NoGradient { operation: "the gradient of a gradient" }),
        }
    }
}

/// Where the first of `(winner, loser)` is larger it takes the gradient; where they are equal each takes half.
fn gradient_of_extremum(
    at: &mut Gradient<'_>,
    winner: crate::graph::Value,
    loser: crate::graph::Value,
    dy: crate::graph::Value,
) -> Result<()> {
    let equal = at.graph.binary(Binary::Equal, winner, loser)?;
    let half = at.graph.scale(equal, 0.5)?;
    for (index, larger, smaller) in [(0, winner, loser), (1, loser, winner)] {
        if at.wants(index) {
            let greater = at.graph.binary(Binary::Greater, larger, smaller)?;
            let share = at.graph.add(greater, half)?;
            let gradient = at.graph.mul(dy, share)?;
            at.give(index, gradient)?;
        }
    }
    Ok(())
}

pub(crate) fn gradient_of_add_n(at: &mut Gradient<'_>) -> Result<()> {
    let Some(dy) = at.output_gradient(0) else { return Ok(()) };
    (0..at.input_count()).try_for_each(|index| at.give(index, dy))
}

pub(crate) fn gradient_of_cast(at: &mut Gradient<'_>) -> Result<()> {
    let Some(dy) = at.output_gradient(0) else { return Ok(()) };
    at.give(0, dy)
}

pub(crate) fn infer_unary(call: &Call<'_>) -> Result<TensorType> {
    call.float(0)
}

pub(crate) fn infer_binary(binary: Binary, call: &Call<'_>) -> Result<TensorType> {
    let (a, b) = match binary {
        Binary::Equal => (call.input(0)?, call.input(1)?),
        _ => (call.float(0)?, call.float(1)?),
    };
    let Some(shape) = a.shape.broadcast_with(&b.shape) else {
        return Err(call.mismatch(a.shape, b.shape, "each extent, from the last, must be equal or 1"));
    };
    let dtype = result_type(a, b);
    Ok(TensorType::new(if dtype.is_float() { dtype } else { DType::F32 }, shape))
}

/// The type that a function of two operands yields: that of the larger operand, or the wider of two of equal size.
fn result_type(a: TensorType, b: TensorType) -> DType {
    match a.shape.elements().cmp(&b.shape.elements()) {
        std::cmp::Ordering::Greater => a.dtype,
        std::cmp::Ordering::Less => b.dtype,
        std::cmp::Ordering::Equal if a.dtype == b.dtype => a.dtype,
        std::cmp::Ordering::Equal => DType::F32,
    }
}

pub(crate) fn infer_add_n(call: &Call<'_>) -> Result<TensorType> {
    let first = call.float(0)?;
    for index in 1..call.inputs.len() {
        let other = call.float(index)?;
        if other != first {
            return Err(call.mismatch(first.shape, other.shape, "all terms must have one shape and type"));
        }
    }
    Ok(first)
}

/// A number as a CUDA C literal that has exactly its value.
pub fn literal(value: Real) -> String {
    match value.0 {
        v if v.is_nan() => "__int_as_float(0x7fc00000)".to_string(),
        v if v == f32::INFINITY => "__int_as_float(0x7f800000)".to_string(),
        v if v == f32::NEG_INFINITY => "__int_as_float(0xff800000)".to_string(),
        v if v.is_sign_negative() => format!("({v:e}f)"),
        v => format!("{v:e}f"),
    }
}

/// The larger of two numbers; not a number when either is, as PyTorch has it.
fn nan_max(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

/// The smaller of two numbers; not a number when either is.
fn nan_min(a: f64, b: f64) -> f64 {
    if a < b || a.is_nan() { a } else { b }
}

/// The distribution function of the standard normal distribution.
fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

/// The complementary error function to full double precision: the Maclaurin series of erf near 0, and the continued
/// fraction of Abramowitz and Stegun 7.1.14 (by the modified Lentz method) beyond.
fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x < 2.5 {
        let (mut term, mut sum) = (x, x);
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return 1.0 - sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    if x > 27.5 {
        return 0.0;
    }
    let mut fraction = x;
    for n in (1..200).rev() {
        fraction = x + 0.5 * f64::from(n) / fraction;
    }
    (-x * x).exp() / (fraction * std::f64::consts::PI.sqrt())
}

/// Methods that apply a function of one variable, which all take and give floating-point tensors of one shape.
macro_rules! unary_methods {
    ($($(#[$doc:meta])* $method:ident => $function:ident,)*) => {
        impl Tensor {
            $($(#[$doc])*
            #[track_caller]
            pub fn $method(&self) -> Result<Tensor> {
                self.apply(Op::Unary(Unary::$function), &[], Origin::caller())
            })*
        }
    };
}

unary_methods! {
    /// `-x`.
    neg => Neg,
    /// `|x|`.
    abs => Abs,
    /// `e^x`.
    exp => Exp,
    /// The natural logarithm.
    log => Log,
    /// The square root.
    sqrt => Sqrt,
    /// `1 / sqrt(x)`.
    rsqrt => Rsqrt,
    /// `1 / x`.
    reciprocal => Reciprocal,
    /// `max(x, 0)`.
    relu => Relu,
    /// `min(max(x, 0), 6)`.
    relu6 => Relu6,
    /// `1 / (1 + e^-x)`.
    sigmoid => Sigmoid,
    /// The hyperbolic tangent.
    tanh => Tanh,
    /// `x * sigmoid(x)`, also called swish.
    silu => Silu,
    /// `relu6(x + 3) / 6`.
    hardsigmoid => HardSigmoid,
    /// `x * relu6(x + 3) / 6`.
    hardswish => HardSwish,
    /// `x * Phi(x)`, with the exact normal distribution function.
    gelu => Gelu,
    /// `log(1 + e^x)`.
    softplus => Softplus,
}

/// Methods that apply a function of two variables; each extent, from the last, must be equal or 1.
macro_rules! binary_methods {
    ($($(#[$doc:meta])* $method:ident => $function:ident,)*) => {
        impl Tensor {
            $($(#[$doc])*
            #[track_caller]
            pub fn $method(&self, other: &Tensor) -> Result<Tensor> {
                self.apply(Op::Binary(Binary::$function), &[other], Origin::caller())
            })*
        }
    };
}

binary_methods! {
    /// `a + b`, broadcasting.
    add => Add,
    /// `a - b`, broadcasting.
    sub => Sub,
    /// `a * b`, broadcasting.
    mul => Mul,
    /// `a / b`, broadcasting.
    div => Div,
    /// The larger of two elements; a tie shares its gradient evenly, broadcasting.
    maximum => Max,
    /// The smaller of two elements; a tie shares its gradient evenly, broadcasting.
    minimum => Min,
    /// `a ^ b`, broadcasting.
    pow => Pow,
}

impl Tensor {
    /// `x + c`, `c` a static number.
    #[track_caller]
    pub fn add_scalar(&self, c: f32) -> Result<Tensor> {
        self.apply(Op::Unary(Unary::AddScalar(Real(c))), &[], Origin::caller())
    }

    /// `x * c`, `c` a static number.
    #[track_caller]
    pub fn mul_scalar(&self, c: f32) -> Result<Tensor> {
        self.apply(Op::Unary(Unary::MulScalar(Real(c))), &[], Origin::caller())
    }

    /// `x ^ c`, `c` a static number.
    #[track_caller]
    pub fn pow_scalar(&self, c: f32) -> Result<Tensor> {
        self.apply(Op::Unary(Unary::PowScalar(Real(c))), &[], Origin::caller())
    }

    /// `min(max(x, low), high)`.
    #[track_caller]
    pub fn clamp(&self, low: f32, high: f32) -> Result<Tensor> {
        self.apply(Op::Unary(Unary::Clamp(Real(low), Real(high))), &[], Origin::caller())
    }

    /// `x` where positive, else `slope * x`.
    #[track_caller]
    pub fn leaky_relu(&self, slope: f32) -> Result<Tensor> {
        self.apply(Op::Unary(Unary::LeakyRelu(Real(slope))), &[], Origin::caller())
    }

    /// The same values as another element type, rounded to nearest even; towards zero for integers.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        self.apply(Op::Cast(dtype), &[], Origin::caller())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Unary; 22] = [
        Unary::Neg,
        Unary::Abs,
        Unary::Exp,
        Unary::Log,
        Unary::Sqrt,
        Unary::Rsqrt,
        Unary::Reciprocal,
        Unary::AddScalar(Real(0.5)),
        Unary::MulScalar(Real(-1.5)),
        Unary::PowScalar(Real(2.5)),
        Unary::Clamp(Real(0.2), Real(1.1)),
        Unary::Relu,
        Unary::Relu6,
        Unary::LeakyRelu(Real(0.1)),
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::Silu,
        Unary::HardSigmoid,
        Unary::HardSwish,
        Unary::Gelu,
        Unary::Softplus,
        Unary::SmoothL1(Real(0.7)),
    ];

    #[test]
    fn every_derivative_is_the_slope() {
        for unary in ALL {
            for x in [-6.3, -3.4, -2.1, -0.9, -0.3, 0.11, 0.6, 0.95, 1.7, 3.3, 6.5] {
                if x <= 0.0 && matches!(unary, Unary::Log | Unary::Sqrt | Unary::Rsqrt | Unary::PowScalar(_))
                {
                    continue;
                }
                let h = 1e-5;
                let slope = (unary.evaluate(x + h) - unary.evaluate(x - h)) / (2.0 * h);
                let v = match unary.derivative_of() {
                    DerivativeOf::Input => x,
                    DerivativeOf::Output => unary.evaluate(x),
                };
                let derivative = unary.derivative(v);
                assert!(
                    (slope - derivative).abs() <= 1e-6 * (1.0 + slope.abs()),
                    "{unary:?} at {x}: slope {slope}, derivative {derivative}"
                );
            }
        }
    }

    #[test]
    fn erfc_has_known_values() {
        for (x, expected) in [
            (0.0, 1.0),
            (0.5, 0.479_500_122_186_953_5),
            (1.0, 0.157_299_207_050_285_1),
            (2.4, 0.000_688_513_896_645_078_9),
            (2.6, 0.000_236_034_416_529_349_1),
            (5.0, 1.537_459_794_428_035e-12),
            (-1.0, 1.842_700_792_949_715),
        ] {
            assert!((erfc(x) / expected - 1.0).abs() < 1e-9, "erfc({x}) = {}", erfc(x));
        }
    }

    #[test]
    fn literals_keep_every_bit() {
        for value in [0.1f32, 1.0, -2.5e-30, 3.4e38, 1e-45, 16777217.0] {
            let text = literal(Real(value));
            let digits = text.trim_matches(['(', ')', 'f']);
            assert_eq!(digits.parse::<f32>().unwrap().to_bits(), value.to_bits(), "{text}");
        }
    }
}
