//! Max and average pooling, and their gradients. A thread computes `V` channels of one output pixel from loads that do
//! not depend on each other: outside of the image they are clamped to its edge, not skipped. Gradients gather, so that
//! nothing is added atomically: a thread of max pooling's owns a tile of one stride's extent and visits the windows
//! that touch it, taking `dy` where `x` is the first element of a window to equal its `y`.

use super::pixels::{Pixels, nhwc, refused, vector_width};
use super::prelude::c_type;
use super::{Kernel, Target};
use crate::error::Result;
use crate::ops::pool::Windows;
use crate::ops::{AvgPool, MaxPool, Op};
use crate::types::TensorType;

/// Loops of up to so many visits are unrolled whole.
const UNROLLED: usize = 128;

pub(super) fn generate(
    op: &Op,
    inputs: &[TensorType],
    outputs: &[TensorType],
    target: &Target,
) -> Result<Kernel> {
    let ([first, ..], [output, ..]) = (inputs, outputs) else {
        return Err(refused(format!("{} has an output and an input at least", op.name())));
    };
    let pixels = match op {
        Op::MaxPool(pool) => {
            max_pool(op, pool, [first, output], "const T* __restrict__ x, T* __restrict__ y", LARGEST)?
        }
        Op::MaxPoolWithPlaces(pool) => {
            let parameters = "const T* __restrict__ x, T* __restrict__ y, u8* __restrict__ places";
            max_pool(op, pool, [first, output], parameters, LARGEST_WITH_PLACE)?
        }
        Op::MaxPoolGrad(pool) => {
            let [x, y, dy] = inputs else { return Err(refused("max_pool2d_grad takes x, y and dy")) };
            max_pool_grad(pool, x, y, dy, output)?
        }
        Op::AvgPool(pool) => avg_pool(pool, first, output)?,
        Op::AvgPoolGrad { pool, .. } => avg_pool_grad(pool, first, output)?,
        other => return Err(refused(format!("{} is no pooling", other.name()))),
    };
    Ok(pixels.kernel(target))
}

/// Max pooling by this body, a thread for each window.
fn max_pool(
    op: &Op,
    MaxPool(windows): &MaxPool,
    [x, y]: [&TensorType; 2],
    parameters: &'static str,
    body: &'static str,
) -> Result<Pixels> {
    let ([_, h, w, _], [n, p, q, c]) = (nhwc(x)?, nhwc(y)?);
    let vector = vector_width(c, x.dtype, 8);
    Ok(Pixels {
        description: describe(op.name(), windows, x, vector),
        space: [n, p, q],
        channels: c,
        vector,
        elements: x.shape.elements(),
        declarations: format!(
            "typedef {} T;\n{}",
            c_type(x.dtype),
            constants(windows, [h, w], windows.kernel[0] * windows.kernel[1])
        ),
        parameters,
        body,
        constants: Vec::new(),
    })
}

const LARGEST: &str = r#"
        float best[V];
        EACH best[j] = -__int_as_float(0x7f800000);
#pragma unroll UNROLL
        for (int k = 0; k < KH * KW; ++k) { // the edge that an element is clamped to lies in the window too
            const int h = clamp(row * SH - PH + k / KW, H), w = clamp(column * SW - PW + k % KW, W);
            const Vec<T, V> value = load<T, V>(x + ((n * H + h) * W + w) * C + c);
            EACH best[j] = nan_max(to_float(value.v[j]), best[j]);
        }
        Vec<T, V> result;
        EACH result.v[j] = from_float<T>(best[j]);
        store(y + ((n * ROWS + row) * COLUMNS + column) * C + c, result);
"#;

/// The largest value first, then where it lies.
const LARGEST_WITH_PLACE: &str = r#"
        const int top = row * SH - PH, left = column * SW - PW;
        constexpr bool KEPT = KH * KW <= 16; // more would not fit the registers
        const auto tap = [&](int k) { // the edge that an element is clamped to lies in the window too
            return load<T, V>(x + ((n * H + clamp(top + k / KW, H)) * W + clamp(left + k % KW, W)) * C + c);
        };
        Vec<T, V> taps[KEPT ? KH * KW : 1];
        float best[V];
        EACH best[j] = -__int_as_float(0x7f800000);
#pragma unroll UNROLL
        for (int k = 0; k < KH * KW; ++k) {
            taps[KEPT ? k : 0] = tap(k);
            EACH best[j] = nan_max(to_float(taps[KEPT ? k : 0].v[j]), best[j]);
        }
        // The first element in the image that is the largest, or not a number.
        int place[V];
        EACH place[j] = 0;
