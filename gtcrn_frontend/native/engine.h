/* The network with its STFT, on hops of 256 samples at 16 kHz: what an enhancer and `engines/native.py` are made of.
 *
 * Not a part of the public API. The output is delayed by one hop: the first output hop of a stream precedes its first
 * input sample.
 */
#ifndef GTCRN_ENGINE_H
#define GTCRN_ENGINE_H

#include "gtcrn.h"

/* cffi: begin. What is between these marks is also read by setup.py. */

#define GTCRN_HOP 256            /* samples per hop */
#define GTCRN_STATE_FLOATS 18560 /* size of an exported state of GTCRN in floats; no other network has more */

typedef struct gtcrn_stream gtcrn_stream;

/* Hops of one stream for `gtcrn_process`. */
typedef struct {
    gtcrn_stream *stream; /* must be unique within a call */
    const float *input;   /* (hops, 256) */
    float *output;        /* (hops, 256); may be the input */
    float *energies;      /* (hops, 2): sums of squares of aligned input and output; or NULL */
    size_t hops;
    float strength; /* s in [0, 1]: the mask M becomes s M + (1 - s) */
} gtcrn_job;

/* Creates a stream in its initial state (preceded by silence). Returns NULL if out of memory. */
gtcrn_stream *gtcrn_stream_new(void);
void gtcrn_stream_free(gtcrn_stream *stream);

/* Resets a stream to its initial state. Returns 0, or GTCRN_BUSY. */
int gtcrn_stream_reset(gtcrn_stream *stream);

/* Returns the size of a stream in bytes. */
size_t gtcrn_stream_bytes(void);

/* Returns the number of values of the exported state of a model's streams. */
size_t gtcrn_state_floats(const gtcrn_model *model);

/* Exports the state in canonical form, the arrays of ModelSpec.cache_shapes one behind the other; of GTCRN analysis
 * (256), synthesis (256), conv (2, 16, 16, 33), tra (2, 3, 16) and inter (2, 33, 16). Returns 0, GTCRN_BUSY, or
 * GTCRN_REFUSED if `floats` is not the number of values of the stream's network. */
int gtcrn_stream_export(gtcrn_stream *stream, float *state, size_t floats);

/* Restores a canonical state of `floats` values. Returns 0, GTCRN_BUSY, or GTCRN_REFUSED if the size is wrong or a
 * value is not finite or out of range (see ModelSpec.cache_limits). */
int gtcrn_stream_import(gtcrn_stream *stream, const float *state, size_t floats);

/* Enhances the hops of one stream. Denormals are flushed to zero during the call only. Returns 0, GTCRN_BUSY, or
 * GTCRN_REFUSED if the stream has run with a model of another network since its reset. */
int gtcrn_process(const gtcrn_model *model, const gtcrn_job *job);

/* Enhances the hops of many streams on at most `threads` threads, including the caller's; if threads cannot be started,
 * fewer are used. The output does not depend on the number of threads. Returns 0, or GTCRN_BUSY if a stream was in use
 * and therefore skipped. */
int gtcrn_process_many(const gtcrn_model *model, const gtcrn_job *jobs, size_t count, int threads);

/* cffi: end. */

#endif
