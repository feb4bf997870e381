/* The GRU cell. */
#ifndef GTCRN_GRU_H
#define GTCRN_GRU_H

#include "simd.h"

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

#endif
