// Pixels of the stored image, from whatever form the decoder left them in. Coordinates count from the whole image's
// corner.

// JFIF's conversion as libjpeg-turbo makes it, with 16 bits after the point.
__device__ __forceinline__ Pixel from_ycbcr(int luma, int blue_difference, int red_difference) {
    int cb = blue_difference - 128, cr = red_difference - 128;
    int red = luma + (91881 * cr + 32768 >> 16);
    int green = luma + (32768 - 22554 * cb - 46802 * cr >> 16);
    int blue = luma + (116130 * cb + 32768 >> 16);
    return pack(clamp(red, 0, 255), clamp(green, 0, 255), clamp(blue, 0, 255));
}

// Where a plane of colour differences has been decoded, and the samples next to a pixel.
struct Chroma {
    int column, row, last_column, last_row;

    __device__ __forceinline__ Chroma(const Descriptor& d, int x, int y) {
        int across = d.chroma_shift[0], down = d.chroma_shift[1];
        int first_column = d.decoded[0] >> across, first_row = d.decoded[1] >> down;
        column = (x >> across) - first_column;
        row = (y >> down) - first_row;
        last_column = (d.decoded[0] + d.decoded[2] - 1 >> across) - first_column;
        last_row = (d.decoded[1] + d.decoded[3] - 1 >> down) - first_row;
    }
};

// The colour difference of two pixels side by side, `x` even. Where chroma is subsampled by two, libjpeg-turbo weighs
// the nearest sample three to one against the next one in each direction, and rounds up and down in turns.
__device__ __forceinline__ void chroma_pair(const Descriptor& d, int plane, int x, int y, int& first, int& second) {
    const u8* samples = reinterpret_cast<const u8*>(d.planes[plane]);
    size_t pitch = d.pitches[plane];
    Chroma at(d, x, y);
    // A pair at the border of what was decoded may begin before it or end after it.
    int column = clamp(at.column, 0, at.last_column);
    const u8* near = samples + pitch * at.row;
    if (!d.smooth_chroma) {
        first = near[column];
        second = d.chroma_shift[0] ? first : near[clamp(at.column + 1, 0, at.last_column)];
        return;
    }
    const u8* far = samples + pitch * clamp(at.row + (y & 1 ? 1 : -1), 0, at.last_row);
    if (!d.chroma_shift[0]) {
        int next = clamp(at.column + 1, 0, at.last_column), bias = y & 1 ? 2 : 1;
        first = 3 * near[column] + far[column] + bias >> 2;
        second = 3 * near[next] + far[next] + bias >> 2;
        return;
    }
    int left = clamp(at.column - 1, 0, at.last_column), right = clamp(at.column + 1, 0, at.last_column);
    if (!d.chroma_shift[1]) {
        int middle = 3 * near[column];
        first = middle + near[left] + 1 >> 2;
        second = middle + near[right] + 2 >> 2;
        return;
    }
    int middle = 3 * (3 * near[column] + far[column]);
    first = middle + 3 * near[left] + far[left] + 8 >> 4;
    second = middle + 3 * near[right] + far[right] + 7 >> 4;
}

// Two pixels side by side, `x` even, row `y` within what was decoded. One of them may lie outside, and is then any
// pixel.
__device__ __forceinline__ void pixel_pair(const Descriptor& d, int x, int y, Pixel& first, Pixel& second) {
    int row = y - d.decoded[1], last = d.decoded[2] - 1;
    int one = clamp(x - d.decoded[0], 0, last), two = clamp(x + 1 - d.decoded[0], 0, last);
    const u8* samples = reinterpret_cast<const u8*>(d.planes[0]) + (size_t)d.pitches[0] * row;
    if (d.format == INTERLEAVED) {
        const u8 *a = samples + 3 * (size_t)one, *b = samples + 3 * (size_t)two;
        first = pack(a[0], a[1], a[2]);
        second = pack(b[0], b[1], b[2]);
        return;
    }
    int light = samples[one], other = samples[two];
    if (d.format == GREY) {
        first = pack(light, light, light);
        second = pack(other, other, other);
        return;
    }
    int blue[2], red[2];
    chroma_pair(d, 1, x, y, blue[0], blue[1]);
    chroma_pair(d, 2, x, y, red[0], red[1]);
    first = from_ycbcr(light, blue[0], red[0]);
    second = from_ycbcr(other, blue[1], red[1]);
}
