//! The filter gradient of a convolution whose filters have few taps, such as the first layer's on grey or RGB images.
//!
//! cuDNN pads the image's channels to its tensor cores' width and computes mostly zeros. Here a thread owns `V` output
//! channels and all taps: it walks over output pixels, reads `V` elements of `dy` and the taps' pixels, and adds up the
//! products in registers, so that `dy` is read once. Warps, then blocks, then the last block add up what threads found, in
//! a fixed order.

use super::prelude::{c_type, finish};
use super::{Kernel, Scratch, Target};
use crate::error::{Error, Result};
use crate::ops::{Conv2d, Op};
use crate::types::{Shape, TensorType};

/// At most this many taps, channels included, so that their sums fit a thread's registers.
const MAX_TAPS: usize = 16;
/// Threads of a block.
const THREADS: usize = 256;

/// Whether a convolution's filter gradient is computed here.
pub(crate) fn is_small(conv: &Conv2d, filter: Shape) -> bool {
    let [k, r, s, c] = filter.aligned();
    let taps = r * s * c;
    conv.groups == 1 && taps <= MAX_TAPS && k.is_power_of_two() && (4..=128).contains(&k) && taps * k <= 1024
}

pub(super) fn generate(
    op: &Op,
    inputs: &[TensorType],
    outputs: &[TensorType],
    target: &Target,
) -> Result<Kernel> {
    let (Op::ConvBackwardFilter { conv, filter }, [x, dy], [dw]) = (op, inputs, outputs) else {
        return Err(Error::Plan { pass: "codegen", what: format!("{} is no filter gradient", op.name()) });
    };
    let ([n, h, w, c], [_, p, q, _], [k, r, s, _]) =
        (x.shape.aligned(), dy.shape.aligned(), filter.aligned());
    let taps = r * s * c;
    let width = if x.dtype.is_half() && k % 8 == 0 && taps <= 9 { 8 } else { 4 };
    let lanes = k / width;
    let rows = THREADS / lanes;
    let pixels = n * p * q;
    if pixels * k >= 1 << 31 || n * h * w * c >= 1 << 31 {
        return Err(Error::Plan {
            pass: "codegen",
            what: "a filter gradient over 2^31 elements or more".into(),
        });
    }
    let blocks = pixels.div_ceil(rows * 4).clamp(1, target.multiprocessors as usize);
    let numbers = [
        ("V", width),
        ("LANES", lanes),
        ("ROWS", rows),
        ("TAPS", taps),
        ("PIXELS", pixels),
        ("BLOCKS", blocks),
        ("H", h),
        ("W", w),
        ("C", c),
        ("P", p),
        ("Q", q),
        ("K", k),
        ("S", s),
        ("STRIDE_H", conv.stride[0]),
        ("STRIDE_W", conv.stride[1]),
        ("PAD_H", conv.padding[0]),
        ("PAD_W", conv.padding[1]),
        ("STEP_H", conv.dilation[0]),
        ("STEP_W", conv.dilation[1]),
    ];
    let constants: String =
        numbers.iter().map(|(name, value)| format!("constexpr int {name} = {value};\n")).collect();
    let types = format!("typedef {} T;\ntypedef {} D;\n", c_type(x.dtype), c_type(dw.dtype));
    let description = format!("filter_gradient_{}_{r}x{s}x{c}_k{k}", x.dtype);
    let (name, source) = finish(&description, &format!("{types}{constants}{SOURCE}"));
    Ok(Kernel {
        name,
        source,
        grid: [blocks as u32, 1, 1],
        block: [lanes as u32, rows as u32, 1],
        shared_bytes: 0,
        scratch: vec![Scratch::Partial(4 * blocks * taps * k), Scratch::Counters(1)],
        constants: Vec::new(),
        pointer_table: false,
        header: false,
    })
}

const SOURCE: &str = r#"
constexpr bool PADDED = PAD_H > 0 || PAD_W > 0;
extern "C" __global__ void __launch_bounds__(LANES * ROWS)
KERNEL(const T* __restrict__ x, const T* __restrict__ dy, D* __restrict__ dw, float* partials, unsigned int* counters) {
    const int k = threadIdx.x * V;
    float acc[TAPS][V];
#pragma unroll
    for (int tap = 0; tap < TAPS; ++tap) EACH acc[tap][j] = 0.0f;
#pragma unroll 2
    for (int pixel = blockIdx.x * ROWS + threadIdx.y; pixel < PIXELS; pixel += BLOCKS * ROWS) {
        const Vec<T, V> g = load<T, V>(dy + (unsigned int)pixel * K + k);
        const int column = pixel % Q * STRIDE_W - PAD_W, row = pixel / Q % P * STRIDE_H - PAD_H, image = pixel / (P * Q);
        const T* corner = x + image * (H * W * C);
#pragma unroll
        for (int tap = 0; tap < TAPS; ++tap) {
            const int y = row + tap / (S * C) * STEP_H, z = column + tap / C % S * STEP_W;
            const bool inside = !PADDED || ((unsigned int)y < H && (unsigned int)z < W);
            const float value = inside ? to_float(corner[(y * W + z) * C + tap % C]) : 0.0f;
            EACH acc[tap][j] += value * to_float(g.v[j]);
        }
    }
    // The lanes of a warp that own the same channels add up, then the warps.
    constexpr int WARPS = LANES * ROWS / 32;
    __shared__ float shared[WARPS][TAPS * K];
    const int thread = threadIdx.y * LANES + threadIdx.x;
#pragma unroll
    for (int tap = 0; tap < TAPS; ++tap) EACH {
#pragma unroll
        for (int offset = LANES; offset < 32; offset *= 2) acc[tap][j] += __shfl_xor_sync(0xffffffffu, acc[tap][j], offset);
        if (thread % 32 < LANES) shared[thread / 32][tap * K + k + j] = acc[tap][j];
    }
    __syncthreads();
    for (int e = thread; e < TAPS * K; e += LANES * ROWS) {
        float sum = 0.0f;
#pragma unroll
        for (int warp = 0; warp < WARPS; ++warp) sum += shared[warp][e];
        partials[blockIdx.x * (TAPS * K) + e] = sum;
    }
    if (!arrives_last(counters, BLOCKS)) return;
    // Groups of threads take a share of the blocks each, four sums a thread; dw is [k, tap].
    constexpr int FOURS = TAPS * K / 4, GROUPS = LANES * ROWS / FOURS > 0 ? LANES * ROWS / FOURS : 1;
    __shared__ float4 shares[GROUPS][FOURS];
    for (int e = thread; e < GROUPS * FOURS; e += LANES * ROWS) {
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 8
        for (int block = e / FOURS; block < BLOCKS; block += GROUPS) {
            const float4 part = __ldcg(reinterpret_cast<const float4*>(partials) + block * FOURS + e % FOURS);
            sum.x += part.x; sum.y += part.y; sum.z += part.z; sum.w += part.w;
        }
        shares[e / FOURS][e % FOURS] = sum;
    }
    __syncthreads();
    for (int e = thread; e < TAPS * K; e += LANES * ROWS) {
        float sum = 0.0f;
        for (int group = 0; group < GROUPS; ++group) sum += reinterpret_cast<const float*>(shares[group])[e];
        dw[e % K * TAPS + e / K] = from_float<D>(sum);
    }
}
"#;