#pragma unroll UNROLL
        for (int k = KH * KW - 1; k >= 0; --k) {
            const int h = top + k / KW, w = left + k % KW;
            if (h < 0 || h >= H || w < 0 || w >= W) continue;
            const Vec<T, V> value = KEPT ? taps[KEPT ? k : 0] : tap(k);
            EACH {
                const float v = to_float(value.v[j]);
                place[j] = v == best[j] || v != v ? k : place[j];
            }
        }
        Vec<T, V> result;
        Vec<u8, V> where;
        EACH { result.v[j] = from_float<T>(best[j]); where.v[j] = (u8)place[j]; }
        const Index at = ((n * ROWS + row) * COLUMNS + column) * C + c;
        store(y + at, result);
        store(places + at, where);
"#;

fn max_pool_grad(
    MaxPool(windows): &MaxPool,
    x: &TensorType,
    y: &TensorType,
    dy: &TensorType,
    dx: &TensorType,
) -> Result<Pixels> {
    let ([n, h, w, c], [_, p, q, _]) = (nhwc(x)?, nhwc(y)?);
    let tiles = [Tiles::new(windows, 0, h), Tiles::new(windows, 1, w)];
    // A tile's sums stay in registers.
    let area = windows.stride[0] * windows.stride[1];
    let overlap = tiles.iter().any(|tiles| tiles.windows.0 != tiles.windows.1);
    let vector = vector_width(c, x.dtype, if overlap { (48 / area).max(1) } else { 8 });
    let visits: usize = (0..2).map(|axis| tiles[axis].visits(windows, axis)).product();
    let mut declarations = format!(
        "typedef {} T;\ntypedef {} DX;\ntypedef {} DY;\n",
        c_type(x.dtype),
        c_type(dx.dtype),
        c_type(dy.dtype)
    );
    declarations += &constants(windows, [h, w], visits);
    declarations += &format!(
        "constexpr int P = {p}, Q = {q};\n\
         // Tile t covers rows t * SH + ORIGIN_H .. of the padded image; windows t + FROM_H ..= t + TO_H touch it.\n"
    );
    for (axis, Tiles { origin, first, windows: (from, to), .. }) in ["H", "W"].into_iter().zip(&tiles) {
        declarations += &format!(
            "constexpr int ORIGIN_{axis} = {origin}, FIRST_{axis} = {first}, FROM_{axis} = {from}, TO_{axis} = {to};\n"
        );
    }
    declarations +=
        "__device__ __forceinline__ bool same(float a, float b) { return a == b || (a != a && b != b); }\n";
    Ok(Pixels {
        description: describe("max_pool2d_grad", windows, x, vector),
        space: [n, tiles[0].count, tiles[1].count],
        channels: c,
        vector,
        elements: x.shape.elements().max(y.shape.elements()),
        declarations,
        parameters: "const T* __restrict__ x, const T* __restrict__ y, const DY* __restrict__ dy, DX* __restrict__ dx",
        body: if overlap { OVERLAPPING } else { SEPARATE },
        constants: Vec::new(),
    })
}

/// No element lies in two windows: a tile is a window and the gap after it.
const SEPARATE: &str = r#"
        const int p = row + FIRST_H, q = column + FIRST_W;
        const Index window = ((n * P + clamp(p, P)) * Q + clamp(q, Q)) * C + c;
        const Vec<T, V> largest = load<T, V>(y + window);
        const Vec<DY, V> upstream = load<DY, V>(dy + window);
        bool open[V];
        EACH open[j] = p >= 0 && p < P && q >= 0 && q < Q;
#pragma unroll UNROLL
        for (int k = 0; k < SH * SW; ++k) {
            const int r = k / SW, s = k % SW, h = p * SH - PH + r, w = q * SW - PW + s;
            const bool inside = h >= 0 && h < H && w >= 0 && w < W, covered = inside && r < KH && s < KW;
            const Index at = ((n * H + clamp(h, H)) * W + clamp(w, W)) * C + c;
            const Vec<T, V> value = load<T, V>(x + at);
            Vec<DX, V> result;
            EACH {
                const bool taken = open[j] && covered && same(to_float(value.v[j]), to_float(largest.v[j]));
                open[j] = open[j] && !taken;
                result.v[j] = from_float<DX>(taken ? to_float(upstream.v[j]) : 0.0f);
            }
            if (inside) store(dx + at, result);
        }
"#;

