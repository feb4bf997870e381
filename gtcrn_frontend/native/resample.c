/* The resampler, but for its sums, which are in kernel.c. */
#include "resample.h"

#include <string.h>

void gtcrn_resample(const gtcrn_filter *filter, float *past, const float *samples, size_t count, int64_t offset,
                    size_t phase, float *output, size_t due)
{
    const size_t taps = filter->taps, kept = filter->past, whole = filter->steps / filter->phases;
    float joined[2 * GTCRN_MAX_TAPS]; /* what weights that begin in the past see */
    if (due && offset < 0) {
        memcpy(joined, past + kept - taps, taps * sizeof *joined);
        memcpy(joined + taps, samples, (count < taps ? count : taps) * sizeof *joined);
    }
    for (size_t i = 0; i < due; i++) {
        const float *seen = offset < 0 ? joined + ((int64_t)taps + offset) : samples + offset;
        output[i] = filter->dot(seen, filter->weights + phase * taps, taps);
        phase += filter->steps % filter->phases;
        offset += (int64_t)(whole + (phase >= filter->phases));
        if (phase >= filter->phases) phase -= filter->phases;
    }
    if (count >= kept) {
        memcpy(past, samples + count - kept, kept * sizeof *past);
    } else if (count) {
        memmove(past, past + count, (kept - count) * sizeof *past);
        memcpy(past + kept - count, samples, count * sizeof *past);
    }
}
