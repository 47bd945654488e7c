//! Channel statistics, group normalisation and its gradient, one launch each. All sums are in `f32` and in a fixed
//! order: within a thread, down a block's columns of threads, and, where several blocks share a sum, over their
//! partial sums by whichever block arrives last. Variances come from sums shifted by a first value, which lose nothing
//! when the mean is far from zero and need no division along the way.

use super::pixels::{index_type, nhwc, refused, vector_width};
use super::prelude::{c_type, finish};
use super::{Kernel, Scratch, Target};
use crate::error::Result;
use crate::ops::{GroupNorm, Op};
use crate::types::TensorType;

/// Threads a block, where there are many blocks.
const THREADS: usize = 256;
/// Channel groups that a block of channel statistics covers at most: the last block of each column adds up what all of
/// them have found, so narrow columns put more blocks to that work.
const ACROSS: usize = 16;
/// Rows that a thread should at least have before more blocks share them.
const ROWS_PER_THREAD: usize = 4;
/// Blocks of channel statistics a multiprocessor.
const BLOCKS_PER_MULTIPROCESSOR: usize = 4;

pub(super) fn generate(
    op: &Op,
    inputs: &[TensorType],
    outputs: &[TensorType],
    target: &Target,
) -> Result<Kernel> {
    match (op, inputs, outputs) {
        (Op::ChannelStats, [x], [_, _]) => Ok(channel_stats(x, target)),
        (Op::GroupNorm(norm), [x, _, _], [y, _, _]) => group_norm(norm, x, y, target),
        (Op::GroupNormGrad(norm), [x, _, _, _, dy], [dx, _, _]) => group_norm_grad(norm, x, dy, dx, target),
        _ => Err(refused(format!("{} is no normalisation with these operands", op.name()))),
    }
}

/// Sums down the `TY` threads of each of a block's `TX` columns; the result is for the first of each.
const SUM_DOWN: &str = r#"
__device__ __forceinline__ void sum_down(float (&x)[V], float* shared) {
    const int thread = threadIdx.y * TX + threadIdx.x;
    __syncthreads();
    EACH shared[j * TX * TY + thread] = x[j];
#pragma unroll
    for (int step = TY / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.y < step) { EACH shared[j * TX * TY + thread] += shared[j * TX * TY + thread + step * TX]; }
    }
    EACH x[j] = shared[j * TX * TY + thread];
}
__device__ __forceinline__ void put(float* to, const float (&x)[V]) {
    Vec<float, V> result;
    EACH result.v[j] = x[j];
    store(to, result);
}
"#;

/// A block owns `TX` channel groups and every `SPLITS`-th row of threads' worth of rows.
fn channel_stats(x: &TensorType, target: &Target) -> Kernel {
    let (channels, elements) = (x.shape.channels(), x.shape.elements());
    let rows = elements / channels.max(1);
    let vector = vector_width(channels, x.dtype, 8);
    let groups = channels / vector;
    let tx = groups.next_power_of_two().min(ACROSS);
    let ty = THREADS / tx;
    let columns = groups.div_ceil(tx);
    let blocks = target.multiprocessors.max(1) as usize * BLOCKS_PER_MULTIPROCESSOR;
    let splits = rows.div_ceil(ty * ROWS_PER_THREAD).min(blocks / columns).max(1);
    let source = format!(
        r#"
typedef {t} T;
typedef {index} Index;
constexpr Index ROWS = {rows};
constexpr int C = {channels}, V = {vector}, GROUPS = C / V, TX = {tx}, TY = {ty}, SPLITS = {splits};
{SUM_DOWN}
extern "C" __global__ void __launch_bounds__({THREADS}) KERNEL(
    const T* __restrict__ x, float* __restrict__ mean, float* __restrict__ variance{scratch}) {{
    __shared__ float shared[TX * TY * V];
    const int group = blockIdx.x * TX + threadIdx.x, c = min(group, GROUPS - 1) * V;
    const Vec<T, V> shift = load<T, V>(x + c);
    float sum[V] = {{}}, squares[V] = {{}};
#pragma unroll 4
    for (Index row = (Index)blockIdx.y * TY + threadIdx.y; row < ROWS; row += SPLITS * TY) {{
        const Vec<T, V> value = load<T, V>(x + row * C + c);
        EACH {{
            const float d = to_float(value.v[j]) - to_float(shift.v[j]);
            sum[j] += d;
            squares[j] += d * d;
        }}
    }}
    sum_down(sum, shared);
    sum_down(squares, shared);
    const bool owner = threadIdx.y == 0 && group < GROUPS;
{combine}    if (!owner) return;
    EACH {{
        const float d = sum[j] / (float)ROWS;
        sum[j] = to_float(shift.v[j]) + d;
        squares[j] = nan_max(squares[j] / (float)ROWS - d * d, 0.0f);
    }}
    put(mean + c, sum);
    put(variance + c, squares);
}}
"#,
        t = c_type(x.dtype),
        index = index_type(elements),
        scratch = if splits > 1 { SCRATCH } else { "" },
        combine = if splits > 1 { COMBINE_STATS } else { "" },
    );
    let (name, source) = finish(&format!("channel_stats_{}_c{channels}_v{vector}", x.dtype.name()), &source);
    Kernel {
        name,
        source,
        grid: [columns as u32, splits as u32, 1],
        block: [tx as u32, ty as u32, 1],
        shared_bytes: 0,
        scratch: scratch(splits, channels, columns),
        constants: Vec::new(),
        pointer_table: false,
        header: false,
    }
}

