// The steps of images some of whose steps need all of the image: a block for each image, which goes to and fro between
// two copies of it. The first copy was made by the tiles.

constexpr int WHOLE_THREADS = 1024;

// What a step knows of the image before it looks at its pixels.
struct Statistics {
    unsigned long long sum;
    int least[3], largest[3];
    u32 counts[3][256];
    u8 table[3][256];
};

// Calls `f(x, y)` for all pixels; a warp goes along a row.
template <typename F> __device__ __forceinline__ void each_pixel(const Descriptor& d, F f) {
    for (int y = threadIdx.x / 32; y < d.size[1]; y += WHOLE_THREADS / 32)
        for (int x = threadIdx.x % 32; x < d.size[0]; x += 32) f(x, y);
}

// Pillow's rule: what lies below a value, over a 255th of the pixels without those of the largest value. One warp makes
// the table of a channel, eight values a lane.
__device__ __forceinline__ void make_table(const u32 (&counts)[256], u8 (&table)[256], u32 pixels) {
    const u32 all = 0xffffffffu;
    int lane = threadIdx.x % 32;
    u32 own = 0, last = 0;
    for (int i = 0; i < 8; ++i) {
        u32 count = counts[8 * lane + i];
        own += count;
        if (count) last = count;
    }
    u32 below = own;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
        u32 before = __shfl_up_sync(all, below, offset);
        if (lane >= offset) below += before;
    }
    below -= own;
    last = __shfl_sync(all, last, 31 - __clz(__ballot_sync(all, own > 0)));
    u32 step = (pixels - last) / 255;
    for (int i = 0; i < 8; ++i) {
        int value = 8 * lane + i;
        table[value] = step ? (u8)min((below + step / 2) / step, 255u) : (u8)value;
        below += counts[value];
    }
}

// Fills in what a step of this kind has to know. The whole block calls it.
__device__ __forceinline__ void gather(Statistics& s, u32 kind, const Descriptor& d, const Pixel* image) {
    for (int i = threadIdx.x; i < 3 * 256; i += WHOLE_THREADS) s.counts[i / 256][i % 256] = 0;
    if (threadIdx.x < 3) {
        s.least[threadIdx.x] = 255;
        s.largest[threadIdx.x] = 0;
    }
    if (threadIdx.x == 0) s.sum = 0;
    __syncthreads();
    if (kind == CONTRAST) {
        unsigned long long sum = 0;
        each_pixel(d, [&](int x, int y) { sum += grey(image[(size_t)y * d.size[0] + x]); });
#pragma unroll
        for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
        if (threadIdx.x % 32 == 0) atomicAdd(&s.sum, sum);
    } else if (kind == AUTO_CONTRAST) {
        int least[3] = {255, 255, 255}, largest[3] = {0, 0, 0};
        each_pixel(d, [&](int x, int y) {
            Pixel pixel = image[(size_t)y * d.size[0] + x];
#pragma unroll
            for (int c = 0; c < 3; ++c) {
                least[c] = min(least[c], channel(pixel, c));
                largest[c] = max(largest[c], channel(pixel, c));
            }
        });
#pragma unroll
        for (int c = 0; c < 3; ++c) {
#pragma unroll
            for (int offset = 16; offset > 0; offset /= 2) {
                least[c] = min(least[c], __shfl_xor_sync(0xffffffffu, least[c], offset));
                largest[c] = max(largest[c], __shfl_xor_sync(0xffffffffu, largest[c], offset));
            }
            if (threadIdx.x % 32 == 0) {
                atomicMin(&s.least[c], least[c]);
                atomicMax(&s.largest[c], largest[c]);
            }
        }
    } else {
        each_pixel(d, [&](int x, int y) {
            Pixel pixel = image[(size_t)y * d.size[0] + x];
#pragma unroll
            for (int c = 0; c < 3; ++c) atomicAdd(&s.counts[c][channel(pixel, c)], 1u);
        });
        __syncthreads();
        if (threadIdx.x < 3 * 32) make_table(s.counts[threadIdx.x / 32], s.table[threadIdx.x / 32], (u32)d.size[0] * d.size[1]);
    }
    __syncthreads();
}

// From `least..=largest` to `0..=255`; a channel of one value stays.
__device__ __forceinline__ int stretch(Pixel pixel, int c, const Statistics& s) {
    int value = channel(pixel, c), range = s.largest[c] - s.least[c];
    return range == 0 ? value : cut((float)(value - s.least[c]) / ((float)range * (1.0f / 255.0f)));
}

