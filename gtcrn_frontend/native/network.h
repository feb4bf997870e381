/* GTCRN, one frame: a spectrum (257) and a stream's caches in, the mask's bands (129) out. */
#ifndef GTCRN_NETWORK_H
#define GTCRN_NETWORK_H

#include "fft.h"
#include "layers.h"

typedef float gtcrn_frame[ROWS][CHANNELS]; /* 33 bands with a row of zeros at either end */

enum {
    HALF_ROWS = HALF_BANDS + 4, /* 65 bands with two rows of zeros at either end */
    MASK_BANDS = 136,           /* 129 bands, to a multiple of any vector */
};

/* y (65, 16), padded by two rows: magnitude, real and imaginary part in 129 bands, and their first convolution, over 7
 * bands (3 that the network unfolds, 5 taps) in steps of two. The first and last band see less, as zeros are unfolded
 * but not convolved; they have weights of their own. */
static void first_convolution(const gtcrn_weights *w, const gtcrn_spectrum *spectrum, float (*y)[CHANNELS])
{
    _Alignas(64) float bins[BINS + 15][4]; /* magnitude, re, im, 0 */
    _Alignas(64) float bands[3 * (BANDS + 6) + 1 + 15];
    float magnitude[BINS + 15];
    for (int k = 0; k < BINS; k++)
        magnitude[k] = sqrtf(spectrum->re[k] * spectrum->re[k] + spectrum->im[k] * spectrum->im[k] + 1e-12f);
    for (int k = 0; k < BINS; k += 4)
        transpose4(quad_load(magnitude + k), quad_load(spectrum->re + k), quad_load(spectrum->im + k), (quad){0},
                   bins[k], 4);
    memset(bands, 0, 9 * sizeof(float));
    /* The fourth lane of a store is overwritten by the next one, the last by the padding. */
    for (int band = 0; band < LOW; band++) quad_store(bands + 9 + 3 * band, quad_load(bins[band]));
    const float *weight = w->merge;
    for (int band = 0; band < ERB; band++) {
        const gtcrn_run run = w->merge_runs[band];
        quad sum = {0};
        for (int i = 0; i < run.length; i++) sum += *weight++ * quad_load(bins[LOW + run.start + i]);
        quad_store(bands + 9 + 3 * (LOW + band), sum);
    }
    memset(bands + 9 + 3 * BANDS, 0, 9 * sizeof(float));

    const gtcrn_rows in = {bands, 6, 1, 0, 21};
    dense16(in, &w->en0[0][0][0][0], w->en0_bias, &w->en0_act, 0, y[0], CHANNELS, HALF_BANDS);
    for (int end = 0; end < 2; end++) {
        const int band = end ? HALF_BANDS - 1 : 0;
        const float *x = bands + 6 * band, *weights = &w->en0[1 + end][0][0][0];
        for (int lane = 0; lane < CHANNELS; lane += LANES) {
            vec sum = vec_load(w->en0_bias + lane);
            for (int i = 0; i < 21; i++) sum += vec_load(weights + CHANNELS * i + lane) * x[i];
            vec_store(&y[band][lane], prelu(sum, &w->en0_act, lane));
        }
    }
}

/* out[0..2] = what the hidden state (16) gives to the three gates of a block's attention. */
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

/* A GRU's new state from its gates: r, z before the halved sigmoid, n of the input, n of the hidden state (halved). */
#define DEFINE_GRU(V)                                                                          \
    INLINE V V##_gru(V r, V z, V n, V n_hidden, V hidden)                                      \
    {                                                                                          \
        V update = V##_tanh(z), candidate = V##_tanh((n + n_hidden) + V##_tanh(r) * n_hidden); \
        return candidate * (0.5f - 0.5f * update) + hidden * (0.5f + 0.5f * update);           \
    }
DEFINE_GRU(vec)
#if LANES == 16
DEFINE_GRU(half)
#else
#define half_gru vec_gru
#endif

/* attention (8): how a block scales its channels y (33, 8), after what their energy has been; hidden (16) moves on. */
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

/* A row of 16 channels: a[0] s[0], b[0], a[1] s[1], b[1] ... of a, s and b (8). Of each, 16 floats may be read. */
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

/* Asks for memory that will be read: with many streams in turn, a stream's state comes from far away. */
INLINE void prefetch(const void *memory, size_t bytes)
{
    const char *line = memory;
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(line + i, 0, 2);
}

/* The frame of a ring that is one dilation younger than the oldest. */
INLINE int middle_slot(int oldest, int dilation)
{
    return oldest < dilation ? oldest + dilation : oldest - dilation;
}

