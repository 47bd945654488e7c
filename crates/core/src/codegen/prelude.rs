//! What every kernel's source begins with: element types, conversions, random numbers, reductions.

use crate::types::DType;

/// CUDA C without includes, for every architecture from sm_75 on.
pub(super) const PRELUDE: &str = r#"
struct f16 { unsigned short bits; };
struct bf16 { unsigned short bits; };
typedef unsigned char u8;
template <typename T, int V> struct __align__(sizeof(T) * V > 16 ? 16 : sizeof(T) * V) Vec { T v[V]; };
struct Header { unsigned long long seed; unsigned int step; };
#define EACH _Pragma("unroll") for (int j = 0; j < V; ++j)

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(int x) { return (float)x; }
__device__ __forceinline__ float to_float(u8 x) { return (float)x; }
__device__ __forceinline__ float to_float(f16 x) { float y; asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits)); return y; }
__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float((unsigned int)x.bits << 16); }

template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ int from_float<int>(float x) { return (int)x; }
template <> __device__ __forceinline__ u8 from_float<u8>(float x) { return (u8)fminf(fmaxf(x, 0.0f), 255.0f); }
template <> __device__ __forceinline__ f16 from_float<f16>(float x) { f16 y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); return y; }
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) {
    bf16 y;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    unsigned int u = __float_as_uint(x);
    y.bits = (u & 0x7fffffffu) > 0x7f800000u ? (unsigned short)0x7fff : (unsigned short)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
#endif
    return y;
}
template <typename T> __device__ __forceinline__ float rounded(float x) { return to_float(from_float<T>(x)); }

template <typename T, int V> __device__ __forceinline__ Vec<T, V> load(const T* p) { return *reinterpret_cast<const Vec<T, V>*>(p); }
template <typename T, int V> __device__ __forceinline__ void store(T* p, const Vec<T, V>& x) { *reinterpret_cast<Vec<T, V>*>(p) = x; }

// A kernel may be launched before the one ahead of it is done. It waits here, before it touches memory, until all that was
// enqueued earlier is complete and visible, and lets the next kernel be launched likewise.
__device__ __forceinline__ void wait_for_earlier_launches() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// What other blocks wrote, past the first-level cache.
template <int V> __device__ __forceinline__ Vec<float, V> load_cached(const float* p) {
    Vec<float, V> x;
    if constexpr (V % 4 == 0) {
#pragma unroll
        for (int j = 0; j < V; j += 4) {
            const float4 four = __ldcg(reinterpret_cast<const float4*>(p + j));
            x.v[j] = four.x; x.v[j + 1] = four.y; x.v[j + 2] = four.z; x.v[j + 3] = four.w;
        }
    } else {
        EACH x.v[j] = __ldcg(p + j);
    }
    return x;
}

// Not a number wins, as in PyTorch.
#if __CUDA_ARCH__ >= 800
__device__ __forceinline__ float nan_max(float a, float b) { float y; asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b)); return y; }
__device__ __forceinline__ float nan_min(float a, float b) { float y; asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b)); return y; }
#else
__device__ __forceinline__ float nan_max(float a, float b) { return a > b || a != a ? a : b; }
__device__ __forceinline__ float nan_min(float a, float b) { return a < b || a != a ? a : b; }
#endif
// A masked gradient is 0 even where the upstream one is infinite.
__device__ __forceinline__ float chain(float gradient, float derivative) { return derivative == 0.0f ? 0.0f : gradient * derivative; }
__device__ __forceinline__ float silu_derivative(float x) { float s = 1.0f / (1.0f + expf(-x)); return s * (1.0f + x * (1.0f - s)); }
__device__ __forceinline__ float not_a_number() { return __int_as_float(0x7fc00000); }

// Philox4x32-10.
__device__ __forceinline__ uint4 philox(uint4 c, uint2 k) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        unsigned int a = 0xD2511F53u * c.x, b = 0xCD9E8D57u * c.z;
        unsigned int ah = __umulhi(0xD2511F53u, c.x), bh = __umulhi(0xCD9E8D57u, c.z);
        c = make_uint4(bh ^ c.y ^ k.x, b, ah ^ c.w ^ k.y, a);
        k.x += 0x9E3779B9u; k.y += 0xBB67AE85u;
    }
    return c;
}

