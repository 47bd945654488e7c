//! The optimizers' updates, and blends: one launch for all parameters.
//!
//! Each block updates a chunk of one tensor, four elements a thread and step. What belongs to a chunk stands in a table
//! (where its group's settings, its tensor's inputs and outputs are in the pointer table, the type of its gradient), so
//! that the source depends on the rule alone. A thread reads all that it overwrites before it writes: weights and
//! buffers may be updated in place.

use super::chunks::{THREADS, chunks, kernel};
use super::{Kernel, Target};
use crate::error::{Error, Result};
use crate::ops::optimizer::group_count;
use crate::ops::{AdamW, Op, Sgd};
use crate::types::{DType, TensorType};

/// Elements that a thread updates at a time.
const VECTOR: usize = 4;

/// `gradient` is the gradient, `w` the weight, `s` the group's settings, `b` the buffers. What is skipped keeps its bits.
const SGD: &str = "\
        if (s[4] != 0.0f) return;
        float g = s[3] * gradient + s[2] * w;
        b[0] = s[1] * b[0] + g;
        w -= s[0] * b[0];
";
const SGD_NESTEROV: &str = "\
        if (s[4] != 0.0f) return;
        float g = s[3] * gradient + s[2] * w;
        b[0] = s[1] * b[0] + g;
        w -= s[0] * (g + s[1] * b[0]);
";
const ADAMW: &str = "\
        if (s[8] != 0.0f) return;
        float g = s[7] * gradient;
        w *= 1.0f - s[0] * s[4];
        b[0] = s[1] * b[0] + (1.0f - s[1]) * g;
        b[1] = s[2] * b[1] + (1.0f - s[2]) * g * g;
        w -= s[0] * (b[0] / s[5]) / (sqrtf(b[1] / s[6]) + s[3]);
";

/// `w` is what is kept and written, `gradient` what is taken.
const BLEND: &str = "\
        w = s[0] == 0.0f ? 0.0f : s[0] * w;
        if (s[1] != 0.0f) w = s[0] == 0.0f ? s[1] * gradient : w + s[1] * gradient;
";

const SOURCE: &str = r#"
// An array has an element at least: ROOM is for the buffers of rules that have none.
const int SETTINGS = @SETTINGS, BUFFERS = @BUFFERS, ROOM = BUFFERS > 0 ? BUFFERS : 1, VECTOR = @VECTOR;

// Where the settings, inputs and outputs are in the pointer table; the gradient's type; which elements.
struct Chunk { unsigned int settings, inputs, outputs, gradient, first, count; };

__device__ __forceinline__ void update(float& w, float (&b)[ROOM], float gradient, const float (&s)[SETTINGS]) {
@RULE}

template <typename G, int V>
__device__ __forceinline__ void update_at(unsigned int i, float* const (&in)[2 + BUFFERS],
                                          float* const (&out)[1 + BUFFERS], const float (&s)[SETTINGS]) {
    Vec<float, V> w = load<float, V>(in[0] + i);
    Vec<G, V> g = load<G, V>(reinterpret_cast<const G*>(in[1]) + i);
    Vec<float, V> buffers[ROOM];
    for (int k = 0; k < BUFFERS; ++k) buffers[k] = load<float, V>(in[2 + k] + i);
    EACH {
        float b[ROOM];
        for (int k = 0; k < BUFFERS; ++k) b[k] = buffers[k].v[j];
        update(w.v[j], b, to_float(g.v[j]), s);
        for (int k = 0; k < BUFFERS; ++k) buffers[k].v[j] = b[k];
    }
    store<float, V>(out[0] + i, w);
    for (int k = 0; k < BUFFERS; ++k) store<float, V>(out[1 + k] + i, buffers[k]);
}

template <typename G>
__device__ __forceinline__ void update_chunk(const Chunk& chunk, float* const* pointers) {
    float* in[2 + BUFFERS];
    float* out[1 + BUFFERS];
    float s[SETTINGS];
    for (int k = 0; k < 2 + BUFFERS; ++k) in[k] = pointers[chunk.inputs + k];
    for (int k = 0; k < 1 + BUFFERS; ++k) out[k] = pointers[chunk.outputs + k];
    for (int k = 0; k < SETTINGS; ++k) s[k] = *pointers[chunk.settings + k];
    unsigned int end = chunk.first + chunk.count;
    for (unsigned int i = chunk.first + VECTOR * threadIdx.x; i < end; i += VECTOR * blockDim.x) {
        if (i + VECTOR <= end) update_at<G, VECTOR>(i, in, out, s);
        else for (unsigned int tail = i; tail < end; ++tail) update_at<G, 1>(tail, in, out, s);
    }
}

extern "C" __global__ void __launch_bounds__(@THREADS) KERNEL(float* const* pointers, const Chunk* chunks) {
    Chunk chunk = chunks[blockIdx.x];
    if (chunk.gradient == 0) update_chunk<float>(chunk, pointers);
    else if (chunk.gradient == 1) update_chunk<f16>(chunk, pointers);
    else update_chunk<bf16>(chunk, pointers);
}
"#;

