/* Processes the hops of one stream, and computes the sums of the resampler. Compiled once per instruction set, with
 * GTCRN_KERNEL as the exported name. */
#include "network.h"
#include "unas_frame.h"
#include "resample.h"

#ifndef GTCRN_KERNEL
#define GTCRN_KERNEL gtcrn_kernel_generic
#endif
#define JOINED(a, b) a##b
#define DOT_OF(kernel) JOINED(kernel, _dot)

/* Sum of squares of a hop. */
static float energy(const float *hop)
{
    vec sums[4] = {{0}};
    for (int i = 0; i < HOP; i += 4 * LANES)
        EACH (j, 4) {
            vec v = vec_load(hop + i + j * LANES);
            sums[j] += v * v;
        }
    return total((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

gtcrn_kernel GTCRN_KERNEL;

void GTCRN_KERNEL(const gtcrn_model *model, const gtcrn_job *job)
{
    gtcrn_stream *stream = job->stream;
    for (size_t i = 0; i < job->hops; i++) {
        const float *input = job->input + HOP * i;
        float *output = job->output + HOP * i;
        _Alignas(64) gtcrn_spectrum spectrum;
        _Alignas(64) float frame[FRAME];
        if (!model->unas) {
            prefetch(stream->tra, sizeof stream->tra);
            prefetch(stream->position, sizeof stream->position);
        }
        prefetch(stream->synthesis, sizeof stream->synthesis);
        if (model->unas)
            unas_analyse(&model->unas->tables, stream->analysis, input, &spectrum);
        else
            gtcrn_analyse(&model->tables, stream->analysis, input, &spectrum);
        if (job->energies) job->energies[2 * i] = energy(stream->analysis);
        memcpy(stream->analysis, input, sizeof stream->analysis);

        if (model->unas)
            unas_enhance_frame(model->unas, stream, job->strength, &spectrum);
        else
            enhance_frame(model->weights, stream, job->strength, &spectrum);

        synthesise(&model->tables, &spectrum, frame);
        for (int n = 0; n < HOP; n++) output[n] = frame[n] + stream->synthesis[n];
        memcpy(stream->synthesis, frame + HOP, sizeof stream->synthesis);
        if (job->energies) job->energies[2 * i + 1] = energy(output);
    }
}

gtcrn_dot DOT_OF(GTCRN_KERNEL);

/* The order depends only on the count, so the result is independent of the chunking. Vectors of 16 would be slower: the
 * samples are unaligned, and each load would touch two cache lines. */
float DOT_OF(GTCRN_KERNEL)(const float *a, const float *b, size_t count)
{
    half sums[4] = {{0}};
    size_t n = 0;
    for (; n + 4 * HALF_LANES <= count; n += 4 * HALF_LANES)
        EACH (i, 4) sums[i] += half_load(a + n + i * HALF_LANES) * half_load(b + n + i * HALF_LANES);
    for (; n < count; n += HALF_LANES) sums[0] += half_load(a + n) * half_load(b + n);
    const half all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    float sum = 0;
    EACH (i, HALF_LANES) sum += all[i];
    return sum;
}
