/* Sample rate conversion: the polyphase filter of audio/resampler.py, computed output by output.
 *
 * audio/polyphase.py designs the filter; tests compare the result with numpy's.
 */
#ifndef GTCRN_RESAMPLE_H
#define GTCRN_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin. What is between these marks is also read by setup.py. */

#define GTCRN_MAX_TAPS 1728 /* 9 ms at 192 kHz */

/* Returns the sum of the products of `count` values, a multiple of 16. */
typedef float gtcrn_dot(const float *a, const float *b, size_t count);

/* Returns the function for an instruction set, see `gtcrn_isa` (NULL: the fastest), or NULL if it is not supported. */
gtcrn_dot *gtcrn_find_dot(const char *isa);

/* An output sample is at the input time n + phase / phases, n an integer, and is the sum of `taps` input samples with
 * the weights of its phase; the next one is steps / phases later. */
typedef struct {
    const float *weights; /* (phases, taps) */
    size_t phases, steps;
    size_t taps; /* a multiple of 16, at most GTCRN_MAX_TAPS */
    size_t past; /* input samples that a stream keeps, at least taps */
    gtcrn_dot *dot;
} gtcrn_filter;

/* Writes the next `due` samples of the output.
 *
 * `past` holds the last samples (filter->past,) before this chunk, and afterwards those before the next; `samples` are
 * the chunk (count,). The first output has the given phase, and its window starts at sample `offset` of the chunk;
 * negative offsets are in the past, at most `taps` back. The window of the last output ends within the chunk. Returns
 * 0, or -1 if that is not so or the filter has no such phase; nothing has then changed. */
int gtcrn_resample(const gtcrn_filter *filter, float *past, const float *samples, size_t count, int64_t offset,
                   size_t phase, float *output, size_t due);

/* cffi: end. */

#ifdef __cplusplus
}
#endif
#endif
