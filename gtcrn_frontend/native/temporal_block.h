/* The grouped temporal convolution of GTCRN with its temporal recurrent attention. */
#ifndef GTCRN_TEMPORAL_BLOCK_H
#define GTCRN_TEMPORAL_BLOCK_H

#include "gru.h"
#include "layers.h"

typedef float gtcrn_frame[ROWS][CHANNELS]; /* 33 bands with a row of zeros at either end */

/* out[0..2] = contribution of the hidden state (16) to the three gates of a block's attention. */
INLINE void attention_hidden(const gtcrn_block *w, const float *hidden, float (*out)[CHANNELS])
{
    for (int lane = 0; lane < CHANNELS; lane += LANES) {
        vec r = vec_load(w->gru_bias[0] + lane), z = vec_load(w->gru_bias[1] + lane),
            n = vec_load(w->gru_bias[3] + lane);
        for (int k = 0; k < CHANNELS; k++) {
            r += vec_load(w->gru_hidden[k][0] + lane) * hidden[k];
            z += vec_load(w->gru_hidden[k][1] + lane) * hidden[k];
            n += vec_load(w->gru_hidden[k][2] + lane) * hidden[k];
        }
        vec_store(out[0] + lane, r);
        vec_store(out[1] + lane, z);
        vec_store(out[2] + lane, n);
    }
}

/* attention (8) = scale of a block's channels y (33, 8), from their energy over time; updates hidden (16). */
static void attend(const gtcrn_block *w, const float (*y)[GROUP], float *hidden, const float (*of_hidden)[CHANNELS],
                   float *attention)
{
    float energy[GROUP], next[CHANNELS];
    for (int lane = 0; lane < GROUP; lane += HALF_LANES) {
        half sums[3] = {{0}};
        for (int band = 0; band < WIDTH; band += 3)
            EACH (i, 3) {
                half v = half_load(&y[band + i][lane]);
                sums[i] += v * v;
            }
        half_store(energy + lane, sums[0] + sums[1] + sums[2]);
    }
    for (int lane = 0; lane < CHANNELS; lane += LANES) {
        vec r = vec_load(of_hidden[0] + lane), z = vec_load(of_hidden[1] + lane), n = vec_load(w->gru_bias[2] + lane);
        EACH (k, GROUP) {
            r += vec_load(w->gru_input[k][0] + lane) * energy[k];
            z += vec_load(w->gru_input[k][1] + lane) * energy[k];
            n += vec_load(w->gru_input[k][2] + lane) * energy[k];
        }
        vec_store(next + lane, vec_gru(r, z, n, vec_load(of_hidden[2] + lane), vec_load(hidden + lane)));
    }
    memcpy(hidden, next, sizeof next);
    for (int lane = 0; lane < GROUP; lane += HALF_LANES) {
        half sums[4] = {half_load(w->fc_bias + lane), {0}, {0}, {0}};
        EACH (k, CHANNELS) sums[k % 4] += half_load(w->fc[k] + lane) * next[k];
        half_store(attention + lane, 0.5f + 0.5f * half_tanh((sums[0] + sums[1]) + (sums[2] + sums[3])));
    }
}

/* row (16) = a[0] s[0], b[0], a[1] s[1], b[1], ... of a, s and b (8 each; 16 floats must be readable). */
INLINE void scale_and_interleave(const float *a, const float *s, const float *b, vec *row)
{
#if LANES == 16
    *row = SHUFFLE(vec, vec_load(a) * vec_load(s), vec_load(b), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif LANES == 8
    const vec scaled = vec_load(a) * vec_load(s), other = vec_load(b);
    row[0] = SHUFFLE(vec, scaled, other, 0, 8, 1, 9, 2, 10, 3, 11);
    row[1] = SHUFFLE(vec, scaled, other, 4, 12, 5, 13, 6, 14, 7, 15);
#else
    EACH (p, 2) {
        const vec scaled = vec_load(a + 4 * p) * vec_load(s + 4 * p), other = vec_load(b + 4 * p);
        row[2 * p] = SHUFFLE(vec, scaled, other, 0, 4, 1, 5);
        row[2 * p + 1] = SHUFFLE(vec, scaled, other, 2, 6, 3, 7);
    }
#endif
}

/* Prefetches memory: with many streams in turn, the state of a stream is not in the cache. */
INLINE void prefetch(const void *memory, size_t bytes)
{
    const char *line = memory;
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(line + i, 0, 2);
}

/* Slot of the frame one dilation younger than the oldest. */
INLINE int middle_slot(int oldest, int dilation)
{
    return oldest < dilation ? oldest + dilation : oldest - dilation;
}

/* Prefetches the past frames of blocks `from` to `to` - 1. */
static void prefetch_blocks(const gtcrn_stream *stream, int from, int to)
{
    for (int i = from; i < to; i++) {
        const gtcrn_frame *ring = stream->conv + first_slot[i];
        prefetch(ring[stream->position[i]], sizeof(gtcrn_frame));
        prefetch(ring[middle_slot(stream->position[i], dilations[i])], sizeof(gtcrn_frame));
    }
}

/* A grouped temporal convolution, x to y, both padded: half of the channels are convolved, scaled by their attention
 * and shuffled with the other half; plus `skip` unless NULL. `ring` holds 2 * dilation past frames, *position the
 * oldest. */
static void temporal_block(const gtcrn_block *w, const gtcrn_frame x, const float (*skip)[CHANNELS], gtcrn_frame *ring,
                           int32_t *position, int dilation, float *hidden, const float (*of_hidden)[CHANNELS],
                           gtcrn_frame y)
{
    _Alignas(64) gtcrn_frame pointwise;
    _Alignas(64) float convolved[WIDTH][CHANNELS], narrow[WIDTH + 1][GROUP], attention[2 * GROUP] = {0};
    memset(narrow[WIDTH], 0, sizeof narrow[0]);
    memset(pointwise[0], 0, sizeof pointwise[0]);
    memset(pointwise[ROWS - 1], 0, sizeof pointwise[0]);
    const gtcrn_rows in = {x[0], CHANNELS, 3, CHANNELS, GROUP};
    dense16(in, &w->point1[0][0][0], w->point1_bias, &w->point1_act, 0, pointwise[1], CHANNELS, WIDTH);

    const int oldest = *position, middle = middle_slot(oldest, dilation);
    const float (*const frames[3])[CHANNELS] = {ring[oldest], ring[middle], pointwise};
    depthwise(frames, w, convolved);
    memcpy(ring[oldest], pointwise, sizeof pointwise);
    *position = oldest + 1 < 2 * dilation ? oldest + 1 : 0;

    const gtcrn_rows rows = {convolved[0], CHANNELS, 1, 0, CHANNELS};
    dense8(rows, &w->point2[0][0], w->point2_bias, NULL, 0, narrow[0], GROUP, WIDTH);
    attend(w, narrow, hidden, of_hidden, attention);

    for (int band = 0; band < WIDTH; band++) {
        vec row[PARTS];
        scale_and_interleave(narrow[band], attention, x[band + 1] + GROUP, row);
        EACH (p, PARTS) {
            if (skip) row[p] += vec_load(&skip[band][LANES * p]);
            vec_store(&y[band + 1][LANES * p], row[p]);
        }
    }
}

#endif
