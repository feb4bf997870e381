/* The hops of one stream. This file is compiled once for each instruction set, with GTCRN_KERNEL as the name to export.
 */
#include "network.h"

#ifndef GTCRN_KERNEL
#define GTCRN_KERNEL gtcrn_kernel_generic
#endif

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
        prefetch(stream->tra, sizeof stream->tra);
        prefetch(stream->position, sizeof stream->position);
        prefetch(stream->synthesis, sizeof stream->synthesis);
        analyse(&model->tables, stream->analysis, input, &spectrum);
        if (job->energies) job->energies[2 * i] = energy(stream->analysis);
        memcpy(stream->analysis, input, sizeof stream->analysis);

        enhance_frame(&model->weights, stream, job->strength, &spectrum);

        synthesise(&model->tables, &spectrum, frame);
        for (int n = 0; n < HOP; n++) output[n] = frame[n] + stream->synthesis[n];
        memcpy(stream->synthesis, frame + HOP, sizeof stream->synthesis);
        if (job->energies) job->energies[2 * i + 1] = energy(output);
    }
}
