//! The norm of all gradients, and whether all of them are finite: one launch.
//!
//! Each block sums the squares of a chunk of one tensor, and looks for elements that are not finite; the last block to
//! arrive adds the blocks' sums up, in their order, so that the result has the same bits every time. The source is the same
//! for all networks: a table says which chunk is of which tensor and type.

use super::chunks::{THREADS, chunks, kernel};
use super::optimizer::gradient_code;
use super::{Kernel, Scratch, Target};
use crate::error::Result;
use crate::types::TensorType;

/// Elements that a thread reads at a time.
const VECTOR: usize = 8;

const SOURCE: &str = r#"
const int VECTOR = @VECTOR;

// Where the gradient is in the pointer table; its type; which elements.
struct Chunk { unsigned int input, type, first, count; };

template <typename G, int V>
__device__ __forceinline__ void measure_at(const G* gradient, float& sum, bool& broken) {
    Vec<G, V> g = load<G, V>(gradient);
    EACH {
        float x = to_float(g.v[j]);
        // The exponent tells; the sum alone may be infinite where no element is.
        broken |= (__float_as_uint(x) & 0x7f800000u) == 0x7f800000u;
        sum += x * x;
    }
}

template <typename G>
__device__ __forceinline__ void measure(const Chunk& chunk, const G* gradient, float& sum, bool& broken) {
    unsigned int end = chunk.first + chunk.count;
    for (unsigned int i = chunk.first + VECTOR * threadIdx.x; i < end; i += VECTOR * blockDim.x) {
        if (i + VECTOR <= end) measure_at<G, VECTOR>(gradient + i, sum, broken);
        else for (unsigned int tail = i; tail < end; ++tail) measure_at<G, 1>(gradient + tail, sum, broken);
    }
}

extern "C" __global__ void __launch_bounds__(@THREADS) KERNEL(void* const* pointers, float* partial, unsigned int* counter,
                                                       const Chunk* chunks) {
    __shared__ float shared[33];
    Chunk chunk = chunks[blockIdx.x];
    const void* gradient = pointers[chunk.input];
    float sum = 0.0f;
    bool broken = false;
    if (chunk.type == 0) measure(chunk, static_cast<const float*>(gradient), sum, broken);
    else if (chunk.type == 1) measure(chunk, static_cast<const f16*>(gradient), sum, broken);
    else measure(chunk, static_cast<const bf16*>(gradient), sum, broken);
    sum = block_sum(sum, shared);
    int any = __syncthreads_or(broken);
    if (threadIdx.x == 0) {
        partial[2 * blockIdx.x] = sum;
        partial[2 * blockIdx.x + 1] = any ? 1.0f : 0.0f;
    }
    if (!arrives_last(counter, gridDim.x)) return;
    float total = 0.0f, flags = 0.0f;
    for (unsigned int block = threadIdx.x; block < gridDim.x; block += blockDim.x) {
        Vec<float, 1> of_block = load_cached<1>(partial + 2 * block), flag = load_cached<1>(partial + 2 * block + 1);
        total += of_block.v[0];
        flags += flag.v[0];
    }
    total = block_sum(total, shared);
    flags = block_sum(flags, shared);
    if (threadIdx.x == 0) {
        // The tensors' pointers come first, then those of the two results.
        *static_cast<float*>(pointers[chunks[gridDim.x].input]) = sqrtf(total);
        *static_cast<float*>(pointers[chunks[gridDim.x].input + 1]) = flags > 0.0f ? 1.0f : 0.0f;
    }
}
"#;

/// The norm of gradients of these types.
pub(super) fn generate(inputs: &[TensorType], target: &Target) -> Result<Kernel> {
    let elements: Vec<usize> = inputs.iter().map(|gradient| gradient.shape.elements()).collect();
    let chunks = chunks(&elements, VECTOR, target)?;
    let mut constants = Vec::with_capacity(4 * (chunks.len() + 1));
    for chunk in &chunks {
        let code = gradient_code(inputs[chunk.tensor].dtype)?;
        constants.extend([chunk.tensor as u32, code, chunk.first, chunk.count]);
    }
    constants.extend([inputs.len() as u32, 0, 0, 0]);
    let body = SOURCE.replace("@VECTOR", &VECTOR.to_string()).replace("@THREADS", &THREADS.to_string());
    let scratch = vec![Scratch::Partial(8 * chunks.len()), Scratch::Counters(1)];
    Ok(Kernel { scratch, ..kernel("gradient_norm", &body, &chunks, constants) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{DType, Shape};

    #[test]
    fn the_table_ends_with_the_place_of_the_results() {
        let target = Target { compute_capability: (9, 0), multiprocessors: 132 };
        let gradient = |dtype, elements| TensorType::new(dtype, Shape::vector(elements));
        let inputs = [gradient(DType::F16, 3000), gradient(DType::F32, 5)];
        let kernel = generate(&inputs, &target).unwrap();
        assert_eq!(kernel.grid, [3, 1, 1]);
        let expected = [[0, 1, 0, 2048], [0, 1, 2048, 952], [1, 0, 0, 5], [2, 0, 0, 0]];
        assert_eq!(kernel.constants, expected.concat());
        assert_eq!(kernel.scratch, [Scratch::Partial(24), Scratch::Counters(1)]);
        assert!(!kernel.source.contains('@'));
    }
}
