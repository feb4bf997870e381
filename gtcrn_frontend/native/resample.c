/* The resampler, except its sums, which are in kernel.c. */
#include "resample.h"

#include <string.h>

/* Whether the weights of all `due` outputs lie within the past and the chunk. */
static int fits(const gtcrn_filter *filter, size_t count, int64_t offset, size_t phase, size_t due)
{
    const size_t taps = filter->taps;
    if (taps > GTCRN_MAX_TAPS || taps > filter->past) return 0;
    if (!due) return 1;
    if (phase >= filter->phases || offset < -(int64_t)taps || due > (SIZE_MAX >> 1) / filter->steps) return 0;
    const size_t further = (phase + (due - 1) * filter->steps) / filter->phases;
    return further <= count + taps && offset <= (int64_t)count && offset + (int64_t)(further + taps) <= (int64_t)count;
}

int gtcrn_resample(const gtcrn_filter *filter, float *past, const float *samples, size_t count, int64_t offset,
                   size_t phase, float *output, size_t due)
{
    if (!fits(filter, count, offset, phase, due)) return -1;
    const size_t taps = filter->taps, kept = filter->past, whole = filter->steps / filter->phases;
    float joined[2 * GTCRN_MAX_TAPS]; /* input of outputs whose window starts in the past */
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
    return 0;
}
