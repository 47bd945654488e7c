//! Softmax and log-softmax over the last extent, and their gradients.
//!
//! Three passes over a row: the largest element, the sum of `e^(x - largest)`, the result. The gradient takes two: the
//! sum, then the result. All sums are `f32`.

use super::rows::Rows;
use super::{Kernel, Target, prelude::c_type};
use crate::error::{Error, Result};
use crate::ops::Op;
use crate::types::TensorType;

const SOFTMAX: &str = r#"
extern "C" __global__ void KERNEL(const T* __restrict__ x, D* __restrict__ y) {
    FIND_ROW
    x += row * COLUMNS;
    y += row * COLUMNS;
    float largest = LOWEST;
    EACH_VECTOR {
        Vec<T, V> v = load<T, V>(x + column);
        EACH largest = nan_max(largest, to_float(v.v[j]));
    }
    largest = row_max(largest);
    float sum = 0.0f;
    EACH_VECTOR {
        Vec<T, V> v = load<T, V>(x + column);
        EACH sum += expf(to_float(v.v[j]) - largest);
    }
    sum = row_sum(sum);
    if (!live) return;
    float log_sum = logf(sum);
    EACH_VECTOR {
        Vec<T, V> v = load<T, V>(x + column);
        Vec<D, V> result;
        EACH {
            float d = to_float(v.v[j]) - largest;
            result.v[j] = from_float<D>(LOG ? d - log_sum : expf(d) / sum);
        }
        store<D, V>(y + column, result);
    }
}
"#;

const GRADIENT: &str = r#"
extern "C" __global__ void KERNEL(const T* __restrict__ y, const G* __restrict__ dy, D* __restrict__ dx) {
    FIND_ROW
    y += row * COLUMNS;
    dy += row * COLUMNS;
    dx += row * COLUMNS;
    float sum = 0.0f;
    EACH_VECTOR {
        Vec<T, V> v = load<T, V>(y + column);
        Vec<G, V> g = load<G, V>(dy + column);
        EACH sum += LOG ? to_float(g.v[j]) : to_float(v.v[j]) * to_float(g.v[j]);
    }
    sum = row_sum(sum);
    if (!live) return;
    EACH_VECTOR {
        Vec<T, V> v = load<T, V>(y + column);
        Vec<G, V> g = load<G, V>(dy + column);
        Vec<D, V> result;
        EACH {
            float value = to_float(v.v[j]), gradient = to_float(g.v[j]);
            result.v[j] = from_float<D>(LOG ? gradient - expf(value) * sum : value * (gradient - sum));
        }
        store<D, V>(dx + column, result);
    }
}
"#;

pub(super) fn generate(
    op: &Op,
    inputs: &[TensorType],
    outputs: &[TensorType],
    target: &Target,
) -> Result<Kernel> {
    let (softmax, template, types) = match (op, inputs, outputs) {
        (Op::Softmax(softmax), [x], [y]) => {
            let [t, d] = [x, y].map(|ty| c_type(ty.dtype));
            (softmax, SOFTMAX, format!("typedef {t} T;\ntypedef {d} D;\n"))
        }
        (Op::SoftmaxGrad(softmax), [y, dy], [dx]) => {
            let [t, g, d] = [y, dy, dx].map(|ty| c_type(ty.dtype));
            (softmax, GRADIENT, format!("typedef {t} T;\ntypedef {g} G;\ntypedef {d} D;\n"))
        }
        _ => {
            let what = format!("{} of {} operands is no softmax", op.name(), inputs.len());
            return Err(Error::Plan { pass: "codegen", what });
        }
    };
    let gradient = if matches!(op, Op::SoftmaxGrad(_)) { "_grad" } else { "" };
    let description = format!("{}{gradient}_{}", softmax.name(), inputs[0].dtype);
    let body = format!("{types}const bool LOG = {};\n{template}", softmax.log);
    Rows::new(inputs[0], target)?.kernel(&description, &body)
}
