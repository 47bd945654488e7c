// Crop, scaling, flips and all that looks at one pixel alone: a block makes a tile of one image's canvas.
//
// The source pixels that a tile needs are converted once, as many at a time as fit into shared memory; filtered along
// the rows from there; and added to the tile's pixels, each thread's in its registers. So the ratio of sizes is limited
// by nothing but time: a few rows are converted at a time, or a part of one row where it is wide. Loops over taps are
// not unrolled: they are short, and their bodies many already.

constexpr int TILE = 32;       // columns and rows
constexpr int THREAD_ROWS = 8; // a block is TILE threads wide and this high
constexpr int PER_THREAD = TILE / THREAD_ROWS;
constexpr int CHUNK = 32;      // source rows at once
constexpr int CAPACITY = 4096; // source pixels at once, even

// What a column or row is made of: `count` source columns or rows from `first` on, source `first + i` with the weight
// `filter((i - shift) * narrow) * share`.
struct Taps { int first, count; float shift, narrow, share; };

__device__ __forceinline__ float filter(float at, bool cubic) {
    float t = fabsf(at);
    if (!cubic) return fmaxf(1.0f - t, 0.0f);
    float inner = __fmaf_rn(__fmaf_rn(1.5f, t, -2.5f), t * t, 1.0f);
    float outer = -0.5f * __fmaf_rn(__fmaf_rn(t - 5.0f, t, 8.0f), t, -4.0f);
    return t < 1.0f ? inner : t < 2.0f ? outer : 0.0f;
}

// The taps of place `place` of `scaled` places, out of `source`; none outside of the scaled image. The middle is found
// in double precision: a wide image's would not be exact in single.
__device__ __noinline__ Taps find_taps(int place, int source, int scaled, bool cubic) {
    Taps taps = {0, 0, 0.0f, 0.0f, 0.0f};
    if (place < 0 || place >= scaled) return taps;
    double scale = (double)source / scaled, width = fmax(scale, 1.0);
    double centre = (place + 0.5) * scale, reach = (cubic ? 2.0 : 1.0) * width;
    taps.first = (int)fmax(centre - reach + 0.5, 0.0);
    taps.count = min((int)(centre + reach + 0.5), source) - taps.first;
    taps.shift = (float)(centre - 0.5 - taps.first);
    taps.narrow = 1.0f / (float)width;
    float sum = 0.0f;
    for (int i = 0; i < taps.count; ++i) sum += filter((i - taps.shift) * taps.narrow, cubic);
    taps.share = sum != 0.0f ? 1.0f / sum : 0.0f;
    return taps;
}

struct Shared {
    Descriptor d;
    Taps columns[TILE], rows[TILE];
    int span[2][2]; // source columns and rows, begin and end, in the source rectangle
    Pixel pixels[CAPACITY];
    float filtered[3][CHUNK][TILE];
};

// Converts source columns `left` to `right` of rows `top` to `bottom` (ends excluded, in the source rectangle) into
// `pixels`, row by row. Runs along the stored rows, in pairs, whatever the orientation.
__device__ __forceinline__ void convert(Shared& s, int left, int right, int top, int bottom) {
    const Descriptor& d = s.d;
    const int* m = d.to_stored;
    int x = d.source[0] + left, y = d.source[1] + top, width = right - left, height = bottom - top;
    int corner[2][2] = {
        {m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]},
        {m[0] * (x + width - 1) + m[1] * (y + height - 1) + m[2], m[3] * (x + width - 1) + m[4] * (y + height - 1) + m[5]},
    };
    int first_column = min(corner[0][0], corner[1][0]), last_column = max(corner[0][0], corner[1][0]);
    int first_row = min(corner[0][1], corner[1][1]), last_row = max(corner[0][1], corner[1][1]);
    // The map is its own transpose's inverse; a step in the stored image is a step of these places in `pixels`.
    int across = m[0] + m[1] * width, down = m[3] + m[4] * width;
    for (int row = first_row + threadIdx.y; row <= last_row; row += THREAD_ROWS) {
        int start = (row - corner[0][1]) * down - corner[0][0] * across;
        for (int column = (first_column & ~1) + 2 * threadIdx.x; column <= last_column; column += 2 * TILE) {
            Pixel first, second;
            pixel_pair(d, column, row, first, second);
            int place = start + column * across;
            if (column >= first_column) s.pixels[place] = first;
            if (column < last_column) s.pixels[place + across] = second;
        }
    }
}

// Finds the taps of the tile's columns and rows, and which source pixels they take. The first two warps do.
__device__ __forceinline__ void plan(Shared& s, int x0, int y0) {
    const Descriptor& d = s.d;
    int lane = threadIdx.x, axis = threadIdx.y;
    if (axis < 2) {
        int at = (axis ? y0 : x0) + lane, size = d.size[axis];
        int place = (d.flips[axis] ? size - 1 - at : at) + d.window[axis];
        Taps taps = {0, 0, 0.0f, 0.0f, 0.0f};
        if (at < size) taps = find_taps(place, d.source[2 + axis], d.scaled[axis], d.bicubic);
        (axis ? s.rows : s.columns)[lane] = taps;
        // Border has none, and is no part of the span.
        int begin = taps.count > 0 ? taps.first : 0x7fffffff, end = taps.count > 0 ? taps.first + taps.count : 0;
#pragma unroll
        for (int offset = 16; offset > 0; offset /= 2) {
            begin = min(begin, __shfl_xor_sync(0xffffffffu, begin, offset));
            end = max(end, __shfl_xor_sync(0xffffffffu, end, offset));
        }
        if (lane == 0) {
            s.span[axis][0] = begin;
            s.span[axis][1] = end;
        }
    }
    __syncthreads();
}

