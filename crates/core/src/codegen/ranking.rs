//! The index of the largest element of each row, and whether a label is among the first k.
//!
//! Both order the elements of a row by one key: the larger number first, not-a-number before all numbers, of equal ones
//! the lower column. So a label is among the first 1 exactly when it is the argmax.

use super::rows::Rows;
use super::{Kernel, Target, prelude::c_type};
use crate::error::{Error, Result};
use crate::ops::Op;
use crate::types::TensorType;

const KEY: &str = r#"
typedef unsigned long long Key;

// Keys order as elements do: the bits of the number made monotonous, then the column counted backwards.
__device__ __forceinline__ Key key(float x, unsigned int column) {
    unsigned int bits = __float_as_uint(x + 0.0f);  // -0 is 0
    bits = x != x ? 0xffffffffu : bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (Key)bits << 32 | (0xffffffffu - column);
}
"#;

const ARGMAX: &str = r#"
__device__ __forceinline__ Key row_max(Key x) {
#pragma unroll
    for (int offset = (THREADS < 32 ? THREADS : 32) / 2; offset > 0; offset /= 2) {
        Key other = __shfl_xor_sync(0xffffffffu, x, offset);
        x = other > x ? other : x;
    }
    if (THREADS <= 32) return x;
    __shared__ Key warps[32];
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
    __syncthreads();
    for (int warp = 0; warp < THREADS / 32; ++warp) x = warps[warp] > x ? warps[warp] : x;
    return x;
}

extern "C" __global__ void KERNEL(const T* __restrict__ x, int* __restrict__ y) {
    FIND_ROW
    Key largest = 0;
    EACH_VECTOR {
        Vec<T, V> v = load<T, V>(x + row * COLUMNS + column);
        EACH {
            Key candidate = key(to_float(v.v[j]), column + j);
            largest = candidate > largest ? candidate : largest;
        }
    }
    largest = row_max(largest);
    if (LEADS) y[row] = (int)(0xffffffffu - (unsigned int)largest);
}
"#;

const IN_TOP_K: &str = r#"
extern "C" __global__ void KERNEL(const T* __restrict__ x, const int* __restrict__ labels, float* __restrict__ y) {
    FIND_ROW
    int label = labels[row];
    bool exists = label >= 0 && (unsigned int)label < COLUMNS;
    Key own = exists ? key(to_float(x[row * COLUMNS + label]), label) : 0;
    float before = 0.0f;
    EACH_VECTOR {
        Vec<T, V> v = load<T, V>(x + row * COLUMNS + column);
        EACH before += key(to_float(v.v[j]), column + j) > own ? 1.0f : 0.0f;
    }
    before = row_sum(before);
    if (LEADS) y[row] = exists && before < @K ? 1.0f : 0.0f;
}
"#;

pub(super) fn generate(
    op: &Op,
    inputs: &[TensorType],
    outputs: &[TensorType],
    target: &Target,
) -> Result<Kernel> {
    let refused = || {
        let what = format!("{} of {} operands is no ranking", op.name(), inputs.len());
        Error::Plan { pass: "codegen", what }
    };
    let [x, ..] = inputs else { return Err(refused()) };
    let rows = Rows::new(*x, target)?;
    let (description, template) = match (op, inputs.len(), outputs.len()) {
        (Op::Argmax, 1, 1) => (format!("argmax_{}", x.dtype), ARGMAX.to_owned()),
        // A row has no more elements than columns, and counts below 2^24 are exact.
        (Op::InTopK { k }, 2, 1) if rows.columns() < 1 << 24 => {
            let k = format!("{}.0f", k.min(&rows.columns()));
            (format!("in_top_k_{}", x.dtype), IN_TOP_K.replace("@K", &k))
        }
        _ => return Err(refused()),
    };
    rows.kernel(&description, &format!("typedef {} T;\n{KEY}{template}", c_type(x.dtype)))
}
