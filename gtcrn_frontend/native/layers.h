/* Layers on rows of channels. Padded buffers have a row of zeros before the first and after the last band.
 */
#ifndef GTCRN_LAYERS_H
#define GTCRN_LAYERS_H

#include <math.h>

#include "model.h"
#include "simd.h"

/* Layout of the inputs of a matrix product: `taps` rows of `channels` values, `tap_stride` floats apart, repeated
 * `row_stride` floats further for the next output row. A convolution over the bands has overlapping rows. */
typedef struct {
    const float *x;
    int row_stride, taps, tap_stride, channels;
} gtcrn_rows;

/* Activations p v + q |v| + b of rows of outputs: p and b (16 each, one behind the other) for each row, `stride` floats
 * apart, and q for all. */
typedef struct {
    const float *rows;
    int stride;
    const float *fold;
} gtcrn_band_act;

/* y[row][...] = bias + sum over taps and channels of x * w[tap][channel][...], for PARTS vectors V of outputs; BLOCK
 * rows share the loads of weights. The last block starts early enough to be complete, so its first rows are computed
 * twice and y must not overlap x. `act` may be NULL; ACTIVATE applies one. */
#define DEFINE_DENSE(NAME, V, LANES_OF_V, PARTS_OF_V, BLOCK, ACT, ACTIVATE)                                    \
    INLINE void NAME(gtcrn_rows in, const float *w, const float *bias, const ACT *act, int act_offset,         \
                     float *y, int y_stride, int rows)                                                         \
    {                                                                                                          \
        const int outputs = LANES_OF_V * PARTS_OF_V;                                                           \
        for (int row = 0; row < rows; row += BLOCK) {                                                          \
            const int first = row + BLOCK <= rows ? row : rows - BLOCK;                                        \
            V sum[BLOCK][PARTS_OF_V];                                                                          \
            EACH (p, PARTS_OF_V)                                                                               \
                EACH (i, BLOCK) sum[i][p] = V##_load(bias + LANES_OF_V * p);                                   \
            for (int tap = 0; tap < in.taps; tap++)                                                            \
                LOOP (channel, in.channels) {                                                                  \
                    const float *x = in.x + first * in.row_stride + tap * in.tap_stride + channel;             \
                    const float *weights = w + (tap * in.channels + channel) * outputs;                        \
                    EACH (p, PARTS_OF_V) {                                                                     \
                        V weight = V##_load(weights + LANES_OF_V * p);                                         \
                        EACH (i, BLOCK) sum[i][p] += weight * x[i * in.row_stride];                            \
                    }                                                                                          \
                }                                                                                              \
            EACH (p, PARTS_OF_V)                                                                               \
                EACH (i, BLOCK) {                                                                              \
                    V v = sum[i][p];                                                                           \
                    const int lane = LANES_OF_V * p;                                                           \
                    if (act) v = ACTIVATE(V, v, act, act_offset + lane, first + i);                            \
                    V##_store(y + (first + i) * y_stride + lane, v);                                           \
                }                                                                                              \
        }                                                                                                      \
    }

#define PRELU(V, v, act, lane, row) (V##_load((act)->scale + (lane)) * v + V##_load((act)->fold + (lane)) * V##_abs(v))
#define BAND_ACT(V, v, act, lane, row)                                                    \
    (V##_load((act)->rows + (row) * (act)->stride + (lane)) * v + V##_load((act)->fold + (lane)) * V##_abs(v) + \
     V##_load((act)->rows + (row) * (act)->stride + 16 + (lane)))

#if LANES == 16
DEFINE_DENSE(dense16, vec, LANES, PARTS, 11, gtcrn_prelu, PRELU)
DEFINE_DENSE(dense8, half, HALF_LANES, HALF_PARTS, 11, gtcrn_prelu, PRELU)
DEFINE_DENSE(dense_banded, vec, LANES, PARTS, 11, gtcrn_band_act, BAND_ACT)
#elif LANES == 8
DEFINE_DENSE(dense16, vec, LANES, PARTS, 5, gtcrn_prelu, PRELU)
DEFINE_DENSE(dense8, half, HALF_LANES, HALF_PARTS, 11, gtcrn_prelu, PRELU)
DEFINE_DENSE(dense_banded, vec, LANES, PARTS, 5, gtcrn_band_act, BAND_ACT)
#else
DEFINE_DENSE(dense16, vec, LANES, PARTS, 2, gtcrn_prelu, PRELU)
DEFINE_DENSE(dense8, half, HALF_LANES, HALF_PARTS, 4, gtcrn_prelu, PRELU)
DEFINE_DENSE(dense_banded, vec, LANES, PARTS, 2, gtcrn_band_act, BAND_ACT)
#endif

INLINE vec prelu(vec v, const gtcrn_prelu *act, int lane)
{
    return vec_load(act->scale + lane) * v + vec_load(act->fold + lane) * vec_abs(v);
}

/* Sum of the lanes. */
INLINE float total(vec v)
{
    float lanes[LANES];
    vec_store(lanes, v);
    for (int n = LANES / 2; n; n /= 2)
        for (int i = 0; i < n; i++) lanes[i] += lanes[i + n];
    return lanes[0];
}

/* A depthwise convolution over 3 frames and 3 bands with a PReLU; frames (35, 16) padded, y (33, 16). */
INLINE void depthwise(const float (*const frames[3])[CHANNELS], const gtcrn_block *w, float (*y)[CHANNELS])
{
    for (int lane = 0; lane < CHANNELS; lane += LANES) {
        vec weight[3][3], bias = vec_load(w->depth_bias + lane);
        EACH (t, 3)
            EACH (k, 3) weight[t][k] = vec_load(&w->depth[t][k][lane]);
        for (int band = 0; band < WIDTH; band++) {
            vec sums[3] = {bias, {0}, {0}};
            EACH (t, 3)
                EACH (k, 3) sums[t] += weight[t][k] * vec_load(&frames[t][band + k][lane]);
            vec_store(&y[band][lane], prelu(sums[0] + sums[1] + sums[2], &w->depth_act, lane));
        }
    }
}

/* x += normalised y, both (33, 16): over bands and channels together, variance + 1e-8. x is changed in place. */
INLINE void add_normalised(float (*x)[CHANNELS], const float (*y)[CHANNELS], const float (*scale)[CHANNELS],
                           const float (*bias)[CHANNELS])
{
    const float *flat = &y[0][0], *scales = &scale[0][0], *biases = &bias[0][0];
    float *out = &x[0][0];
    enum { COUNT = WIDTH * CHANNELS, STEP = 3 * 16 };
    vec sums[STEP / LANES] = {{0}};
    for (int i = 0; i < COUNT; i += STEP)
        EACH (j, STEP / LANES) sums[j] += vec_load(flat + i + j * LANES);
    vec sum = {0};
    EACH (j, STEP / LANES) sum += sums[j];
    const float mean = total(sum) / COUNT;

    vec squares[STEP / LANES] = {{0}};
    for (int i = 0; i < COUNT; i += STEP)
        EACH (j, STEP / LANES) {
            vec centred = vec_load(flat + i + j * LANES) - mean;
            squares[j] += centred * centred;
        }
    sum = vec_set(0);
    EACH (j, STEP / LANES) sum += squares[j];
    const float inverse = 1 / sqrtf(total(sum) / COUNT + 1e-8f);

    for (int i = 0; i < COUNT; i += LANES)
        vec_store(out + i, vec_load(out + i) +
                               ((vec_load(flat + i) - mean) * inverse * vec_load(scales + i) + vec_load(biases + i)));
}

#endif
