/* UL-UNAS for one frame: from a spectrum (257) and the state of a stream to the enhanced spectrum. */
#ifndef GTCRN_UNAS_FRAME_H
#define GTCRN_UNAS_FRAME_H

#include "dual_path.h"
#include "fft.h"
#include "unas.h"
#include "unas_attention.h"

/* Vectors of double precision as wide as `vec`. */
enum { WIDE_LANES = LANES / 2 };
typedef double wide __attribute__((vector_size(4 * LANES)));
typedef double wide_memory __attribute__((vector_size(4 * LANES), aligned(8), may_alias));
INLINE wide wide_load(const double *x)
{
    return *(const wide_memory *)x;
}
INLINE void wide_store(double *x, wide v)
{
    *(wide_memory *)x = v;
}
INLINE wide wide_set(double x)
{
    return x - (wide){0};
}
INLINE void wide_transpose16(const double *x, double *y)
{
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 16; column++) y[16 * column + row] = x[16 * row + column];
}

#define FFT(name) unas_##name
#define REAL double
#define VECTOR wide
#define VECTOR_LANES WIDE_LANES
#define VECTOR_OP(name) wide_##name
#define TABLES unas_tables
#define TRANSPOSE(x, y) wide_transpose16(x, y)
#include "fft_passes.h"

enum {
    UNAS_MOST = (HALF_BANDS + 2 * UNAS_MARGIN) * 32, /* floats of the largest frame */
    UNAS_MASK = BANDS + 15,
};

/* y (rows) = pointwise convolution of x, in groups where y has two; with an activation unless `act` is NULL. */
static void unas_pointwise(const float *x, int inputs, const float *w, const float *bias, const float *act,
                           const float *fold, float *y, int outputs, int rows)
{
    const int parts = unas_row(outputs) / 16, x_row = unas_row(inputs);
    for (int part = 0; part < parts; part++) {
        /* A group of y reads one half of either group of x, or one half of x where that has no groups. */
        const int groups = x_row / 16, channels = inputs / groups / parts;
        const gtcrn_rows in = {x + part * channels, x_row, groups, 16, channels};
        if (act) {
            const gtcrn_band_act band_act = {act + 32 * part, 32 * parts, fold + 16 * part};
            dense_banded(in, w, bias + 16 * part, &band_act, 0, y + 16 * part, 16 * parts, rows);
        } else
            dense16(in, w, bias + 16 * part, NULL, 0, y + 16 * part, 16 * parts, rows);
        w += 16 * groups * channels;
    }
}

/* y (bands) = depthwise convolution with activation; frames[...] begin with their margin. */
INLINE void unas_depthwise_bands(const float *const *frames, int count, int taps, int stride, const float *w,
                                 const float *bias, const float *act, const float *fold, float *y, int row, int bands)
{
    for (int lane = 0; lane < row; lane += LANES) {
        vec weight[2][5];
        EACH (t, count)
            EACH (k, taps) weight[t][k] = vec_load(w + (t * taps + k) * row + lane);
        const vec start = vec_load(bias + lane), q = vec_load(fold + lane);
        const int first = (UNAS_MARGIN - taps / 2) * row + lane;
        const float *p = act + lane / 16 * 32 + lane % 16;
        for (int band = 0; band < bands; band++, p += 2 * row) {
            vec sums[2] = {start, {0}};
            EACH (t, count)
                EACH (k, taps)
                    sums[(t * taps + k) % 2] += weight[t][k] * vec_load(frames[t] + first + (band * stride + k) * row);
            const vec v = sums[0] + sums[1];
            vec_store(y + band * row + lane, vec_load(p) * v + q * vec_abs(v) + vec_load(p + 16));
        }
    }
}

/* The transposed convolution of stride 2 over two frames and three bands: even outputs meet tap 1, odd ones taps 2 of
 * the band before and 0 of the band behind. */
INLINE void unas_depthwise_up(const float *const *frames, const float *w, const float *bias, const float *act,
                              const float *fold, float *y, int row, int bands)
{
    for (int lane = 0; lane < row; lane += LANES) {
        vec weight[2][3];
        EACH (t, 2)
            EACH (k, 3) weight[t][k] = vec_load(w + (t * 3 + k) * row + lane);
        const vec start = vec_load(bias + lane), q = vec_load(fold + lane);
        const float *p = act + lane / 16 * 32 + lane % 16;
        const float *a = frames[0] + UNAS_MARGIN * row + lane, *b = frames[1] + UNAS_MARGIN * row + lane;
        for (int band = 0; band < bands; band++, p += 2 * row) {
            vec v = start;
            if (band % 2) {
                v += weight[0][2] * vec_load(a) + weight[1][2] * vec_load(b);
                a += row, b += row;
                v += weight[0][0] * vec_load(a) + weight[1][0] * vec_load(b);
            } else
                v += weight[0][1] * vec_load(a) + weight[1][1] * vec_load(b);
            vec_store(y + band * row + lane, vec_load(p) * v + q * vec_abs(v) + vec_load(p + 16));
        }
    }
}