const SCRATCH: &str = ", float* partials, unsigned int* counters";

/// Two sums a channel from each of the blocks that share them, and a counter for each group of such blocks.
fn scratch(sharing: usize, channels: usize, counters: usize) -> Vec<Scratch> {
    if sharing == 1 {
        return Vec::new();
    }
    vec![Scratch::Partial(sharing * 2 * channels * size_of::<f32>()), Scratch::Counters(counters)]
}

const COMBINE_STATS: &str = r#"
    if (owner) {
        put(partials + (blockIdx.y * 2 + 0) * C + c, sum);
        put(partials + (blockIdx.y * 2 + 1) * C + c, squares);
    }
    if (!arrives_last(counters + blockIdx.x, SPLITS)) return;
    EACH sum[j] = squares[j] = 0.0f;
#pragma unroll 4
    for (int split = threadIdx.y; split < SPLITS; split += TY) {
        const Vec<float, V> a = load<float, V>(partials + (split * 2 + 0) * C + c);
        const Vec<float, V> b = load<float, V>(partials + (split * 2 + 1) * C + c);
        EACH { sum[j] += a.v[j]; squares[j] += b.v[j]; }
    }
    sum_down(sum, shared);
    sum_down(squares, shared);
"#;

/// How group normalisation is cut: a block owns one group of one image, `[pixels, channels / groups]`.
struct Slabs {
    images: usize,
    pixels: usize,
    channels: usize,
    groups: usize,
    vector: usize,
    threads: usize,
    /// Threads side by side along the group's channels.
    tx: usize,
    elements: usize,
}

impl Slabs {
    fn new(norm: &GroupNorm, x: &TensorType, target: &Target) -> Result<Slabs> {
        let [images, h, w, channels] = nhwc(x)?;
        let groups = norm.groups;
        if groups == 0 || channels % groups != 0 {
            return Err(refused(format!("{channels} channels do not divide into {groups} groups")));
        }
        let width = channels / groups;
        let vector = vector_width(width, x.dtype, 8);
        let few_blocks = images * groups < 2 * target.multiprocessors as usize;
        let threads = if few_blocks && h * w * width / vector >= 8 * THREADS { 4 * THREADS } else { THREADS };
        let tx = (width / vector).next_power_of_two().min(threads);
        Ok(Slabs {
            images,
            pixels: h * w,
            channels,
            groups,
            vector,
            threads,
            tx,
            elements: x.shape.elements(),
        })
    }

    /// The slabs as constants, and where a block's own one lies.
    fn constants(&self) -> String {
        format!(
            "typedef {index} Index;\n\
             constexpr int IMAGES = {images}, C = {channels}, G = {groups}, WIDTH = C / G;\n\
             constexpr int V = {vector}, COLUMNS = WIDTH / V;\n\
             constexpr Index PIXELS = {pixels}, VECTORS = PIXELS * COLUMNS;\n\
             constexpr float COUNT = (float)(PIXELS * WIDTH);\n\
             constexpr int THREADS = {threads}, TX = {tx}, TY = THREADS / TX;\n",
            index = index_type(self.elements),
            images = self.images,
            channels = self.channels,
            groups = self.groups,
            vector = self.vector,
            pixels = self.pixels,
            threads = self.threads,
            tx = self.tx,
        )
    }