/* Asks for the past frames that blocks `from` to `to` - 1 will read. */
static void prefetch_blocks(const gtcrn_stream *stream, int from, int to)
{
    for (int i = from; i < to; i++) {
        const gtcrn_frame *ring = stream->conv + first_slot[i];
        prefetch(ring[stream->position[i]], sizeof(gtcrn_frame));
        prefetch(ring[middle_slot(stream->position[i], dilations[i])], sizeof(gtcrn_frame));
    }
}

/* A grouped temporal convolution, x to y, both padded: half of the channels are convolved, scaled by their attention
 * and shuffled with the other half; plus `skip`, unless NULL. `ring` holds 2 * dilation past frames, *position the
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

/* Lanes f1, f2 of a and b1, b2 of b. */
INLINE void join_directions(const float *a, const float *b, vec *joined)
{
#if LANES == 16
    *joined = SHUFFLE(vec, vec_load(a), vec_load(b), 0, 1, 2, 3, 20, 21, 22, 23, 8, 9, 10, 11, 28, 29, 30, 31);
#elif LANES == 8
    EACH (p, 2) joined[p] = SHUFFLE(vec, vec_load(a + 8 * p), vec_load(b + 8 * p), 0, 1, 2, 3, 12, 13, 14, 15);
#else
    EACH (p, 4) joined[p] = vec_load((p % 2 ? b : a) + 4 * p);
#endif
}

/* The j-th lane of each four lanes, four times. */
#if LANES == 16
#define OF_FOUR(v, j)                                                                                              \
    SHUFFLE(vec, v, v, j, j, j, j, j + 4, j + 4, j + 4, j + 4, j + 8, j + 8, j + 8, j + 8, j + 12, j + 12, j + 12, \
            j + 12)
#elif LANES == 8
#define OF_FOUR(v, j) SHUFFLE(vec, v, v, j, j, j, j, j + 4, j + 4, j + 4, j + 4)
#else
#define OF_FOUR(v, j) SHUFFLE(vec, v, v, j, j, j, j)
#endif

/* y (33, 16) = the bidirectional GRU over the bands of x (33, 16): f1 b1 f2 b2. Both directions are one vector: while
 * its forward lanes are at band t, the backward ones are at band 32 - t. */
static void intra_recurrence(const gtcrn_dual_path *w, const float (*x)[CHANNELS], float (*y)[CHANNELS])
{
    _Alignas(64) float gates[3][WIDTH][CHANNELS], states[WIDTH][CHANNELS];
    for (int group = 0; group < 2; group++) {
        const gtcrn_rows in = {x[0] + GROUP * group, CHANNELS, 1, 0, GROUP};
        for (int gate = 0; gate < 3; gate++)
            dense8(in, &w->intra_input[group][gate][0][0], w->intra_bias[group][gate], NULL, 0,
                   gates[gate][0] + GROUP * group, CHANNELS, WIDTH);
    }
    vec weight[4][3][PARTS], bias[PARTS], h[PARTS];
    EACH (p, PARTS) {
        bias[p] = vec_load(w->intra_hidden_bias + LANES * p);
        h[p] = vec_set(0);
        EACH (j, 4)
            EACH (gate, 3) weight[j][gate][p] = vec_load(w->intra_hidden[j][gate] + LANES * p);
    }
    for (int t = 0; t < WIDTH; t++) {
        vec r[PARTS], z[PARTS], n[PARTS];
        join_directions(gates[0][t], gates[0][WIDTH - 1 - t], r);
        join_directions(gates[1][t], gates[1][WIDTH - 1 - t], z);
        join_directions(gates[2][t], gates[2][WIDTH - 1 - t], n);
        EACH (p, PARTS) {
            const vec h0 = OF_FOUR(h[p], 0), h1 = OF_FOUR(h[p], 1), h2 = OF_FOUR(h[p], 2), h3 = OF_FOUR(h[p], 3);
            const vec r_sum =
                (r[p] + weight[0][0][p] * h0 + weight[1][0][p] * h1) + (weight[2][0][p] * h2 + weight[3][0][p] * h3);
            const vec z_sum =
                (z[p] + weight[0][1][p] * h0 + weight[1][1][p] * h1) + (weight[2][1][p] * h2 + weight[3][1][p] * h3);
            const vec n_sum =
                (bias[p] + weight[0][2][p] * h0 + weight[1][2][p] * h1) + (weight[2][2][p] * h2 + weight[3][2][p] * h3);
            h[p] = vec_gru(r_sum, z_sum, n[p], n_sum, h[p]);
            vec_store(states[t] + LANES * p, h[p]);
        }
    }
    for (int band = 0; band < WIDTH; band++) {
        vec joined[PARTS];
        join_directions(states[band], states[WIDTH - 1 - band], joined);
        EACH (p, PARTS) vec_store(y[band] + LANES * p, joined[p]);
    }
}

