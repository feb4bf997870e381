/* The GTCRN engine in C: noisy hops in, enhanced hops out. Usable without Python; see examples/native.c.
 *
 * A model is read-only and may be shared by any number of threads. A stream is the state of one signal; it is changed
 * by `gtcrn_process` and belongs to one thread at a time: a second one gets GTCRN_BUSY, and nothing happens. Nothing is
 * allocated but by the functions named `..._new` and `..._load`, and no function keeps state of its own.
 *
 * Audio is float, mono, 16 kHz, full scale 1. Output trails input by one hop: the first hop that a new stream delivers
 * lies before its first input sample.
 */
#ifndef GTCRN_H
#define GTCRN_H

#include <stddef.h>
#include <stdint.h>

#include "auto_strength.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GTCRN_HOP 256            /* samples of a hop */
#define GTCRN_STATE_FLOATS 18560 /* floats of an exported state */

/* cffi: begin. What is between these marks is also read by setup.py. */

/* What functions return that have done nothing. */
#define GTCRN_REFUSED -1 /* a state, or memory for one, that does not fit */
#define GTCRN_BUSY -2    /* another thread is in the stream */
#define GTCRN_ROOM -3    /* the output has not exactly the room for what is due */

typedef struct gtcrn_model gtcrn_model;
typedef struct gtcrn_stream gtcrn_stream;

/* Hops of one stream in a call of `gtcrn_process_many`. */
typedef struct {
    gtcrn_stream *stream; /* no stream may occur twice in a call */
    const float *input;   /* (hops, 256) */
    float *output;        /* (hops, 256); may be the input itself */
    float *energies;      /* (hops, 2): sums of squares of the output hop's moment, dry and enhanced; or NULL */
    size_t hops;
    float strength; /* s in [0, 1]: the mask M becomes s M + (1 - s) */
} gtcrn_job;

/* Returns the name of the fastest instruction set that this build has and this machine runs, or NULL if there is none:
 * "x86-64-v4", "x86-64-v3", "x86-64-v2", or "generic" (whatever the compiler makes of its target: NEON on arm64). */
const char *gtcrn_best_isa(void);

/* Returns the name of the i-th instruction set of this build that this machine runs, fastest first; NULL beyond them.
 */
const char *gtcrn_isa(int i);

/* Returns a model made from a weight blob (see weights/pack.py), which is copied, or NULL; then *error says why.
 * `isa` is one of the names above, or NULL for the fastest. */
gtcrn_model *gtcrn_model_load(const void *blob, size_t bytes, const char *isa, const char **error);
void gtcrn_model_free(gtcrn_model *model);

/* Returns the name of the instruction set that runs the model. */
const char *gtcrn_model_isa(const gtcrn_model *model);

/* Returns the state of a stream that begins (silence before its first sample), or NULL without memory. */
gtcrn_stream *gtcrn_stream_new(void);
void gtcrn_stream_free(gtcrn_stream *stream);

/* Begins a new stream. Returns 0, or GTCRN_BUSY. */
int gtcrn_stream_reset(gtcrn_stream *stream);

/* Returns the bytes that a stream takes. */
size_t gtcrn_stream_bytes(void);

/* Writes the state in canonical form: analysis (256), synthesis (256), conv (2, 16, 16, 33), tra (2, 3, 16) and inter
 * (2, 33, 16), one behind the other; see ModelSpec.cache_shapes. Returns 0, GTCRN_BUSY, or GTCRN_REFUSED unless there
 * is room for exactly GTCRN_STATE_FLOATS. */
int gtcrn_stream_export(gtcrn_stream *stream, float *state, size_t floats);

/* Goes on where a canonical state of `floats` values was taken. Returns 0, GTCRN_BUSY, or GTCRN_REFUSED if the size is
 * another, or a value not finite or beyond what a stream can hold: see ModelSpec.cache_limits. */
int gtcrn_stream_import(gtcrn_stream *stream, const float *state, size_t floats);

/* Enhances the hops of one stream. Flushes denormals to zero meanwhile, and restores the caller's mode. Returns 0, or
 * GTCRN_BUSY. */
int gtcrn_process(const gtcrn_model *model, const gtcrn_job *job);

/* Enhances the hops of many streams on at most `threads` threads, that of the caller included. The samples do not
 * depend on the number of threads. Streams that no thread could be started for run on the caller's. Returns 0, or
 * GTCRN_BUSY if that was so with one of them, which is left out. */
int gtcrn_process_many(const gtcrn_model *model, const gtcrn_job *jobs, size_t count, int threads);

/* A signal in chunks of any length: the hops they make up go through a stream, and what comes out is aligned with what
 * went in, the first sample delivered with the first one taken, and mixed with it. A new one is zeros, but for its new
 * stream and its strength or guard. Zeros behind the last chunk, at most 2 * GTCRN_HOP - 1 of them, bring the rest of
 * the signal. */
typedef struct {
    gtcrn_stream *stream;
    gtcrn_auto_strength *auto_strength; /* decides on the strength, hop by hop, and belongs to this path alone; or NULL */
    float strength;        /* s in [0, 1] in place of a guard: s * enhanced + (1 - s) * input goes out */
    int64_t taken;         /* samples since the signal began */
    float rest[GTCRN_HOP]; /* the last taken % GTCRN_HOP of them */
} gtcrn_path;

/* The next samples of one path in a call of `gtcrn_advance_many`. */
typedef struct {
    gtcrn_path *path; /* no path may occur twice in a call */
    const float *samples;
    float *output; /* room for what is due, apart from the samples */
    size_t count;  /* of the samples */
    size_t due;    /* set by `gtcrn_set_due`: the room in the output */
} gtcrn_chunk;

/* Returns how many samples a path delivers with the next `count`. */
size_t gtcrn_due(const gtcrn_path *path, size_t count);

/* Writes to each chunk how many samples are due with it; returns their sum. */
size_t gtcrn_set_due(gtcrn_chunk *chunks, size_t count);

/* Enhances the next `count` samples of a path, and writes those that are due, apart from the samples, to an output with
 * `room` for them. Returns 0, GTCRN_BUSY, or GTCRN_ROOM if another number is due: somebody has moved the path on. */
int gtcrn_advance(const gtcrn_model *model, gtcrn_path *path, const float *samples, size_t count, float *output,
                  size_t room);

/* Does so for many paths, on threads like `gtcrn_process_many`. Returns 0, or what it has returned for one of those
 * that are left out. */
int gtcrn_advance_many(const gtcrn_model *model, const gtcrn_chunk *chunks, size_t count, int threads);

/* cffi: end. */

#ifdef __cplusplus
}
#endif
#endif