    fn kernel(&self, description: &str, x: &TensorType, source: &str, scratch: Vec<Scratch>) -> Kernel {
        let Slabs { channels, groups, vector, .. } = self;
        let description = format!("{description}_{}_c{channels}_g{groups}_v{vector}", x.dtype.name());
        let (name, source) = finish(&description, source);
        Kernel {
            name,
            source,
            grid: [(self.images * self.groups) as u32, 1, 1],
            block: [self.tx as u32, (self.threads / self.tx) as u32, 1],
            shared_bytes: 0,
            scratch,
            constants: Vec::new(),
            pointer_table: false,
            header: false,
        }
    }
}

fn group_norm(norm: &GroupNorm, x: &TensorType, y: &TensorType, target: &Target) -> Result<Kernel> {
    let slabs = Slabs::new(norm, x, target)?;
    let source = format!(
        r#"
typedef {t} T;
typedef {out} Y;
{constants}
extern "C" __global__ void __launch_bounds__(THREADS) KERNEL(
    const T* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ beta,
    Y* __restrict__ y, float* __restrict__ mean, float* __restrict__ inverse_deviation) {{
    __shared__ float shared[33];
    const int thread = threadIdx.y * TX + threadIdx.x, channel = blockIdx.x % G * WIDTH;
    const Index slab = (Index)(blockIdx.x / G) * PIXELS * C + channel;
    const float shift = to_float(x[slab]);
    float sum = 0.0f, squares = 0.0f;
#pragma unroll 4
    for (Index i = thread; i < VECTORS; i += THREADS) {{
        const Vec<T, V> value = load<T, V>(x + slab + i / COLUMNS * C + i % COLUMNS * V);
        EACH {{
            const float d = to_float(value.v[j]) - shift;
            sum += d;
            squares += d * d;
        }}
    }}
    const float d = block_sum(sum, shared) / COUNT, center = shift + d;
    const float variance = nan_max(block_sum(squares, shared) / COUNT - d * d, 0.0f);
    const float scale = 1.0f / sqrtf(variance + __uint_as_float({eps}u));
    if (thread == 0) {{
        mean[blockIdx.x] = center;
        inverse_deviation[blockIdx.x] = scale;
    }}
#pragma unroll 4
    for (Index i = thread; i < VECTORS; i += THREADS) {{
        const int c = i % COLUMNS * V;
        const Vec<T, V> value = load<T, V>(x + slab + i / COLUMNS * C + c);
        const Vec<float, V> gain = load<float, V>(gamma + channel + c), bias = load<float, V>(beta + channel + c);
        Vec<Y, V> result;
        EACH result.v[j] = from_float<Y>((to_float(value.v[j]) - center) * scale * gain.v[j] + bias.v[j]);
        store(y + slab + i / COLUMNS * C + c, result);
    }}
}}
"#,
        t = c_type(x.dtype),
        out = c_type(y.dtype),
        constants = slabs.constants(),
        eps = norm.eps.0.to_bits(),
    );
    Ok(slabs.kernel("group_norm", x, &source, Vec::new()))
}