pub(super) fn generate(
    op: &Op,
    inputs: &[TensorType],
    outputs: &[TensorType],
    target: &Target,
) -> Result<Kernel> {
    let one_group = vec![0; outputs.len()];
    let (description, rule, settings, buffers, groups) = match op {
        Op::Blend => ("blend", BLEND, Op::BLEND_FACTORS, 0, &one_group),
        Op::Sgd(sgd) if sgd.nesterov => {
            ("sgd_nesterov", SGD_NESTEROV, Sgd::SCALARS, Sgd::BUFFERS, &sgd.groups)
        }
        Op::Sgd(sgd) => ("sgd", SGD, Sgd::SCALARS, Sgd::BUFFERS, &sgd.groups),
        Op::AdamW(adamw) => ("adamw", ADAMW, AdamW::SCALARS, AdamW::BUFFERS, &adamw.groups),
        _ => return Err(wrong(format!("{} is no optimizer's update", op.name()))),
    };
    let first = settings * group_count(groups);
    if inputs.len() != first + groups.len() * (2 + buffers) || outputs.len() != groups.len() * (1 + buffers) {
        return Err(wrong(format!(
            "{description} of {} tensors with {} inputs and {} outputs",
            groups.len(),
            inputs.len(),
            outputs.len()
        )));
    }
    let tensors: Vec<&[TensorType]> = inputs[first..].chunks(2 + buffers).collect();
    let elements: Vec<usize> = tensors.iter().map(|tensor| tensor[0].shape.elements()).collect();
    let chunks = chunks(&elements, VECTOR, target)?;
    let mut constants = Vec::with_capacity(6 * chunks.len());
    for chunk in &chunks {
        let tensor = chunk.tensor;
        constants.extend([
            groups[tensor] * settings as u32,
            (first + tensor * (2 + buffers)) as u32,
            (inputs.len() + tensor * (1 + buffers)) as u32,
            gradient_code(tensors[tensor][1].dtype)?,
            chunk.first,
            chunk.count,
        ]);
    }
    let body = SOURCE
        .replace("@SETTINGS", &settings.to_string())
        .replace("@BUFFERS", &buffers.to_string())
        .replace("@VECTOR", &VECTOR.to_string())
        .replace("@THREADS", &THREADS.to_string())
        .replace("@RULE", rule);
    Ok(kernel(description, &body, &chunks, constants))
}

/// How the table of chunks names the type of a gradient.
pub(super) fn gradient_code(dtype: DType) -> Result<u32> {
    match dtype {
        DType::F32 => Ok(0),
        DType::F16 => Ok(1),
        DType::BF16 => Ok(2),
        DType::I32 | DType::U8 => Err(wrong(format!("a gradient of type {dtype}"))),
    }
}

fn wrong(what: String) -> Error {
    Error::Plan { pass: "codegen", what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Shape;

    const H200: Target = Target { compute_capability: (9, 0), multiprocessors: 132 };

    /// Inputs and outputs of an update of tensors with these elements and gradients.
    fn types(
        settings: usize,
        buffers: usize,
        tensors: &[(usize, DType)],
    ) -> (Vec<TensorType>, Vec<TensorType>) {
        let mut inputs = vec![TensorType::scalar(); settings];
        let mut outputs = Vec::new();
        for &(elements, gradient) in tensors {
            let weight = TensorType::new(DType::F32, Shape::vector(elements));
            inputs.extend([weight, TensorType::new(gradient, weight.shape)]);
            inputs.extend(vec![weight; buffers]);
            outputs.extend(vec![weight; 1 + buffers]);
        }
        (inputs, outputs)
    }

    #[test]
    fn each_chunk_finds_its_pointers() {
        let (inputs, outputs) =
            types(2 * Sgd::SCALARS, Sgd::BUFFERS, &[(1500, DType::F32), (10, DType::F16)]);
        let op = Op::Sgd(Sgd { nesterov: false, groups: vec![0, 1] });
        let kernel = generate(&op, &inputs, &outputs, &H200).unwrap();
        assert_eq!(kernel.grid, [3, 1, 1]);
        // Two groups of 5 settings, then (weight, gradient, buffer) of each tensor, then (weight, buffer) of each.
        let expected = [[0, 10, 16, 0, 0, 1024], [0, 10, 16, 0, 1024, 476], [5, 13, 18, 1, 0, 10]];
        assert_eq!(kernel.constants, expected.concat());
    }

    #[test]
    fn the_source_depends_on_the_rule_alone() {
        let adamw = |tensors: &[(usize, DType)]| {
            let (inputs, outputs) = types(AdamW::SCALARS, AdamW::BUFFERS, tensors);
            generate(&Op::AdamW(AdamW { groups: vec![0; tensors.len()] }), &inputs, &outputs, &H200).unwrap()
        };
        let (few, many) = (adamw(&[(3, DType::BF16)]), adamw(&[(5000, DType::F32), (7, DType::F16)]));
        assert_eq!(few.source, many.source);
        assert!(!few.source.contains('@'));
    }

    #[test]
    fn other_operations_are_refused() {
        assert!(generate(&Op::Argmax, &[], &[], &H200).is_err());
    }
}