static void unas_depthwise(const unas_shape *s, const unas_block *w, const float *const *frames, float *y)
{
    const int row = unas_row(s->outputs), bands = s->bands_out;
    const float *weights = w->conv, *bias = w->conv_bias, *act = w->conv_act, *fold = w->conv_fold;
    if (s->frames == 1)
        unas_depthwise_bands(frames, 1, 5, 1, weights, bias, act, fold, y, row, bands);
    else if (s->stride == 1)
        unas_depthwise_bands(frames, 2, 3, 1, weights, bias, act, fold, y, row, bands);
    else if (s->transposed)
        unas_depthwise_up(frames, weights, bias, act, fold, y, row, bands);
    else
        unas_depthwise_bands(frames, 2, 3, 2, weights, bias, act, fold, y, row, bands);
}

/* y (65, 16) = the first convolution, of the bands x (129), over three frames. */
static void unas_first(const unas_shape *s, const unas_block *w, const float *x, float *past, float *y)
{
    memmove(past, past + UNAS_TAPS_ROW, 2 * UNAS_TAPS_ROW * sizeof *past);
    memcpy(past + 2 * UNAS_TAPS_ROW + 1, x, BANDS * sizeof *x);
    const gtcrn_rows in = {past, 2, 3, UNAS_TAPS_ROW, 3};
    const gtcrn_band_act act = {w->conv_act, 32, w->conv_fold};
    dense_banded(in, w->conv, w->conv_bias, &act, 0, y, 16, s->bands_out);
}

/* y (129) = the last convolution, transposed, of x (65, 16) over three frames. Its products with the three taps are
 * summed over frames first, then over channels. */
static void unas_last(const unas_shape *s, const unas_block *w, const float *x, float *past, float *y)
{
    const int frame = s->bands_in * 16;
    memmove(past, past + frame, 2 * frame * sizeof *past);
    memcpy(past + 2 * frame, x, frame * sizeof *past);
    _Alignas(64) float products[3][HALF_BANDS + 3][16], sums[3][HALF_BANDS + 3];
    for (int lane = 0; lane < 16; lane += LANES) {
        vec weight[3][3];
        EACH (t, 3)
            EACH (k, 3) weight[t][k] = vec_load(w->conv + (t * 3 + k) * 16 + lane);
        for (int band = 0; band < HALF_BANDS; band++) {
            vec v[3];
            EACH (t, 3) v[t] = vec_load(past + t * frame + band * 16 + lane);
            EACH (k, 3)
                vec_store(&products[k][band][lane], weight[0][k] * v[0] + weight[1][k] * v[1] + weight[2][k] * v[2]);
        }
    }
    for (int k = 0; k < 3; k++) {
        memset(products[k][HALF_BANDS], 0, 3 * sizeof products[k][0]);
        sum_rows(products[k][0], HALF_BANDS + 3, sums[k]);
    }
    const float bias = w->conv_bias[0];
    for (int m = 0; m < HALF_BANDS - 1; m++) {
        y[2 * m] = bias + sums[1][m];
        y[2 * m + 1] = bias + sums[2][m] + sums[0][m + 1];
    }
    y[2 * HALF_BANDS - 2] = bias + sums[1][HALF_BANDS - 1];
}

/* Half of log10 of x, at least -12: with m = 2^e m', m' from sqrt(1/2) to sqrt(2), ln m' is the series of
 * 2 artanh((m' - 1) / (m' + 1)), whose first term left out is 2e-9. */
INLINE vec vec_half_log10(vec x)
{
    const vec_int above = x > 1e-24f; /* also false for NaN */
    const vec floor = vec_set(1e-24f);
    x = (vec)(((vec_int)x & above) | ((vec_int)floor & ~above));
    const vec_int shifted = (vec_int)x - 0x3f3504f3; /* of sqrt(1/2) */
    const vec m = (vec)((shifted & 0x7fffff) + 0x3f3504f3);
    const vec e = __builtin_convertvector(shifted >> 23, vec);
    const vec t = (m - 1.0f) / (m + 1.0f), u = t * t;
    const vec series = 1.0f + u * (0.333333333f + u * (0.2f + u * (0.142857143f + u * 0.111111111f)));
    return 0.150514998f * e + 0.434294482f * t * series;
}

/* x (129 and padding) = log10 of the magnitude, at least -12, in bands. */
static void unas_features(const unas_weights *w, const gtcrn_spectrum *spectrum, float *x)
{
    _Alignas(64) float level[BINS + 15];
    for (int k = 0; k < BINS; k += LANES) {
        const vec re = vec_load(spectrum->re + k), im = vec_load(spectrum->im + k);
        vec_store(level + k, vec_half_log10(re * re + im * im));
    }
    memcpy(x, level, LOW * sizeof *x);
    const float *weight = w->merge;
    for (int band = 0; band < ERB; band++) {
        const gtcrn_run run = w->merge_runs[band];
        float sum = 0;
        for (int i = 0; i < run.length; i++) sum += *weight++ * level[LOW + run.start + i];
        x[LOW + band] = sum;
    }
}