// What dropout multiplies V elements with; `element` is the first one's index, a multiple of V.
template <int V>
__device__ __forceinline__ void dropout_mask(float (&mask)[V], const Header* header, unsigned long long element,
                                             unsigned int ordinal, unsigned int threshold, float scale) {
    unsigned long long seed = header->seed, block = element / 8;
    uint4 w = philox(make_uint4((unsigned int)block, (unsigned int)(block >> 32), ordinal, header->step),
                     make_uint2((unsigned int)seed, (unsigned int)(seed >> 32)));
    int first = (int)(element % 8);
    EACH {
        int lane = V == 8 ? j : first + j;
        unsigned int word = lane < 2 ? w.x : lane < 4 ? w.y : lane < 6 ? w.z : w.w;
        mask[j] = ((word >> (16 * (lane & 1))) & 0xffffu) >= threshold ? scale : 0.0f;
    }
}

// The sum over a warp, in every lane; always in the same order.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) x = nan_max(x, __shfl_xor_sync(0xffffffffu, x, offset));
    return x;
}
// The sum over a block of whole warps, in every thread; `shared` holds 33 floats.
__device__ __forceinline__ float block_sum(float x, float* shared) {
    int thread = threadIdx.x + blockDim.x * threadIdx.y, warps = blockDim.x * blockDim.y / 32;
    x = warp_sum(x);
    if (warps == 1) return x;
    __syncthreads();
    if (thread % 32 == 0) shared[thread / 32] = x;
    __syncthreads();
    if (thread < 32) {
        float y = warp_sum(thread < warps ? shared[thread] : 0.0f);
        if (thread == 0) shared[32] = y;
    }
    __syncthreads();
    return shared[32];
}
__device__ __forceinline__ float block_max(float x, float* shared) {
    int thread = threadIdx.x + blockDim.x * threadIdx.y, warps = blockDim.x * blockDim.y / 32;
    x = warp_max(x);
    if (warps == 1) return x;
    __syncthreads();
    if (thread % 32 == 0) shared[thread / 32] = x;
    __syncthreads();
    if (thread < 32) {
        float y = warp_max(thread < warps ? shared[thread] : shared[0]);
        if (thread == 0) shared[32] = y;
    }
    __syncthreads();
    return shared[32];
}
// Whether this block is the last of `blocks` to arrive at a counter, which is then 0 again for the next launch. What
// the other blocks wrote before is visible to the last one.
__device__ __forceinline__ bool arrives_last(unsigned int* counter, unsigned int blocks) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0) {
        last = atomicAdd(counter, 1u) == blocks - 1;
        if (last) *counter = 0;
    }
    __syncthreads();
    if (last) __threadfence();
    return last;
}
"#;

/// An element type in the sources.
pub(super) fn c_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float",
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        DType::I32 => "int",
        DType::U8 => "u8",
    }
}

/// The name of a kernel: what it does, and a hash of its source, so that equal names mean equal sources.
pub(super) fn name(description: &str, source: &str) -> String {
    let hash = source
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut name: String = description.chars().take(80).collect();
    name.push_str(&format!("_{hash:016x}"));
    name
}

/// A whole source: the prelude, then `body`, in which `KERNEL` stands for the name that is found for it. The kernel waits for
/// earlier launches first, so that it may be launched ahead of their end.
pub(super) fn finish(description: &str, body: &str) -> (String, String) {
    let name = name(description, body);
    let opens = body.find("__global__").and_then(|kernel| Some(kernel + body[kernel..].find('{')? + 1));
    let (signature, statements) = body.split_at(opens.unwrap_or(body.len()));
    let body = format!("{signature}\n    wait_for_earlier_launches();{statements}");
    let source = format!("{PRELUDE}\n{}", body.replace("KERNEL", &name));
    (name, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_waits_before_anything_else() {
        let helper = "__device__ float twice(float x) { return 2.0f * x; }\n";
        let body =
            format!("{helper}extern \"C\" __global__ void KERNEL(float* x) {{\n    *x = twice(*x);\n}}\n");
        let (name, source) = finish("doubles", &body);
        let expected =
            format!("void {name}(float* x) {{\n    wait_for_earlier_launches();\n    *x = twice(*x);\n}}\n");
        assert!(source.ends_with(&expected), "{source}");
    }
}
