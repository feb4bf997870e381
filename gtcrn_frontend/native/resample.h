/* Sample rate conversion by a polyphase filter: the algorithm of audio/polyphase.py, which documents it. */
#ifndef GTCRN_RESAMPLE_H
#define GTCRN_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

/* cffi: begin. What is between these marks is also read by setup.py. */

/* The filter of a pair of rates; read-only. Output j is at the input time j * rate_in / rate_out. */
typedef struct gtcrn_filter gtcrn_filter;

/* Designs a filter for an instruction set, see `gtcrn_isa` (NULL: the fastest). Returns NULL for equal rates, rates
 * outside of 8000 to 192000 Hz, an unsupported instruction set, or if out of memory. */
gtcrn_filter *gtcrn_filter_new(uint32_t rate_in, uint32_t rate_out, const char *isa);
void gtcrn_filter_free(gtcrn_filter *filter);

/* Returns the number of outputs that are complete after `samples` of the input. */
int64_t gtcrn_filter_ready(const gtcrn_filter *filter, int64_t samples);

/* Returns the number of samples of look-ahead, and the index of the first sample that output `output` needs. */
int64_t gtcrn_filter_delay(const gtcrn_filter *filter);
int64_t gtcrn_filter_begin(const gtcrn_filter *filter, int64_t output);

/* Returns how many samples before the next one, and how many after the last one, the buffer of `gtcrn_filter_run` has
 * to hold. They must be finite, and the latter have no weight. */
size_t gtcrn_filter_past(const gtcrn_filter *filter);
size_t gtcrn_filter_blank(const gtcrn_filter *filter);

/* Writes `count` outputs from `first` on; `buffer` begins at input sample `origin` and has `length` samples, `past` and
 * `blank` included. Returns 0, or -1 if that does not suffice; nothing is then written. */
int gtcrn_filter_run(const gtcrn_filter *filter, const float *buffer, int64_t origin, size_t length, int64_t first,
                     size_t count, float *output);

/* cffi: end. */

/* Sums of the resampler, compiled once per instruction set. `dot` returns the sum of the products of `count` values, a
 * multiple of 16. `fir` writes for each of `windows` windows of `width` samples, which start `step` apart, 16 outputs,
 * the sums of its samples times a row of `weights` (width, 16); the outputs of windows are `apart`. */
typedef float gtcrn_dot(const float *a, const float *b, size_t count);
typedef void gtcrn_fir(const float *weights, size_t width, const float *samples, size_t step, size_t windows,
                       float *output, size_t apart);

typedef struct {
    gtcrn_dot *dot;
    gtcrn_fir *fir;
} gtcrn_sums;

/* Returns the functions for an instruction set (NULL: the fastest), or NULL if it is not supported. */
const gtcrn_sums *gtcrn_find_sums(const char *isa);

#endif