/* spectrum (257) in place: applies the mask of its magnitude in bands with the given strength. */
static void unas_apply(const unas_weights *w, const float *bands, float strength, gtcrn_spectrum *spectrum)
{
    float mask[BINS + 15] = {0};
    memcpy(mask, bands, LOW * sizeof *mask);
    const float *weight = w->spread;
    for (int k = 0; k < HIGH; k++) {
        const gtcrn_run run = w->spread_runs[k];
        float sum = 0;
        for (int i = 0; i < run.length; i++) sum += *weight++ * bands[LOW + run.start + i];
        mask[LOW + k] = sum;
    }
    for (int k = 0; k < BINS; k++) {
        const float m = strength * mask[k] + (1 - strength);
        spectrum->re[k] *= m;
        spectrum->im[k] *= m;
    }
}

/* One block but the last: y = the block of x, scaled by its attention, plus `skip` unless NULL. */
static void unas_run_block(const unas_shape *s, const unas_block *w, const float *x, float *past, int turn,
                           float *hidden, const float *of_hidden, unas_errand *errand, const float *skip, float *y)
{
    if (s->kind == UNAS_CONVOLUTION) {
        unas_first(s, w, x, past, y);
        unas_attend(s, w, y, hidden, of_hidden, errand, skip);
        return;
    }
    _Alignas(64) float frame[UNAS_MOST], convolved[UNAS_MOST];
    const int row = unas_row(s->outputs), margin = UNAS_MARGIN * row, size = s->bands_in * row + 2 * margin;
    float *young = s->frames == 1 ? frame : past + turn * size;
    if (s->frames == 1) { /* in the state, margins are zeros from the start */
        memset(frame, 0, margin * sizeof *frame);
        memset(frame + size - margin, 0, margin * sizeof *frame);
    }
    unas_pointwise(x, s->inputs, w->point1, w->point1_bias, w->point1_act, w->point1_fold, young + margin, s->outputs,
                   s->bands_in);
    const float *const frames[2] = {s->frames == 1 ? young : past + (1 - turn) * size, young};
    unas_depthwise(s, w, frames, s->kind == UNAS_INVERTED ? convolved : y);
    if (s->kind == UNAS_INVERTED)
        unas_pointwise(convolved, s->outputs, w->point2, w->point2_bias, NULL, NULL, y, s->outputs, s->bands_out);
    unas_attend(s, w, y, hidden, of_hidden, errand, skip);
}

/* spectrum (257) in place: runs one frame through the network; updates the stream except its samples. */
static void unas_enhance_frame(const unas_model *model, gtcrn_stream *stream, float strength, gtcrn_spectrum *spectrum)
{
    const unas_weights *w = model->weights;
    float *state = stream->unas;
    _Alignas(64) float frames[UNAS_BLOCKS / 2 + 2][UNAS_MOST], of_hidden[2][UNAS_GATES];
    _Alignas(64) float bands[BANDS + 15], mask[UNAS_MASK] = {0};
    unas_features(w, spectrum, bands);

    const float *x = bands;
    const float *first_hidden = state + unas_past_floats(unas_shapes);
    unas_errand first = unas_time_hidden(unas_shapes, model->blocks, first_hidden, of_hidden[0]);
    unas_run_errand(&first, first.size);
    for (int i = 0; i < UNAS_BLOCKS - 1; i++) {
        const unas_shape *s = &unas_shapes[i];
        float *hidden = state + unas_past_floats(s), *next = hidden + unas_hidden_floats(s);
        if (i == UNAS_BLOCKS / 2) {
            float (*inter)[WIDTH][CHANNELS] = stream->unas_inter;
            float *y = frames[UNAS_BLOCKS / 2];
            memcpy(y, x, WIDTH * CHANNELS * sizeof *y);
            for (int path = 0; path < 2; path++) dual_path(&w->dual_paths[path], (float (*)[CHANNELS])y, inter[path]);
            for (int n = 0; n < WIDTH * CHANNELS; n += LANES) vec_store(y + n, vec_load(y + n) + vec_load(x + n));
            x = y;
        }
        const int decoder = i - UNAS_BLOCKS / 2;
        float *y = decoder < 0 ? frames[i] : frames[UNAS_BLOCKS / 2 + 1 - decoder % 2];
        unas_errand errand = unas_time_hidden(s + 1, &model->blocks[i + 1], next + unas_past_floats(s + 1),
                                              of_hidden[(i + 1) % 2]);
        unas_run_block(s, &model->blocks[i], x, state, stream->unas_turn, hidden, of_hidden[i % 2], &errand,
                       decoder < 0 ? NULL : frames[UNAS_BLOCKS / 2 - 2 - decoder], y);
        state = next;
        x = y;
    }
    const unas_shape *s = &unas_shapes[UNAS_BLOCKS - 1];
    const unas_block *last = &model->blocks[UNAS_BLOCKS - 1];
    float *hidden = state + unas_past_floats(s);
    unas_last(s, last, x, state, mask);
    unas_attend_mask(s, last, mask, hidden, of_hidden[(UNAS_BLOCKS - 1) % 2]);
    stream->unas_turn = 1 - stream->unas_turn;
    unas_apply(w, mask, strength, spectrum);
}

#endif
