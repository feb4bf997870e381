/* The forward transform, for one type of number. Included with these macros, which it undefines:
 *
 *     FFT(name)                the name of a type or function for this type of number
 *     REAL, VECTOR             the type, and its vector of VECTOR_LANES; VECTOR_OP(load), ..(store), ..(set)
 *     TABLES                   type of the constants
 *     TRANSPOSE(x, y)          y = x transposed, (16, 16)
 */
typedef struct {
    REAL re[FRAME / 2], im[FRAME / 2];
} FFT(points);

typedef struct {
    VECTOR re, im;
} FFT(complex);

/* Four points in place, forward, in natural order. */
INLINE void FFT(fft4)(FFT(complex) *a, FFT(complex) *b, FFT(complex) *c, FFT(complex) *d)
{
    VECTOR s_re = a->re + c->re, s_im = a->im + c->im, t_re = a->re - c->re, t_im = a->im - c->im;
    VECTOR u_re = b->re + d->re, u_im = b->im + d->im, v_re = b->re - d->re, v_im = b->im - d->im;
    *a = (FFT(complex)){s_re + u_re, s_im + u_im};
    *b = (FFT(complex)){t_re + v_im, t_im - v_re};
    *c = (FFT(complex)){s_re - u_re, s_im - u_im};
    *d = (FFT(complex)){t_re - v_im, t_im + v_re};
}

INLINE void FFT(turn)(FFT(complex) *z, VECTOR cosine, VECTOR sine)
{
    *z = (FFT(complex)){z->re * cosine - z->im * sine, z->re * sine + z->im * cosine};
}

/* Sixteen transforms of sixteen points, down the columns of (16, 16); with `turns`, times exp(-2 pi i row column /
 * 256). */
INLINE void FFT(fft16_columns)(const TABLES *turns, const REAL *x_re, const REAL *x_im, REAL *y_re, REAL *y_im)
{
    const REAL c = (REAL)0.92387953251128674, s = (REAL)0.38268343236508977; /* of pi / 8 */
    const REAL r = (REAL)0.70710678118654752;                               /* and of pi / 4 */
    for (int lane = 0; lane < 16; lane += VECTOR_LANES) {
        FFT(complex) z[16];
        EACH (i, 16) {
            z[i].re = VECTOR_OP(load)(x_re + 16 * i + lane);
            z[i].im = VECTOR_OP(load)(x_im + 16 * i + lane);
        }
        EACH (i, 4) FFT(fft4)(&z[i], &z[i + 4], &z[i + 8], &z[i + 12]);
        FFT(turn)(&z[5], VECTOR_OP(set)(c), VECTOR_OP(set)(-s));
        FFT(turn)(&z[6], VECTOR_OP(set)(r), VECTOR_OP(set)(-r));
        FFT(turn)(&z[7], VECTOR_OP(set)(s), VECTOR_OP(set)(-c));
        FFT(turn)(&z[9], VECTOR_OP(set)(r), VECTOR_OP(set)(-r));
        z[10] = (FFT(complex)){z[10].im, -z[10].re};
        FFT(turn)(&z[11], VECTOR_OP(set)(-r), VECTOR_OP(set)(-r));
        FFT(turn)(&z[13], VECTOR_OP(set)(s), VECTOR_OP(set)(-c));
        FFT(turn)(&z[14], VECTOR_OP(set)(-r), VECTOR_OP(set)(-r));
        FFT(turn)(&z[15], VECTOR_OP(set)(-c), VECTOR_OP(set)(s));
        EACH (i, 4) FFT(fft4)(&z[4 * i], &z[4 * i + 1], &z[4 * i + 2], &z[4 * i + 3]);
        EACH (i, 16) {
            const int row = i / 4 + 4 * (i % 4);
            if (turns && row) {
                const VECTOR cosine = VECTOR_OP(load)(turns->turn_cos[row] + lane);
                FFT(turn)(&z[i], cosine, VECTOR_OP(load)(turns->turn_sin[row] + lane));
            }
            VECTOR_OP(store)(y_re + 16 * row + lane, z[i].re);
            VECTOR_OP(store)(y_im + 16 * row + lane, z[i].im);
        }
    }
}

/* Forward transform of 256 points; with real and imaginary parts exchanged on both sides it is the inverse, times 256.
 */
static void FFT(fft256)(const TABLES *tables, const REAL *x_re, const REAL *x_im, REAL *y_re, REAL *y_im)
{
    _Alignas(64) REAL re[256], im[256], across_re[256], across_im[256];
    FFT(fft16_columns)(tables, x_re, x_im, re, im);
    TRANSPOSE(re, across_re);
    TRANSPOSE(im, across_im);
    FFT(fft16_columns)(NULL, across_re, across_im, y_re, y_im);
}

/* Spectrum (257) of a frame (512) with the analysis window: even samples as real, odd ones as imaginary parts. */
static void FFT(analyse)(const TABLES *tables, const float *past, const float *hop, gtcrn_spectrum *spectrum)
{
    enum { N = FRAME / 2 };
    const REAL *cosine = tables->split_cos, *sine = tables->split_sin;
    _Alignas(64) FFT(points) x, z;
    for (int half_frame = 0; half_frame < 2; half_frame++) {
        const float *samples = half_frame ? hop : past;
        const REAL *window = tables->analysis_window + HOP * half_frame;
        REAL *re = x.re + HOP / 2 * half_frame, *im = x.im + HOP / 2 * half_frame;
        for (int n = 0; n < HOP / 2; n++) {
            re[n] = samples[2 * n] * window[2 * n];
            im[n] = samples[2 * n + 1] * window[2 * n + 1];
        }
    }
    FFT(fft256)(tables, x.re, x.im, z.re, z.im);
    /* X[k] = E + W^k O with the spectra E and O of even and odd samples; the halves are in the window. */
    for (int k = 1; k < N; k++) {
        const REAL even_re = z.re[k] + z.re[N - k], even_im = z.im[k] - z.im[N - k];
        const REAL odd_re = z.im[k] + z.im[N - k], odd_im = z.re[N - k] - z.re[k];
        spectrum->re[k] = (float)(even_re + (cosine[k] * odd_re + sine[k] * odd_im));
        spectrum->im[k] = (float)(even_im + (cosine[k] * odd_im - sine[k] * odd_re));
    }
    spectrum->re[0] = (float)(2 * (z.re[0] + z.im[0]));
    spectrum->re[N] = (float)(2 * (z.re[0] - z.im[0]));
    spectrum->im[0] = spectrum->im[N] = 0;
}

#undef FFT
#undef REAL
#undef VECTOR
#undef VECTOR_LANES
#undef VECTOR_OP
#undef TABLES
#undef TRANSPOSE
