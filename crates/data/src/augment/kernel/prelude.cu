// Element types and the descriptor of an image. Before this text stand ELEMENT, the type of the batch's elements, and
// CHANNELS, how many a pixel has.
//
// Compiled without contraction of products and sums (--fmad=false), so that whatever is not written as fused here has
// the same bits as on the host.

struct f16 { unsigned short bits; };
struct bf16 { unsigned short bits; };
typedef unsigned char u8;
typedef unsigned int u32;
typedef ELEMENT Element;

template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ f16 from_float<f16>(float x) { f16 y; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); return y; }
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) {
    bf16 y;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    u32 u = __float_as_uint(x);
    y.bits = (u & 0x7fffffffu) > 0x7f800000u ? (unsigned short)0x7fff : (unsigned short)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
#endif
    return y;
}

enum Format { BLANK, INTERLEAVED, PLANES, GREY };
enum Kind { BRIGHTNESS, CONTRAST, SATURATION, HUE, SHARPNESS, POSTERIZE, SOLARIZE, AUTO_CONTRAST, EQUALIZE, AFFINE, BLACKEN };
enum Erasing { NOTHING, CONSTANT, NOISE };

struct Step { u32 kind; u32 parameters[6]; };

// The fields are explained where the host fills them in.
struct Descriptor {
    unsigned long long planes[3];
    unsigned long long scratch;
    u32 pitches[3];
    u32 format;
    u32 chroma_shift[2];
    u32 smooth_chroma;
    u32 place;
    int decoded[4];
    int to_stored[6];
    int source[4];
    int scaled[2];
    int window[2];
    int size[2];
    u32 flips[2];
    u32 bicubic;
    u32 needs_whole_image;
    u32 erasing;
    int erased[4];
    u32 filling[3];
    u32 steps;
    Step step[13];
};
static_assert(sizeof(Descriptor) == 560, "the host's descriptor has another layout");

// Red, green and blue, and what they are normalised with.
struct Normalisation { float factor[3]; float addend[3]; };

// Three 8-bit values, red lowest.
typedef u32 Pixel;
__device__ __forceinline__ Pixel pack(int red, int green, int blue) { return (u32)red | (u32)green << 8 | (u32)blue << 16; }
__device__ __forceinline__ int channel(Pixel pixel, int which) { return pixel >> 8 * which & 255; }

// One value of a pixel as a float, without the slow conversion: put into the low bits of 2^23.
__device__ __forceinline__ float channel_float(Pixel pixel, int which) {
    return __uint_as_float(__byte_perm(pixel, 0x4b000000u, 0x7440u + which)) - 8388608.0f;
}

__device__ __forceinline__ int clamp(int x, int low, int high) { return min(max(x, low), high); }

__device__ __forceinline__ void load_descriptor(Descriptor& to, const Descriptor& from, int thread) {
    static_assert(sizeof(Descriptor) / 4 <= 256, "a block of 256 threads loads a word each");
    if (thread < (int)(sizeof(Descriptor) / 4)) reinterpret_cast<u32*>(&to)[thread] = reinterpret_cast<const u32*>(&from)[thread];
    __syncthreads();
}
