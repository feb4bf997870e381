/* The attention of UL-UNAS: a gate for each channel by a GRU over time, one for each band by a GRU over the bands. */
#ifndef GTCRN_UNAS_ATTENTION_H
#define GTCRN_UNAS_ATTENTION_H

#include "gru.h"
#include "layers.h"
#include "unas.h"

enum {
    UNAS_GATES = 3 * 64 + 16, /* floats of the gates of at most 64 hidden units, and the rest of a vector */
    UNAS_STEP = 4,            /* bands of a step of the GRU over the bands */
    UNAS_STEPS = (BANDS + UNAS_STEP - 1) / UNAS_STEP, /* at most */
    UNAS_SUMS = UNAS_STEPS * UNAS_STEP + 16,
};

/* y (16 parts) = bias + w^T x for PARTS16 times 16 outputs out of rows of `stride`. */
INLINE void product16(const float *w, int stride, const float *x, int inputs, const float *bias, float *y,
                      const int parts16)
{
    vec sums[6][PARTS];
    EACH (i, parts16)
        EACH (p, PARTS) sums[i][p] = vec_load(bias + 16 * i + LANES * p);
    LOOP (k, inputs) {
        const float *row = w + k * stride;
        EACH (i, parts16)
            EACH (p, PARTS) sums[i][p] += vec_load(row + 16 * i + LANES * p) * x[k];
    }
    EACH (i, parts16)
        EACH (p, PARTS) vec_store(y + 16 * i + LANES * p, sums[i][p]);
}

/* y (outputs, a multiple of 16) = bias + w^T x. */
static void product(const float *w, int outputs, const float *x, int inputs, const float *bias, float *y)
{
    int done = 0;
    for (; outputs - done > 6 * 16 || outputs - done == 5 * 16; done += 5 * 16)
        product16(w + done, outputs, x, inputs, bias + done, y + done, 5);
    switch ((outputs - done) / 16) {
    case 6: product16(w + done, outputs, x, inputs, bias + done, y + done, 6); break;
    case 4: product16(w + done, outputs, x, inputs, bias + done, y + done, 4); break;
    case 3: product16(w + done, outputs, x, inputs, bias + done, y + done, 3); break;
    case 2: product16(w + done, outputs, x, inputs, bias + done, y + done, 2); break;
    case 1: product16(w + done, outputs, x, inputs, bias + done, y + done, 1); break;
    default: break;
    }
}

/* sums (rows) = sum of each row of x (rows, 16); rows is a multiple of 4. */
INLINE void sum_rows(const float *x, int rows, float *sums)
{
    for (int row = 0; row < rows; row += 4, x += 64) {
        quad q[4];
        EACH (i, 4) {
            const float *r = x + 16 * i;
            q[i] = (quad_load(r) + quad_load(r + 4)) + (quad_load(r + 8) + quad_load(r + 12));
        }
        const quad ab = SHUFFLE(quad, q[0], q[1], 0, 4, 1, 5) + SHUFFLE(quad, q[0], q[1], 2, 6, 3, 7);
        const quad cd = SHUFFLE(quad, q[2], q[3], 0, 4, 1, 5) + SHUFFLE(quad, q[2], q[3], 2, 6, 3, 7);
        quad_store(sums + row, SHUFFLE(quad, ab, cd, 0, 1, 4, 5) + SHUFFLE(quad, ab, cd, 2, 3, 6, 7));
    }
}

/* Work that does not depend on the frame, to be done while a recurrence waits for itself: the contribution of the
 * hidden state to the gates of the next block's GRU over time. `sums` begins as the bias. */
typedef struct {
    const float *weights, *hidden;
    int gates, size, done; /* outputs and inputs; inputs so far */
    float *sums;
} unas_errand;

static unas_errand unas_time_hidden(const unas_shape *s, const unas_block *w, const float *hidden, float *of_hidden)
{
    const int size = 2 * s->outputs, gates = unas_gates(size);
    memcpy(of_hidden, w->time_hidden_bias, gates * sizeof *of_hidden);
    return (unas_errand){w->time_hidden, hidden, gates, size, 0, of_hidden};
}

/* Takes in the next `count` inputs at most. */
INLINE void unas_run_errand(unas_errand *e, int count)
{
    if (count > e->size - e->done) count = e->size - e->done;
    if (count <= 0) return;
    product(e->weights + e->done * e->gates, e->gates, e->hidden + e->done, count, e->sums, e->sums);
    e->done += count;
}