/// Windows overlap: the tile's sums are kept while the windows that touch it are visited.
const OVERLAPPING: &str = r#"
        const int tile_h = row + FIRST_H, tile_w = column + FIRST_W;
        float sum[SH * SW][V] = {};
#pragma unroll UNROLL
        for (int eh = FROM_H; eh <= TO_H; ++eh) {
#pragma unroll UNROLL
            for (int ew = FROM_W; ew <= TO_W; ++ew) {
                const int p = tile_h + eh, q = tile_w + ew;
                const Index window = ((n * P + clamp(p, P)) * Q + clamp(q, Q)) * C + c;
                const Vec<T, V> largest = load<T, V>(y + window);
                const Vec<DY, V> upstream = load<DY, V>(dy + window);
                bool open[V];
                EACH open[j] = p >= 0 && p < P && q >= 0 && q < Q;
                // What follows the tile's last element in the window does not matter.
                const int last_row = min(ORIGIN_H + SH - 1 - eh * SH, KH - 1);
                const int last = last_row * KW + min(ORIGIN_W + SW - 1 - ew * SW, KW - 1);
#pragma unroll UNROLL
                for (int k = 0; k < KH * KW; ++k) {
                    if (k > last) continue;
                    const int r = k / KW + eh * SH - ORIGIN_H, s = k % KW + ew * SW - ORIGIN_W; // within the tile
                    const int h = p * SH - PH + k / KW, w = q * SW - PW + k % KW;
                    const bool inside = h >= 0 && h < H && w >= 0 && w < W;
                    const Vec<T, V> value = load<T, V>(x + ((n * H + clamp(h, H)) * W + clamp(w, W)) * C + c);
                    EACH {
                        const bool taken = open[j] && inside && same(to_float(value.v[j]), to_float(largest.v[j]));
                        open[j] = open[j] && !taken;
                        const float gradient = taken ? to_float(upstream.v[j]) : 0.0f;
                        if (r >= 0 && r < SH && s >= 0 && s < SW) sum[r * SW + s][j] += gradient;
                    }
                }
            }
        }
#pragma unroll UNROLL
        for (int k = 0; k < SH * SW; ++k) {
            const int h = tile_h * SH + ORIGIN_H - PH + k / SW, w = tile_w * SW + ORIGIN_W - PW + k % SW;
            Vec<DX, V> result;
            EACH result.v[j] = from_float<DX>(sum[k][j]);
            if (h >= 0 && h < H && w >= 0 && w < W) store(dx + ((n * H + h) * W + w) * C + c, result);
        }
"#;

/// The tiles, one stride long, that threads own along an axis of the padded image.
#[derive(Debug, PartialEq, Eq)]
struct Tiles {
    /// Where tile 0 starts.
    origin: usize,
    /// The first tile that holds a pixel, and how many there are from it on.
    first: isize,
    count: usize,
    /// The first and the last window that touch tile 0.
    windows: (isize, isize),
}

impl Tiles {
    fn new(windows: &Windows, axis: usize, input: usize) -> Tiles {
        let [kernel, stride, padding] =
            [windows.kernel, windows.stride, windows.padding].map(|extents| extents[axis] as isize);
        // A tile that ends with a window meets the windows after it at their first elements, where few lie before.
        let origin = if kernel < stride { 0 } else { kernel % stride };
        let tile = |row: isize| (row + padding - origin).div_euclid(stride);
        let (first, last) = (tile(0), tile(input as isize - 1));
        Tiles {
            origin: origin as usize,
            first,
            count: (last - first + 1) as usize,
            windows: (-(kernel - 1 - origin).div_euclid(stride), (origin + stride - 1) / stride),
        }
    }

    /// An upper bound of the elements along the axis that a tile's thread loads.
    fn visits(&self, windows: &Windows, axis: usize) -> usize {
        (self.windows.1 - self.windows.0 + 1) as usize * windows.kernel[axis].max(windows.stride[axis])
    }
}

