/* Memory layouts shared by all instruction sets: weights as written by weights/pack.py, and the state of a stream.
 *
 * Channels are the inner dimension: the 16 channels of a band are one vector of AVX-512, two of AVX, four of SSE or
 * NEON. Weights of matrix products are (inputs, outputs). Weights before a sigmoid are halved, as sigmoid(x) = 0.5 +
 * 0.5 tanh(x / 2); a PReLU is a x + b |x| with a = (1 + slope) / 2, b = (1 - slope) / 2.
 */
#ifndef GTCRN_MODEL_H
#define GTCRN_MODEL_H

#include <stdatomic.h>
#include <stdint.h>

#include "auto_strength.h"
#include "engine.h"
#include "resample.h"

enum {
    HOP = GTCRN_HOP,
    FRAME = 512, /* samples of a frame */
    BINS = 257,  /* of its spectrum */
    LOW = 65,    /* bins that pass the ERB filters unmerged */
    HIGH = BINS - LOW,
    ERB = 64, /* bands that the others are merged into */
    BANDS = LOW + ERB,
    HALF_BANDS = 65, /* bands after the first convolution of stride 2 */
    WIDTH = 33,      /* and after the second */
    CHANNELS = 16,
    GROUP = 8,        /* channels of a group */
    BLOCKS = 6,       /* grouped temporal convolutions, three in the encoder, three in the decoder */
    ROWS = WIDTH + 2, /* bands of a convolution cache, with a row of zeros at either end */
    SLOTS = 32,       /* frames of all convolution caches */

    UNAS_STATE = 14320,       /* floats of UL-UNAS's past frames and attentions in a stream */
    UNAS_STATE_FLOATS = 7328, /* and of its exported state */
    UNAS_TIME_FLOATS = 402,   /* states of its attentions over time therein */
};

/* One row of an ERB matrix: its nonzero weights are contiguous, and the rows' weights are concatenated. */
typedef struct {
    int32_t start, length;
} gtcrn_run;

typedef struct {
    float scale[CHANNELS], fold[CHANNELS]; /* a and b from above */
} gtcrn_prelu;

/* A grouped temporal convolution; gates are r, z, n. */
typedef struct {
    float point1[3][GROUP][CHANNELS], point1_bias[CHANNELS];
    gtcrn_prelu point1_act;
    float depth[3][3][CHANNELS], depth_bias[CHANNELS]; /* time from the oldest frame on, band */
    gtcrn_prelu depth_act;
    float point2[CHANNELS][GROUP];
    float gru_input[GROUP][3][CHANNELS];     /* takes sums over the bands: 1 / 33 is inside */
    float gru_hidden[CHANNELS][3][CHANNELS]; /* n halved: it meets r = 0.5 + 0.5 tanh */
    float gru_bias[4][CHANNELS];             /* r, z, n of the input, n of the hidden state */
    float fc[CHANNELS][GROUP];
    float point2_bias[GROUP], fc_bias[GROUP]; /* side by side, so that every row of 16 begins a cache line */
} gtcrn_block;

/* A dual-path recurrence. The hidden state of the intra-frame GRU is f1 b1 f2 b2: forward and backward, groups 1 and 2.
 */
typedef struct {
    float intra_input[2][3][GROUP][GROUP], intra_bias[2][3][GROUP];  /* group, gate; outputs f, b */
    float intra_hidden[4][3][CHANNELS], intra_hidden_bias[CHANNELS]; /* j-th hidden value of the lane's own four */
    float intra_fc[CHANNELS][CHANNELS], intra_fc_bias[CHANNELS];
    float intra_norm[WIDTH][CHANNELS], intra_norm_bias[WIDTH][CHANNELS];
    float inter_input[2][GROUP][3][GROUP], inter_hidden[2][GROUP][3][GROUP];
    float inter_bias[2][4][GROUP]; /* r, z, n of the input, n of the hidden state */
    float inter_fc[CHANNELS][CHANNELS], inter_fc_bias[CHANNELS];
    float inter_norm[WIDTH][CHANNELS], inter_norm_bias[WIDTH][CHANNELS];
} gtcrn_dual_path;

/* How a weight blob begins, whatever the network; the sums of the lengths give the used parts of merge and spread. */
#define GTCRN_FILTER_BANK                                                                   \
    char magic[8];                                                                          \
    uint32_t byte_order, bytes, checksum; /* CRC-32 of all that follows */                  \
    uint32_t reserved[11];                /* zeros: the arrays begin on a cache line */     \
    gtcrn_run merge_runs[ERB], spread_runs[HIGH];                                           \
    float merge[ERB * HIGH], spread[HIGH * ERB];

typedef struct {
    GTCRN_FILTER_BANK
} gtcrn_blob;

/* The weight blob of GTCRN, a plain struct as all sizes are fixed. */
typedef struct {
    GTCRN_FILTER_BANK
    float en0[3][7][3][CHANNELS], en0_bias[CHANNELS]; /* inner, first and last band; taps, magnitude re im */
    gtcrn_prelu en0_act;
    float en1[2][5][GROUP][GROUP], en1_bias[CHANNELS]; /* group, taps */
    gtcrn_prelu en1_act;
    gtcrn_block blocks[BLOCKS]; /* in order of execution */
    gtcrn_dual_path dual_paths[2];
    float de3_even[2][3][GROUP][GROUP], de3_odd[2][2][GROUP][GROUP], de3_bias[CHANNELS]; /* group, taps */
    gtcrn_prelu de3_act;
    float de4[CHANNELS][CHANNELS]; /* outputs: tap 0 re im, tap 1 re im, ... tap 4 re im, six times nothing */
    float de4_bias[4];             /* re im re im */
} gtcrn_weights;

