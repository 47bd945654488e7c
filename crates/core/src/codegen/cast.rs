//! Several casts in one launch, as when all parameters become half precision.
//!
//! Each block casts a chunk of one tensor, eight elements a thread and step. A table says which chunk is of which tensor
//! and types; the source depends on the pairs of types that occur.

use super::chunks::{THREADS, chunks, kernel};
use super::{Kernel, Target, prelude};
use crate::error::Result;
use crate::types::DType;

/// Elements that a thread casts at a time.
const VECTOR: usize = 8;

const SOURCE: &str = r#"
const int VECTOR = @VECTOR;

// Where the input and the output are in the pointer table; their pair of types; which elements.
struct Chunk { unsigned int input, output, types, first, count; };

template <typename To, typename From> struct Cast { static __device__ __forceinline__ To of(From x) { return from_float<To>(to_float(x)); } };
template <typename T> struct Cast<T, T> { static __device__ __forceinline__ T of(T x) { return x; } };

template <typename From, typename To, int V>
__device__ __forceinline__ void cast_at(const From* from, To* to) {
    Vec<From, V> x = load<From, V>(from);
    Vec<To, V> y;
    EACH y.v[j] = Cast<To, From>::of(x.v[j]);
    store<To, V>(to, y);
}

template <typename From, typename To>
__device__ __forceinline__ void cast_chunk(const Chunk& chunk, void* const* pointers) {
    const From* from = static_cast<const From*>(pointers[chunk.input]);
    To* to = static_cast<To*>(pointers[chunk.output]);
    unsigned int end = chunk.first + chunk.count;
    for (unsigned int i = chunk.first + VECTOR * threadIdx.x; i < end; i += VECTOR * blockDim.x) {
        if (i + VECTOR <= end) cast_at<From, To, VECTOR>(from + i, to + i);
        else for (unsigned int tail = i; tail < end; ++tail) cast_at<From, To, 1>(from + tail, to + tail);
    }
}

extern "C" __global__ void __launch_bounds__(@THREADS) KERNEL(void* const* pointers, const Chunk* chunks) {
    Chunk chunk = chunks[blockIdx.x];
    switch (chunk.types) {
@CASES    }
}
"#;

/// Casts of (elements, type before, type after).
pub(super) fn generate(tensors: &[(usize, DType, DType)], target: &Target) -> Result<Kernel> {
    let elements: Vec<usize> = tensors.iter().map(|&(elements, ..)| elements).collect();
    let chunks = chunks(&elements, VECTOR, target)?;
    let mut pairs: Vec<(&str, &str)> = tensors.iter().map(|&(_, from, to)| c_types(from, to)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut constants = Vec::with_capacity(5 * chunks.len());
    for chunk in &chunks {
        let (_, from, to) = tensors[chunk.tensor];
        let pair = pairs.partition_point(|&pair| pair < c_types(from, to));
        let (input, output) = (chunk.tensor, tensors.len() + chunk.tensor);
        constants.extend([input as u32, output as u32, pair as u32, chunk.first, chunk.count]);
    }
    let case = |(index, (from, to)): (usize, &(&str, &str))| {
        format!("        case {index}: cast_chunk<{from}, {to}>(chunk, pointers); break;\n")
    };
    let body = SOURCE
        .replace("@VECTOR", &VECTOR.to_string())
        .replace("@THREADS", &THREADS.to_string())
        .replace("@CASES", &pairs.iter().enumerate().map(case).collect::<String>());
    Ok(kernel("cast_many", &body, &chunks, constants))
}

fn c_types(from: DType, to: DType) -> (&'static str, &'static str) {
    (prelude::c_type(from), prelude::c_type(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: Target = Target { compute_capability: (9, 0), multiprocessors: 132 };

    #[test]
    fn each_chunk_knows_its_tensor_and_types() {
        let tensors =
            [(2049, DType::F32, DType::F16), (3, DType::BF16, DType::F32), (5, DType::F32, DType::F16)];
        let kernel = generate(&tensors, &H200).unwrap();
        assert_eq!(kernel.grid, [4, 1, 1]);
        let expected = [[0, 3, 1, 0, 2048], [0, 3, 1, 2048, 1], [1, 4, 0, 0, 3], [2, 5, 1, 0, 5]];
        assert_eq!(kernel.constants, expected.concat());
        assert!(kernel.source.contains("case 0: cast_chunk<bf16, float>"));
        assert!(kernel.source.contains("case 1: cast_chunk<float, f16>"));
    }
}
