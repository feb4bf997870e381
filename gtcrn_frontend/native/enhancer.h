/* Layout of an enhancer: one channel processes one signal, from the input's rate to the output's.
 *
 *     input -> to_model -> hop -> network -> to_output -> mixed with the dry signal, which waits -> output
 *
 * Sample counts determine the position of everything else, see `gtcrn_position`. streaming/signal_path.py is the Python
 * reference.
 */
#ifndef GTCRN_ENHANCER_H
#define GTCRN_ENHANCER_H

#include <stdatomic.h>

#include "auto_strength.h"
#include "model.h"

enum {
    MODEL_RATE = 16000,
    MIN_RATE = 8000,
    MAX_RATE = 192000,
    MAX_CHANNELS = 16,
    MAX_SECONDS = 10 * 365 * 86400,       /* of a stream: longer ones could overflow */
    QUEUE = 8,                            /* most hops whose strength is decided and that are not mixed */
    MOST_OUT = MAX_RATE / 1000 * 16 + 64, /* samples at any rate of one block of 16 ms */
};

#define GTCRN_MAX_AMPLITUDE 8.0F  /* of the input */
#define GTCRN_MAX_ENHANCED 512.0F /* of what the network delivers */
#define GTCRN_MAX_GAIN 4.0F       /* of a filter: the magnitudes of its weights add up to less */

/* A filter, which may be missing: rates are then equal. */
static inline const gtcrn_filter *gtcrn_filter_of(const gtcrn_shared_filter *shared)
{
    return shared ? shared->filter : NULL;
}

typedef struct {
    gtcrn_stream *engine;
    int64_t taken, given, hops; /* samples of the input and of the output, hops of the network */
    int64_t waiting;            /* dry samples whose enhanced ones are not there yet */
    float *input;               /* (past of filters + block + blank): the last samples of the input */
    float *hop;                 /* (HOP): of which some are there */
    float *enhanced;            /* (past of to_output + HOP + blank): the last samples of the network */
    float *dry; /* the waiting samples, unless the output is at the model's rate: the network has them */

    double from, to;        /* strengths between which the mix ramps, if not automatic */
    int64_t ramped;         /* completed samples of the ramp */
    int is_auto;            /* whether the strength is automatic, */
    int is_following;       /* and the mix follows it (not in bypass) */
    int to_skip;            /* hops before the first one that is measured */
    int queued;             /* hops whose strengths wait for their samples */
    atomic_int is_shown;    /* whether there is a report */
    atomic_ullong shown[6]; /* the report: for other threads */
    int64_t first_hop;
    double strengths[QUEUE + 1]; /* before the first of them, and at the end of each */
    gtcrn_auto_strength levels;
} gtcrn_channel;

/* What every call needs comes first, here and in a channel: with many streams, each cache line is fetched from memory.
 */
struct gtcrn_enhancer {
    gtcrn_model *model;
    gtcrn_shared_filter *to_model, *to_output, *dry_filter; /* NULL where rates are equal */
    atomic_llong frames_in, frames_out;                     /* for other threads */
    atomic_ullong wanted_strength;                          /* bits of a double: what is set for the next call, */
    atomic_int wanted_bypass;
    atomic_int busy;
    double strength; /* and what this call has read, so that all channels get the same */
    int bypass;
    uint32_t paths, inputs; /* channels of the output and of the input */
    int64_t block;          /* most input samples at a time */
    int64_t ramp_length;    /* samples of a change of the strength */
    size_t input_past, input_length, enhanced_past, enhanced_length, dry_length;
    gtcrn_grid grid;
    gtcrn_settings settings;
    gtcrn_channel channels[]; /* (paths,) */
};

/* Where a stream is after so many samples of its input. */
typedef struct {
    int64_t model;    /* samples at the model's rate */
    int64_t hops;     /* of the network */
    int64_t held;     /* samples of the incomplete hop */
    int64_t enhanced; /* samples of the network from the first sample of the stream on */
    int64_t dry;      /* samples of the input at the output's rate */
    int64_t out;      /* samples delivered */
} gtcrn_position;

gtcrn_position gtcrn_position_at(const gtcrn_enhancer *enhancer, int64_t taken);

/* Takes an enhancer for a call of this thread and reads what is set for it; returns whether no other one has it. */
int gtcrn_take(gtcrn_enhancer *enhancer);

static inline void gtcrn_give_back(gtcrn_enhancer *enhancer)
{
    atomic_store_explicit(&enhancer->busy, 0, memory_order_release);
}

/* Where the samples of one channel go; NULL: nowhere. */
typedef struct {
    float *dry, *enhanced, *mixed;
    size_t stride;
} gtcrn_sink;

/* Returns 0 if a push of these frames can be done, or GTCRN_ROOM or GTCRN_REFUSED. */
int gtcrn_check_push(const gtcrn_enhancer *enhancer, const float *input, size_t frames, size_t room);

/* Enhances the next frames of one channel, or its rest; the enhancer is taken, the samples are checked. */
void gtcrn_push_channel(gtcrn_enhancer *enhancer, uint32_t channel, const float *input, size_t frames, gtcrn_sink sink);
void gtcrn_finish_channel(gtcrn_enhancer *enhancer, uint32_t channel, gtcrn_sink sink);

/* Returns where the samples of a channel go. */
gtcrn_sink gtcrn_sink_of(const gtcrn_enhancer *enhancer, const gtcrn_outputs *outputs, uint32_t channel);

/* Shows other threads the counts and reports after a call. */
void gtcrn_show(gtcrn_enhancer *enhancer);

/* Strength of a channel: resets it, applies the settings to the next samples, sets a strength to ramp to, decides after
 * a hop from its `dry` samples and the enhanced ones, and mixes samples. */
void gtcrn_reset_strength(const gtcrn_enhancer *enhancer, gtcrn_channel *channel);
void gtcrn_apply_strength(const gtcrn_enhancer *enhancer, gtcrn_channel *channel);
void gtcrn_ramp_to(const gtcrn_enhancer *enhancer, gtcrn_channel *channel, double strength);
double gtcrn_strength_now(const gtcrn_enhancer *enhancer, const gtcrn_channel *channel);
void gtcrn_decide(gtcrn_channel *channel, const float *dry, const float *enhanced);
void gtcrn_mix_channel(const gtcrn_enhancer *enhancer, gtcrn_channel *channel, const float *dry, const float *enhanced,
                       int64_t count, float *mixed);

#endif