/* Constants of the FFT, computed when a model is loaded. */
typedef struct {
    float analysis_window[FRAME];                     /* halved */
    float synthesis_window[FRAME];                    /* divided by FRAME */
    float split_cos[FRAME / 2], split_sin[FRAME / 2]; /* of 2 pi k / FRAME */
    float turn_cos[16][16], turn_sin[16][16];         /* of -2 pi row column / 256 */
} gtcrn_tables;

/* The networks: that of a model, and the one that a stream's state belongs to, none before its first hop. */
typedef enum { GTCRN_ANY_NETWORK, GTCRN_NETWORK, GTCRN_UNAS } gtcrn_network;

/* State of one stream, zeros at its start. Of GTCRN: a ring of 2 * dilation frames per block; position[] is the slot of
 * its oldest frame. Of UL-UNAS: see unas.h. */
struct gtcrn_stream {
    float analysis[HOP];  /* the last hop */
    float synthesis[HOP]; /* contribution of the last frame to the next hop */
    union {
        struct {
            float conv[SLOTS][ROWS][CHANNELS];
            float tra[BLOCKS][CHANNELS];
            float inter[2][WIDTH][CHANNELS];
            int32_t position[BLOCKS];
        };
        struct {
            float unas[UNAS_STATE];
            float unas_inter[2][WIDTH][CHANNELS];
            int32_t unas_turn; /* which of two frames is the next */
        };
    };
    gtcrn_network network;
    /* Whether a thread is in the stream. On a cache line of its own: beside `position`, the kernel waits for it. */
    _Alignas(64) atomic_int busy;
};

/* Takes a stream for the calling thread; returns whether no other one has it. */
static inline int gtcrn_enter(gtcrn_stream *stream)
{
    return !atomic_exchange_explicit(&stream->busy, 1, memory_order_acquire);
}

static inline void gtcrn_leave(gtcrn_stream *stream)
{
    atomic_store_explicit(&stream->busy, 0, memory_order_release);
}

static const int dilations[BLOCKS] = {1, 2, 5, 5, 2, 1};
static const int first_slot[BLOCKS] = {0, 2, 6, 16, 26, 30};

/* Processes the hops of one job; compiled once per instruction set. */
typedef void gtcrn_kernel(const gtcrn_model *model, const gtcrn_job *job);

typedef struct unas_model unas_model;

/* A filter that enhancers of a model share. */
typedef struct gtcrn_shared_filter {
    gtcrn_filter *filter;
    uint32_t rate_in, rate_out;
    atomic_int users;
    struct gtcrn_shared_filter *next;
} gtcrn_shared_filter;

struct gtcrn_model {
    const gtcrn_weights *weights; /* of GTCRN, or NULL */
    const unas_model *unas;       /* of UL-UNAS, or NULL */
    gtcrn_network network;
    gtcrn_tables tables;
    gtcrn_kernel *kernel;
    const char *isa;
    atomic_int users;             /* enhancers, and whoever loaded it */
    gtcrn_shared_filter *filters; /* taken by the thread that has set the flag */
    atomic_flag filters_taken;
};

/* Whether the state of a stream is of the model's network; a new stream becomes one of that. */
static inline int gtcrn_take_network(gtcrn_stream *stream, const gtcrn_model *model)
{
    if (stream->network == GTCRN_ANY_NETWORK) stream->network = model->network;
    return stream->network == model->network;
}

/* Adds a user of the model; `gtcrn_model_free` removes one, and frees the model after the last. */
void gtcrn_keep_model(gtcrn_model *model);

/* Returns the filter of a pair of rates, one user more, or NULL if out of memory. */
gtcrn_shared_filter *gtcrn_share_filter(gtcrn_model *model, uint32_t rate_in, uint32_t rate_out);

/* Ends the use of a filter; it is freed with the model, or when others are made. */
void gtcrn_release_filter(gtcrn_shared_filter *shared);
void gtcrn_free_filters(gtcrn_model *model);

/* `gtcrn_process` for a thread that has taken the stream. */
void gtcrn_process_taken(const gtcrn_model *model, const gtcrn_job *job);

/* Copies weights of UL-UNAS; returns NULL if out of memory, or for a blob of another size. */
unas_model *gtcrn_unas_load(const void *blob, size_t bytes);
void gtcrn_unas_free(const unas_model *model);

/* Calls `copy` for each value of UL-UNAS's state behind the samples, and its place in the exported one. */
void gtcrn_unas_exchange(gtcrn_stream *stream, float *state, void (*copy)(float *in_stream, float *in_state));

/* Whether an exported state of a network holds finite values within the limits of ModelSpec.cache_limits. */
int gtcrn_are_canonical(gtcrn_network network, const float *state);

/* Returns zeroed memory on a cache line boundary, or NULL; to be freed by `gtcrn_free`. */
void *gtcrn_allocate(size_t bytes);
void gtcrn_free(void *memory);

/* Returns the kernel for a name of `gtcrn_isa` (NULL: the fastest) and that name, or NULL if this machine has no such.
 */
gtcrn_kernel *gtcrn_find_kernel(const char *isa, const char **name);

#endif
