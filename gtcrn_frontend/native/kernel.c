/* Processes the hops of one stream, and computes the sums of the resampler. Compiled once per instruction set, with
 * GTCRN_KERNEL as the exported name. */
#include "network.h"
#include "unas_frame.h"
#include "resample.h"

#ifndef GTCRN_KERNEL
#define GTCRN_KERNEL gtcrn_kernel_generic
#endif
#define JOINED(a, b) a##b
#define SUMS_OF(kernel) JOINED(kernel, _sums)

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
extern const gtcrn_sums SUMS_OF(GTCRN_KERNEL);

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

/* The order depends only on the count, so the result is independent of the chunking. Vectors of 16 would be slower: the
 * samples are unaligned, and each load would touch two cache lines. */
static float dot(const float *a, const float *b, size_t count)
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

/* Some windows at once, which share the loads of the weights and hide each other's latency. Each output is the sum of
 * its products in order, however many windows there are. */
INLINE void fir_windows(const int windows, const float *weights, size_t width, const float *samples, size_t step,
                        float *output, size_t apart)
{
    vec sums[8][PARTS] = {{{0}}};
    for (size_t i = 0; i < width; i++, weights += 16) {
        vec row[PARTS];
        EACH (part, PARTS) row[part] = vec_load(weights + part * LANES);
        EACH (w, windows) {
            const vec sample = vec_set(samples[(size_t)w * step + i]);
            EACH (part, PARTS) sums[w][part] += row[part] * sample;
        }
    }
    EACH (w, windows)
        EACH (part, PARTS) vec_store(output + (size_t)w * apart + part * LANES, sums[w][part]);
}

static void fir(const float *weights, size_t width, const float *samples, size_t step, size_t windows, float *output,
                size_t apart)
{
    enum { MOST = 8 / PARTS }; /* eight vectors of sums */
    for (; windows >= MOST; windows -= MOST, samples += MOST * step, output += MOST * apart)
        fir_windows(MOST, weights, width, samples, step, output, apart);
    if (MOST > 4 && windows >= 4) {
        fir_windows(4, weights, width, samples, step, output, apart);
        windows -= 4, samples += 4 * step, output += 4 * apart;
    }
    if (MOST > 2 && windows >= 2) {
        fir_windows(2, weights, width, samples, step, output, apart);
        windows -= 2, samples += 2 * step, output += 2 * apart;
    }
    if (windows) fir_windows(1, weights, width, samples, step, output, apart);
}

const gtcrn_sums SUMS_OF(GTCRN_KERNEL) = {dot, fir};
