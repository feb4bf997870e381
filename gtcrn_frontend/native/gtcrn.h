/* C API of GTCRN speech enhancement: streams of hops (`gtcrn_process`), and of chunks of any length with mixing
 * (`gtcrn_advance`). Usable without Python; see examples/native.c.
 *
 * A model is read-only and may be shared by any number of threads. A stream is the state of one signal; use it from one
 * thread at a time: a concurrent call returns GTCRN_BUSY and does nothing. Only functions named `..._new` and
 * `..._load` allocate memory, and there is no global state.
 *
 * Audio is float, mono, 16 kHz, full scale 1. The output of `gtcrn_process` is delayed by one hop: the first output hop
 * of a stream precedes its first input sample.
 */
#ifndef GTCRN_H
#define GTCRN_H

#include <stddef.h>
#include <stdint.h>

#include "auto_strength.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GTCRN_HOP 256            /* samples per hop */
#define GTCRN_STATE_FLOATS 18560 /* size of an exported state of GTCRN in floats */

/* cffi: begin. What is between these marks is also read by setup.py. */

/* Return values of functions that did nothing. */
#define GTCRN_REFUSED -1 /* invalid state, wrong size, or another network */
#define GTCRN_BUSY -2    /* another thread is using the stream */
#define GTCRN_ROOM -3    /* the output size is not the number of due samples */

typedef struct gtcrn_model gtcrn_model;
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

/* Returns the fastest instruction set of this build that this machine supports, or NULL: "x86-64-v4", "x86-64-v3",
 * "x86-64-v2", or "generic" (the compiler's target: NEON on arm64). */
const char *gtcrn_best_isa(void);

/* Returns the i-th instruction set of this build that this machine supports, fastest first; NULL after the last. */
const char *gtcrn_isa(int i);

/* Loads a model from a weight blob (see weights/pack.py), which is copied. Returns NULL on failure, with a message in
 * *error. `isa` is one of the names above, or NULL for the fastest. */
gtcrn_model *gtcrn_model_load(const void *blob, size_t bytes, const char *isa, const char **error);
void gtcrn_model_free(gtcrn_model *model);

/* Returns the instruction set of the model. */
const char *gtcrn_model_isa(const gtcrn_model *model);

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

/* A stream of chunks of any length: framing, enhancement, alignment and mixing. The first output sample corresponds to
 * the first input sample. Initialise to zeros, then set stream and either strength or auto_strength. To flush, append
 * zeros, at most 2 * GTCRN_HOP - 1. */
typedef struct {
    gtcrn_stream *stream;
    gtcrn_auto_strength *auto_strength; /* automatic strength, not shared with other paths; or NULL */
    float strength;                     /* s in [0, 1] if not automatic: output = s * enhanced + (1 - s) * input */
    int64_t taken;                      /* input samples so far */
    float rest[GTCRN_HOP];              /* the last taken % GTCRN_HOP of them */
} gtcrn_path;

/* The next samples of one path for `gtcrn_advance_many`. */
typedef struct {
    gtcrn_path *path; /* must be unique within a call */
    const float *samples;
    float *output; /* room for the due samples; must not overlap the samples */
    size_t count;  /* number of samples */
    size_t due;    /* size of the output, set by `gtcrn_set_due` */
} gtcrn_chunk;

/* Returns the number of samples that a path delivers for the next `count`. */
size_t gtcrn_due(const gtcrn_path *path, size_t count);

/* Sets `due` of each chunk; returns their sum. */
size_t gtcrn_set_due(gtcrn_chunk *chunks, size_t count);

/* Enhances the next `count` samples of a path and writes the due samples to an output of size `room`, which must not
 * overlap the samples. Returns 0, GTCRN_BUSY, or GTCRN_ROOM if another number of samples is due. */
int gtcrn_advance(const gtcrn_model *model, gtcrn_path *path, const float *samples, size_t count, float *output,
                  size_t room);

/* The same for many paths, on threads as in `gtcrn_process_many`. Returns 0, or the error of a skipped path. */
int gtcrn_advance_many(const gtcrn_model *model, const gtcrn_chunk *chunks, size_t count, int threads);

/* cffi: end. */

#ifdef __cplusplus
}
#endif
#endif
