/* The dual-path recurrence of GTCRN: over the bands of a frame, then over time. */
#ifndef GTCRN_DUAL_PATH_H
#define GTCRN_DUAL_PATH_H

#include "gru.h"
#include "layers.h"

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

/* Lane j of each group of four lanes, repeated four times. */
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

/* Updates hidden (33, 16) from x (33, 16): one GRU step per band, in two groups of 8 channels. */
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

/* x (33, 16) in place: GRU over the bands of the frame, then over time (hidden (33, 16)). */
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

#endif