/* gates (a row) = gate of each channel from its energy (outputs); updates hidden. */
static void unas_time_gates(const unas_shape *s, const unas_block *w, const float *energy, float *hidden,
                            const float *of_hidden, float *gates)
{
    const int size = 2 * s->outputs, row = unas_row(s->outputs);
    _Alignas(64) float of_input[UNAS_GATES];
    product(w->time_input, unas_gates(size), energy, s->outputs, w->time_input_bias, of_input);
    for (int i = 0; i < size; i += LANES) { /* the last vector may go on into the next gate: its rest is left out */
        const vec r = vec_load(of_input + i) + vec_load(of_hidden + i);
        const vec z = vec_load(of_input + size + i) + vec_load(of_hidden + size + i);
        const vec n = vec_load(of_input + 2 * size + i), n_hidden = vec_load(of_hidden + 2 * size + i);
        float next[LANES];
        vec_store(next, vec_gru(r, z, n, n_hidden, vec_load(hidden + i)));
        memcpy(hidden + i, next, (size - i < LANES ? size - i : LANES) * sizeof *next);
    }
    product(w->time_fc, row, hidden, size, w->time_fc_bias, gates);
    for (int i = 0; i < row; i += LANES) vec_store(gates + i, 0.5f + 0.5f * vec_tanh(vec_load(gates + i)));
}

/* Lane j of each group of four lanes of a half, repeated four times. */
#if HALF_LANES == 8
#define OF_FOUR_IN_HALF(v, j) SHUFFLE(half, v, v, j, j, j, j, j + 4, j + 4, j + 4, j + 4)
#else
#define OF_FOUR_IN_HALF(v, j) SHUFFLE(half, v, v, j, j, j, j)
#endif

/* gates (bands, to a multiple of 4) = gate of each band from the energies of all (zeros behind the last): a
 * bidirectional GRU. Lanes 0 to 3 run forward, lanes 4 to 7 backward. */
static void unas_band_gates(const unas_block *w, const float *energy, int bands, unas_errand *errand, float *gates)
{
    const int steps = (bands + UNAS_STEP - 1) / UNAS_STEP;
    _Alignas(64) float of_input[UNAS_STEPS][3][8], states[UNAS_STEPS][8];
    for (int step = 0; step < steps; step++) {
        half sums[3][HALF_PARTS];
        EACH (gate, 3)
            EACH (p, HALF_PARTS) sums[gate][p] = half_load(w->bands_bias + 8 * gate + HALF_LANES * p);
        EACH (k, UNAS_STEP)
            EACH (gate, 3)
                EACH (p, HALF_PARTS)
                    sums[gate][p] +=
                        half_load(w->bands_input + (3 * k + gate) * 8 + HALF_LANES * p) * energy[UNAS_STEP * step + k];
        EACH (gate, 3) { /* forward lanes of a step meet backward ones of the mirrored step */
            float lanes[8];
            EACH (p, HALF_PARTS) half_store(lanes + HALF_LANES * p, sums[gate][p]);
            memcpy(of_input[step][gate], lanes, 4 * sizeof *lanes);
            memcpy(of_input[steps - 1 - step][gate] + 4, lanes + 4, 4 * sizeof *lanes);
        }
    }
    half weight[4][3][HALF_PARTS], bias[HALF_PARTS], h[HALF_PARTS];
    EACH (p, HALF_PARTS) {
        bias[p] = half_load(w->bands_hidden_bias + HALF_LANES * p);
        h[p] = half_set(0);
        EACH (j, 4)
            EACH (gate, 3) weight[j][gate][p] = half_load(w->bands_hidden + (3 * j + gate) * 8 + HALF_LANES * p);
    }
    const int share = (errand->size + steps - 1) / steps;
    for (int step = 0; step < steps; step++) {
        EACH (p, HALF_PARTS) {
            const int lane = HALF_LANES * p;
            const half h0 = OF_FOUR_IN_HALF(h[p], 0), h1 = OF_FOUR_IN_HALF(h[p], 1), h2 = OF_FOUR_IN_HALF(h[p], 2),
                       h3 = OF_FOUR_IN_HALF(h[p], 3);
            const half r = (half_load(of_input[step][0] + lane) + weight[0][0][p] * h0 + weight[1][0][p] * h1) +
                           (weight[2][0][p] * h2 + weight[3][0][p] * h3);
            const half z = (half_load(of_input[step][1] + lane) + weight[0][1][p] * h0 + weight[1][1][p] * h1) +
                           (weight[2][1][p] * h2 + weight[3][1][p] * h3);
            const half n = (bias[p] + weight[0][2][p] * h0 + weight[1][2][p] * h1) +
                           (weight[2][2][p] * h2 + weight[3][2][p] * h3);
            h[p] = half_gru(r, z, half_load(of_input[step][2] + lane), n, h[p]);
            half_store(states[step] + lane, h[p]);
        }
        unas_run_errand(errand, share);
    }
    for (int step = 0; step < steps; step++) {
        const float *forward = states[step], *backward = states[steps - 1 - step] + 4;
        quad sums[2] = {quad_load(w->bands_fc_bias), {0}};
        EACH (k, 4) {
            sums[0] += quad_load(w->bands_fc + 4 * k) * forward[k];
            sums[1] += quad_load(w->bands_fc + 16 + 4 * k) * backward[k];
        }
        quad_store(gates + UNAS_STEP * step, sums[0] + sums[1]);
    }
    for (int i = 0; i < UNAS_STEP * steps; i += LANES)
        vec_store(gates + i, 0.5f + 0.5f * vec_tanh(vec_load(gates + i)));
}

