//! Cross entropy of logits and labels, and its gradient: each row of logits is read where it lies, its softmax is never
//! stored.
//!
//! With `m` the largest logit of a row, `d = x - m` and `s` the label smoothing, the loss is
//! `log sum(e^d) - (1 - s) d[label] - s mean(d)`, and the gradient `dloss (e^d / sum(e^d) - q)`. All sums are `f32`.

use super::rows::Rows;
use super::{Kernel, Target, prelude::c_type};
use crate::error::{Error, Result};
use crate::ops::{CrossEntropy, Op};
use crate::types::TensorType;

/// The rule for one row's label, and the first two passes over its logits `x`.
const ROW: &str = r#"
    FIND_ROW
    const T* x = logits + row * COLUMNS;
    int label = labels[row];
    bool counts = label != IGNORE, exists = label >= 0 && (unsigned int)label < COLUMNS;

    float largest = LOWEST;
    EACH_VECTOR {
        Vec<T, V> v = load<T, V>(x + column);
        EACH largest = nan_max(largest, to_float(v.v[j]));
    }
    largest = row_max(largest);
"#;

const LOSS: &str = r#"
extern "C" __global__ void KERNEL(const T* __restrict__ logits, const int* __restrict__ labels,
                                  float* __restrict__ loss, float* __restrict__ counted) {
@ROW
    float sum = 0.0f, distance = 0.0f;
    EACH_VECTOR {
        Vec<T, V> v = load<T, V>(x + column);
        EACH {
            float d = to_float(v.v[j]) - largest;
            sum += expf(d);
            distance += d;
        }
    }
    sum = row_sum(sum);
    if (SMOOTHING != 0.0f) distance = row_sum(distance);
    if (LEADS) {
        float y = logf(sum);
        if (SMOOTHING != 1.0f && exists) y -= (1.0f - SMOOTHING) * (to_float(x[label]) - largest);
        if (SMOOTHING != 0.0f) y -= SMOOTHING * (distance / (float)COLUMNS);
        loss[row] = counts ? exists ? y : not_a_number() : 0.0f;
        counted[row] = counts ? 1.0f : 0.0f;
    }
}
"#;

const GRADIENT: &str = r#"
extern "C" __global__ void KERNEL(const T* __restrict__ logits, const int* __restrict__ labels,
                                  const G* __restrict__ dloss, D* __restrict__ dlogits) {
@ROW
    float sum = 0.0f;
    EACH_VECTOR {
        Vec<T, V> v = load<T, V>(x + column);
        EACH sum += expf(to_float(v.v[j]) - largest);
    }
    sum = row_sum(sum);
    if (!live) return;
    float upstream = exists ? to_float(dloss[row]) : not_a_number();
    EACH_VECTOR {
        Vec<T, V> v = load<T, V>(x + column);
        Vec<D, V> dx;
        EACH {
            float p = expf(to_float(v.v[j]) - largest) / sum;
            float q = SMOOTHING / (float)COLUMNS + (column + j == (unsigned int)label ? 1.0f - SMOOTHING : 0.0f);
            dx.v[j] = from_float<D>(counts ? upstream * (p - q) : 0.0f);
        }
        store<D, V>(dlogits + row * COLUMNS + column, dx);
    }
}
"#;

pub(super) fn generate(
    op: &Op,
    inputs: &[TensorType],
    outputs: &[TensorType],
    target: &Target,
) -> Result<Kernel> {
    let (loss, template, types) = match (op, inputs, outputs) {
        (Op::CrossEntropy(loss), [logits, _], [_, _]) => {
            (loss, LOSS, format!("typedef {} T;\n", c_type(logits.dtype)))
        }
        (Op::CrossEntropyGrad(loss), [logits, _, dloss], [dlogits]) => {
            let [t, g, d] = [logits, dloss, dlogits].map(|ty| c_type(ty.dtype));
            (loss, GRADIENT, format!("typedef {t} T;\ntypedef {g} G;\ntypedef {d} D;\n"))
        }
        _ => {
            let what = format!("{} of {} operands is no cross entropy", op.name(), inputs.len());
            return Err(Error::Plan { pass: "codegen", what });
        }
    };
    let CrossEntropy { label_smoothing, ignore_index } = loss;
    let description = format!("{}_{}", op.name(), inputs[0].dtype);
    let body = format!(
        "{types}#define SMOOTHING __int_as_float(0x{:08x})  // {label_smoothing}\n#define IGNORE ({})\n{}",
        label_smoothing.0.to_bits(),
        // C has no literal for the smallest integer.
        if *ignore_index == i32::MIN { "-2147483647 - 1".into() } else { ignore_index.to_string() },
        template.replace("@ROW", ROW)
    );
    Rows::new(inputs[0], target)?.kernel(&description, &body)
}