fn group_norm_grad(
    norm: &GroupNorm,
    x: &TensorType,
    dy: &TensorType,
    dx: &TensorType,
    target: &Target,
) -> Result<Kernel> {
    let slabs = Slabs::new(norm, x, target)?;
    let shared = slabs.images > 1;
    let source = format!(
        r#"
typedef {t} T;
typedef {upstream} DY;
typedef {out} DX;
{constants}{SUM_DOWN}
extern "C" __global__ void __launch_bounds__(THREADS) KERNEL(
    const T* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ mean,
    const float* __restrict__ inverse_deviation, const DY* __restrict__ dy, DX* __restrict__ dx,
    float* __restrict__ dgamma, float* __restrict__ dbeta{scratch}) {{
    __shared__ float shared[THREADS * V];
    const int image = blockIdx.x / G, channel = blockIdx.x % G * WIDTH, thread = threadIdx.y * TX + threadIdx.x;
    const Index slab = (Index)image * PIXELS * C + channel;
    const float center = mean[blockIdx.x], scale = inverse_deviation[blockIdx.x];
    float* gains = {gains} + channel;
    float* biases = {biases} + channel;
    // This image's share of dgamma and dbeta, and from them what flows back through the variance and the mean.
    float variance_part = 0.0f, mean_part = 0.0f;
    for (int first = 0; first < COLUMNS; first += TX) {{
        const int column = first + threadIdx.x, c = min(column, COLUMNS - 1) * V;
        float gain[V] = {{}}, bias[V] = {{}};
#pragma unroll 4
        for (Index pixel = threadIdx.y; pixel < PIXELS; pixel += TY) {{
            const Vec<T, V> value = load<T, V>(x + slab + pixel * C + c);
            const Vec<DY, V> upstream = load<DY, V>(dy + slab + pixel * C + c);
            EACH {{
                const float d = to_float(upstream.v[j]);
                bias[j] += d;
                gain[j] += d * ((to_float(value.v[j]) - center) * scale);
            }}
        }}
        sum_down(gain, shared);
        sum_down(bias, shared);
        if (threadIdx.y == 0 && column < COLUMNS) {{
            const Vec<float, V> factor = load<float, V>(gamma + channel + c);
            EACH {{
                variance_part += factor.v[j] * gain[j];
                mean_part += factor.v[j] * bias[j];
            }}
            put(gains + c, gain);
            put(biases + c, bias);
        }}
    }}
    __syncthreads();
    variance_part = block_sum(variance_part, shared) / COUNT;
    mean_part = block_sum(mean_part, shared) / COUNT;
#pragma unroll 4
    for (Index i = thread; i < VECTORS; i += THREADS) {{
        const int c = i % COLUMNS * V;
        const Index at = slab + i / COLUMNS * C + c;
        const Vec<T, V> value = load<T, V>(x + at);
        const Vec<DY, V> upstream = load<DY, V>(dy + at);
        const Vec<float, V> factor = load<float, V>(gamma + channel + c);
        Vec<DX, V> result;
        EACH {{
            const float normalised = (to_float(value.v[j]) - center) * scale;
            const float d = to_float(upstream.v[j]) * factor.v[j] - mean_part - normalised * variance_part;
            result.v[j] = from_float<DX>(scale * d);
        }}
        store(dx + at, result);
    }}
{combine}}}
"#,
        t = c_type(x.dtype),
        upstream = c_type(dy.dtype),
        out = c_type(dx.dtype),
        constants = slabs.constants(),
        scratch = if shared { SCRATCH } else { "" },
        gains = if shared { "partials + (image * 2 + 0) * C" } else { "dgamma" },
        biases = if shared { "partials + (image * 2 + 1) * C" } else { "dbeta" },
        combine = if shared { COMBINE_IMAGES } else { "" },
    );
    let scratch = scratch(slabs.images, slabs.channels, slabs.groups);
    Ok(slabs.kernel("group_norm_grad", x, &source, scratch))
}

const COMBINE_IMAGES: &str = r#"
    if (!arrives_last(counters + blockIdx.x % G, IMAGES)) return;
    for (int first = 0; first < COLUMNS; first += TX) {
        const int column = first + threadIdx.x, c = channel + min(column, COLUMNS - 1) * V;
        float gain[V] = {}, bias[V] = {};
#pragma unroll 4
        for (int k = threadIdx.y; k < IMAGES; k += TY) {
            const Vec<float, V> a = load<float, V>(partials + (k * 2 + 0) * C + c);
            const Vec<float, V> b = load<float, V>(partials + (k * 2 + 1) * C + c);
            EACH { gain[j] += a.v[j]; bias[j] += b.v[j]; }
        }
        sum_down(gain, shared);
        sum_down(bias, shared);
        if (threadIdx.y == 0 && column < COLUMNS) {
            put(dgamma + c, gain);
            put(dbeta + c, bias);
        }
    }
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::GroupNorm;
    use crate::types::{DType, Real, Shape};

    const TARGET: Target = Target { compute_capability: (9, 0), multiprocessors: 132 };

    #[test]
    fn small_statistics_need_no_scratch() {
        let small = TensorType::new(DType::F16, Shape::matrix(100, 64));
        let kernel = channel_stats(&small, &TARGET);
        assert_eq!((kernel.grid, kernel.block, kernel.scratch.len()), ([1, 1, 1], [8, 32, 1], 0));
    }

    #[test]
    fn large_statistics_fill_the_gpu_with_partial_sums() {
        let large = TensorType::new(DType::F16, Shape::nhwc(256, 56, 56, 256));
        let kernel = channel_stats(&large, &TARGET);
        assert_eq!(kernel.grid, [2, 264, 1]);
        assert_eq!(kernel.scratch, [Scratch::Partial(264 * 2 * 256 * 4), Scratch::Counters(2)]);
    }

    #[test]
    fn few_large_slabs_get_large_blocks() {
        let norm = GroupNorm { groups: 32, eps: Real(1e-5) };
        let few = TensorType::new(DType::F16, Shape::nhwc(1, 100, 152, 256));
        let many = TensorType::new(DType::F16, Shape::nhwc(16, 100, 152, 256));
        assert_eq!(Slabs::new(&norm, &few, &TARGET).unwrap().threads, 1024);
        assert_eq!(Slabs::new(&norm, &many, &TARGET).unwrap().threads, 256);
    }
}
