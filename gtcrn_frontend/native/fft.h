/* Real FFTs of 512 points via complex ones of 256 = 16 x 16 points: sixteen columns are transformed side by side,
 * multiplied by twiddle factors, transposed, and transformed again. Real and imaginary parts are in separate arrays.
 */
#ifndef GTCRN_FFT_H
#define GTCRN_FFT_H

#include "model.h"
#include "simd.h"

typedef struct {
    float re[FRAME / 2], im[FRAME / 2];
} gtcrn_points;

typedef struct {
    float re[BINS + 15], im[BINS + 15]; /* padded to a multiple of any vector */
} gtcrn_spectrum;

typedef struct {
    vec re, im;
} gtcrn_complex;

/* Four points in place, forward, in natural order. */
INLINE void fft4(gtcrn_complex *a, gtcrn_complex *b, gtcrn_complex *c, gtcrn_complex *d)
{
    vec s_re = a->re + c->re, s_im = a->im + c->im, t_re = a->re - c->re, t_im = a->im - c->im;
    vec u_re = b->re + d->re, u_im = b->im + d->im, v_re = b->re - d->re, v_im = b->im - d->im;
    *a = (gtcrn_complex){s_re + u_re, s_im + u_im};
    *b = (gtcrn_complex){t_re + v_im, t_im - v_re};
    *c = (gtcrn_complex){s_re - u_re, s_im - u_im};
    *d = (gtcrn_complex){t_re - v_im, t_im + v_re};
}

INLINE void turn(gtcrn_complex *z, vec cosine, vec sine)
{
    *z = (gtcrn_complex){z->re * cosine - z->im * sine, z->re * sine + z->im * cosine};
}

/* Sixteen transforms of sixteen points, down the columns of (16, 16); with `turns`, times exp(-2 pi i row column /
 * 256). */
INLINE void fft16_columns(const gtcrn_tables *turns, const float *x_re, const float *x_im, float *y_re, float *y_im)
{
    const float c = 0.92387953251128674f, s = 0.38268343236508977f, r = 0.70710678118654752f; /* of pi / 8, pi / 4 */
    for (int lane = 0; lane < 16; lane += LANES) {
        gtcrn_complex z[16];
        EACH (i, 16) z[i] = (gtcrn_complex){vec_load(x_re + 16 * i + lane), vec_load(x_im + 16 * i + lane)};
        EACH (i, 4) fft4(&z[i], &z[i + 4], &z[i + 8], &z[i + 12]);
        turn(&z[5], vec_set(c), vec_set(-s));
        turn(&z[6], vec_set(r), vec_set(-r));
        turn(&z[7], vec_set(s), vec_set(-c));
        turn(&z[9], vec_set(r), vec_set(-r));
        z[10] = (gtcrn_complex){z[10].im, -z[10].re};
        turn(&z[11], vec_set(-r), vec_set(-r));
        turn(&z[13], vec_set(s), vec_set(-c));
        turn(&z[14], vec_set(-r), vec_set(-r));
        turn(&z[15], vec_set(-c), vec_set(s));
        EACH (i, 4) fft4(&z[4 * i], &z[4 * i + 1], &z[4 * i + 2], &z[4 * i + 3]);
        EACH (i, 16) {
            const int row = i / 4 + 4 * (i % 4);
            if (turns && row) turn(&z[i], vec_load(turns->turn_cos[row] + lane), vec_load(turns->turn_sin[row] + lane));
            vec_store(y_re + 16 * row + lane, z[i].re);
            vec_store(y_im + 16 * row + lane, z[i].im);
        }
    }
}

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

/* Forward transform of 256 points; with real and imaginary parts exchanged on both sides it is the inverse, times 256.
 */
static void fft256(const gtcrn_tables *tables, const float *x_re, const float *x_im, float *y_re, float *y_im)
{
    _Alignas(64) float re[256], im[256], across_re[256], across_im[256];
    fft16_columns(tables, x_re, x_im, re, im);
    transpose16(re, across_re);
    transpose16(im, across_im);
    fft16_columns(NULL, across_re, across_im, y_re, y_im);
}

/* Spectrum (257) of a frame (512) with the analysis window: even samples as real, odd ones as imaginary parts. */
static void analyse(const gtcrn_tables *tables, const float *past, const float *hop, gtcrn_spectrum *spectrum)
{
    enum { N = FRAME / 2 };
    const float *cosine = tables->split_cos, *sine = tables->split_sin;
    _Alignas(64) gtcrn_points x, z;
    for (int half_frame = 0; half_frame < 2; half_frame++) {
        const float *samples = half_frame ? hop : past, *window = tables->analysis_window + HOP * half_frame;
        float *re = x.re + HOP / 2 * half_frame, *im = x.im + HOP / 2 * half_frame;
        for (int n = 0; n < HOP / 2; n++) {
            re[n] = samples[2 * n] * window[2 * n];
            im[n] = samples[2 * n + 1] * window[2 * n + 1];
        }
    }
    fft256(tables, x.re, x.im, z.re, z.im);
    /* X[k] = E + W^k O with the spectra E and O of even and odd samples; the halves are in the window. */
    for (int k = 1; k < N; k++) {
        const float even_re = z.re[k] + z.re[N - k], even_im = z.im[k] - z.im[N - k];
        const float odd_re = z.im[k] + z.im[N - k], odd_im = z.re[N - k] - z.re[k];
        spectrum->re[k] = even_re + (cosine[k] * odd_re + sine[k] * odd_im);
        spectrum->im[k] = even_im + (cosine[k] * odd_im - sine[k] * odd_re);
    }
    spectrum->re[0] = 2 * (z.re[0] + z.im[0]);
    spectrum->re[N] = 2 * (z.re[0] - z.im[0]);
    spectrum->im[0] = spectrum->im[N] = 0;
}

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
    fft256(tables, x.im, x.re, z.im, z.re);
    for (int n = 0; n < N; n++) {
        frame[2 * n] = z.re[n] * tables->synthesis_window[2 * n];
        frame[2 * n + 1] = z.im[n] * tables->synthesis_window[2 * n + 1];
    }
}

#endif