fn avg_pool(pool: &AvgPool, x: &TensorType, y: &TensorType) -> Result<Pixels> {
    let ([_, h, w, _], [n, p, q, c]) = (nhwc(x)?, nhwc(y)?);
    let vector = vector_width(c, x.dtype, 8);
    let most = |axis, count, input| (0..count).map(|i| span(pool, axis, i, input)).max().unwrap_or(1);
    let (down, across) = (most(0, p, h), most(1, q, w));
    Ok(Pixels {
        description: format!("avg_pool2d_{}_{down}x{across}_c{c}_v{vector}", x.dtype.name()),
        space: [n, p, q],
        channels: c,
        vector,
        elements: x.shape.elements().max(y.shape.elements()),
        declarations: averages(pool, x, [h, w], [p, q], [down, across]),
        parameters: "const T* __restrict__ x, T* __restrict__ y",
        body: r#"
        const int top = start_h(row), left = start_w(column), bottom = end_h(row), right = end_w(column);
        float sum[V] = {};
#pragma unroll UNROLL
        for (int k = 0; k < DOWN * ACROSS; ++k) {
            const int h = top + k / ACROSS, w = left + k % ACROSS;
            const bool inside = h < bottom && w < right;
            const Vec<T, V> value = load<T, V>(x + ((n * H + min(h, H - 1)) * W + min(w, W - 1)) * C + c);
            EACH sum[j] += inside ? to_float(value.v[j]) : 0.0f;
        }
        const float area = (float)(extent_h(row) * extent_w(column));
        Vec<T, V> result;
        EACH result.v[j] = from_float<T>(sum[j] / area);
        store(y + ((n * ROWS + row) * COLUMNS + column) * C + c, result);
"#,
        constants: Vec::new(),
    })
}

fn avg_pool_grad(pool: &AvgPool, dy: &TensorType, dx: &TensorType) -> Result<Pixels> {
    let ([_, p, q, _], [n, h, w, c]) = (nhwc(dy)?, nhwc(dx)?);
    let vector = vector_width(c, dy.dtype, 8);
    let (down, across) = (readers(pool, 0, p, h), readers(pool, 1, q, w));
    Ok(Pixels {
        description: format!("avg_pool2d_grad_{}_{down}x{across}_c{c}_v{vector}", dy.dtype.name()),
        space: [n, h, w],
        channels: c,
        vector,
        elements: dx.shape.elements().max(dy.shape.elements()),
        declarations: averages(pool, dy, [h, w], [p, q], [down, across]),
        parameters: "const T* __restrict__ dy, T* __restrict__ dx",
        body: r#"
        const int top = first_h(row), left = first_w(column), bottom = last_h(row), right = last_w(column);
        float sum[V] = {};
#pragma unroll UNROLL
        for (int k = 0; k < DOWN * ACROSS; ++k) { // the windows that hold this pixel
            const int p = min(top + k / ACROSS, P - 1), q = min(left + k % ACROSS, Q - 1);
            const bool inside = top + k / ACROSS <= bottom && left + k % ACROSS <= right;
            const Vec<T, V> upstream = load<T, V>(dy + ((n * P + p) * Q + q) * C + c);
            const float share = 1.0f / (float)(extent_h(p) * extent_w(q));
            EACH sum[j] += inside ? to_float(upstream.v[j]) * share : 0.0f;
        }
        Vec<T, V> result;
        EACH result.v[j] = from_float<T>(sum[j]);
        store(dx + ((n * ROWS + row) * COLUMNS + column) * C + c, result);
"#,
        constants: Vec::new(),
    })
}

/// How many pixels a window spans.
fn span(pool: &AvgPool, axis: usize, index: usize, input: usize) -> usize {
    let (start, end, _) = pool.window(axis, index, input);
    end - start
}

/// The most windows along an axis that hold one pixel.
fn readers(pool: &AvgPool, axis: usize, count: usize, input: usize) -> usize {
    let mut holding = vec![0usize; input];
    for index in 0..count {
        let (start, end, _) = pool.window(axis, index, input);
        holding[start..end].iter_mut().for_each(|windows| *windows += 1);
    }
    holding.into_iter().max().unwrap_or(1)
}