/* Scales y (bands, rows) in place by both gates, and adds `skip` unless NULL. */
static void unas_attend(const unas_shape *s, const unas_block *w, float *y, float *hidden, const float *of_hidden,
                        unas_errand *errand, const float *skip)
{
    const int row = unas_row(s->outputs), parts = row / LANES, bands = s->bands_out;
    _Alignas(64) float squares[HALF_BANDS + 7][16], of_bands[UNAS_SUMS] = {0}, of_channels[32], energy[32];
    _Alignas(64) float over_time[32], over_bands[UNAS_SUMS];
    vec totals[32 / LANES] = {{0}};
    for (int band = 0; band < bands; band++)
        EACH (p, PARTS) {
            vec v = vec_load(y + band * row + p * LANES), square = v * v;
            totals[p] += square;
            if (row == 32) {
                v = vec_load(y + band * row + 16 + p * LANES);
                totals[PARTS + p] += v * v;
                square += v * v;
            }
            vec_store(&squares[band][p * LANES], square);
        }
    for (int p = 0; p < parts; p++) vec_store(of_channels + p * LANES, totals[p]);
    const int padded = (bands + 3) / 4 * 4;
    memset(squares[bands], 0, (padded - bands) * sizeof squares[0]);
    sum_rows(squares[0], padded, of_bands);

    /* Groups of a row without the zeros between them. */
    const int group = row == 32 ? s->outputs / 2 : s->outputs;
    memcpy(energy, of_channels, group * sizeof *energy);
    if (row == 32) memcpy(energy + group, of_channels + 16, group * sizeof *energy);
    unas_time_gates(s, w, energy, hidden, of_hidden, over_time);
    unas_band_gates(w, of_bands, bands, errand, over_bands);

    for (int band = 0; band < bands; band++)
        for (int lane = 0; lane < row; lane += LANES) {
            float *at = y + band * row + lane;
            vec v = vec_load(at) * vec_load(over_time + lane) * over_bands[band];
            if (skip) v += vec_load(skip + band * row + lane);
            vec_store(at, v);
        }
}

/* The same for the one channel of the last block, x (129 and zeros), and the sigmoid of the result. */
static void unas_attend_mask(const unas_shape *s, const unas_block *w, float *x, float *hidden, const float *of_hidden)
{
    _Alignas(64) float squares[UNAS_SUMS] = {0}, over_time[16], over_bands[UNAS_SUMS];
    vec sum = {0};
    for (int i = 0; i < BANDS + 15 - (BANDS + 15) % LANES; i += LANES) {
        const vec v = vec_load(x + i), square = v * v;
        sum += square;
        vec_store(squares + i, square);
    }
    const float energy = total(sum);
    unas_time_gates(s, w, &energy, hidden, of_hidden, over_time);
    unas_errand nothing = {0};
    unas_band_gates(w, squares, s->bands_out, &nothing, over_bands);
    for (int i = 0; i < BANDS + 15 - (BANDS + 15) % LANES; i += LANES) {
        const vec v = vec_load(x + i) * over_time[0] * vec_load(over_bands + i);
        vec_store(x + i, 0.5f + 0.5f * vec_tanh(0.5f * v));
    }
}

#endif
