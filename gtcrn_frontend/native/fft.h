/* Real FFTs of 512 points via complex ones of 256 = 16 x 16 points: sixteen columns are transformed side by side,
 * multiplied by twiddle factors, transposed, and transformed again. Real and imaginary parts are in separate arrays.
 */
#ifndef GTCRN_FFT_H
#define GTCRN_FFT_H

#include "model.h"
#include "simd.h"

typedef struct {
    float re[BINS + 15], im[BINS + 15]; /* padded to a multiple of any vector */
} gtcrn_spectrum;

/* Writes four rows of four, y_stride apart: the first of a, b, c, d, the second, ... */
INLINE void transpose4(quad a, quad b, quad c, quad d, float *y, int y_stride)
{
    quad ab = SHUFFLE(quad, a, b, 0, 4, 1, 5), cd = SHUFFLE(quad, c, d, 0, 4, 1, 5);
    quad ab2 = SHUFFLE(quad, a, b, 2, 6, 3, 7), cd2 = SHUFFLE(quad, c, d, 2, 6, 3, 7);
    quad_store(y, SHUFFLE(quad, ab, cd, 0, 1, 4, 5));
    quad_store(y + y_stride, SHUFFLE(quad, ab, cd, 2, 3, 6, 7));
    quad_store(y + 2 * y_stride, SHUFFLE(quad, ab2, cd2, 0, 1, 4, 5));
    quad_store(y + 3 * y_stride, SHUFFLE(quad, ab2, cd2, 2, 3, 6, 7));
}

/* y = x transposed, (16, 16). */
INLINE void transpose16(const float *x, float *y)
{
    for (int row = 0; row < 16; row += 4)
        for (int column = 0; column < 16; column += 4) {
            const float *from = x + 16 * row + column;
            transpose4(quad_load(from), quad_load(from + 16), quad_load(from + 32), quad_load(from + 48),
                       y + 16 * column + row, 16);
        }
}

#define FFT(name) gtcrn_##name
#define REAL float
#define VECTOR vec
#define VECTOR_LANES LANES
#define VECTOR_OP(name) vec_##name
#define TABLES gtcrn_tables
#define TRANSPOSE(x, y) transpose16(x, y)
#include "fft_passes.h"

/* Frame (512) of a spectrum (257) with the synthesis window, which includes the scale; the inverse of the above. */
static void synthesise(const gtcrn_tables *tables, const gtcrn_spectrum *spectrum, float *frame)
{
    enum { N = FRAME / 2 };
    _Alignas(64) gtcrn_points x, z;
    const float *re = spectrum->re, *im = spectrum->im, *cosine = tables->split_cos, *sine = tables->split_sin;
    for (int k = 1; k < N; k++) {
        const float even_re = re[k] + re[N - k], even_im = im[k] - im[N - k];
        const float d_re = re[k] - re[N - k], d_im = im[k] + im[N - k];
        const float odd_re = cosine[k] * d_re - sine[k] * d_im, odd_im = cosine[k] * d_im + sine[k] * d_re;
        x.re[k] = even_re - odd_im;
        x.im[k] = even_im + odd_re;
    }
    x.re[0] = re[0] + re[N];
    x.im[0] = re[0] - re[N];
    gtcrn_fft256(tables, x.im, x.re, z.im, z.re);
    for (int n = 0; n < N; n++) {
        frame[2 * n] = z.re[n] * tables->synthesis_window[2 * n];
        frame[2 * n + 1] = z.im[n] * tables->synthesis_window[2 * n + 1];
    }
}

#endif