/// [`AvgPool::window`] in CUDA C, and its inverse: the first and the last window that hold a pixel.
fn averages(
    pool: &AvgPool,
    ty: &TensorType,
    [h, w]: [usize; 2],
    [p, q]: [usize; 2],
    [down, across]: [usize; 2],
) -> String {
    let unroll = unroll(down * across);
    let mut source = format!(
        "typedef {} T;\nconstexpr int H = {h}, W = {w}, P = {p}, Q = {q};\n\
         constexpr int DOWN = {down}, ACROSS = {across}, UNROLL = {unroll};\n",
        c_type(ty.dtype)
    );
    for (axis, suffix, input, count) in [(0, "h", h, p), (1, "w", w, q)] {
        let [start, end, extent, first, last] = match pool {
            AvgPool::Windows { windows, count_include_pad } => {
                let [k, s, pad] =
                    [windows.kernel, windows.stride, windows.padding].map(|extents| extents[axis]);
                let padded = format!("min(i * {s} + {k}, {}) - i * {s}", input + 2 * pad);
                [
                    format!("max(i * {s} - {pad}, 0)"),
                    format!("min(i * {s} - {pad} + {k}, {input})"),
                    if *count_include_pad { padded } else { format!("end_{suffix}(i) - start_{suffix}(i)") },
                    format!("i + {pad} < {k} ? 0 : (i + {pad} - {k}) / {s} + 1"),
                    format!("min((i + {pad}) / {s}, {count} - 1)"),
                ]
            }
            AvgPool::Adaptive { .. } => [
                format!("(int)((Index)i * {input} / {count})"),
                format!("(int)(((Index)(i + 1) * {input} + {count} - 1) / {count})"),
                format!("end_{suffix}(i) - start_{suffix}(i)"),
                format!("(int)((Index)i * {count} / {input})"),
                format!("(int)(((Index)(i + 1) * {count} + {input} - 1) / {input}) - 1"),
            ],
        };
        for (name, value) in
            [("start", start), ("end", end), ("extent", extent), ("first", first), ("last", last)]
        {
            source +=
                &format!("__device__ __forceinline__ int {name}_{suffix}(int i) {{ return {value}; }}\n");
        }
    }
    source
}

/// The windows and the image as constants; `visits` is how often the innermost loop's body runs.
fn constants(windows: &Windows, [h, w]: [usize; 2], visits: usize) -> String {
    let Windows { kernel, stride, padding, .. } = windows;
    format!(
        "constexpr int H = {h}, W = {w}, KH = {}, KW = {}, SH = {}, SW = {}, PH = {}, PW = {}, UNROLL = {};\n",
        kernel[0],
        kernel[1],
        stride[0],
        stride[1],
        padding[0],
        padding[1],
        unroll(visits),
    )
}

fn unroll(visits: usize) -> usize {
    if visits <= UNROLLED { visits.max(1) } else { 1 }
}

fn describe(operation: &str, windows: &Windows, x: &TensorType, vector: usize) -> String {
    let ([kh, kw], [sh, sw]) = (windows.kernel, windows.stride);
    let (dtype, channels) = (x.dtype.name(), x.shape.channels());
    format!("{operation}_{kh}x{kw}_stride{sh}x{sw}_{dtype}_c{channels}_v{vector}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_end_where_windows_do() {
        let resnet = Windows::square(3).stride(2).padding(1);
        assert_eq!(Tiles::new(&resnet, 0, 112), Tiles { origin: 1, first: 0, count: 56, windows: (0, 1) });
        assert_eq!(
            Tiles::new(&Windows::square(2), 0, 24),
            Tiles { origin: 0, first: 0, count: 12, windows: (0, 0) }
        );
        let unpadded = Windows::square(3).stride(2);
        assert_eq!(Tiles::new(&unpadded, 0, 7), Tiles { origin: 1, first: -1, count: 4, windows: (0, 1) });
    }

    #[test]
    fn every_window_that_holds_a_pixel_touches_its_tile() {
        for (kernel, stride, padding, input) in (1..6)
            .flat_map(|k| (1..5).map(move |s| (k, s)))
            .flat_map(|(k, s)| (0..=k / 2).map(move |pad| (k, s, pad)))
            .flat_map(|(k, s, pad)| (k..k + 5).map(move |input| (k, s, pad, input)))
        {
            let windows = Windows::square(kernel).stride(stride).padding(padding);
            let tiles = Tiles::new(&windows, 0, input);
            for row in 0..input {
                let padded = (row + padding) as isize;
                let tile = (padded - tiles.origin as isize).div_euclid(stride as isize);
                assert!((tiles.first..tiles.first + tiles.count as isize).contains(&tile));
                for window in 0..windows.count(0, input).unwrap() as isize {
                    let start = window * stride as isize;
                    if (start..start + kernel as isize).contains(&padded) {
                        assert!((tile + tiles.windows.0..=tile + tiles.windows.1).contains(&window));
                    }
                }
            }
        }
    }

    #[test]
    fn readers_are_counted_from_the_windows() {
        let windows =
            AvgPool::Windows { windows: Windows::square(3).stride(2).padding(1), count_include_pad: true };
        assert_eq!(readers(&windows, 0, 4, 7), 2);
        assert_eq!(readers(&AvgPool::Adaptive { output: [3, 3] }, 0, 3, 7), 2);
    }
}
