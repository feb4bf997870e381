/* UL-UNAS and networks of its kind: shapes of the blocks, where their weights and their state are. Another network of
 * this family is another table of shapes, and its weights packed in this order (weights/pack_ulunas.py).
 *
 * A frame of up to 16 channels has rows of 16 floats, one for each band. More channels are two groups of a channel
 * shuffle, with rows of 32 floats: the first group's channels from 0 on, the second one's from 16 on, so that neither
 * the shuffle nor a pointwise convolution in groups moves anything. The rest of a row is zeros.
 */
#ifndef GTCRN_UNAS_H
#define GTCRN_UNAS_H

#include "model.h"

enum {
    UNAS_BLOCKS = 10,   /* half of them in the encoder */
    UNAS_MARGIN = 2,    /* rows of zeros before and after the bands of a depthwise convolution's input */
    UNAS_TAPS_ROW = 144 /* floats of a past frame of 129 bands, with its margins */
};

typedef enum {
    UNAS_CONVOLUTION, /* over frames and bands, from one channel or to one channel */
    UNAS_INVERTED,    /* pointwise, depthwise, pointwise */
    UNAS_SEPARABLE    /* pointwise, depthwise */
} unas_kind;

typedef struct {
    unas_kind kind;
    int inputs, outputs;      /* channels */
    int frames, taps, stride; /* of the convolution that is not pointwise: time, bands, bands */
    int bands_in, bands_out;
    int transposed; /* in the decoder */
} unas_shape;

static const unas_shape unas_shapes[UNAS_BLOCKS] = {
    {UNAS_CONVOLUTION, 1, 12, 3, 3, 2, 129, 65, 0}, {UNAS_INVERTED, 12, 24, 2, 3, 2, 65, 33, 0},
    {UNAS_SEPARABLE, 24, 24, 2, 3, 1, 33, 33, 0},   {UNAS_INVERTED, 24, 32, 1, 5, 1, 33, 33, 0},
    {UNAS_SEPARABLE, 32, 16, 1, 5, 1, 33, 33, 0},   {UNAS_SEPARABLE, 16, 32, 1, 5, 1, 33, 33, 1},
    {UNAS_INVERTED, 32, 24, 1, 5, 1, 33, 33, 1},    {UNAS_SEPARABLE, 24, 24, 2, 3, 1, 33, 33, 1},
    {UNAS_INVERTED, 24, 12, 2, 3, 2, 33, 65, 1},    {UNAS_CONVOLUTION, 12, 1, 3, 3, 2, 65, 129, 1},
};

/* Floats of a row. */
static inline int unas_row(int channels)
{
    return channels > 16 ? 32 : 16;
}

/* The gates r, z, n of a GRU over time, to a multiple of any vector. */
static inline int unas_gates(int hidden)
{
    return (3 * hidden + 15) / 16 * 16;
}

/* Weights of one block. Activations are p v + q |v| + b: `act` holds p (16), b (16) for each band and each 16 floats of
 * a row, `fold` q. */
typedef struct {
    const float *point1, *point1_bias, *point1_act, *point1_fold;
    const float *conv, *conv_bias, *conv_act, *conv_fold; /* frames from the oldest on, taps, channels of a row */
    const float *point2, *point2_bias;
    const float *time_input, *time_hidden, *time_input_bias, *time_hidden_bias, *time_fc, *time_fc_bias;
    const float *bands_input, *bands_bias, *bands_hidden, *bands_hidden_bias, *bands_fc, *bands_fc_bias;
} unas_block;

/* The model: `blob` ends with the weights of all blocks, one behind the other. */
typedef struct {
    GTCRN_FILTER_BANK
    gtcrn_dual_path dual_paths[2];
    float blocks[];
} unas_weights;

/* Constants of the forward transform, in double precision: the network takes the logarithm of each bin, in which the
 * rounding of a transform in single precision would show where a bin is almost empty. */
typedef struct {
    double analysis_window[FRAME]; /* halved */
    double split_cos[FRAME / 2], split_sin[FRAME / 2];
    double turn_cos[16][16], turn_sin[16][16];
} unas_tables;

struct unas_model {
    unas_tables tables;
    const unas_weights *weights;
    unas_block blocks[UNAS_BLOCKS];
};

/* State of one block in the floats of a stream: past frames, and the GRU of the attention over time. Frames of a
 * depthwise convolution are two that take turns; the others are three, the youngest last. */
typedef struct {
    int past, hidden;
} unas_place;

static inline int unas_hidden_floats(const unas_shape *s)
{
    return (2 * s->outputs + 15) / 16 * 16;
}

static inline int unas_past_floats(const unas_shape *s)
{
    if (s->kind == UNAS_CONVOLUTION) return 3 * (s->transposed ? s->bands_in * 16 : UNAS_TAPS_ROW);
    return s->frames == 1 ? 0 : 2 * (s->bands_in + 2 * UNAS_MARGIN) * unas_row(s->outputs);
}

#endif