/* hidden (33, 16) moves on by x (33, 16): one step of a GRU for each band, in two groups of 8 channels. */
static void inter_recurrence(const gtcrn_dual_path *w, const float (*x)[CHANNELS], float (*hidden)[CHANNELS])
{
    enum { BLOCK = HALF_LANES == 8 ? 3 : 1 }; /* bands that share the loads of weights; divides 33 */
    for (int group = 0; group < 2; group++)
        for (int band = 0; band < WIDTH; band += BLOCK) {
            half gates[4][BLOCK][HALF_PARTS]; /* r, z, n of the input, n of the hidden state */
            EACH (gate, 4)
                EACH (i, BLOCK)
                    EACH (p, HALF_PARTS) gates[gate][i][p] = half_load(w->inter_bias[group][gate] + HALF_LANES * p);
            LOOP (k, GROUP)
                EACH (p, HALF_PARTS)
                    EACH (gate, 3) {
                        const half weight = half_load(w->inter_input[group][k][gate] + HALF_LANES * p);
                        EACH (i, BLOCK) gates[gate][i][p] += weight * x[band + i][GROUP * group + k];
                    }
            LOOP (k, GROUP)
                EACH (p, HALF_PARTS)
                    EACH (gate, 3) {
                        const half weight = half_load(w->inter_hidden[group][k][gate] + HALF_LANES * p);
                        const int to = gate == 2 ? 3 : gate;
                        EACH (i, BLOCK) gates[to][i][p] += weight * hidden[band + i][GROUP * group + k];
                    }
            EACH (i, BLOCK)
                EACH (p, HALF_PARTS) {
                    float *h = hidden[band + i] + GROUP * group + HALF_LANES * p;
                    half_store(h,
                               half_gru(gates[0][i][p], gates[1][i][p], gates[2][i][p], gates[3][i][p], half_load(h)));
                }
        }
}

/* x (33, 16) in place: recurrences across the bands of a frame, then across the frames of a band (hidden (33, 16)). */
static void dual_path(const gtcrn_dual_path *w, float (*x)[CHANNELS], float (*hidden)[CHANNELS])
{
    _Alignas(64) float recurrent[WIDTH][CHANNELS], linear[WIDTH][CHANNELS];
    const gtcrn_rows intra = {recurrent[0], CHANNELS, 1, 0, CHANNELS}, inter = {hidden[0], CHANNELS, 1, 0, CHANNELS};
    intra_recurrence(w, x, recurrent);
    dense16(intra, &w->intra_fc[0][0], w->intra_fc_bias, NULL, 0, linear[0], CHANNELS, WIDTH);
    add_normalised(x, linear, w->intra_norm, w->intra_norm_bias);
    inter_recurrence(w, x, hidden);
    dense16(inter, &w->inter_fc[0][0], w->inter_fc_bias, NULL, 0, linear[0], CHANNELS, WIDTH);
    add_normalised(x, linear, w->inter_norm, w->inter_norm_bias);
}

/* mask (129 and padding, 2): the transposed convolutions at the end, x (35, 16) padded and with its skip, skip (65,
 * 16). */
static void last_convolutions(const gtcrn_weights *w, const gtcrn_frame x, const float (*skip)[CHANNELS],
                              float (*mask)[2])
{
    /* Even outputs of a transposed convolution of stride 2 see taps 0, 2, 4 of bands m + 1, m, m - 1, odd ones taps 1
     * and 3 of m + 1 and m. */
    _Alignas(64) float wide[HALF_BANDS][CHANNELS], taps[HALF_BANDS + 2][CHANNELS];
    for (int group = 0; group < 2; group++) {
        const gtcrn_rows even = {x[0] + GROUP * group, CHANNELS, 3, CHANNELS, GROUP};
        const gtcrn_rows odd = {x[1] + GROUP * group, CHANNELS, 2, CHANNELS, GROUP};
        const float *bias = w->de3_bias + GROUP * group;
        dense8(even, &w->de3_even[group][0][0][0], bias, &w->de3_act, GROUP * group, wide[0] + GROUP * group,
               2 * CHANNELS, WIDTH);
        dense8(odd, &w->de3_odd[group][0][0][0], bias, &w->de3_act, GROUP * group, wide[1] + GROUP * group,
               2 * CHANNELS, WIDTH - 1);
    }
    const float *add = skip[0];
    for (int i = 0; i < HALF_BANDS * CHANNELS; i += LANES)
        vec_store(wide[0] + i, vec_load(wide[0] + i) + vec_load(add + i));

    static const float nothing[CHANNELS] = {0};
    const gtcrn_rows rows = {wide[0], CHANNELS, 1, 0, CHANNELS};
    dense16(rows, &w->de4[0][0], nothing, NULL, 0, taps[1], CHANNELS, HALF_BANDS);
    memset(taps[0], 0, sizeof taps[0]);
    memset(taps[HALF_BANDS + 1], 0, sizeof taps[0]);
    /* An even and an odd band of the mask at a time: re im re im. */
    for (int m = 0; m < HALF_BANDS; m++)
        quad_store(mask[2 * m], quad_load(w->de4_bias) + quad_load(taps[m + 2]) + quad_load(taps[m + 1] + 4) +
                                    quad_load(taps[m] + 8));
    float *values = mask[0];
    for (int i = 0; i < MASK_BANDS * 2; i += LANES) vec_store(values + i, vec_tanh(vec_load(values + i)));
}