__device__ __forceinline__ Pixel sharpened(const Descriptor& d, const Pixel* image, int x, int y, float rest) {
    int width = d.size[0];
    const Pixel* at = image + (size_t)y * width + x;
    if (x == 0 || y == 0 || x == width - 1 || y == d.size[1] - 1) return *at;
    int value[3];
#pragma unroll
    for (int c = 0; c < 3; ++c) {
        int sum = 4 * channel(*at, c);
        for (int down = -1; down <= 1; ++down)
            for (int across = -1; across <= 1; ++across) sum += channel(at[down * (long long)width + across], c);
        float own = channel_float(*at, c);
        value[c] = cut(__fmaf_rn((float)((2 * sum + 13) / 26) - own, rest, own));
    }
    return pack(value[0], value[1], value[2]);
}

// The nearest pixel under an affine map, or black; torchvision's arithmetic.
__device__ __forceinline__ Pixel moved(const Descriptor& d, const Pixel* image, int x, int y, const Step& step) {
    float width = (float)d.size[0], height = (float)d.size[1];
    float across = (float)x + 0.5f * (1.0f - width), down = (float)y + 0.5f * (1.0f - height);
    float grid_x = across * parameter(step, 0) + down * parameter(step, 1) + parameter(step, 2);
    float grid_y = across * parameter(step, 3) + down * parameter(step, 4) + parameter(step, 5);
    float column = rintf(((grid_x + 1.0f) * width - 1.0f) / 2.0f), row = rintf(((grid_y + 1.0f) * height - 1.0f) / 2.0f);
    bool inside = column >= 0.0f && column < width && row >= 0.0f && row < height;
    return inside ? image[(size_t)row * d.size[0] + (size_t)column] : 0;
}

__device__ __forceinline__ bool looks_at_one_pixel(u32 kind) {
    return kind != CONTRAST && kind != SHARPNESS && kind != AUTO_CONTRAST && kind != EQUALIZE && kind != AFFINE;
}

extern "C" __global__ void __launch_bounds__(WHOLE_THREADS)
augment_whole(const Descriptor* descriptors, u8* scratch, Element* batch, int canvas_width, int canvas_height,
              float factor0, float factor1, float factor2, float addend0, float addend1, float addend2) {
    __shared__ Descriptor d;
    __shared__ Statistics s;
    load_descriptor(d, descriptors[blockIdx.x], threadIdx.x);
    if (d.format == BLANK || !d.needs_whole_image) return;
    const Normalisation n = {{factor0, factor1, factor2}, {addend0, addend1, addend2}};
    int width = d.size[0];
    Pixel* image = reinterpret_cast<Pixel*>(scratch + d.scratch);
    Pixel* other = image + (size_t)width * d.size[1];
    u32 at = 0;
    while (at < d.steps) {
        const Step& step = d.step[at];
        u32 end = at + 1;
        if (step.kind == AFFINE || step.kind == SHARPNESS) {
            each_pixel(d, [&](int x, int y) {
                other[(size_t)y * width + x] = step.kind == AFFINE ? moved(d, image, x, y, step) : sharpened(d, image, x, y, parameter(step, 1));
            });
            Pixel* former = image;
            image = other;
            other = former;
        } else if (!looks_at_one_pixel(step.kind)) {
            gather(s, step.kind, d, image);
            float mean = __ull2float_rn(s.sum) / __ull2float_rn((unsigned long long)width * d.size[1]);
            each_pixel(d, [&](int x, int y) {
                Pixel& pixel = image[(size_t)y * width + x];
                if (step.kind == CONTRAST) pixel = blend(pixel, mean, parameter(step, 0), parameter(step, 1));
                else if (step.kind == AUTO_CONTRAST) pixel = pack(stretch(pixel, 0, s), stretch(pixel, 1, s), stretch(pixel, 2, s));
                else pixel = pack(s.table[0][channel(pixel, 0)], s.table[1][channel(pixel, 1)], s.table[2][channel(pixel, 2)]);
            });
        } else {
            while (end < d.steps && looks_at_one_pixel(d.step[end].kind)) ++end;
            // The last steps are made while the batch is written.
            if (end == d.steps) break;
            each_pixel(d, [&](int x, int y) {
                Pixel& pixel = image[(size_t)y * width + x];
                pixel = operate(d, at, end, pixel, x, y);
            });
        }
        at = end;
        __syncthreads();
    }
    each_pixel(d, [&](int x, int y) {
        size_t place = ((size_t)d.place * canvas_height + y) * canvas_width + x;
        finish(d, n, batch, place, operate(d, at, d.steps, image[(size_t)y * width + x], x, y), x, y);
    });
}
