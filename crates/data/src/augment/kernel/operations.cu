// Operations on pixels, the same bit for bit as augment/host/.

__device__ __forceinline__ float parameter(const Step& step, int which) { return __uint_as_float(step.parameters[which]); }

// Clamped, and cut off below the point.
__device__ __forceinline__ int cut(float value) { return (int)fminf(fmaxf(value, 0.0f), 255.0f); }

__device__ __forceinline__ int grey(Pixel pixel) {
    float red = channel_float(pixel, 0), green = channel_float(pixel, 1), blue = channel_float(pixel, 2);
    return (int)__fmaf_rn(blue, 0.114f, __fmaf_rn(green, 0.587f, red * 0.2989f));
}

// `factor * value + rest * other`, where factor and rest add up to 1.
__device__ __forceinline__ Pixel blend(Pixel pixel, float other, float factor, float rest) {
    int red = cut(__fmaf_rn(other, rest, channel_float(pixel, 0) * factor));
    int green = cut(__fmaf_rn(other, rest, channel_float(pixel, 1) * factor));
    int blue = cut(__fmaf_rn(other, rest, channel_float(pixel, 2) * factor));
    return pack(red, green, blue);
}

__device__ __noinline__ Pixel shift_hue(Pixel pixel, float shift) {
    float red = channel_float(pixel, 0) * (1.0f / 255.0f);
    float green = channel_float(pixel, 1) * (1.0f / 255.0f);
    float blue = channel_float(pixel, 2) * (1.0f / 255.0f);
    float value = fmaxf(fmaxf(red, green), blue), range = value - fminf(fminf(red, green), blue);
    float hue = 0.0f, saturation = 0.0f;
    if (range != 0.0f) {
        float r = (value - red) / range, g = (value - green) / range, b = (value - blue) / range;
        hue = value == red ? b - g : value == green ? r + 2.0f - b : g + 4.0f - r;
        hue = hue * (1.0f / 6.0f) + 1.0f;
        hue -= truncf(hue);
        saturation = range / value;
    }
    hue += shift;
    hue -= truncf(hue);
    if (hue < 0.0f) hue += 1.0f;
    float sixths = hue * 6.0f, sector = floorf(sixths), part = saturation * (sixths - sector), pale = 1.0f - saturation;
    float p = fminf(fmaxf(pale * value, 0.0f), 1.0f);
    float q = fminf(fmaxf((1.0f - part) * value, 0.0f), 1.0f);
    float t = fminf(fmaxf((part + pale) * value, 0.0f), 1.0f);
    switch ((int)sector % 6) {
        case 0: red = value; green = t; blue = p; break;
        case 1: red = q; green = value; blue = p; break;
        case 2: red = p; green = value; blue = t; break;
        case 3: red = p; green = q; blue = value; break;
        case 4: red = t; green = p; blue = value; break;
        default: red = value; green = p; blue = q; break;
    }
    return pack(cut(red * 255.999f), cut(green * 255.999f), cut(blue * 255.999f));
}

__device__ __forceinline__ bool within(const int (&part)[4], int x, int y) {
    return x >= part[0] && x - part[0] < part[2] && y >= part[1] && y - part[1] < part[3];
}

// Steps `first` up to `end`, each of which looks at one pixel alone, the one in column `x` and row `y`.
__device__ __noinline__ Pixel operate(const Descriptor& d, u32 first, u32 end, Pixel pixel, int x, int y) {
    for (u32 i = first; i < end; ++i) {
        const Step& step = d.step[i];
        switch (step.kind) {
            case BRIGHTNESS: pixel = blend(pixel, 0.0f, parameter(step, 0), 0.0f); break;
            case SATURATION: pixel = blend(pixel, (float)grey(pixel), parameter(step, 0), parameter(step, 1)); break;
            case HUE: pixel = shift_hue(pixel, parameter(step, 0)); break;
            case POSTERIZE: pixel &= step.parameters[0]; break;
            case SOLARIZE: {
                float threshold = parameter(step, 0);
                u32 inverted = 0;
                for (int c = 0; c < 3; ++c) if (channel_float(pixel, c) >= threshold) inverted |= 255u << 8 * c;
                pixel ^= inverted;
                break;
            }
            case BLACKEN: {
                int part[4] = {(int)step.parameters[0], (int)step.parameters[1], (int)step.parameters[2], (int)step.parameters[3]};
                if (within(part, x, y)) pixel = 0;
                break;
            }
        }
    }
    return pixel;
}

__device__ __forceinline__ uint4 philox(uint4 c, uint2 k) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        u32 a = 0xD2511F53u * c.x, b = 0xCD9E8D57u * c.z;
        u32 ah = __umulhi(0xD2511F53u, c.x), bh = __umulhi(0xCD9E8D57u, c.z);
        c = make_uint4(bh ^ c.y ^ k.x, b, ah ^ c.w ^ k.y, a);
        k.x += 0x9E3779B9u; k.y += 0xBB67AE85u;
    }
    return c;
}

// Three normally distributed numbers.
__device__ __noinline__ float3 noise(uint2 key, int x, int y) {
    uint4 words = philox(make_uint4(x, y, 0, 0), key);
    const float part = 1.0f / 16777216.0f, turn = 6.283185307f;
    float a = ((words.x >> 8) + 0.5f) * part, b = ((words.y >> 8) + 0.5f) * part;
    float c = ((words.z >> 8) + 0.5f) * part, d = ((words.w >> 8) + 0.5f) * part;
    float radius = sqrtf(-2.0f * logf(a)), sine, cosine;
    sincosf(turn * b, &sine, &cosine);
    return make_float3(radius * cosine, radius * sine, sqrtf(-2.0f * logf(c)) * cosf(turn * d));
}

// As many elements as are stored at once.
constexpr int STORED = CHANNELS == 3 ? 1 : sizeof(Element) * CHANNELS > 16 ? 16 / sizeof(Element) : CHANNELS;
struct __align__(sizeof(Element) * STORED) Stored { Element v[STORED]; };

// Writes a pixel of the batch; channels beyond the third are zero.
__device__ __forceinline__ void store(Element* batch, size_t place, float3 value) {
    Element* to = batch + place * CHANNELS;
#pragma unroll
    for (int start = 0; start < CHANNELS; start += STORED) {
        Stored stored;
#pragma unroll
        for (int i = 0; i < STORED; ++i) {
            int c = start + i;
            stored.v[i] = from_float<Element>(c == 0 ? value.x : c == 1 ? value.y : c == 2 ? value.z : 0.0f);
        }
        *reinterpret_cast<Stored*>(to + start) = stored;
    }
}

// Normalises a pixel, erases it where it lies in the rectangle, and writes it.
__device__ __forceinline__ void finish(const Descriptor& d, const Normalisation& n, Element* batch, size_t place, Pixel pixel, int x, int y) {
    float3 value;
    if (d.erasing != NOTHING && within(d.erased, x, y)) {
        value = d.erasing == NOISE
            ? noise(make_uint2(d.filling[0], d.filling[1]), x, y)
            : make_float3(__uint_as_float(d.filling[0]), __uint_as_float(d.filling[1]), __uint_as_float(d.filling[2]));
    } else {
        value.x = __fmaf_rn(channel_float(pixel, 0), n.factor[0], n.addend[0]);
        value.y = __fmaf_rn(channel_float(pixel, 1), n.factor[1], n.addend[1]);
        value.z = __fmaf_rn(channel_float(pixel, 2), n.factor[2], n.addend[2]);
    }
    store(batch, place, value);
}