/* spectrum (257) in place: times the mask of the given strength. */
static void apply_mask(const gtcrn_weights *w, const float (*bands)[2], float strength, gtcrn_spectrum *spectrum)
{
    float mask[BINS + 1][2];
    memcpy(mask, bands, LOW * sizeof mask[0]);
    const float *weight = w->spread;
    for (int k = 0; k < HIGH; k++) {
        const gtcrn_run run = w->spread_runs[k];
        quad sum = {0}; /* two lanes too many, which the next bin overwrites */
        for (int i = 0; i < run.length; i++) sum += *weight++ * quad_load(bands[LOW + run.start + i]);
        quad_store(mask[LOW + k], sum);
    }
    for (int k = 0; k < BINS; k++) {
        const float m_re = strength * mask[k][0] + (1 - strength), m_im = strength * mask[k][1];
        const float re = spectrum->re[k], im = spectrum->im[k];
        spectrum->re[k] = re * m_re - im * m_im;
        spectrum->im[k] = re * m_im + im * m_re;
    }
}

/* spectrum (257) in place: one frame through the network; the stream moves on, but for its samples. */
static void enhance_frame(const gtcrn_weights *w, gtcrn_stream *stream, float strength, gtcrn_spectrum *spectrum)
{
    _Alignas(64) float of_hidden[BLOCKS][3][CHANNELS];
    for (int i = 0; i < BLOCKS; i++) attention_hidden(&w->blocks[i], stream->tra[i], of_hidden[i]);

    _Alignas(64) float wide[HALF_ROWS][CHANNELS]; /* the first layer, padded */
    _Alignas(64) gtcrn_frame skips[4], frames[2]; /* the other layers of the encoder; what flows behind it */
    memset(wide[0], 0, 2 * sizeof wide[0]);
    memset(wide[HALF_ROWS - 2], 0, 2 * sizeof wide[0]);
    for (int i = 0; i < 6; i++) {
        float (*frame)[CHANNELS] = i < 4 ? skips[i] : frames[i - 4];
        memset(frame[0], 0, sizeof frame[0]);
        memset(frame[ROWS - 1], 0, sizeof frame[0]);
    }

    prefetch_blocks(stream, 0, 3);
    first_convolution(w, spectrum, wide + 2);
    for (int group = 0; group < 2; group++) {
        const gtcrn_rows in = {wide[0] + GROUP * group, 2 * CHANNELS, 5, CHANNELS, GROUP};
        dense8(in, &w->en1[group][0][0][0], w->en1_bias + GROUP * group, &w->en1_act, GROUP * group,
               skips[0][1] + GROUP * group, CHANNELS, WIDTH);
    }
    for (int i = 0; i < 3; i++)
        temporal_block(&w->blocks[i], skips[i], NULL, stream->conv + first_slot[i], &stream->position[i], dilations[i],
                       stream->tra[i], of_hidden[i], skips[i + 1]);

    prefetch(stream->inter, sizeof stream->inter);
    prefetch_blocks(stream, 3, BLOCKS);
    memcpy(frames[0], skips[3], sizeof frames[0]);
    for (int i = 0; i < 2; i++) dual_path(&w->dual_paths[i], frames[0] + 1, stream->inter[i]);
    for (int band = 1; band <= WIDTH; band++)
        for (int lane = 0; lane < CHANNELS; lane += LANES)
            vec_store(&frames[0][band][lane], vec_load(&frames[0][band][lane]) + vec_load(&skips[3][band][lane]));

    for (int i = 3; i < BLOCKS; i++)
        temporal_block(&w->blocks[i], frames[(i - 3) % 2], skips[5 - i] + 1, stream->conv + first_slot[i],
                       &stream->position[i], dilations[i], stream->tra[i], of_hidden[i], frames[(i - 2) % 2]);

    _Alignas(64) float mask[MASK_BANDS][2] = {{0}};
    last_convolutions(w, frames[1], wide + 2, mask);
    apply_mask(w, mask, strength, spectrum);
}

#endif
