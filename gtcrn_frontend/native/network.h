/* GTCRN for one frame: from a spectrum (257) and the caches of a stream to the enhanced spectrum. */
#ifndef GTCRN_NETWORK_H
#define GTCRN_NETWORK_H

#include "dual_path.h"
#include "fft.h"
#include "temporal_block.h"

enum {
    HALF_ROWS = HALF_BANDS + 4, /* 65 bands with two rows of zeros at either end */
    MASK_BANDS = 136,           /* 129 bands, to a multiple of any vector */
};

/* y (65, 16), padded by two rows: magnitude, real and imaginary part in 129 bands, and their first convolution, over 7
 * bands (3 that the network unfolds, 5 taps) in steps of two. The first and last band have weights of their own, as
 * padding is unfolded but not convolved. */
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

/* mask (129 and padding, 2) = last transposed convolutions of x (35, 16), padded and with its skip added; skip (65,
 * 16). */
static void last_convolutions(const gtcrn_weights *w, const gtcrn_frame x, const float (*skip)[CHANNELS],
                              float (*mask)[2])
{
    /* Even outputs of a transposed convolution of stride 2 use taps 0, 2, 4 of bands m + 1, m, m - 1, odd ones taps 1
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
    /* One even and one odd band of the mask at a time: re im re im. */
    for (int m = 0; m < HALF_BANDS; m++)
        quad_store(mask[2 * m], quad_load(w->de4_bias) + quad_load(taps[m + 2]) + quad_load(taps[m + 1] + 4) +
                                    quad_load(taps[m] + 8));
    float *values = mask[0];
    for (int i = 0; i < MASK_BANDS * 2; i += LANES) vec_store(values + i, vec_tanh(vec_load(values + i)));
}

/* spectrum (257) in place: applies the mask with the given strength. */
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

/* spectrum (257) in place: runs one frame through the network; updates the stream except its samples. */
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