// The tile's pixels, filtered, of this thread: rows threadIdx.y, threadIdx.y + THREAD_ROWS and so on.
__device__ __forceinline__ void scale(Shared& s, int x0, int y0, Pixel (&result)[PER_THREAD]) {
    plan(s, x0, y0);
    int lane = threadIdx.x, left = s.span[0][0], right = s.span[0][1], top = s.span[1][0], bottom = s.span[1][1];
    bool cubic = s.d.bicubic;
    float sum[PER_THREAD][3] = {};
    // Of a tile of nothing but border the span is empty, and begins after its end.
    int width = min(max(right - left, 1), CAPACITY), height = min(CHUNK, CAPACITY / width);
    if (right <= left) bottom = top;
    const Taps column = s.columns[lane];
    for (int begin = top; begin < bottom; begin += height) {
        int end = min(begin + height, bottom);
        float across[CHUNK / THREAD_ROWS][3] = {};
        for (int from = left; from < right; from += width) {
            int to = min(from + width, right), stride = to - from;
            // Another part of the same rows may still be in use.
            if (from > left) __syncthreads();
            convert(s, from, to, begin, end);
            __syncthreads();
            int first = max(column.first, from), last = min(column.first + column.count, to);
            const Pixel* pixels = s.pixels + threadIdx.y * stride - from;
            float at = (first - column.first) - column.shift;
#pragma unroll 1
            for (int i = first; i < last; ++i, at += 1.0f) {
                float weight = filter(at * column.narrow, cubic);
#pragma unroll
                for (int k = 0; k < CHUNK / THREAD_ROWS; ++k) {
                    if (begin + (int)threadIdx.y + k * THREAD_ROWS >= end) break;
                    Pixel pixel = pixels[k * THREAD_ROWS * stride + i];
#pragma unroll
                    for (int c = 0; c < 3; ++c) across[k][c] = __fmaf_rn(weight, channel_float(pixel, c), across[k][c]);
                }
            }
        }
#pragma unroll
        for (int k = 0; k < CHUNK / THREAD_ROWS; ++k) {
#pragma unroll
            for (int c = 0; c < 3; ++c) {
                float value = across[k][c] * column.share;
                s.filtered[c][threadIdx.y + k * THREAD_ROWS][lane] = fminf(fmaxf(value, 0.0f), 255.0f);
            }
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < PER_THREAD; ++k) {
            const Taps& row = s.rows[threadIdx.y + k * THREAD_ROWS];
            int first = max(row.first, begin), last = min(row.first + row.count, end);
            float at = (first - row.first) - row.shift;
#pragma unroll 1
            for (int i = first; i < last; ++i, at += 1.0f) {
                float weight = filter(at * row.narrow, cubic);
#pragma unroll
                for (int c = 0; c < 3; ++c) sum[k][c] = __fmaf_rn(weight, s.filtered[c][i - begin][lane], sum[k][c]);
            }
        }
    }
#pragma unroll
    for (int k = 0; k < PER_THREAD; ++k) {
        float share = s.rows[threadIdx.y + k * THREAD_ROWS].share;
        result[k] = pack(cut(sum[k][0] * share + 0.5f), cut(sum[k][1] * share + 0.5f), cut(sum[k][2] * share + 0.5f));
    }
}

// One block for each tile of the canvas (x and y of the grid) of each image (z). The canvas is zero where no image
// is; an image some of whose steps need all of it goes to its scratch memory, and no further.
extern "C" __global__ void __launch_bounds__(TILE * THREAD_ROWS, 4)
augment_tiles(const Descriptor* descriptors, u8* scratch, Element* batch, int canvas_width, int canvas_height,
              float factor0, float factor1, float factor2, float addend0, float addend1, float addend2) {
    __shared__ Shared s;
    load_descriptor(s.d, descriptors[blockIdx.z], threadIdx.x + TILE * threadIdx.y);
    const Descriptor& d = s.d;
    const Normalisation n = {{factor0, factor1, factor2}, {addend0, addend1, addend2}};
    int x0 = blockIdx.x * TILE, y0 = blockIdx.y * TILE, x = x0 + threadIdx.x;
    Pixel pixels[PER_THREAD] = {};
    bool empty = d.format == BLANK || x0 >= d.size[0] || y0 >= d.size[1];
    if (!empty) scale(s, x0, y0, pixels);
#pragma unroll
    for (int k = 0; k < PER_THREAD; ++k) {
        int y = y0 + threadIdx.y + k * THREAD_ROWS;
        if (x >= canvas_width || y >= canvas_height) continue;
        size_t place = ((size_t)d.place * canvas_height + y) * canvas_width + x;
        if (empty || x >= d.size[0] || y >= d.size[1]) {
            store(batch, place, make_float3(0.0f, 0.0f, 0.0f));
        } else if (d.needs_whole_image) {
            reinterpret_cast<Pixel*>(scratch + d.scratch)[(size_t)y * d.size[0] + x] = pixels[k];
        } else {
            Pixel pixel = d.steps > 0 ? operate(d, 0, d.steps, pixels[k], x, y) : pixels[k];
            finish(d, n, batch, place, pixel, x, y);
        }
    }
}
